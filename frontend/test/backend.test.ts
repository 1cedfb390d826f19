import { afterEach, expect, it, vi } from 'vitest';
import { browserBackend } from '../src/backend/browser';
import { Later } from '../src/ui/later.svelte';

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

it('the bridge: what was told before a socket was open is read again, on the first one too', () => {
  vi.useFakeTimers();
  const sockets: EventTarget[] = [];
  vi.stubGlobal(
    'WebSocket',
    class extends EventTarget {
      constructor() {
        super();
        sockets.push(this);
      }
    },
  );
  const told: string[] = [];
  const backend = browserBackend('T', 'http://127.0.0.1:7788');
  for (const name of ['state', 'counts', 'list'] as const) backend.on(name, () => told.push(name));
  expect(sockets).toHaveLength(1);
  sockets[0]?.dispatchEvent(new Event('open'));
  expect(told).toEqual(['state', 'counts', 'list']);
  sockets[0]?.dispatchEvent(new Event('close'));
  vi.runOnlyPendingTimers();
  sockets[1]?.dispatchEvent(new Event('open'));
  expect(told).toHaveLength(6);
});

it('a part of the window that did not come says so, and comes when it is asked for again', async () => {
  let answer: () => Promise<string> = () => Promise.reject(new Error('cut off'));
  const part = new Later(() => answer());
  await part.load();
  expect([part.value, part.failed]).toEqual([null, true]);
  answer = () => Promise.resolve('here');
  await part.load();
  expect([part.value, part.failed]).toEqual(['here', false]);
});
