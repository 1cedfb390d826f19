import { failureOf, type Backend } from '../backend/backend';
import { contactLabel } from '../domain/people';
import type { Failure, ListPage, ListRow, Quick } from '../domain/types';

/** What the list is asked for. */
export interface Asked {
  brand: string;
  quick: Quick;
  search: string;
  /** What fits a search best stands first. */
  best: boolean;
  oldest: boolean;
}

interface Page {
  cursor: string;
  rows: ListRow[];
  next: string;
}

/** Rows of one page. */
export const pageSize = 60;
/** Pages read again from the top when the order is brought up to date. */
const headPages = 2;

/**
 * ChatList is the loaded part of the chat list. It asks for page after page as
 * the view moves down, and reads what is in view again when something changed.
 *
 * While it is held (the pointer is over it, keys move through it, or the view
 * is scrolled down) rows keep their place: their content is brought up to date where
 * they stand, and what would move or arrive is counted in `arrivals` until the
 * list is let go or the agent asks for it.
 */
export class ChatList {
  asked = $state.raw<Asked>({ brand: '', quick: 'all', search: '', best: false, oldest: false });
  pages = $state.raw<Page[]>([]);
  /** Nothing has been read yet for what was asked. */
  loading = $state(true);
  /** Why what is on the screen is not what was asked for, or not up to date. */
  failure = $state.raw<Failure | null>(null);
  /** Chats in which a customer wrote while the list was held, and which stand elsewhere now. */
  arrivals = $state(0);

  readonly rows = $derived(distinct(this.pages));
  /** What the rows on the screen answer; differs from asked while reading. */
  answered = $state.raw<Asked | null>(null);

  private readonly positions = $derived(new Map(this.rows.map((row, i) => [row.conversation.id, i])));
  private holds = 0;
  /** The customer messages each row had when it got its place. */
  private placed = new Map<string, number>();
  /** Rows stand elsewhere than they should by now. */
  private displaced = false;
  private inView = { first: 0, last: 0 };
  /** Rows that were not read when something changed last: what they say may be over. */
  private old = new Set<string>();
  private generation = 0;
  /**
   * Tells the program which of two questions was asked later, also by the window
   * before this one: where to begin is for the program to say, as clocks are set
   * back. 0: it has not said, and no question ends another.
   */
  private turn = 0;
  private stale = false;
  private updating: Promise<void> | null = null;
  private reloading: Promise<void> | null = null;
  private more: Promise<void> | null = null;

  constructor(private readonly backend: Backend) {}

  /** Begins to count the questions. */
  count(from: number | undefined): void {
    this.turn = from ?? 0;
  }

  /** The place of a conversation among the loaded rows, or -1. */
  indexOf(id: string): number {
    return this.positions.get(id) ?? -1;
  }

  /** The conversation `step` rows from another one, or the first where that one is not shown. */
  async neighbour(id: string, step: 1 | -1): Promise<string> {
    const at = this.indexOf(id);
    if (at < 0) return this.rows[0]?.conversation.id ?? '';
    if (at + step >= this.rows.length) await this.loadMore();
    return this.rows[at + step]?.conversation.id ?? id;
  }

  /** Asks for another list. The rows on the screen stay until the answer is here, unless it is known already. */
  async ask(change: Partial<Asked>, known?: ListPage): Promise<void> {
    this.asked = { ...this.asked, ...change };
    if (this.turn > 0) this.turn++;
    if (!known) return this.reload();
    this.generation++;
    this.place([{ cursor: '', ...known }]);
    this.answered = this.asked;
    this.loading = false;
  }

  /** Reads from the top and forgets what was loaded further down. */
  reload(): Promise<void> {
    const reading = this.readTop(++this.generation).finally(() => {
      if (this.reloading === reading) this.reloading = null;
    });
    this.reloading = reading;
    return reading;
  }

  private async readTop(generation: number): Promise<void> {
    const asked = this.asked;
    try {
      const page = await this.read('', asked);
      if (generation !== this.generation) return; // a newer question is on its way
      this.place([{ cursor: '', ...page }]);
      this.answered = asked;
      this.inView = { first: 0, last: 0 };
    } catch (cause) {
      if (generation !== this.generation) return;
      this.failure = failureOf(cause);
    }
    this.loading = false;
  }

