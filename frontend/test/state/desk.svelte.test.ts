import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Conversation } from '../../src/domain/types';
import { App } from '../../src/state/app.svelte';
import { FieldEdit } from '../../src/state/contact.svelte';
import { Desks, deskOf, type Desk } from '../../src/state/desk.svelte';
import type { Thread } from '../../src/state/thread.svelte';
import { MemoryBackend } from '../memory-backend';

let backend: MemoryBackend;
let app: App;
let desks: Desks;
let id: string;
/** Drafts as each account's own database has them. */
let kept: Map<string, string>;
let refuse: { code: string; message: string } | null;

beforeEach(async () => {
  // Both accounts see the same conversations, as two members of one server do.
  backend = new MemoryBackend({ conversations: 10 });
  kept = new Map();
  refuse = null;
  backend.saveDraft = async (conversation, draft) => {
    backend.calls.push(['saveDraft', conversation, draft]);
    await Promise.resolve();
    if (refuse) throw refuse;
    kept.set(`${draft.account}/${conversation}`, draft.text);
  };
  const view = backend.conversation;
  backend.conversation = async (conversation) => {
    const text = kept.get(`${backend.world.state.account}/${conversation}`) ?? '';
    return { ...(await view(conversation)), draft: text ? { text, comment: false } : null };
  };
  app = new App(backend);
  desks = new Desks(app);
  await app.start();
  id = [...backend.world.conversations.keys()][0] ?? '';
});
afterEach(() => {
  desks.current?.threads.dispose();
  app.stop();
  vi.useRealTimers();
});

async function open(desk: Desk = deskOf({ desks })): Promise<Thread> {
  app.select(id);
  desk.threads.open(id);
  const thread = desk.threads.current;
  if (!thread) throw new Error('nothing opened');
  await thread.refresh();
  desk.composers.adopt(thread);
  return thread;
}
const to = (account: string): Promise<void> => app.away(() => backend.switchAccount(account)).then(() => app.refresh());

describe('a desk of its own for each account', () => {
  test('a draft never crosses, though both accounts have the same conversation', async () => {
    const first = deskOf({ desks });
    const thread = await open();
    first.composers.edit(first.composers.draft(thread), 'secret of the first account');
    await to('a2');
    expect(app.selected).toBe('');
    const second = deskOf({ desks });
    expect(second).not.toBe(first);
    const other = await open();
    expect(other).not.toBe(thread);
    expect(second.composers.draft(other).text).toBe('');
    second.composers.edit(second.composers.draft(other), 'of the second');
    await to('a1');
    expect(deskOf({ desks }).composers.draft(await open()).text).toBe('secret of the first account');
    expect([...kept]).toEqual([[`a1/${id}`, 'secret of the first account'], [`a2/${id}`, 'of the second']]);
  });

  test('what was typed last is on disk before the account changes', async () => {
    const { composers } = deskOf({ desks });
    composers.edit(composers.draft(await open()), 'the last key');
    await app.away(() => {
      expect(kept.get(`a1/${id}`)).toBe('the last key');
      return Promise.resolve();
    });
  });

  test('also when the account changes by itself, nothing new is drawn before that', async () => {
    const { composers } = deskOf({ desks });
    const draft = composers.draft(await open());
    const shown: [string | null | undefined, string, number][] = [];
    const stop = $effect.root(() => {
      $effect.pre(() => {
        shown.push([app.state?.account, app.selected, kept.size]);
      });
    });
    composers.edit(draft, 'typed');
    await backend.switchAccount('a2');
    await app.refresh();
    await Promise.resolve();
    stop();
    const after = shown.filter(([account]) => account === 'a2');
    expect(after.length).toBeGreaterThan(0);
    for (const seen of after) expect(seen).toEqual(['a2', '', 1]);
  });

  test('everything written names its account', async () => {
    const { composers } = deskOf({ desks });
    const thread = await open();
    const draft = composers.draft(thread);
    composers.edit(draft, 'answer');
    await composers.send(thread);
    composers.turn(draft, true);
    composers.edit(draft, 'note');
    await composers.send(thread);
    await composers.settled();
    const written = backend.calls.filter(([name]) => ['send', 'comment', 'saveDraft'].includes(name));
    expect(new Set(written.map(([name]) => name)).size).toBe(3);
    for (const [, , body] of written) expect(body).toMatchObject({ account: 'a1' });
  });

  test('a text that could not be saved is still saved for its own account, and is there on coming back', async () => {
    vi.useFakeTimers();
    const { composers } = deskOf({ desks });
    composers.edit(composers.draft(await open()), 'not on disk');
    refuse = { code: 'unavailable', message: 'The disk is full.' };
    await to('a2');
    expect(composers.unsaved).toBe(true);
    await to('a1');
    expect(deskOf({ desks }).composers.draft(await open()).text).toBe('not on disk');
    refuse = null;
    await vi.advanceTimersByTimeAsync(4000);
    expect(kept.get(`a1/${id}`)).toBe('not on disk');
  });

  test('a field of a contact that is still being changed is not changed in the next account', async () => {
    const { card } = deskOf({ desks });
    const contact = (await open()).view?.contact;
    if (!contact) throw new Error('nobody');
    const edit = new FieldEdit(card, contact, 'name');
    edit.text = 'typed in the first account';
    await to('a2');
    expect(await edit.save()).toBe(false);
    expect(edit.problem).not.toBe('');
    expect(backend.calls.filter(([name]) => name === 'updateContact')).toHaveLength(0);
  });

  test('without an account there is no desk', async () => {
    backend.world.state.account = null;
    await app.refresh();
    expect(desks.current).toBeNull();
    expect(() => deskOf({ desks })).toThrow();
  });
});

