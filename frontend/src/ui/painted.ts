/** A window that cannot be seen is not painted at all: nothing waits longer than this for it, ms. */
const unseen = 250;

/** Resolves when what is in the page by now has been painted: a frame's callbacks come before it, the next one's after. */
export function painted(): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, unseen);
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));
  });
}

/**
 * Resolves when a frame has had its time to be painted. To be used where
 * somebody waits for that frame: asking for a frame's callback would make
 * WebKitGTK wait for the next tick of the screen with it.
 */
export function frameLater(): Promise<void> {
  return new Promise((done) => setTimeout(done, 70));
}
