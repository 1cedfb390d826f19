import { failureOf } from '../backend/backend';
import type { Conversation, ConversationView, Failure, Message, OutboxEntry, ThreadPage } from '../domain/types';
import { isFromCustomer, mergeMessages, rowsOf, topOf, trimMessages, type Row, type Top } from '../domain/thread';
import { latest, type App } from './app.svelte';
import { TypingLine } from './typing.svelte';

/** How many messages one page holds. */
export const pageSize = 50;

/** How many threads stay in memory, so that going back to one costs nothing. */
const keptThreads = 24;

/** How many threads are drawn unseen beside the open one. */
const drawnBeside = 3;

/** Where a thread was left: a row and how far below the top edge it stood. */
export interface Place {
  key: string;
  offset: number;
}

/** Something in an open thread that did not work, and can be tried again. */
export interface Trouble {
  what: 'older' | 'newer' | 'newest' | 'read';
  failure: Failure;
  /** Up to where reading was to be marked. */
  upto?: number;
}

/**
 * Thread is the loaded part of one conversation: what the cache gave, kept in
 * the order of the server's numbers. It holds a bounded window of the thread,
 * whatever the thread's length.
 */
export class Thread {
  view = $state.raw<ConversationView | null>(null);
  messages = $state.raw<readonly Message[]>([]);
  pending = $state.raw<readonly OutboxEntry[]>([]);
  /** Number of the newest message there is. */
  head = $state(0);
  complete = $state(false);
  /** The program is filling a hole in this thread. */
  loading = $state(false);
  /** The first page has been read. */
  ready = $state(false);
  failure = $state.raw<Failure | null>(null);
  /** What went wrong while the rest of the thread stays as it is. */
  trouble = $state.raw<Trouble | null>(null);
  /** Grows when the reader is to be taken to the newest message. */
  following = $state(0);
  /** When the view was asked for, in moments of the App. */
  viewAt = $state(0);
  /** The read position when the thread was opened: above it stands the "New messages" line. */
  unreadAfter = $state<number | null>(null);
  /** Highest number that has been in front of the agent. */
  seen = $state(0);

  readonly rows: readonly Row[] = $derived.by(() =>
    rowsOf(this.messages, {
      unreadAfter: this.unreadAfter,
      pending: this.pending,
      atHead: this.atHead,
      me: this.app.me?.id ?? '',
    }),
  );
  readonly top: Top = $derived.by(() => topOf(this.messages, this.complete, this.offline));
  /** The newest message is loaded: nothing is hidden below. */
  readonly atHead = $derived((this.messages.at(-1)?.number ?? 0) >= this.head);
  readonly offline = $derived.by(() => !online(this.app.state?.connection.status));
  /** Deleted, or this member may not read it any more. */
  readonly gone = $derived(this.failure !== null && ['not_found', 'forbidden'].includes(this.failure.code));
  /** What others said below the last message that was in view. */
  readonly below = $derived.by(() => {
    if (!this.atHead) return Math.max(0, this.head - this.seen);
    const me = this.app.me?.id ?? '';
    return this.messages.filter((m) => m.number > this.seen && m.kind !== 'event' && m.author.id !== me).length;
  });

  /** Ends what the thread derives; the store sets it. */
  end: () => void = () => undefined;
  /** Where the reader left it; null: at the newest message. */
  place: Place | null = null;
  /** Heights of rows, kept so that coming back paints right the first time. */
  heights = new Map<string, number>();
  heightsWidth = 0;
  /** Read, but not shown before scrolling is idle, so that nothing jumps. */
  private older: ThreadPage | null = null;
  private olderAsked = false;
  private newerAsked = false;
  private opening = true;
  private markedUpto = 0;
  /** The newest message when the agent marked the chat as unread; looking at it reads nothing up to there. */
  private leftUnreadAt: number | null = null;

  constructor(
    readonly id: string,
    private readonly app: App,
  ) {}

  /** The newest number that is loaded. */
  get last(): number {
    return this.messages.at(-1)?.number ?? 0;
  }

  /** Brings the loaded part up to date; never overlaps itself. */
  readonly refresh = latest(
    () => this.read(),
    () => {
      this.failure = null;
      this.ready = true;
    },
    (cause) => {
      this.failure = failureOf(cause);
      if (this.gone) this.empty();
    },
  );

  /** Nothing of what may not be read any more stays. */
  private empty(): void {
    this.view = null;
    this.messages = [];
    this.pending = [];
    this.head = 0;
    this.complete = false;
    this.ready = false;
    this.trouble = null;
    this.older = null;
    this.place = null;
    this.opening = true;
  }

  /** Called when the agent comes (back) to the thread; it is to be read (again) then. */
  reopen(): void {
    this.opening = this.view === null;
    this.leftUnreadAt = null;
    if (this.view) this.enter(this.view.conversation);
  }

