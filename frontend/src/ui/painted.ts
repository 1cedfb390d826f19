/**
 * Resolves when what is in the page by now has been painted. WebKitGTK paints
 * only some time after a frame's callbacks; the next frame's come after that.
 */
export function painted(): Promise<void> {
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
}
