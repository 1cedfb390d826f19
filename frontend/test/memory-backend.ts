import type { Backend } from '../src/backend/backend';
import { contactLabel } from '../src/domain/people';
import type { Conversation, Counts, Events, Hit, ListRow, Message, OutboxEntry, Quick, StorageLimits, ThreadPage, UnsentEntry } from '../src/domain/types';
import { iso, world, type World } from './memory-data';

const textOf = (m: Message): string => (m.parts ?? []).map((part) => part.text ?? '').join(' ');

type Callback = (payload: never) => void;

const quicks: Record<Quick, (c: Conversation, me: string) => boolean> = {
  all: () => true,
  unread: (c) => c.unread > 0,
  mine: (c, me) => c.assignee === me,
  unassigned: (c) => !c.assignee,
  unresolved: (c) => c.status === 'open',
  resolved: (c) => c.status === 'resolved',
};

/** Backend in memory: answers from a World and changes it as the program would. */
export class MemoryBackend implements Backend {
  readonly world: World;
  readonly settings = new Map<string, unknown>();
  limits: StorageLimits = { cache_bytes: 2 * 1024 ** 3, files_bytes: 2 * 1024 ** 3, days: 0 };
  readonly copied: string[] = [];
  readonly opened: string[] = [];
  readonly drafts = new Map<string, { text: string; comment: boolean }>();
  readonly pending = new Map<string, OutboxEntry[]>();
  /** Refused texts and drafts whose chat is gone. */
  orphans: UnsentEntry[] = [];
  /** Which of the pending have waited for long. */
  readonly late = new Set<string>();
  /** Every call's name and arguments, for tests. */
  readonly calls: [string, ...unknown[]][] = [];
  /** When set, every call fails with it. */
  broken: { code: string; message: string } | null = null;
  private readonly listeners = new Map<string, Set<Callback>>();
  private serial = 0;

  constructor(options: { conversations?: number; now?: number; world?: World } = {}) {
    this.world = options.world ?? world(options.conversations ?? 200, options.now ?? Date.now());
  }

  on<K extends keyof Events>(name: K, callback: (payload: Events[K]) => void): () => void {
    const set = this.listeners.get(name) ?? new Set<Callback>();
    this.listeners.set(name, set.add(callback as Callback));
    return () => set.delete(callback as Callback);
  }

  emit<K extends keyof Events>(name: K, payload: Events[K]): void {
    for (const callback of this.listeners.get(name) ?? []) callback(payload as never);
  }

  state = () =>
    this.answer(['state'], () => {
      const entries = [...this.pending.values()].flat();
      const refused = entries.filter((entry) => entry.state === 'refused').length;
      const scheduled = entries.filter((entry) => entry.state === 'scheduled').length;
      const failed = this.orphans.filter((entry) => entry.state === 'undelivered').length;
      const outbox = { queued: entries.length - refused - scheduled, refused: refused + this.orphans.length - failed, failed, unconfirmed: this.late.size };
      return { ...this.world.state, outbox };
    });

  counts = (brand: string) =>
    this.answer(['counts', brand], (): Counts => {
      const me = this.world.state.me?.id ?? '';
      const counts: Counts = { brands: {}, quick: { all: 0, unread: 0, mine: 0, unassigned: 0, unresolved: 0, resolved: 0 } };
      for (const c of this.world.conversations.values()) {
        counts.brands[c.brand] = (counts.brands[c.brand] ?? 0) + (c.unread > 0 ? 1 : 0);
        if (brand && c.brand !== brand) continue;
        for (const quick of Object.keys(quicks) as Quick[]) if (quicks[quick](c, me)) counts.quick[quick]++;
      }
      return counts;
    });