describe('a draft', () => {
  test('that was sent from another device leaves the composer', async () => {
    const { composers } = deskOf({ desks });
    const thread = await open();
    const draft = composers.draft(thread);
    composers.edit(draft, 'will be sent elsewhere');
    await composers.settled();
    await thread.refresh();
    composers.adopt(thread);
    expect(draft.text).toBe('will be sent elsewhere');
    kept.clear();
    await thread.refresh();
    composers.adopt(thread);
    expect(draft.text).toBe('');
    kept.set(`a1/${id}`, 'typed on the telephone');
    await thread.refresh();
    composers.adopt(thread);
    expect(draft.text).toBe('typed on the telephone');
  });

  test('is never replaced while a keystroke is not saved, nor by an answer older than it', async () => {
    const { composers } = deskOf({ desks });
    const thread = await open();
    const draft = composers.draft(thread);
    composers.edit(draft, 'one');
    await composers.settled();
    // Read while "one" was the newest, answered after "one two" was saved.
    const answers: (() => void)[] = [];
    const view = backend.conversation;
    backend.conversation = async (conversation) => {
      const answer = await view(conversation);
      await new Promise<void>((resolve) => answers.push(resolve));
      return answer;
    };
    const reading = thread.refresh();
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    composers.edit(draft, 'one two');
    composers.adopt(thread);
    expect(draft.text).toBe('one two');
    await composers.settled();
    answers[0]?.();
    await reading;
    composers.adopt(thread);
    expect(draft.text).toBe('one two');
  });

  test('that cannot be saved says so and is tried again until it is', async () => {
    vi.useFakeTimers();
    const { composers } = deskOf({ desks });
    const draft = composers.draft(await open());
    refuse = { code: 'unavailable', message: 'The disk is full.' };
    composers.edit(draft, 'kept');
    await composers.settled();
    expect(draft.notSaved?.message).toContain('The disk is full.');
    await vi.advanceTimersByTimeAsync(7000);
    const tries = backend.calls.filter(([name]) => name === 'saveDraft').length;
    expect(tries).toBeGreaterThanOrEqual(3);
    expect(draft.notSaved).not.toBeNull();
    refuse = null;
    await vi.advanceTimersByTimeAsync(4000);
    expect(draft.notSaved).toBeNull();
    expect(kept.get(`a1/${id}`)).toBe('kept');
    await vi.advanceTimersByTimeAsync(20_000);
    expect(backend.calls.filter(([name]) => name === 'saveDraft')).toHaveLength(tries + 1);
  });

  test('a refused text is not dropped before it is on disk as a draft', async () => {
    const { composers } = deskOf({ desks });
    const thread = await open();
    composers.edit(composers.draft(thread), 'refused');
    await composers.send(thread);
    await composers.settled();
    const entry = backend.pending.get(id)?.[0];
    if (!entry) throw new Error('nothing waits');
    refuse = { code: 'unavailable', message: 'The disk is full.' };
    await composers.takeBack(entry);
    composers.leave();
    expect(backend.pending.get(id)).toHaveLength(1);
  });
});

describe('an open thread', () => {
  const page = (n: number): void => {
    const conversation = backend.world.conversations.get(id) as Conversation;
    while ((backend.world.messages.get(id)?.length ?? 0) < n) backend.customerSays(id, 'more');
    Object.assign(conversation, { read_number: conversation.last_number, unread: 0 });
  };

  test('shows a text of ours though the newest messages are not here', async () => {
    page(80);
    const all = backend.thread;
    // The device holds the first 30 of 80 messages, and later none at all.
    let here = 30;
    backend.thread = async (conversation, query) => {
      const answer = await all(conversation, { ...query, limit: 200 });
      return { ...answer, messages: answer.messages.filter((m) => m.number <= here) };
    };
    const { composers } = deskOf({ desks });
    const thread = await open();
    expect(thread.atHead).toBe(false);
    composers.edit(composers.draft(thread), 'are you there?');
    expect(await composers.send(thread)).toBe(true);
    await thread.follow();
    expect(thread.rows.at(-1)).toMatchObject({ kind: 'pending', newer: true, entry: { text: 'are you there?' } });
    expect(thread.messages).toHaveLength(30);
    Object.assign(backend.pending.get(id)?.[0] ?? {}, { state: 'refused' });
    here = 0;
    desks.current?.threads.dispose();
    const empty = await open();
    expect(empty.rows).toMatchObject([{ kind: 'pending', newer: true, entry: { state: 'refused' } }]);
  });

  test('says what could not be read or marked, and does it again when asked', async () => {
    page(120);
    const thread = await open();
    const read = backend.thread;
    backend.thread = () => Promise.reject({ code: 'unavailable', message: 'No line.' });
    await thread.loadOlder();
    expect(thread.trouble).toMatchObject({ what: 'older', failure: { message: 'No line.' } });
    expect(thread.failure).toBeNull();
    backend.thread = read;
    await thread.loadOlder();
    expect(thread.commitOlder()).toBe(false);
    await thread.tryAgain();
    expect([thread.trouble, thread.commitOlder()]).toEqual([null, true]);

    backend.customerSays(id, 'unread');
    await thread.refresh();
    const mark = backend.markRead;
    backend.markRead = () => Promise.reject({ code: 'unavailable', message: 'No line.' });
    thread.show(thread.head, true, true);
    await vi.waitFor(() => expect(thread.trouble?.what).toBe('read'));
    backend.markRead = mark;
    await thread.tryAgain();
    await vi.waitFor(() => expect(backend.world.conversations.get(id)?.unread).toBe(0));
    expect(thread.trouble).toBeNull();
  });
});