  /** What was unread when the agent came stays marked as that. */
  private enter({ unread, read_number }: Conversation): void {
    this.unreadAfter = unread > 0 ? read_number : null;
    this.markedUpto = read_number;
  }

  private async read(): Promise<void> {
    const backend = this.app.backend;
    const asked = this.app.moment();
    const [view, page] = await Promise.all([backend.conversation(this.id), backend.thread(this.id, this.nextQuery())]);
    let first = page;
    const conversation = view.conversation;
    const fresh = this.messages.length === 0;
    if (this.opening) {
      this.enter(conversation);
      const unread = this.unreadAfter;
      // The first unread message is further up than one page: open there.
      if (fresh && unread !== null && (page.messages[0]?.number ?? 0) > unread + 1) {
        first = await backend.thread(this.id, { around: unread + 1, limit: pageSize });
      }
      this.opening = false;
    }
    // The same answer again draws nothing again.
    if (JSON.stringify(view) !== JSON.stringify(this.view)) this.view = view;
    if (conversation.unread === 0 && this.trouble?.what === 'read') this.trouble = null;
    this.viewAt = asked;
    this.take(first, fresh);
    this.head = Math.max(page.head, conversation.last_number, this.last);
  }

  private nextQuery(): { after?: number; limit: number } {
    const first = this.messages[0];
    if (!first || (this.atHead && this.messages.length <= pageSize)) return { limit: pageSize };
    // Away from the newest message: exactly what is loaded is read again.
    if (!this.atHead) return { after: first.number - 1, limit: this.messages.length };
    return { after: first.number - 1, limit: this.messages.length + pageSize };
  }

  private take(page: ThreadPage, fresh: boolean): void {
    const first = page.messages[0];
    const last = this.last;
    this.loading = page.loading;
    this.setPending(page.pending);
    if (fresh || !first) {
      if (first) this.messages = page.messages;
      if (fresh) this.complete = page.complete;
      return;
    }
    if (first.number > last + 1) {
      // More came than one page holds. Who reads at the bottom gets the newest
      // page; who reads further up keeps what they read.
      if (this.place !== null) return;
      this.messages = page.messages;
      this.complete = page.complete;
      return;
    }
    const known = this.messages[0]?.number ?? 0;
    this.messages = trimMessages(mergeMessages(this.messages, page.messages), this.place === null ? 'newer' : 'older');
    const now = this.messages[0]?.number ?? 0;
    if (first.number <= now) this.complete = page.complete;
    else if (now > known) this.complete = false;
  }

  private setPending(pending: readonly OutboxEntry[]): void {
    if (pending.length > 0 || this.pending.length > 0) this.pending = pending;
  }

  /** Reads the page above; the view shows it with commitOlder once it may. */
  async loadOlder(): Promise<void> {
    const first = this.messages[0];
    // What failed is tried again when the reader says so, not with every wheel event.
    if (this.trouble?.what === 'older') return;
    if (this.olderAsked || this.older || this.complete || !first || first.number <= 1) return;
    this.olderAsked = true;
    try {
      const page = await this.app.backend.thread(this.id, { before: first.number, limit: pageSize });
      this.loading = page.loading;
      if (page.messages.length > 0) this.older = page;
      else if (page.complete) this.complete = true;
    } catch (cause) {
      this.trouble = { what: 'older', failure: failureOf(cause) };
    } finally {
      this.olderAsked = false;
    }
  }

  /** Puts the page read by loadOlder above the others. Reports whether there was one. */
  commitOlder(): boolean {
    const page = this.older;
    if (!page) return false;
    this.older = null;
    if ((page.messages.at(-1)?.number ?? 0) < (this.messages[0]?.number ?? 0) - 1) return false;
    this.messages = trimMessages(mergeMessages(this.messages, page.messages), 'older');
    this.complete = page.complete;
    return true;
  }

  /** Reads the page below, after older pages have pushed it out. */
  async loadNewer(): Promise<void> {
    if (this.trouble?.what === 'newer') return;
    if (this.newerAsked || this.atHead || this.messages.length === 0) return;
    this.newerAsked = true;
    try {
      const page = await this.app.backend.thread(this.id, { after: this.last, limit: pageSize });
      this.loading = page.loading;
      this.setPending(page.pending);
      this.head = Math.max(this.head, page.head);
      const before = this.messages[0]?.number ?? 0;
      this.messages = trimMessages(mergeMessages(this.messages, page.messages), 'newer');
      if ((this.messages[0]?.number ?? 0) > before) this.complete = false;
    } catch (cause) {
      this.trouble = { what: 'newer', failure: failureOf(cause) };
    } finally {
      this.newerAsked = false;
    }
  }

