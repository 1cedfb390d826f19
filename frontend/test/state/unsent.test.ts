import { expect, test } from 'vitest';
import { unsentWords } from '../../src/domain/wording';
import { App } from '../../src/state/app.svelte';
import { Unsent } from '../../src/state/unsent.svelte';
import type { UnsentEntry } from '../../src/domain/types';
import { MemoryBackend } from '../memory-backend';

const orphan: UnsentEntry = {
  id: 'draft:gone', message: '', conversation: 'gone', kind: 'draft', text: 'half a sentence', comment: false,
  state: 'refused', problem: null, created_at: '2026-03-04T12:00:00Z', attempts: 0, label: 'Lucía', reachable: false, unconfirmed: false,
};

test('every refused text is listed, follows what changes, and goes only when dropped', async () => {
  const backend = new MemoryBackend({ conversations: 5 });
  const [id = ''] = backend.world.conversations.keys();
  const entry = await backend.send(id, { text: 'no', seen: 1, account: 'a1' });
  backend.orphans = [orphan];
  const unsent = new Unsent(backend);
  const off = unsent.follow();
  await unsent.read();
  expect(unsent.entries?.map((e) => e.id)).toEqual(['draft:gone']);
  Object.assign(backend.pending.get(id)?.[0] ?? {}, { state: 'refused', problem: { code: 'closed', detail: 'The chat ended.' } });
  backend.emit('state', {});
  await expect.poll(() => unsent.entries?.length).toBe(2);
  await unsent.drop(orphan);
  expect(unsent.entries?.map((e) => [e.id, e.reachable])).toEqual([[entry.id, true]]);
  backend.broken = { code: 'unavailable', message: 'No.' };
  await unsent.read();
  expect([unsent.failure?.message, unsent.entries?.length]).toEqual(['No.', 1]);
  off();
});

test('each says why, in a sentence', () => {
  const name = (id: string): string => (id === 'ana' ? 'Ana' : '');
  expect(unsentWords(orphan, name)).toBe('This draft’s chat is no longer here.');
  const held = { ...orphan, kind: 'message.send', problem: { code: 'held_by_other', holder: { kind: 'member' as const, id: 'ana', firm: true } } };
  expect(unsentWords({ ...orphan, unconfirmed: true }, name)).toMatch(/goes out by itself/u);
  expect(unsentWords({ ...orphan, unconfirmed: true }, name, true)).toMatch(/once you are signed in/u);
  expect(unsentWords(held, name)).toBe('Ana is answering this chat.');
  expect(unsentWords({ ...orphan, problem: { code: 'closed', detail: 'The chat ended.' } }, name)).toBe('The chat ended.');
});

test('a failed delivery goes out again with one call', async () => {
  const backend = new MemoryBackend({ conversations: 5 });
  backend.orphans = [{ ...orphan, id: 'undelivered:m', kind: 'message.send', state: 'undelivered', problem: { code: 'undelivered', detail: 'No such number.' }, reachable: true }];
  const app = new App(backend);
  await app.start();
  expect(app.state?.outbox).toEqual({ queued: 0, refused: 0, failed: 1, unconfirmed: 0 });
  const unsent = new Unsent(backend);
  await unsent.read();
  const [entry] = unsent.entries ?? [];
  if (!entry) throw new Error('nothing is listed');
  await unsent.resend(entry);
  expect(backend.calls.filter(([name]) => name === 'resend')).toEqual([['resend', 'undelivered:m', { force: true }]]);
  expect(unsent.entries).toEqual([]);
});

test('rows tell what is refused from what is on its way', async () => {
  const backend = new MemoryBackend({ conversations: 5 });
  const [id = ''] = backend.world.conversations.keys();
  await backend.send(id, { text: 'one', seen: 1, account: 'a1' });
  await backend.send(id, { text: 'two', seen: 1, account: 'a1' });
  Object.assign(backend.pending.get(id)?.[0] ?? {}, { state: 'refused' });
  const app = new App(backend);
  await app.start();
  expect(app.state?.outbox).toEqual({ queued: 1, refused: 1, failed: 0, unconfirmed: 0 });
  const row = (await backend.list({ brand: '', quick: 'all', search: '', oldest: false, cursor: '', limit: 50 })).rows.find((r) => r.conversation.id === id);
  expect([row?.pending, row?.refused]).toEqual([1, 1]);
});