  list: Backend['list'] = (query) =>
    this.answer(['list', query], () => {
      const me = this.world.state.me?.id ?? '';
      const words = query.search.toLowerCase();
      const matching = [...this.world.conversations.values()]
        .filter((c) => (!query.brand || c.brand === query.brand) && quicks[query.quick](c, me))
        .filter((c) => {
          const contact = this.world.contacts.get(c.contact);
          const hay = contact ? [contactLabel(contact), contact.email, contact.phone] : [];
          return !words || hay.some((text) => text.toLowerCase().includes(words)) || this.hit(c.id, words) !== undefined;
        })
        .toSorted((a, b) => order(a, b) * (query.oldest ? -1 : 1));
      // Keyset paging, as the cache does it: the cursor is the last row's place in the order.
      const after = query.cursor === '' ? null : (JSON.parse(query.cursor) as Conversation);
      const start = after ? matching.findIndex((c) => order(after, c) * (query.oldest ? -1 : 1) < 0) : 0;
      const page = start < 0 ? [] : matching.slice(start, start + query.limit);
      const end = page.at(-1);
      const more = start >= 0 && start + query.limit < matching.length;
      return {
        rows: page.map((c) => {
          const hit = words ? this.hit(c.id, words) : undefined;
          return hit ? { ...this.row(c), hit } : this.row(c);
        }),
        next: more && end ? JSON.stringify({ id: end.id, last_message_at: end.last_message_at }) : '',
      };
    });

  private row(conversation: Conversation): ListRow {
    const contact = this.world.contacts.get(conversation.contact);
    const { members, channels } = this.world.state;
    return {
      conversation: { ...conversation },
      label: contact ? contactLabel(contact) : 'Visitor',
      channel_kind: channels.find((c) => c.id === conversation.channel)?.kind ?? 'generic',
      brand: conversation.brand,
      assignee_name: members.find((m) => m.id === conversation.assignee)?.name ?? '',
      draft: this.drafts.get(conversation.id)?.text ?? '',
      pending: this.waiting(conversation.id, 'queued').length + this.waiting(conversation.id, 'sending').length,
      refused: this.waiting(conversation.id, 'refused').length,
    };
  }

  /** The newest message with these words. */
  private hit(id: string, words: string): Hit | undefined {
    const message = (this.world.messages.get(id) ?? []).findLast((m) => textOf(m).toLowerCase().includes(words));
    if (!message) return undefined;
    const text = textOf(message);
    const from = text.toLowerCase().indexOf(words);
    const { kind, author, number } = message;
    return { message: message.id, number, kind, author, at: message.stored_at ?? '', part: 'text', text, marks: [[from, from + words.length]] };
  }

  opening: Backend['opening'] = async (rows) => {
    const [state, counts, list] = await Promise.all([
      this.state(),
      this.counts(''),
      this.list({ brand: '', quick: 'all', search: '', oldest: this.settings.get('oldest_first') === true, cursor: '', limit: rows }),
    ]);
    return { settings: Object.fromEntries(this.settings), state, counts, list };
  };

  shown = () => Promise.resolve();
  themed = () => Promise.resolve();

  conversation: Backend['conversation'] = (id) =>
    this.answer(['conversation', id], () => {
      const conversation = this.find(id);
      const contact = this.world.contacts.get(conversation.contact);
      const channel = this.world.state.channels.find((c) => c.id === conversation.channel);
      if (!contact || !channel) throw { code: 'not_found', message: 'This chat is not here.' };
      const web = channel.kind === 'web';
      return {
        conversation: { ...conversation },
        contact: { ...contact },
        channel,
        abilities: { max_text: channel.kind === 'instagram' ? 1000 : 10_000, receipts: web, typing: web },
        draft: this.drafts.get(id) ?? null,
        others: [...this.world.conversations.values()].filter((c) => c.contact === contact.id && c.id !== id),
      };
    });

  thread: Backend['thread'] = (id, { before, after, around, limit }) =>
    this.answer(['thread', id, { before, after, around, limit }], (): ThreadPage => {
      const all = this.world.messages.get(id) ?? [];
      let page = all.slice(-limit);
      if (before !== undefined) page = all.filter((m) => m.number < before).slice(-limit);
      else if (after !== undefined) page = all.filter((m) => m.number > after).slice(0, limit);
      else if (around !== undefined) page = all.slice(Math.max(0, around - limit / 2), around + limit / 2);
      const from = page[0]?.number ?? 0;
      return {
        messages: page.map((m) => ({ ...m })),
        from,
        to: page.at(-1)?.number ?? 0,
        head: all.length,
        pending: this.pending.get(id) ?? [],
        complete: from <= 1,
        loading: false,
      };
    });

