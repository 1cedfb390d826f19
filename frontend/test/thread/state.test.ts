import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { App } from '../../src/state/app.svelte';
import { ComposerStore } from '../../src/state/composer.svelte';
import { pageSize, ThreadStore, type Thread } from '../../src/state/thread.svelte';
import { MemoryBackend } from '../memory-backend';
import { fill, longThread } from '../memory-backend.thread';

let backend: MemoryBackend;
let app: App;
let threads: ThreadStore;
let composers: ComposerStore;
let ids: string[];

beforeEach(async () => {
  backend = new MemoryBackend({ conversations: 40 });
  app = new App(backend);
  await app.start();
  threads = new ThreadStore(app);
  composers = new ComposerStore(app, 'a1');
  ids = [...backend.world.conversations.keys()];
});
afterEach(() => {
  threads.dispose();
  app.stop();
});

async function open(id: string): Promise<Thread> {
  threads.open(id);
  const thread = threads.current;
  if (!thread) throw new Error('nothing opened');
  await thread.refresh();
  return thread;
}
function long(id: string, n: number): void {
  const conversation = backend.world.conversations.get(id);
  if (conversation) fill(backend, id, longThread(conversation, n));
}
const calls = (name: string): unknown[][] => backend.calls.filter((c) => c[0] === name).map((c) => c.slice(1));
const [first, second] = [0, 1];
const id = (n: number): string => ids[n] ?? '';

describe('a thread', () => {
  test('opens at its newest page, and loads older ones only when they are committed', async () => {
    long(id(first), 200);
    const thread = await open(id(first));
    expect(thread.messages).toHaveLength(pageSize);
    expect(thread.last).toBe(200);
    await thread.loadOlder();
    expect(thread.messages).toHaveLength(pageSize);
    expect(thread.commitOlder()).toBe(true);
    expect(thread.messages[0]?.number).toBe(101);
    expect(thread.commitOlder()).toBe(false);
  });

  test('stays bounded while a very long one is read to its beginning, and finds its way back', async () => {
    long(id(first), 3000);
    const thread = await open(id(first));
    thread.place = { key: 'somewhere', offset: 0 };
    while (!thread.complete) {
      await thread.loadOlder();
      thread.commitOlder();
    }
    expect(thread.messages.length).toBeLessThanOrEqual(400);
    expect(thread.messages[0]?.number).toBe(1);
    expect(thread.atHead).toBe(false);
    await thread.loadNewer();
    expect(thread.messages.at(-1)?.number).toBe(450);
    await thread.toNewest();
    expect(thread.last).toBe(3000);
    expect(thread.rows.some((row) => row.hole)).toBe(false);
  });

  test('opens around the first unread message when that is further up than one page', async () => {
    long(id(first), 300);
    const conversation = backend.world.conversations.get(id(first));
    Object.assign(conversation ?? {}, { read_number: 99, read_in: 66, unread: 134 });
    const thread = await open(id(first));
    expect(thread.messages.some((m) => m.number === 100)).toBe(true);
    expect(thread.atHead).toBe(false);
    expect(thread.rows.filter((row) => row.unread > 0)).toHaveLength(1);
  });

  test('shows what comes in, once, and keeps what the reader reads further up', async () => {
    long(id(first), 60);
    const thread = await open(id(first));
    backend.customerSays(id(first), 'hello');
    await thread.refresh();
    expect(thread.messages.filter((m) => m.number === 61)).toHaveLength(1);
    thread.place = { key: thread.messages[0]?.id ?? '', offset: 0 };
    for (let i = 0; i < 80; i++) backend.customerSays(id(first), `more ${i}`);
    await thread.refresh();
    expect(thread.messages[0]?.number).toBe(11);
    expect(thread.head).toBe(141);
  });

  test('comes back from memory, and a failure keeps what is shown', async () => {
    const one = await open(id(first));
    await open(id(second));
    threads.open(id(first));
    expect(threads.current).toBe(one);
    backend.broken = { code: 'unavailable', message: 'No.' };
    const shown = one.messages;
    await one.refresh();
    expect(one.messages).toBe(shown);
    expect(one.failure?.message).toBe('No.');
  });
});

