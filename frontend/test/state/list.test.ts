import { beforeEach, describe, expect, it, test } from 'vitest';
import { ChatList } from '../../src/state/list.svelte';
import type { ListPage, ListQuery } from '../../src/domain/types';
import { MemoryBackend } from '../memory-backend';

const now = Date.UTC(2026, 2, 4, 12);
let backend: MemoryBackend;
let list: ChatList;
let ids: string[];
const shown = (): string[] => list.rows.map((row) => row.conversation.id);
const at = (i: number): string => ids[i] ?? '';

beforeEach(async () => {
  backend = new MemoryBackend({ conversations: 400, now });
  list = new ChatList(backend);
  await list.reload();
  ids = [...backend.world.conversations.keys()];
});

describe('paging', () => {
  it('loads the next page when the view comes near the end, and never twice', async () => {
    expect(shown()).toEqual(ids.slice(0, 60));
    await Promise.all([list.view(40, 55), list.view(41, 56)]);
    expect(shown()).toEqual(ids.slice(0, 120));
    expect(backend.calls.filter(([name]) => name === 'list')).toHaveLength(2);
  });

  it('reaches the end and stops there', async () => {
    for (let i = 0; i < 12; i++) await list.loadMore();
    expect(shown()).toEqual(ids);
  });

  it('names the next and previous chat across the end of a page', async () => {
    expect(await list.neighbour(at(59), 1)).toBe(at(60));
    expect(await list.neighbour(at(1), -1)).toBe(at(0));
    expect(await list.neighbour(at(0), -1)).toBe(at(0));
    expect(await list.neighbour('elsewhere', 1)).toBe(at(0));
  });

  it('counts its questions on from where the program says, whatever the clock says', async () => {
    const turns = (): unknown[] => backend.calls.filter(([name]) => name === 'list').map(([, query]) => (query as ListQuery).turn);
    await list.ask({ search: 'a' });
    expect(turns()).toEqual([0, 0]); // it has not said: no question ends another
    list.count(4096);
    await list.ask({ search: 'ab' });
    await list.reload();
    await list.ask({ search: 'abc' });
    expect(turns().slice(2)).toEqual([4097, 4097, 4098]);
  });

  it('asks oldest first', async () => {
    await list.ask({ oldest: true });
    expect(shown()[0]).toBe(ids.at(-1));
  });
});

describe('changes', () => {
  it('moves a chat to the top when nothing holds the list', async () => {
    backend.customerSays(at(30), 'hello?');
    await list.changed();
    expect(shown()[0]).toBe(at(30));
    expect(list.arrivals).toBe(0);
  });

  it('keeps rows in place while held, with new content, and counts what would move', async () => {
    const release = list.hold();
    backend.customerSays(at(30), 'hello?');
    backend.customerSays(at(31), 'anybody?');
    await list.changed();
    expect(shown()).toEqual(ids.slice(0, 60));
    expect(list.rows[30]?.conversation.preview).toBe('hello?');
    expect(list.arrivals).toBe(2);
    release();
    await list.changed();
    expect(new Set(shown().slice(0, 2))).toEqual(new Set([at(30), at(31)]));
    expect(list.arrivals).toBe(0);
  });

  it('counts nothing when a chat only left the list', async () => {
    await list.ask({ quick: 'unread' });
    const before = shown();
    const release = list.hold();
    const gone = before[2] ?? '';
    await backend.markRead(gone, 1000);
    await list.changed();
    expect(shown()).toEqual(before);
    expect(list.arrivals).toBe(0);
    release();
    await list.changed();
    expect(shown()).not.toContain(gone);
  });

  it('goes on below, also while held, when a list that had ended does', async () => {
    const read = backend.list.bind(backend);
    backend.list = async (query) => ({ ...(await read(query)), next: '' });
    await list.reload();
    list.hold();
    await list.view(48, 59);
    expect(shown()).toEqual(ids.slice(0, 60));
    backend.list = read;
    await list.changed();
    await list.view(48, 59);
    expect(shown()).toEqual(ids.slice(0, 120));
  });

  it('does not call an answer of ours news, yet puts it in its place afterwards', async () => {
    const release = list.hold();
    await backend.send(at(20), { text: 'On it.', seen: 1, account: 'a1' });
    backend.confirm(at(20));
    await list.changed();
    expect(list.arrivals).toBe(0);
    expect(list.rows[20]?.conversation.preview).toBe('On it.');
    release();
    await list.changed();
    expect(shown()[0]).toBe(at(20));
  });

  it('puts everything in its place when the held list is let go, without another event', async () => {
    const release = list.hold();
    backend.customerSays(at(30), 'hello?');
    await list.changed();
    release();
    await expect.poll(() => shown()[0]).toBe(at(30));
  });

  it('holds by itself far down, where a reordering would throw the view about', async () => {
    for (let i = 0; i < 5; i++) await list.loadMore();
    await list.view(250, 262);
    backend.customerSays(at(300), 'hello?');
    await list.changed();
    expect(shown()).toEqual(ids.slice(0, 360));
    expect(list.arrivals).toBe(1);
    await list.view(0, 12);
    expect(shown()[0]).toBe(at(300));
    expect(list.arrivals).toBe(0);
  });

  it('shows the first chat of an empty inbox even under the pointer', async () => {
    await list.ask({ search: 'nobody has this name' });
    expect(shown()).toEqual([]);
    list.hold();
    await backend.updateContact([...backend.world.contacts.keys()][5] ?? '', { name: 'Nobody has this name' });
    await list.changed();
    expect(shown()).toEqual([at(5)]);
  });
});

