/** What the rows of a thread need from their thread, handed down once. */
import { createContext } from 'svelte';
import type { Actor, Message, OutboxEntry, Part } from '../../domain/types';
import type { Names } from '../../domain/wording';
import type { Player } from './player.svelte';

export interface ThreadContext extends Names {
  readonly player: Player;
  author(author: Actor): string;
  /** The loaded message with this id. */
  find(id: string): Message | undefined;
  openLink(href: string): void;
  fileUrl(part: Part): string;
  /** Lets the agent keep a copy of a file. */
  save(part: Part): void;
  enlarge(part: Part): void;
  goTo(id: string): void;
  quote(message: Message): void;
  sendAnyway(entry: OutboxEntry): void;
  /** The key that takes a message back, as it is printed. */
  readonly undoKey: string;
  edit(entry: OutboxEntry): void;
  /** Sends a scheduled message now. */
  sendNow(entry: OutboxEntry): void;
  /** Lets a message whose delivery failed go out once more. */
  retry(message: Message): void;
  drop(entry: OutboxEntry): void;
}

export const [threadContext, setThreadContext] = createContext<ThreadContext>();