describe('threads likely to be next', () => {
  const drawn = (): string[] => threads.drawn.map((thread) => thread.id);
  const at = (i: number): string => ids[i] ?? '';

  test('are read and drawn before they are asked for, and opening one reads only what is new', async () => {
    const opened = await open(at(0));
    await threads.prefetch([at(1), at(2)]);
    expect(drawn()).toEqual([at(0), at(1), at(2)]);
    const next = threads.drawn[1];
    expect(next?.ready).toBe(true);
    threads.open(at(1));
    expect(threads.current).toBe(next);
    expect(threads.drawn).toContain(opened);
  });

  test('are few: what is not likely any more is no longer drawn', async () => {
    await open(at(0));
    await threads.prefetch(ids.slice(1, 9));
    expect(drawn()).toEqual(ids.slice(0, 4));
    threads.open(at(3));
    await threads.prefetch([at(4), at(2)]);
    expect(drawn().toSorted()).toEqual([at(2), at(3), at(4)].toSorted());
  });

  test('are forgotten when something changes in them', async () => {
    await open(at(0));
    await threads.prefetch([at(1), at(2)]);
    backend.customerSays(at(1), 'Hello?');
    expect(drawn()).toEqual([at(0), at(2)]);
  });

  test('stay undrawn when another chat was opened meanwhile', async () => {
    await open(at(0));
    const reading = threads.prefetch([at(1)]);
    threads.open(at(5));
    await reading;
    expect(drawn()).toEqual([at(0), at(5)]);
    threads.open('');
    expect(drawn()).toEqual([]);
  });

  test('are not drawn when they cannot be read', async () => {
    await open(at(0));
    backend.broken = { code: 'unavailable', message: 'The disk is gone.' };
    await threads.prefetch([at(1)]);
    expect(drawn()).toEqual([at(0)]);
  });
});

describe('reading', () => {
  test.each([
    ['on_open', 1],
    ['on_reply', 0],
    ['manual', 0],
  ] as const)('%s marks %i times when the messages are looked at', async (mode, times) => {
    await backend.putMe({ read_mode: mode });
    await app.refresh();
    backend.customerSays(id(first), 'unread');
    const thread = await open(id(first));
    threads.shown(thread, thread.head, true);
    threads.shown(thread, thread.head, true);
    expect(calls('markRead')).toHaveLength(times);
  });

  test('answering says what was in view, and leaves it to the program to mark that as read', async () => {
    backend.customerSays(id(first), 'unread');
    const thread = await open(id(first));
    threads.shown(thread, thread.head, true);
    const head = thread.head;
    composers.edit(composers.draft(thread), 'answer');
    await composers.send(thread);
    expect(calls('send')).toMatchObject([[id(first), { text: 'answer', seen: head }]]);
    expect(calls('markRead')).toEqual([]);
  });

  test('what can still be taken back has answered nothing', async () => {
    await backend.putMe({ undo_seconds: 30, read_mode: 'on_reply' });
    await app.refresh();
    backend.customerSays(id(first), 'are you there?');
    const thread = await open(id(first));
    threads.shown(thread, thread.head, true);
    composers.edit(composers.draft(thread), 'too fast');
    await composers.send(thread);
    await thread.refresh();
    expect(thread.pending.map((entry) => entry.state)).toEqual(['held']);
    expect(await composers.undo(thread)).toBe(true);
    expect(calls('markRead')).toEqual([]);
    expect(backend.world.conversations.get(id(first))?.unread).toBe(1);
  });

  test('that it could not be marked as read is over when it is read some other way', async () => {
    backend.customerSays(id(first), 'unread');
    const thread = await open(id(first));
    backend.broken = { code: 'unavailable', message: 'The disk is full.' };
    thread.markAllRead();
    await vi.waitFor(() => expect(thread.trouble?.what).toBe('read'));
    backend.broken = null;
    await backend.markRead(id(first), thread.head);
    await thread.refresh();
    expect(thread.trouble).toBe(null);
  });
});