  send: Backend['send'] = (id, message) =>
    this.answer(['send', id, message], () => {
      const seconds = this.world.state.me?.settings.undo_seconds ?? 0;
      const held = { state: 'held', due: iso(Date.now() + seconds * 1000) } as const;
      const later = message.send_at ? ({ state: 'scheduled', send_at: message.send_at } as const) : null;
      if (!later && seconds === 0 && message.seen > 0 && this.world.state.me?.settings.read_mode === 'on_reply') this.read(id, message.seen);
      return this.queue(id, 'message.send', message.text, false, { reply_to: message.reply_to, ...(later ?? (seconds > 0 ? held : {})) });
    });

  comment: Backend['comment'] = (id, comment) =>
    this.answer(['comment', id, comment], () => this.queue(id, 'comment.add', comment.text, true));

  resend: Backend['resend'] = (entry, options) =>
    this.answer(['resend', entry, options], () => {
      const orphan = this.orphans.find((e) => e.id === entry);
      if (orphan) {
        this.orphans = this.orphans.filter((e) => e !== orphan);
        this.emit('state', {});
        return { ...orphan, state: 'queued' as const };
      }
      const found = this.entry(entry);
      Object.assign(found, { state: 'queued', problem: null, send_at: null, text: options.text ?? found.text });
      this.changed(found.conversation);
      return { ...found };
    });

  drop: Backend['drop'] = (entry) =>
    this.answer(['drop', entry], () => {
      const orphan = this.orphans.find((e) => e.id === entry);
      this.orphans = this.orphans.filter((e) => e !== orphan);
      if (orphan) {
        this.emit('state', {});
        return { text: orphan.text };
      }
      const found = this.entry(entry);
      this.pending.set(found.conversation, (this.pending.get(found.conversation) ?? []).filter((e) => e.id !== entry));
      this.changed(found.conversation);
      return { text: found.text };
    });

  unsent = () =>
    this.answer(['unsent'], (): UnsentEntry[] => [
      ...[...this.pending.values()]
        .flat()
        .filter((entry) => entry.state === 'refused' || this.late.has(entry.id))
        .map((entry) => ({ ...entry, label: this.row(this.find(entry.conversation)).label, reachable: true, unconfirmed: this.late.has(entry.id) })),
      ...this.orphans,
    ]);

  markRead: Backend['markRead'] = (id, upto) =>
    this.change(['markRead', id, upto], id, () => this.read(id, upto));

  private read(id: string, upto: number): void {
    const c = this.find(id);
    const at = (this.world.messages.get(id) ?? []).filter((m) => m.number <= upto).at(-1)?.in_number ?? c.in_number;
    Object.assign(c, { read_number: upto, read_in: at, unread: c.in_number - at });
  }

  markUnread: Backend['markUnread'] = (id) =>
    this.change(['markUnread', id], id, (c) => {
      const incoming = (this.world.messages.get(id) ?? []).filter((m) => m.author.kind === 'customer').at(-1);
      if (incoming) Object.assign(c, { read_number: incoming.number - 1, read_in: incoming.in_number - 1, unread: c.in_number - incoming.in_number + 1 });
    });

  resolve: Backend['resolve'] = (id) =>
    this.change(['resolve', id], id, (c) => {
      Object.assign(c, { status: 'resolved', state: 'assistant', holder: null });
      this.say(id, { kind: 'event', author: this.me(), event: { name: 'resolved', member: this.me().id ?? '' } });
    });

  reopen: Backend['reopen'] = (id) =>
    this.change(['reopen', id], id, (c) => {
      Object.assign(c, { status: 'open', state: 'escalated' });
      this.say(id, { kind: 'event', author: this.me(), event: { name: 'reopened', member: this.me().id ?? '' } });
    });

  assign: Backend['assign'] = (id, member) =>
    this.change(['assign', id, member], id, (c) => {
      c.assignee = member || null;
    });

