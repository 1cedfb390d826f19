import type { Message, Page } from "./protocol";

// The conversation as far as this page knows it. `position` is the number up
// to which nothing is missing; only what follows it directly moves it, so a
// gap is seen and filled instead of hidden. The server's numbers are the
// order; the same message may arrive any number of times.

export class Thread {
  position = 0;
  private readonly byId = new Map<string, Message>();

  /** Takes everything the visitor may see in (from, to]; false for a gap. */
  apply(page: Page): boolean {
    if (page.from > this.position) return false;
    for (const m of page.messages) this.byId.set(m.id, m);
    this.position = Math.max(this.position, page.to);
    return true;
  }

  /** Takes the server's answer to a message of our own. */
  confirm(m: Message): void {
    this.byId.set(m.id, m);
    if (m.number === this.position + 1) this.position = m.number;
  }

  has(id: string): boolean {
    return this.byId.has(id);
  }

  messages(): Message[] {
    return [...this.byId.values()].sort((a, b) => a.number - b.number);
  }

  /** The number of the newest message that is not the visitor's. */
  lastOther(): number {
    let last = 0;
    for (const m of this.byId.values()) if (m.author.kind !== "customer") last = Math.max(last, m.number);
    return last;
  }

  /** How many messages of others came after a number. */
  unread(seen: number): number {
    let n = 0;
    for (const m of this.byId.values()) if (m.author.kind !== "customer" && m.number > seen && !m.deleted_at) n++;
    return n;
  }

  clear(): void {
    this.byId.clear();
    this.position = 0;
  }
}