describe('coming back to a thread', () => {
  test('what is known of it is read again once it was shown, and not if the agent has gone on by then', async () => {
    await open(id(first));
    await open(id(second));
    const reads = (): number => calls('thread').length;
    const before = reads();
    let show = (): void => undefined;
    const shown = new Promise<void>((done) => (show = done));
    threads.open(id(first), shown);
    expect(reads()).toBe(before);
    threads.open(id(second), shown);
    threads.open(id(first), shown);
    show();
    await shown;
    await vi.waitFor(() => expect(threads.current?.id).toBe(id(first)));
    await threads.current?.refresh();
    const again = calls('thread').slice(before);
    expect(again.every(([of]) => of === id(first))).toBe(true);
    expect(again.length).toBeGreaterThan(0);
  });

  test('what was unread is marked at once, before anything marks it read', async () => {
    await open(id(first));
    backend.customerSays(id(first), 'new');
    const thread = await open(id(first));
    await open(id(second));
    thread.unreadAfter = null; // as an earlier visit left it
    threads.open(id(first), new Promise<void>(() => undefined));
    expect(thread.unreadAfter).toBe(thread.view?.conversation.read_number);
  });

  test('the card resolves the chat it shows, whichever is open', async () => {
    const thread = await open(id(first));
    await open(id(second));
    await threads.toggleResolved(thread);
    expect(calls('resolve').concat(calls('reopen'))).toEqual([[id(first)]]);
  });
});

describe('reading by hand', () => {
  const reads = (): unknown[][] => calls('markRead');

  test('what was marked as unread stays so, however it is looked at, until somebody comes back to it or something is said', async () => {
    await backend.putMe({ read_mode: 'on_open' });
    await app.refresh();
    backend.customerSays(id(first), 'unread');
    const thread = await open(id(first));
    const look = (): void => threads.shown(thread, thread.head, true);
    look();
    await thread.refresh();
    await threads.toggleRead();
    await thread.refresh();
    expect(thread.view?.conversation.unread).toBe(1);
    look();
    await threads.toggleResolved();
    await thread.refresh();
    look();
    expect(reads()).toHaveLength(1);
    backend.customerSays(id(first), 'are you there?');
    await thread.refresh();
    look();
    expect(reads().at(-1)).toEqual([id(first), thread.head]);

    await thread.refresh();
    await threads.toggleRead();
    await thread.refresh();
    look();
    expect(reads()).toHaveLength(2);
    await open(id(second));
    await open(id(first));
    look();
    expect(reads()).toHaveLength(3);
  });

  test('works for messages that are not on this device, and claims to have seen none of them', async () => {
    const conversation = backend.world.conversations.get(id(first));
    backend.customerSays(id(first), 'unread');
    const all = backend.thread;
    backend.thread = async (...asked) => ({ ...(await all(...asked)), messages: [], head: 0, complete: false });
    const thread = await open(id(first));
    const seen = thread.seen;
    await threads.toggleRead();
    expect(reads()).toEqual([[id(first), conversation?.last_number]]);
    expect(thread.seen).toBe(seen);
  });

  test('is tried again up to the same message', async () => {
    backend.customerSays(id(first), 'unread');
    const thread = await open(id(first));
    thread.seen = 0;
    const mark = backend.markRead;
    backend.markRead = () => Promise.reject({ code: 'unavailable', message: 'No line.' });
    threads.markRead();
    await vi.waitFor(() => expect(thread.trouble?.what).toBe('read'));
    backend.markRead = mark;
    await thread.tryAgain();
    expect(reads()).toEqual([[id(first), thread.head]]);
  });
});

