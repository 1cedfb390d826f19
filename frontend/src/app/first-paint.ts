/** How long nothing is painted while something is still on its way, ms: an empty frame is worse than a moment. */
const patience = 150;

/**
 * Brings the fonts of the scripts that a text is written in. With them it is
 * laid out once, and the system is not searched for others to stand in.
 */
export async function fontsFor(text: string): Promise<void> {
  await document.fonts.load('1em "Inter Variable"', `Parley ${text}`).catch(() => undefined);
}

/** Waits, for as long as one may. */
export async function soon(what: Promise<unknown>): Promise<void> {
  await Promise.race([what, new Promise((late) => setTimeout(late, patience))]);
}
