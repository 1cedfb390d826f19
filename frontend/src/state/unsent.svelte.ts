import { failureOf, type Backend } from '../backend/backend';
import type { Failure, UnsentEntry } from '../domain/types';
import { latest } from './app.svelte';

/** Unsent is every text of the account that could not be sent, wherever it was written. */
export class Unsent {
  /** Null until they have been read. */
  entries = $state.raw<readonly UnsentEntry[] | null>(null);
  failure = $state.raw<Failure | null>(null);

  constructor(private readonly backend: Backend) {}

  /** Reads them now and after every change, until the returned function is called. */
  follow(): () => void {
    this.entries = null;
    void this.read();
    return this.backend.on('state', () => void this.read());
  }

  /** Brings the entries up to date; never overlaps itself. */
  readonly read = latest(
    () => this.backend.unsent(),
    (entries) => {
      this.entries = entries;
      this.failure = null;
    },
    (cause) => {
      this.failure = failureOf(cause);
    },
  );

  /** Sends a text again, whatever spoke against it: its author has read that. One that still waits is tried at once. */
  async resend(entry: UnsentEntry): Promise<void> {
    if (entry.unconfirmed) await this.backend.retry();
    else await this.backend.resend(entry.id, { force: true });
    await this.read();
  }

  /** Gives a text up for good. */
  async drop(entry: UnsentEntry): Promise<void> {
    await this.backend.drop(entry.id);
    await this.read();
  }
}