  /** Goes to the newest page, however far up the reader was. */
  async toNewest(): Promise<void> {
    this.place = null;
    if (this.atHead) return;
    try {
      const page = await this.app.backend.thread(this.id, { limit: pageSize });
      this.loading = page.loading;
      this.setPending(page.pending);
      // The newest are not on this device: what is here stays.
      if (page.messages.length === 0 || (page.messages.at(-1)?.number ?? 0) <= this.last) return;
      this.messages = page.messages;
      this.complete = page.complete;
      this.head = Math.max(page.head, this.last);
    } catch (cause) {
      this.trouble = { what: 'newest', failure: failureOf(cause) };
    }
  }

  /** Something was said here: the reader is taken to it. */
  async follow(): Promise<void> {
    this.place = null;
    await this.refresh();
    await this.toNewest();
    this.following++;
  }

  /** Does again what went wrong. */
  tryAgain(): Promise<void> {
    const { trouble } = this;
    this.trouble = null;
    switch (trouble?.what) {
      case 'older':
        return this.loadOlder();
      case 'newer':
        return this.loadNewer();
      case 'newest':
        return this.toNewest();
      case 'read':
        this.mark(trouble.upto ?? this.seen);
        return Promise.resolve();
      default:
        return this.refresh();
    }
  }

  /** Goes to the page around a number. */
  async toNumber(number: number): Promise<void> {
    if (this.messages.some((m) => m.number === number)) return;
    const page = await this.app.backend.thread(this.id, { around: number, limit: pageSize });
    if (page.messages.length === 0) return;
    this.messages = page.messages;
    this.complete = page.complete;
    this.loading = page.loading;
  }

  /** The message with this id, if it is loaded. */
  find(id: string | null | undefined): Message | undefined {
    return id ? this.messages.find((m) => m.id === id) : undefined;
  }

  /** The view shows messages up to this number, and the agent is looking. */
  show(number: number, looking: boolean, onOpen: boolean): void {
    if (number > this.seen) this.seen = number;
    if (!looking || !onOpen || this.leftUnread) return;
    this.markRead();
  }

  /** Marked as unread by the agent, and nothing was said since. */
  private get leftUnread(): boolean {
    const at = this.leftUnreadAt;
    return at !== null && !this.messages.some((m) => m.number > at && m.kind === 'message');
  }

  /** Moves the read position to what has been in view, if anything is unread up to there. */
  markRead(): void {
    const conversation = this.view?.conversation;
    if (!conversation || conversation.unread === 0 || this.seen <= this.markedUpto) return;
    if (this.trouble?.what === 'read') return;
    const upto = this.seen;
    const covers = this.messages.some(
      (m) => m.number > conversation.read_number && m.number <= upto && isFromCustomer(m),
    );
    if (covers) this.mark(upto);
  }

  /** The agent says that all of it is read, also what is not on this device. */
  markAllRead(): void {
    const conversation = this.view?.conversation;
    this.trouble = null;
    this.leftUnreadAt = null;
    this.unreadAfter = null;
    if (conversation && conversation.unread > 0) this.mark(conversation.last_number);
  }

  private mark(upto: number): void {
    this.markedUpto = upto;
    this.app.backend.markRead(this.id, upto).catch((cause: unknown) => {
      this.markedUpto = this.view?.conversation.read_number ?? 0;
      this.trouble = { what: 'read', failure: failureOf(cause), upto };
    });
  }

  /** The agent wants it unread: it stays so until they come back to it or something is said. */
  leaveUnread(): Promise<void> {
    this.leftUnreadAt = this.head;
    this.markedUpto = 0;
    this.unreadAfter = null;
    return this.app.backend.markUnread(this.id);
  }
}

function online(status: string | undefined): boolean {
  return status === 'live' || status === 'catching_up' || status === 'connecting' || status === undefined;
}

/**
 * ThreadStore owns the open conversation and remembers the last ones, so that
 * going through chats paints from memory and refreshes behind.
 */
export class ThreadStore {
  current = $state.raw<Thread | null>(null);
  /** Threads that are drawn: the open one in front, and unseen those likely to be next, so that opening them draws nothing. */
  drawn = $state.raw<readonly Thread[]>([]);
  readonly typing: TypingLine;
  private readonly kept = new Map<string, Thread>();
  private readonly off: (() => void)[];

  constructor(readonly app: App) {
    const backend = app.backend;
    this.typing = new TypingLine(backend, () => app.me?.id ?? '');
    this.off = [
      backend.on('thread', ({ conversation }) => this.changed(conversation)),
      backend.on('list', ({ conversations }) => this.listChanged(conversations)),
      backend.on('state', () => this.stateChanged()),
    ];
  }