describe('a held list says what is true', () => {
  it('of a chat that left it', async () => {
    await list.ask({ quick: 'unread' });
    await list.view(0, 12);
    const left = list.rows[3]?.conversation.id ?? '';
    list.hold();
    await backend.assign(left, backend.world.state.members[1]?.id ?? '');
    await backend.markRead(left, 1000);
    await list.changed();
    expect(list.rows[3]?.conversation).toMatchObject({ id: left, unread: 0, assignee: backend.world.state.members[1]?.id });
    expect(list.rows[3]?.assignee_name).not.toBe(backend.world.state.members[0]?.name);
  });

  it('of a chat whose place is on a page that is not loaded', async () => {
    await list.ask({ oldest: true });
    await list.view(0, 12);
    const moved = list.rows[2]?.conversation ?? { id: '', unread: 0 };
    list.hold();
    backend.customerSays(moved.id, 'hello?');
    backend.drafts.set(moved.id, { text: 'One moment', comment: false });
    await backend.send(moved.id, { text: 'On it.', seen: 1, account: 'a1' });
    await list.changed();
    expect(list.rows[2]?.conversation).toMatchObject({ id: moved.id, preview: 'hello?', unread: moved.unread + 1 });
    expect(list.rows[2]).toMatchObject({ pending: 1, refused: 0, draft: '' });
    expect(list.arrivals).toBe(0);
  });

  it('of chats that come into view after they have changed', async () => {
    for (let i = 0; i < 4; i++) await list.loadMore();
    await list.view(250, 262);
    const colleague = backend.world.state.members[1]?.id ?? '';
    await backend.assign(at(130), colleague);
    await list.changed();
    await list.view(125, 137);
    expect(list.rows[130]?.conversation).toMatchObject({ id: at(130), assignee: colleague });
    const calls = backend.calls.length;
    await list.view(126, 138);
    expect(backend.calls).toHaveLength(calls);
  });

  it('and keeps the row of a chat that is gone altogether, until rows move', async () => {
    await list.view(0, 12);
    const release = list.hold();
    backend.world.conversations.delete(at(4));
    await list.changed();
    expect([shown()[4], list.failure]).toEqual([at(4), null]);
    release();
    await list.changed();
    expect(shown()).not.toContain(at(4));
  });
});

test('another account: nothing of the former list stays, not even for a moment', async () => {
  await list.ask({ quick: 'mine', search: 'l', brand: 'b' });
  const asked = list.restart();
  expect([list.rows.length, list.answered, list.loading]).toEqual([0, null, true]);
  await asked;
  expect(list.asked).toMatchObject({ brand: '', search: '', quick: 'all' });
  expect(shown()).toHaveLength(60);
});