describe('a chat that is taken away while it is open', () => {
  test.each(['not_found', 'forbidden'])('is not readable any more (%s), and what was written stays', async (code) => {
    backend.customerSays(id(first), 'secret');
    const thread = await open(id(first));
    const draft = composers.draft(thread);
    composers.edit(draft, 'half a sentence');
    await composers.settled();
    await thread.refresh();
    backend.broken = { code, message: 'This chat is not here.' };
    await thread.refresh();
    composers.adopt(thread);
    expect([thread.gone, thread.view, thread.messages, thread.rows, thread.ready]).toEqual([true, null, [], [], false]);
    expect(draft.text).toBe('half a sentence');
    await threads.toggleRead();
    expect(calls('markUnread')).toHaveLength(0);

    backend.broken = null;
    await thread.refresh();
    expect([thread.gone, thread.ready]).toEqual([false, true]);
    expect(thread.messages.at(-1)?.parts?.[0]?.text).toBe('secret');
  });

  test('one that could not be read for another reason stays', async () => {
    const thread = await open(id(first));
    backend.broken = { code: 'unavailable', message: 'No.' };
    await thread.refresh();
    expect(thread.gone).toBe(false);
    expect(thread.messages).not.toHaveLength(0);
  });
});

describe('a comment being written', () => {
  async function commenting(): Promise<Thread> {
    const thread = await open(id(first));
    composers.turn(composers.draft(thread), true);
    composers.edit(composers.draft(thread), 'the customer must not see this');
    return thread;
  }

  test('does not turn into a reply when a message is quoted; the quote waits for the reply', async () => {
    const thread = await commenting();
    const quoted = thread.messages[0];
    if (!quoted) throw new Error('nothing was said');
    composers.quote(thread, quoted);
    await composers.settled();
    expect(composers.wish.what).toBe('stay');
    expect(composers.draft(thread)).toMatchObject({ comment: true, replyTo: quoted });
    expect(backend.drafts.get(id(first))?.comment).toBe(true);
    await composers.send(thread);
    composers.turn(composers.draft(thread), false);
    composers.edit(composers.draft(thread), 'a reply');
    await composers.send(thread);
    expect(calls('comment')).toHaveLength(1);
    expect(calls('send')[0]?.[1]).toMatchObject({ text: 'a reply', reply_to: quoted.id });
  });

  test('does not go out with a refused reply that is put back', async () => {
    const thread = await open(id(first));
    composers.edit(composers.draft(thread), 'refused');
    await composers.send(thread);
    const entry = backend.pending.get(id(first))?.[0];
    if (!entry) throw new Error('nothing is waiting');
    await commenting();
    composers.putBack(entry);
    expect(composers.draft(thread).comment).toBe(true);
  });

  test('gives way to a quote while nothing is written', async () => {
    const thread = await open(id(first));
    composers.turn(composers.draft(thread), true);
    const quoted = thread.messages[0];
    if (quoted) composers.quote(thread, quoted);
    expect(composers.draft(thread).comment).toBe(false);
  });
});