  accept: Backend['accept'] = (id) =>
    this.change(['accept', id], id, (c) => {
      Object.assign(c, { state: 'agent', holder: { kind: 'member', id: this.me().id ?? '', firm: true } });
    });

  release: Backend['release'] = (id) =>
    this.change(['release', id], id, (c) => {
      Object.assign(c, { state: 'escalated', holder: null });
    });

  updateContact: Backend['updateContact'] = (id, fields) =>
    this.answer(['updateContact', id, fields], () => {
      const contact = this.world.contacts.get(id);
      if (contact) this.world.contacts.set(id, { ...contact, ...fields });
      this.emit('list', { conversations: null });
      for (const c of this.world.conversations.values()) if (c.contact === id) this.emit('thread', { conversation: c.id });
    });

  saveDraft: Backend['saveDraft'] = (id, draft) =>
    this.answer(['saveDraft', id, draft], () => {
      if (draft.text === '') this.drafts.delete(id);
      else this.drafts.set(id, { text: draft.text, comment: draft.comment });
      this.emit('list', { conversations: [id] });
    });

  typing = (id: string) => this.answer(['typing', id], () => undefined);
  viewing = (id: string) => this.answer(['viewing', id], () => undefined);

  signIn: Backend['signIn'] = (account) =>
    this.answer(['signIn', account.server, account.email], () => {
      if (account.password === 'wrong') throw { code: 'bad_credentials', message: 'The e-mail or the password is not right.' };
      const id = `a${this.world.state.accounts.length + 1}`;
      for (const other of this.world.state.accounts) other.active = false;
      this.world.state.accounts = [
        ...this.world.state.accounts,
        { id, server: account.server, email: account.email, workspace: account.server, kind: 'remote', active: true, signed_out: false, outbox: { queued: 0, refused: 0, failed: 0, unconfirmed: 0 } },
      ];
      this.world.state.account = id;
      this.emit('state', {});
    });

  signOut = () =>
    this.answer(['signOut'], () => {
      this.world.state.accounts = this.world.state.accounts.filter((a) => a.id !== this.world.state.account);
      this.world.state.account = this.world.state.accounts[0]?.id ?? null;
      this.emit('state', {});
    });

  switchAccount = (id: string) =>
    this.answer(['switchAccount', id], () => {
      this.world.state.account = id;
      this.world.state.accounts = this.world.state.accounts.map((a) => ({ ...a, active: a.id === id }));
      this.emit('state', {});
    });

  setAside = () =>
    this.answer(['setAside'], () => {
      this.world.state.connection = { ...this.world.state.connection, status: 'live', problem: null };
      delete this.world.state.connection.remedy;
      this.world.state.account = this.world.state.accounts[0]?.id ?? null;
      this.emit('state', {});
    });

  dismissWarning = (code: string) =>
    this.answer(['dismissWarning', code], () => {
      this.world.state.warnings = this.world.state.warnings.filter((warning) => warning.code !== code);
      this.emit('state', {});
    });

  retry = () => this.answer(['retry'], () => undefined);

  putMe: Backend['putMe'] = (settings) =>
    this.answer(['putMe', settings], () => {
      const { me } = this.world.state;
      if (me) this.world.state.me = { ...me, settings: { ...me.settings, ...settings } };
      this.emit('state', {});
    });

  startEmbedded = () => this.switchAccount('a1');
  getSetting = (key: string) => this.answer(['getSetting', key], () => this.settings.get(key));
  putSetting = (key: string, value: unknown) => this.answer(['putSetting', key, value], () => void this.settings.set(key, value));
  storage = () => this.answer(['storage'], () => ({ cache_bytes: 734_003_200, files_bytes: 52_428_800, limits: { ...this.limits } }));
  setStorageLimits = (limits: StorageLimits) => this.answer(['setStorageLimits', limits], () => void (this.limits = limits));
  openLink = (url: string) => this.answer(['openLink', url], () => void this.opened.push(url));
  copy = (text: string) => this.answer(['copy', text], () => void this.copied.push(text));
  saveFile = (sha256: string, name: string) => this.answer(['saveFile', sha256, name], () => undefined);
  fileUrl = (sha256: string, name: string) => `/files/${sha256}?name=${encodeURIComponent(name)}`;