describe('questions', () => {
  it('keeps the rows until the answer is here, and drops answers to older questions', async () => {
    const answers: ((page: ListPage) => void)[] = [];
    const asked: ListQuery[] = [];
    backend.list = (query) => {
      asked.push(query);
      return new Promise((resolve) => answers.push(resolve));
    };
    const first = list.ask({ search: 'l' });
    const second = list.ask({ search: 'lu' });
    expect(shown()).toHaveLength(60);
    expect(asked.map((q) => q.search)).toEqual(['l', 'lu']);
    const row = list.rows[3];
    answers[1]?.({ rows: row ? [row] : [], next: '' });
    await second;
    expect(shown()).toEqual([at(3)]);
    answers[0]?.({ rows: [], next: '' });
    await first;
    expect(shown()).toEqual([at(3)]);
    expect(list.answered?.search).toBe('lu');
  });

  it('puts no answer over one that was asked for later', async () => {
    const read = backend.list;
    const answers: (() => void)[] = [];
    backend.list = (query) => {
      const answer = read(query); // as it is now
      return new Promise((resolve) => answers.push(() => resolve(answer)));
    };
    const reload = list.reload();
    await Promise.resolve();
    backend.customerSays(at(30), 'hello?');
    const changed = list.changed();
    // Whatever is on its way comes in, the newest first.
    while (shown()[0] !== at(30)) {
      await new Promise((resolve) => setImmediate(resolve));
      const answer = answers.pop();
      if (!answer) break;
      answer();
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const answer of answers) answer();
    await Promise.all([reload, changed]);
    expect(list.rows[0]?.conversation).toMatchObject({ id: at(30), preview: 'hello?' });
  });

  it('asks a question again that was not answered, instead of mixing two lists', async () => {
    list.hold();
    backend.broken = { code: 'unavailable', message: 'No answer.' };
    await list.ask({ quick: 'unread' });
    expect(shown()).toEqual(ids.slice(0, 60));
    backend.broken = null;
    await list.changed();
    expect(list.rows.every((row) => row.conversation.unread > 0)).toBe(true);
    expect([list.answered, list.failure]).toEqual([list.asked, null]);
  });

  it('says why when the rows on the screen cannot be brought up to date, and tries again', async () => {
    await list.view(0, 12);
    const release = list.hold();
    const failing = async (what: () => Promise<void>): Promise<void> => {
      backend.broken = { code: 'unavailable', message: 'No answer.' };
      await what();
      expect(list.failure?.message).toBe('No answer.');
      expect(shown()).toEqual(ids.slice(0, 60));
      backend.broken = null;
      await list.retry();
      expect(list.failure).toBeNull();
    };
    await failing(() => list.changed());
    release();
    await failing(() => list.changed());
    await failing(() => list.loadMore());
    backend.broken = { code: 'unavailable', message: 'No answer.' };
    await list.view(40, 55);
    backend.broken = null;
    await list.retry();
    expect(shown()).toEqual(ids.slice(0, 120));
    backend.broken = { code: 'unavailable', message: 'No answer.' };
    await list.ask({ quick: 'mine' });
    backend.broken = null;
    await list.retry();
    expect([list.answered, list.failure]).toEqual([list.asked, null]);
  });

  it('of another account are not this one’s trouble', async () => {
    const read = backend.list;
    let fail = (): void => undefined;
    backend.list = () => new Promise((_, reject) => (fail = () => reject({ code: 'unavailable', message: 'Closed.' })));
    const changed = list.changed();
    await new Promise((resolve) => setImmediate(resolve));
    backend.list = read;
    await list.restart();
    fail();
    await changed;
    expect(list.failure).toBeNull();
  });

  it('says why when the list cannot be read, and recovers', async () => {
    backend.broken = { code: 'unavailable', message: 'No answer.' };
    await list.ask({ quick: 'mine' });
    expect(list.failure?.message).toBe('No answer.');
    backend.broken = null;
    await list.reload();
    expect(list.failure).toBeNull();
  });
});

describe('searching', () => {
  it('tells the program which question was asked last, also the one that asks for no search', async () => {
    list.count(4096);
    await list.ask({ search: 'a' });
    await list.ask({ search: 'an' });
    await list.ask({ search: '' });
    const turns = backend.calls.filter(([name]) => name === 'list').map(([, query]) => (query as ListQuery).turn ?? 0);
    const [, first = 0, second = 0, third = 0] = turns;
    expect(first).toBeGreaterThan(0);
    expect(second).toBeGreaterThan(first);
    expect(third).toBeGreaterThan(second);
  });

  it('keeps the turn of a question while its answer is read again', async () => {
    list.count(4096);
    await list.ask({ search: 'a' });
    await list.changed();
    const turns = backend.calls.filter(([name]) => name === 'list').map(([, query]) => (query as ListQuery).turn);
    expect(turns.at(-1)).toBe(turns.at(-2));
  });

  it('keeps rows in place while held when the server has found more', async () => {
    const id = at(5);
    backend.customerSays(id, 'zanzibar');
    await list.ask({ search: 'zanzibar' });
    expect(shown()).toEqual([id]);
    expect(list.rows[0]?.hit?.text).toBe('zanzibar');
    const release = list.hold();
    backend.customerSays(at(9), 'zanzibar too');
    await list.changed();
    expect(shown()).toEqual([id]);
    expect(list.arrivals).toBe(1);
    release();
    await list.reload();
    expect(shown()).toEqual([at(9), id]);
  });
});
