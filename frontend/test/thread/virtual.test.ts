import { expect, test } from 'vitest';
import { VirtualRows } from '../../src/features/thread/virtual.svelte';

/** As much of a scroller as the virtualiser asks for: it clamps, and tells of a scroll by itself never. */
class Scroller {
  readonly clientWidth = 500;
  readonly clientHeight = 600;
  readonly ownerDocument = { defaultView: { requestAnimationFrame: () => 0, cancelAnimationFrame: () => undefined, performance } };
  scrollTop = 0;
  constructor(readonly scrollHeight: number) {}
  addEventListener(): void {}
  removeEventListener(): void {}
  scrollTo({ top }: { top: number }): void {
    this.scrollTop = Math.max(0, Math.min(top, this.scrollHeight - this.clientHeight));
  }
}

function rows(count: number): VirtualRows {
  const virtual = new VirtualRows({
    count,
    above: 40,
    below: 8,
    viewport: 600,
    heights: new Map(),
    keyOf: String,
    estimate: () => 60,
    onchange: () => undefined,
  });
  virtual.attach(new Scroller(Math.max(600, 40 + count * 60 + 8)) as unknown as HTMLElement);
  return virtual;
}
/** The rows that are to be drawn are drawn now. */
async function draw(virtual: VirtualRows): Promise<void> {
  await Promise.resolve();
  virtual.drawn([]);
}

test('a row counts as in view only once it is drawn where the view was sent to', async () => {
  const virtual = rows(100);
  await draw(virtual);
  expect(virtual.inView?.last).toBe(99);
  virtual.toRow(40, 'start');
  expect(virtual.offset).toBe(40 + 40 * 60);
  expect(virtual.atEnd).toBe(false);
  expect(virtual.inView).toBeNull();
  await draw(virtual);
  expect(virtual.inView).toEqual({ first: 40, last: 49 });
});

test('rows that all fit are in view and at the end, though nothing can scroll', async () => {
  const virtual = rows(3);
  await draw(virtual);
  virtual.toRow(1, 'start');
  expect([virtual.offset, virtual.atEnd, virtual.inView]).toEqual([0, true, { first: 0, last: 2 }]);
});