  /** Another account: nothing of the former one stays, and everything is asked anew. */
  restart(): Promise<void> {
    this.pages = [];
    this.answered = null;
    this.loading = true;
    this.failure = null;
    this.arrivals = 0;
    this.placed = new Map();
    this.old = new Set();
    this.displaced = false;
    this.inView = { first: 0, last: 0 };
    return this.ask({ brand: '', search: '', quick: 'all' });
  }

  /** Tells which rows are drawn; loads further down when the end comes near. */
  async view(first: number, last: number): Promise<void> {
    this.inView = { first, last };
    // Back at the top everything goes to its place again; what was not read before is read now.
    if ((this.displaced && !this.held) || this.seesOld()) await this.changed();
    if (last >= this.rows.length - pageSize / 2) await this.loadMore();
  }

  /** Loads the next page at the end, once at a time. */
  loadMore(): Promise<void> {
    const end = this.pages.at(-1);
    if (!end || end.next === '') return Promise.resolve();
    this.more ??= this.append(end.next).finally(() => {
      this.more = null;
    });
    return this.more;
  }

  private async append(cursor: string): Promise<void> {
    const generation = this.generation;
    try {
      const page = await this.read(cursor);
      if (generation === this.generation && this.pages.at(-1)?.next === cursor) {
        this.pages = [...this.pages, { cursor, ...page }];
        for (const { conversation } of page.rows) this.placed.set(conversation.id, conversation.in_number);
        if (this.failure) void this.changed(); // reading works again
      }
    } catch (cause) {
      if (generation === this.generation) this.failure = failureOf(cause);
    }
  }

