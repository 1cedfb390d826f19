import { failureOf, type Backend } from '../backend/backend';
import type { Account, AppState, Brand, Channel, Counts, Failure, Member, Opening, ReadMode, SendKey } from '../domain/types';

/** Somebody who keeps something that belongs to one account only. */
export interface Tenant {
  /** The account goes: called and waited for before anything of the next one is drawn. */
  leave(): Promise<void>;
  /** Another account is here; the first one too, and none at all is null. `from` went, if any did. */
  enter(account: string | null, from: string | null): void;
  /** The inbox is scoped to another brand; empty for all. */
  scoped?(brand: string): void;
}

/**
 * App is what the whole window shares: the state of the program, what is
 * selected, and the counts. Lists and threads own their rows themselves.
 */
export class App {
  /** Null until the program has answered for the first time. */
  state = $state.raw<AppState | null>(null);
  counts = $state.raw<Counts | null>(null);
  /** Why there is no state, if reading it failed. */
  failure = $state.raw<Failure | null>(null);
  /** The brand the inbox is scoped to; empty for all brands. */
  brand = $state('');
  /** The conversation in front of the agent; empty for none. */
  selected = $state('');
  /** A message to be shown as soon as its chat is here. */
  sought = $state.raw<{ conversation: string; message: string; number: number } | null>(null);
  /** Whether the contact card is in view. */
  panelOpen = $state(true);

  private readonly membersById = $derived(new Map(this.state?.members.map((m) => [m.id, m])));
  private readonly channelsById = $derived(new Map(this.state?.channels.map((c) => [c.id, c])));
  private readonly brandsById = $derived(new Map(this.state?.brands.map((b) => [b.id, b])));
  private readonly tenants: Tenant[] = [];
  private off: (() => void)[] = [];
  private started = false;
  /** Something was told before the start: what it starts from may be older than that. */
  private early = false;
  private moments = 0;

  constructor(readonly backend: Backend) {}

  get me(): Member | null {
    return this.state?.me ?? null;
  }

  /** What Enter does in the composer. */
  get sendKey(): SendKey {
    return this.me?.settings.send_key ?? 'enter';
  }

  /** When chats count as read. */
  get readMode(): ReadMode {
    return this.me?.settings.read_mode ?? 'on_reply';
  }

  /** The account that is open. */
  get account(): Account | undefined {
    return this.state?.accounts.find((account) => account.id === this.state?.account);
  }

  member(id: string | null | undefined): Member | undefined {
    return id ? this.membersById.get(id) : undefined;
  }

  channel(id: string | null | undefined): Channel | undefined {
    return id ? this.channelsById.get(id) : undefined;
  }

  brandOf(id: string | null | undefined): Brand | undefined {
    return id ? this.brandsById.get(id) : undefined;
  }

  /** Hears from now on that something has changed; it is read once started. */
  listen(): void {
    const on = (name: 'state' | 'counts', read: () => Promise<void>): (() => void) =>
      this.backend.on(name, () => {
        if (this.started) void read();
        else this.early = true;
      });
    this.off = [on('state', () => this.refresh()), on('counts', () => this.refreshCounts())];
  }

  /** Keeps the state up to date until stop, from what is known or else from a first read. */
  async start(known?: Opening): Promise<void> {
    if (this.off.length === 0) this.listen();
    this.started = true;
    if (known) await this.take(known.state);
    if (known?.counts) this.counts = known.counts;
    if (known && this.early) void Promise.all([this.refresh(), this.refreshCounts()]);
    await Promise.all([known ?? this.refresh(), known?.counts ?? this.refreshCounts()]);
  }

  /** From now on this one is told when the account changes. */
  admit(tenant: Tenant): void {
    this.tenants.push(tenant);
  }

  /** Grows with every call: tells which of two things happened first. */
  moment(): number {
    return ++this.moments;
  }

  /**
   * Runs what opens another account. Everything written in this one is on disk
   * before, while this one can still be written to.
   */
  async away(action: () => Promise<void>): Promise<void> {
    await Promise.all(this.tenants.map((tenant) => tenant.leave()));
    await action();
  }

  stop(): void {
    for (const off of this.off) off();
    this.off = [];
  }

  private readonly readState = latest(
    () => this.backend.state(),
    (state) => this.take(state),
    (cause) => {
      // What is on the screen stays; only a first read that fails is an error page.
      if (!this.state) this.failure = failureOf(cause);
    },
  );

  private readonly readCounts = latest(
    () => this.backend.counts(this.brand),
    (counts) => {
      this.counts = counts;
    },
    () => undefined, // counts that cannot be read stay as they were; the list says what is wrong
  );

  refresh(): Promise<void> {
    return this.readState();
  }

  refreshCounts(): Promise<void> {
    return this.readCounts();
  }

  /** Puts a conversation in front of the agent, at a message of it if one is given. */
  select(id: string, at?: { message: string; number: number }): void {
    this.sought = at ? { conversation: id, message: at.message, number: at.number } : null;
    if (this.selected === id) return;
    this.selected = id;
    this.backend.viewing(id).catch(() => undefined); // a hint to colleagues, nothing depends on it
  }

  /** Scopes the inbox to a brand, or to all with "". */
  scope(brand: string): void {
    if (this.brand === brand) return;
    this.brand = brand;
    void this.refreshCounts();
    for (const tenant of this.tenants) tenant.scoped?.(brand);
  }

  private async take(state: AppState): Promise<void> {
    const from = this.state?.account ?? null;
    const changed = this.state === null || from !== state.account;
    if (changed && from !== null) {
      await Promise.all(this.tenants.map((tenant) => tenant.leave()));
      this.forget();
    }
    this.state = state;
    this.failure = null;
    if (changed) for (const tenant of this.tenants) tenant.enter(state.account, from);
    // An inbox out of reach would look like an empty one. Before the first load is done nobody knows what is.
    if (state.loaded && !state.brands.some((brand) => brand.id === this.brand)) this.scope('');
  }

  /** Another account: nothing of the former one may stay on the screen. */
  private forget(): void {
    this.selected = '';
    this.brand = '';
    this.counts = null;
    void this.refreshCounts();
  }
}

/**
 * Makes a reader that never overlaps itself: asked while it reads, it reads
 * once more afterwards, so the last answer is never older than the last event.
 */
export function latest<T>(
  read: () => Promise<T>,
  done: (value: T) => unknown,
  failed: (cause: unknown) => void,
): () => Promise<void> {
  let running = Promise.resolve();
  let busy = false;
  let again = false;
  const run = async (): Promise<void> => {
    do {
      again = false;
      try {
        const value = await read();
        const after = done(value);
        if (after instanceof Promise) await after;
      } catch (cause) {
        failed(cause);
      }
    } while (again);
    busy = false; // in the same moment as the last look at again: who asks later starts anew
  };
  return () => {
    again = true;
    if (!busy) {
      busy = true;
      running = run();
    }
    return running;
  };
}
