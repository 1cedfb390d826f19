/** The stores of the open chat, found by whoever shows a part of it. */
import type { App, Tenant } from './app.svelte';
import { ComposerStore } from './composer.svelte';
import { ContactCard } from './contact.svelte';
import type { Context } from './context';
import { ThreadStore } from './thread.svelte';

/** What thread, composer and contact card of one account share. */
export interface Desk {
  readonly account: string;
  readonly threads: ThreadStore;
  readonly composers: ComposerStore;
  readonly card: ContactCard;
}

/**
 * Desks gives each account a desk of its own: conversations of two accounts may
 * have the same id, and nothing written in one may turn up in the other.
 */
export class Desks implements Tenant {
  /** The desk of the open account; null while there is none. */
  current = $state.raw<Desk | null>(null);
  /** Composers of other accounts that hold a text which could not be saved yet. */
  private readonly unsaved = new Map<string, ComposerStore>();

  constructor(private readonly app: App) {
    app.admit(this);
  }

  async leave(): Promise<void> {
    await this.current?.composers.settled();
  }

  enter(account: string | null): void {
    const old = this.current;
    if (old) {
      // What is not on disk is still written there; it is found again on coming back.
      if (old.composers.unsaved) this.unsaved.set(old.account, old.composers);
      old.threads.dispose();
      old.composers.leave();
      old.card.leave();
    }
    this.current = account === null ? null : this.make(account);
  }

  private make(account: string): Desk {
    const threads = new ThreadStore(this.app);
    const composers = this.unsaved.get(account) ?? new ComposerStore(this.app, account);
    this.unsaved.delete(account);
    return { account, threads, composers, card: new ContactCard(this.app.backend) };
  }
}

/** The desk of the open account; only for what is drawn while there is one. */
export function deskOf({ desks }: Pick<Context, 'desks'>): Desk {
  const desk = desks.current;
  if (!desk) throw new Error('no account is open');
  return desk;
}