  /** Ends listening; for the window's end and for tests. */
  dispose(): void {
    for (const off of this.off) off();
    this.typing.dispose();
    this.current = null;
    this.drawn = [];
    for (const id of this.kept.keys()) this.forget(id);
  }

  /** Puts a conversation in front; "" for none. What is known of it is read again once it is `shown`. */
  open(id: string, shown = Promise.resolve()): void {
    if (id === (this.current?.id ?? '')) return;
    if (id === '') {
      this.current = null;
      this.drawn = [];
      return;
    }
    const thread = this.kept.get(id) ?? this.make(id);
    // Moved to the end: the threads used longest ago go first.
    this.kept.delete(id);
    this.kept.set(id, thread);
    this.current = thread;
    if (!this.drawn.includes(thread)) this.drawn = [...this.drawn, thread];
    thread.reopen();
    const read = async (): Promise<void> => {
      if (thread.ready) await shown;
      if (this.current === thread) await thread.refresh();
    };
    void read();
    this.evict();
  }

  /** Reads and draws threads the agent is likely to open next, the likeliest first. Drawn ones that are not likely go. */
  async prefetch(ids: readonly string[]): Promise<void> {
    const opened = this.current;
    const near = ids.slice(0, drawnBeside);
    this.drawn = this.drawn.filter((thread) => thread === opened || near.includes(thread.id));
    for (const id of near) {
      let thread = this.kept.get(id);
      if (!thread) {
        thread = this.make(id);
        this.kept.set(id, thread);
        await thread.refresh();
      }
      // One at a time: between two of them there is room for a key press.
      await new Promise((rest) => setTimeout(rest, 16));
      if (this.current !== opened) return;
      if (thread.ready && this.kept.get(id) === thread && !this.drawn.includes(thread)) this.drawn = [...this.drawn, thread];
    }
    this.evict();
  }

  /** A thread outlives the component that happened to ask for it. */
  private make(id: string): Thread {
    const made: Thread[] = [];
    const end = $effect.root(() => {
      made.push(new Thread(id, this.app));
    });
    const [thread] = made as [Thread];
    thread.end = end;
    return thread;
  }

  private forget(id: string): void {
    const thread = this.kept.get(id);
    if (!thread || thread === this.current) return;
    if (this.drawn.includes(thread)) this.drawn = this.drawn.filter((other) => other !== thread);
    this.kept.delete(id);
    thread.end();
  }

  private evict(): void {
    for (const id of this.kept.keys()) {
      if (this.kept.size <= keptThreads) return;
      this.forget(id);
    }
  }

  private changed(id: string): void {
    if (this.current?.id === id) void this.current.refresh();
    else this.forget(id);
  }

  private listChanged(ids: string[] | null): void {
    if (ids === null) {
      for (const id of this.kept.keys()) this.forget(id);
      void this.current?.refresh();
      return;
    }
    for (const id of ids) this.changed(id);
  }

  private stateChanged(): void {
    // A page that was missing without a line may be loadable now.
    const thread = this.current;
    if (!thread) return;
    if (!thread.ready || thread.failure || thread.messages.length === 0) void thread.refresh();
    if (thread.trouble && thread.trouble.what !== 'read') void thread.tryAgain();
  }

  /** Messages up to this number are in front of the agent. */
  shown(thread: Thread, number: number, looking: boolean): void {
    thread.show(number, looking, this.app.readMode === 'on_open');
  }

  /** The open conversation is read, all of it. */
  markRead(): void {
    this.current?.markAllRead();
  }

  /** Read becomes unread and the other way round. */
  toggleRead(): Promise<void> {
    const unread = this.current?.view?.conversation.unread ?? 0;
    if (unread === 0) return this.markUnread();
    this.markRead();
    return Promise.resolve();
  }

  markUnread(): Promise<void> {
    const thread = this.current;
    return thread && !thread.gone ? thread.leaveUnread() : Promise.resolve();
  }

  /** Resolves an open conversation, reopens any other. */
  toggleResolved(thread = this.current): Promise<void> {
    const conversation = thread?.view?.conversation;
    if (!thread || !conversation) return Promise.resolve();
    return conversation.status === 'open' ? this.app.backend.resolve(thread.id) : this.app.backend.reopen(thread.id);
  }

  /** Takes the conversation, or lets go of it if this member holds it. */
  toggleHold(thread = this.current): Promise<void> {
    if (!thread?.view) return Promise.resolve();
    return this.holds(thread) ? this.app.backend.release(thread.id) : this.app.backend.accept(thread.id);
  }

  /** Whether this member holds the conversation. */
  holds(thread: Thread): boolean {
    const holder = thread.view?.conversation.holder;
    return holder?.kind === 'member' && holder.id === this.app.me?.id;
  }
}