  /** A customer says something, as the live socket would bring it. */
  customerSays(id: string, text: string): void {
    const conversation = this.find(id);
    this.say(id, { kind: 'message', author: { kind: 'customer', id: conversation.contact }, parts: [{ kind: 'text', text }] });
    conversation.unread++;
    this.changed(id);
  }

  /** The server confirms what is on its way. */
  confirm(id: string): void {
    for (const entry of this.pending.get(id) ?? []) {
      this.say(id, { id: entry.message, kind: entry.comment ? 'comment' : 'message', author: this.me(), parts: [{ kind: 'text', text: entry.text }], delivery: { state: 'sent' } });
    }
    this.pending.delete(id);
    this.changed(id);
  }

  private queue(id: string, kind: string, text: string, comment: boolean, over: Partial<OutboxEntry> = {}): OutboxEntry {
    const n = ++this.serial;
    const entry: OutboxEntry = {
      id: `cmd-${n}`,
      message: `out-${n}`,
      conversation: id,
      kind,
      text,
      comment,
      state: 'queued',
      problem: null,
      created_at: iso(Date.now()),
      attempts: 0,
      ...over,
    };
    this.pending.set(id, [...(this.pending.get(id) ?? []), entry]);
    this.drafts.delete(id);
    this.changed(id);
    return entry;
  }

  private say(id: string, message: Partial<Message> & Pick<Message, 'kind' | 'author'>): void {
    const thread = this.world.messages.get(id) ?? [];
    const conversation = this.find(id);
    const incoming = message.kind === 'message' && message.author.kind === 'customer' ? 1 : 0;
    conversation.last_number = thread.length + 1;
    conversation.in_number += incoming;
    const full: Message = {
      id: `m-${id}-${thread.length + 1}`,
      ver: 1,
      conversation: id,
      number: conversation.last_number,
      in_number: conversation.in_number,
      parts: [],
      sent_at: iso(Date.now()),
      stored_at: iso(Date.now()),
      ...message,
    };
    this.world.messages.set(id, [...thread, full]);
    if (message.kind === 'event') return;
    conversation.last_message_at = full.stored_at;
    conversation.preview = full.parts?.[0]?.text ?? '';
    conversation.preview_kind = message.kind === 'comment' ? 'comment' : 'text';
    conversation.preview_author = full.author;
  }

  private waiting(id: string, state: OutboxEntry['state']): OutboxEntry[] {
    return (this.pending.get(id) ?? []).filter((entry) => entry.state === state);
  }

  private me = () => ({ kind: 'member' as const, id: this.world.state.me?.id ?? '' });

  private find(id: string): Conversation {
    const conversation = this.world.conversations.get(id);
    if (!conversation) throw { code: 'not_found', message: 'This chat is not here.' };
    return conversation;
  }

  private entry(id: string): OutboxEntry {
    const found = [...this.pending.values()].flat().find((e) => e.id === id);
    if (!found) throw { code: 'not_found', message: 'This message is no longer waiting.' };
    return found;
  }

  private change(call: [string, ...unknown[]], id: string, apply: (c: Conversation) => void): Promise<void> {
    return this.answer(call, () => {
      const conversation = this.find(id);
      apply(conversation);
      conversation.ver++;
      this.changed(id);
    });
  }

  private changed(id: string): void {
    this.emit('thread', { conversation: id });
    this.emit('list', { conversations: [id] });
    this.emit('counts', {});
    this.emit('state', {});
  }

  /** Answers like the program: later, as a copy, or with its failure. */
  private async answer<T>(call: [string, ...unknown[]], make: () => T): Promise<T> {
    this.calls.push(call);
    await Promise.resolve();
    if (this.broken) throw this.broken;
    return make();
  }
}

function order(a: Pick<Conversation, 'id' | 'last_message_at'>, b: Pick<Conversation, 'id' | 'last_message_at'>): number {
  const [x, y] = [a.last_message_at ?? '', b.last_message_at ?? ''];
  if (x !== y) return x > y ? -1 : 1;
  return a.id > b.id ? -1 : a.id < b.id ? 1 : 0;
}
