/** A window that cannot be seen is not painted at all: nothing waits longer than this for it, ms. */
const unseen = 250;

/** Resolves when what is in the page by now has been painted: a frame's callbacks come before it, the next one's after. */
export function painted(): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, unseen);
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));
  });
}

/** How long the program gets to show what the page has painted, ms: script that ran at once would be in its way. */
const shown = 30;

/**
 * Resolves when the page's first picture is on the screen. Nothing is asked of
 * the frame it is painted in, for the reason that frameLater names.
 */
export function pictured(): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, unseen);
    new PerformanceObserver(() => setTimeout(done, shown)).observe({ type: 'paint', buffered: true });
  });
}

/** When the panels beside a chat follow it, ms after it was opened: one after the other, each in a frame of its own. */
export const turns = { list: 25, card: 70 };

/**
 * Resolves when a frame has had its time to be painted. To be used where
 * somebody waits for that frame: asking for a frame's callback would make
 * WebKitGTK wait for the next tick of the screen with it.
 */
export function frameLater(): Promise<void> {
  return new Promise((done) => setTimeout(done, turns.card));
}
