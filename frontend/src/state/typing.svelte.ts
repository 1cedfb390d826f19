import type { Backend } from '../backend/backend';
import type { Typing } from '../domain/types';

interface Typist {
  name: string;
  until: number;
}

/**
 * TypingLine knows who is typing where. Each notice ends by itself; one timer
 * runs while there are any.
 */
export class TypingLine {
  private byConversation = $state.raw<ReadonlyMap<string, ReadonlyMap<string, Typist>>>(new Map());
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly off: () => void;

  constructor(
    backend: Backend,
    private readonly me: () => string,
  ) {
    this.off = backend.on('typing', (notice) => this.heard(notice));
  }

  /** Names of whoever is typing in a conversation, first come first. */
  names(conversation: string): string[] {
    return [...(this.byConversation.get(conversation)?.values() ?? [])].map((t) => t.name).filter(Boolean);
  }

  dispose(): void {
    this.off();
    clearTimeout(this.timer);
  }

  private heard(notice: Typing): void {
    if (notice.kind === 'member' && notice.member === this.me()) return;
    const key = notice.kind === 'member' ? (notice.member ?? notice.name) : 'customer';
    const here = new Map(this.byConversation.get(notice.conversation));
    if (notice.ttl > 0) here.set(key, { name: notice.name, until: Date.now() + notice.ttl * 1000 });
    else here.delete(key);
    const all = new Map(this.byConversation);
    all.set(notice.conversation, here);
    this.byConversation = all;
    this.schedule();
  }

  /** Wakes up when the next notice ends. */
  private schedule(): void {
    clearTimeout(this.timer);
    let next = Infinity;
    for (const here of this.byConversation.values()) for (const t of here.values()) next = Math.min(next, t.until);
    if (next === Infinity) return;
    this.timer = setTimeout(() => this.expire(), Math.max(50, next - Date.now()));
  }

  private expire(): void {
    const now = Date.now();
    const all = new Map<string, ReadonlyMap<string, Typist>>();
    for (const [id, here] of this.byConversation) {
      const left = new Map([...here].filter(([, t]) => t.until > now));
      if (left.size > 0) all.set(id, left);
    }
    this.byConversation = all;
    this.schedule();
  }
}