describe('the composer', () => {
  test('never lets a draft cross, however fast the chats change', async () => {
    const one = await open(id(first));
    composers.edit(composers.draft(one), 'for one');
    threads.open(id(second));
    const two = threads.current;
    if (!two) throw new Error('nothing opened');
    composers.edit(composers.draft(two), 'for two');
    await composers.settled();
    await Promise.all([one.refresh(), two.refresh()]);
    composers.adopt(one);
    composers.adopt(two);
    expect(composers.draft(one).text).toBe('for one');
    expect(composers.draft(two).text).toBe('for two');
    expect(backend.drafts.get(id(first))?.text).toBe('for one');
    expect(backend.drafts.get(id(second))?.text).toBe('for two');
  });

  test('takes over what the cache kept, but never over what was typed since', async () => {
    backend.drafts.set(id(first), { text: 'from yesterday', comment: true });
    const thread = await open(id(first));
    composers.adopt(thread);
    expect(composers.draft(thread)).toMatchObject({ text: 'from yesterday', comment: true });
    composers.edit(composers.draft(thread), 'from yesterday and today');
    composers.adopt(thread);
    expect(composers.draft(thread).text).toBe('from yesterday and today');
  });

  test('saves the last keystroke, in order', async () => {
    const thread = await open(id(first));
    for (const text of ['a', 'ab', 'abc', 'abcd']) composers.edit(composers.draft(thread), text);
    await composers.settled();
    expect(backend.drafts.get(id(first))?.text).toBe('abcd');
    const saved = calls('saveDraft').map((c) => (c[1] as { text: string }).text);
    expect(saved).toEqual([...saved].toSorted());
  });

  test('is emptied only after the message is safe; a failure keeps the text and says why', async () => {
    const thread = await open(id(first));
    const draft = composers.draft(thread);
    composers.edit(draft, 'important');
    backend.broken = { code: 'unavailable', message: 'The disk is full.' };
    expect(await composers.send(thread)).toBe(false);
    expect(draft.text).toBe('important');
    expect(draft.failure?.message).toBe('The disk is full.');
    backend.broken = null;
    const sending = composers.send(thread);
    expect(draft.text).toBe('important');
    expect(await sending).toBe(true);
    expect(draft.text).toBe('');
  });

  test('a second Enter while the first is on its way sends nothing twice', async () => {
    const thread = await open(id(first));
    composers.edit(composers.draft(thread), 'once');
    await Promise.all([composers.send(thread), composers.send(thread)]);
    expect(calls('send')).toHaveLength(1);
  });

  test('claims to have seen nothing that a colleague has read, and that is not here', async () => {
    long(id(first), 12);
    const conversation = backend.world.conversations.get(id(first));
    if (conversation) Object.assign(conversation, { unread: 0, read_number: 12 });
    const all = backend.thread;
    backend.thread = async (...asked) => {
      const page = await all(...asked);
      return { ...page, messages: page.messages.filter((m) => m.number <= 10) };
    };
    const thread = await open(id(first));
    threads.shown(thread, thread.last, true);
    composers.edit(composers.draft(thread), 'hi');
    await composers.send(thread);
    expect(calls('send')[0]?.[1]).toMatchObject({ seen: 10 });
    // Coming back to it, too.
    await open(id(second));
    await open(id(first));
    expect(thread.seen).toBe(10);
  });

  test('sends with the highest number that was in view, and what is quoted', async () => {
    long(id(first), 80);
    const thread = await open(id(first));
    thread.seen = 0;
    threads.shown(thread, 77, true);
    const quoted = thread.messages[0];
    if (quoted) composers.quote(thread, quoted);
    composers.edit(composers.draft(thread), 'hi');
    await composers.send(thread);
    expect(calls('send')[0]?.[1]).toEqual({ text: 'hi', seen: 77, reply_to: quoted?.id, account: 'a1' });
  });

  test('refuses what the channel would cut off', async () => {
    const thread = await open(id(first));
    composers.edit(composers.draft(thread), 'x'.repeat(10_001));
    expect(await composers.send(thread)).toBe(false);
    expect(calls('send')).toHaveLength(0);
  });

  test('takes a refused text back: saved as the draft first, then dropped', async () => {
    const thread = await open(id(first));
    composers.edit(composers.draft(thread), 'refused');
    await composers.send(thread);
    await composers.settled();
    const entry = backend.pending.get(id(first))?.[0];
    if (!entry) throw new Error('nothing is waiting');
    composers.edit(composers.draft(thread), 'typed since');
    await composers.takeBack(entry);
    expect(composers.draft(thread).text).toBe('refused\n\ntyped since');
    const order = backend.calls.map((c) => c[0]).filter((name) => name === 'drop' || name === 'saveDraft');
    expect(order.at(-1)).toBe('drop');
    expect(backend.drafts.get(id(first))?.text).toContain('refused');
  });

  test('a message that can be taken back comes into the composer, in front of what is there', async () => {
    await backend.putMe({ undo_seconds: 10 });
    const thread = await open(id(first));
    composers.edit(composers.draft(thread), 'too fast');
    await composers.send(thread);
    await thread.refresh();
    expect(thread.pending.map((entry) => entry.state)).toEqual(['held']);
    composers.edit(composers.draft(thread), 'the next one');
    expect(await composers.undo(thread)).toBe(true);
    expect(composers.draft(thread).text).toBe('too fast\n\nthe next one');
    expect(backend.pending.get(id(first))).toEqual([]);
    await thread.refresh();
    expect(await composers.undo(thread)).toBe(false);
  });

  test('what is taken back comes with what it quoted', async () => {
    await backend.putMe({ undo_seconds: 10 });
    const thread = await open(id(first));
    const quoted = thread.messages.at(-1);
    if (!quoted) throw new Error('nothing was said');
    composers.quote(thread, quoted);
    composers.edit(composers.draft(thread), 'to that');
    await composers.send(thread);
    await thread.refresh();
    expect(composers.draft(thread).replyTo).toBeNull();
    await composers.undo(thread);
    expect(composers.draft(thread).replyTo?.id).toBe(quoted.id);
  });

  test('a message that went out after all leaves the composer again, with what was there before', async () => {
    await backend.putMe({ undo_seconds: 10 });
    const thread = await open(id(first));
    composers.edit(composers.draft(thread), 'gone');
    await composers.send(thread);
    await thread.refresh();
    composers.edit(composers.draft(thread), 'the next one');
    const failed = (code: string): void => {
      backend.drop = () => Promise.reject(Object.assign(new Error('It may have been delivered.'), { code }));
    };
    failed('conflict');
    await composers.undo(thread);
    expect(composers.draft(thread).text).toBe('the next one');
    expect(composers.draft(thread).failure?.message).toBe('It may have been delivered.');
    await composers.settled();
    expect(backend.drafts.get(id(first))?.text).toBe('the next one');
    failed('uncertain'); // then nothing may be lost
    await composers.undo(thread);
    expect(composers.draft(thread).text).toBe('gone\n\nthe next one');
  });

  test('sends later with the moment, and reads nothing by that', async () => {
    const thread = await open(id(first));
    composers.edit(composers.draft(thread), 'good morning');
    const at = Date.parse('2030-03-04T09:00:00Z');
    expect(await composers.send(thread, at)).toBe(true);
    expect(calls('send')[0]?.[1]).toMatchObject({ text: 'good morning', send_at: '2030-03-04T09:00:00.000Z' });
    expect(calls('markRead')).toHaveLength(0);
    await thread.refresh();
    expect(thread.pending.map((entry) => entry.state)).toEqual(['scheduled']);
  });

  test('tells colleagues of typing at most every three seconds, and never of a comment', async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    try {
      const thread = await open(id(first));
      const draft = composers.draft(thread);
      for (let i = 1; i <= 20; i++) composers.edit(draft, 'x'.repeat(i));
      expect(calls('typing')).toHaveLength(1);
      vi.setSystemTime(1_003_100);
      composers.edit(draft, 'more');
      expect(calls('typing')).toHaveLength(2);
      composers.turn(draft, true);
      vi.setSystemTime(1_010_000);
      composers.edit(draft, 'internal');
      expect(calls('typing')).toHaveLength(2);
    } finally {
      vi.useRealTimers();
    }
  });
});

test('typing of others ends by itself, and one’s own is not heard', async () => {
  vi.useFakeTimers({ now: 1_000_000 });
  try {
    const conversation = id(first);
    backend.emit('typing', { conversation, kind: 'member', member: 'm9', name: 'Ana', ttl: 6 });
    backend.emit('typing', { conversation, kind: 'member', member: app.me?.id ?? '', name: 'Me', ttl: 6 });
    backend.emit('typing', { conversation, kind: 'customer', name: 'Lucía', ttl: 2 });
    expect(threads.typing.names(conversation)).toEqual(['Ana', 'Lucía']);
    await vi.advanceTimersByTimeAsync(2100);
    expect(threads.typing.names(conversation)).toEqual(['Ana']);
    await vi.advanceTimersByTimeAsync(4000);
    expect(threads.typing.names(conversation)).toEqual([]);
  } finally {
    vi.useRealTimers();
  }
});