  /** Keeps rows in their places until the returned function is called. */
  hold(): () => void {
    this.holds++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.holds--;
      if (this.holds === 0 && this.displaced) void this.changed();
    };
  }

  private get held(): boolean {
    // Nothing can move under the pointer in an empty list, and what answers another question has no place to keep.
    if (this.rows.length === 0 || this.answered !== this.asked) return false;
    return this.holds > 0 || this.inView.first > 0;
  }

  /** Something changed in the cache: brings the rows up to date, one read at a time. */
  changed(): Promise<void> {
    this.stale = true;
    this.updating ??= this.update().finally(() => {
      this.updating = null;
    });
    return this.updating;
  }

  /** Tries again what failed. */
  async retry(): Promise<void> {
    if (this.answered !== this.asked) return this.reload();
    await this.changed();
    await this.view(this.inView.first, this.inView.last);
  }

  private async update(): Promise<void> {
    while (this.stale) {
      // What is on its way was read before the change, and would be put over what is read now.
      for (let read = this.reading; read; read = this.reading) await read;
      this.stale = false;
      const generation = this.generation;
      try {
        await (this.held ? this.refreshInPlace() : this.reorder());
      } catch (cause) {
        if (generation === this.generation) this.failure = failureOf(cause);
      }
    }
  }

  private get reading(): Promise<void> | null {
    return this.reloading ?? this.more;
  }

  /** Reads the head again, page by page, in today's order. */
  private async reorder(): Promise<void> {
    const generation = this.generation;
    const wanted = Math.max(1, Math.min(this.pages.length, headPages));
    const pages: Page[] = [];
    let cursor = '';
    do {
      const page = await this.read(cursor);
      pages.push({ cursor, ...page });
      cursor = page.next;
    } while (pages.length < wanted && cursor !== '');
    if (generation !== this.generation) return;
    if (this.held) {
      this.stale = true; // the pointer came in meanwhile: nothing may move under it
      return;
    }
    this.place(pages);
    this.answered = this.asked;
    this.loading = false;
  }

  /** New content into the rows where they stand; counts what would move. */
  private async refreshInPlace(): Promise<void> {
    const generation = this.generation;
    const { first, last } = this.inView;
    const touched = this.pages.filter((_, i) => i === 0 || within(this.pages, i, first, last));
    const fresh = await Promise.all(touched.map((page) => this.read(page.cursor)));
    if (generation !== this.generation) return;
    const byId = new Map(fresh.flatMap((page) => page.rows).map((row) => [row.conversation.id, row]));
    // What left the list, or stands further down by now, is on the screen all the same.
    const away = this.rows.slice(first, last + 1).filter((row) => !byId.has(row.conversation.id));
    for (const row of await Promise.all(away.map((row) => this.readRow(row)))) byId.set(row.conversation.id, row);
    if (generation !== this.generation) return;
    const moved = this.moved(fresh[0]?.rows ?? []);
    this.displaced = touched.some((page, i) => !sameOrder(page.rows, fresh[i]?.rows ?? []));
    this.arrivals = moved.filter((row) => this.isNews(row)).length;
    // A list that had ended may go on by now, as a search does once the line is back.
    const goesOn = touched.at(-1) === this.pages.at(-1) ? fresh.at(-1)?.next : undefined;
    this.pages = this.pages.map((page) =>
      page.rows.some((row) => byId.has(row.conversation.id))
        ? { ...page, next: page.next || (goesOn ?? ''), rows: page.rows.map((row) => byId.get(row.conversation.id) ?? row) }
        : page,
    );
    this.old = new Set([...this.positions.keys()].filter((id) => !byId.has(id)));
    this.failure = null;
    if (this.seesOld()) this.stale = true; // the view has moved on meanwhile
  }

  private seesOld(): boolean {
    if (this.old.size === 0) return false;
    const { first, last } = this.inView;
    return this.rows.slice(first, last + 1).some((row) => this.old.has(row.conversation.id));
  }

  /** Reads one row by itself, wherever it belongs now. */
  private async readRow(row: ListRow): Promise<ListRow> {
    const { id, assignee } = row.conversation;
    try {
      const [view, { pending }] = await Promise.all([this.backend.conversation(id), this.backend.thread(id, { limit: 1 })]);
      const refused = pending.filter((entry) => entry.state === 'refused').length;
      return {
        ...row,
        conversation: view.conversation,
        label: contactLabel(view.contact),
        assignee_name: view.conversation.assignee === assignee ? row.assignee_name : '',
        draft: view.draft?.text ?? '',
        pending: pending.filter((entry) => entry.state !== 'refused' && entry.state !== 'scheduled').length,
        refused,
      };
    } catch (cause) {
      // A chat that is gone has nothing newer to say; its row goes with the next order.
      if (failureOf(cause).code === 'not_found') return row;
      throw cause;
    }
  }

  /** The rows of a fresh head that moved up or arrived, compared with what is shown. */
  private moved(head: ListRow[]): ListRow[] {
    const moved: ListRow[] = [];
    // From the bottom up, rows in their old order have kept their place. What stands
    // below the last of them only moved up because others left.
    let limit = Number.POSITIVE_INFINITY;
    for (const row of head.toReversed()) {
      const place = this.indexOf(row.conversation.id);
      if (place >= 0 && place < limit) limit = place;
      else if (limit !== Number.POSITIVE_INFINITY) moved.push(row);
    }
    return moved;
  }

  /** Whether the customer has written since the row got its place; an answer of ours is no news. */
  private isNews(row: ListRow): boolean {
    return row.conversation.in_number > (this.placed.get(row.conversation.id) ?? -1);
  }

  /** Puts pages on the screen in an order that is true now. */
  private place(pages: Page[]): void {
    this.pages = pages;
    this.placed = new Map(this.rows.map((row) => [row.conversation.id, row.conversation.in_number]));
    this.arrivals = 0;
    this.displaced = false;
    this.old = new Set();
    this.failure = null;
  }

  private read(cursor: string, asked: Asked = this.asked): Promise<ListPage> {
    return this.backend.list({ ...asked, cursor, limit: pageSize, turn: this.turn });
  }
}

/** The rows of all pages, each conversation once: pages read at different times may overlap. */
function distinct(pages: Page[]): ListRow[] {
  const seen = new Set<string>();
  const rows: ListRow[] = [];
  for (const page of pages) {
    for (const row of page.rows) {
      if (seen.has(row.conversation.id)) continue;
      seen.add(row.conversation.id);
      rows.push(row);
    }
  }
  return rows;
}

function sameOrder(a: ListRow[], b: ListRow[]): boolean {
  return a.length === b.length && a.every((row, i) => row.conversation.id === b[i]?.conversation.id);
}

function within(pages: Page[], index: number, first: number, last: number): boolean {
  const start = pages.slice(0, index).reduce((sum, page) => sum + page.rows.length, 0);
  const end = start + (pages[index]?.rows.length ?? 0);
  return start <= last && end > first;
}
