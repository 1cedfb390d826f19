/**
 * The seam between the window and the program behind it. Everything the window
 * may ask or do is a method here; everything that happens without being asked
 * arrives as an event. A rejected promise is always a Failure.
 */
import type {
  AppState,
  ConversationView,
  Counts,
  Events,
  Failure,
  ListPage,
  ListQuery,
  MemberSettings,
  Opening,
  OutboxEntry,
  Storage,
  StorageLimits,
  ThreadPage,
  ThreadQuery,
  UnsentEntry,
} from '../domain/types';

export interface Backend {
  /** What the window shows first, with so many rows of the list. Made once, for the window that is being opened. */
  opening(rows: number): Promise<Opening>;
  /** The window can be seen: from now on the program may do what takes its time. */
  shown(): Promise<void>;
  /** Whether the window is dark: the program shows it empty first, the next time. */
  themed(dark: boolean): Promise<void>;
  state(): Promise<AppState>;
  /** Counts of the quick lists within a brand (empty: all), and unread of every brand. */
  counts(brand: string): Promise<Counts>;
  list(query: ListQuery): Promise<ListPage>;
  conversation(id: string): Promise<ConversationView>;
  /** Reads the cache; a hole starts a fetch and a later "thread" event. */
  thread(id: string, query: ThreadQuery): Promise<ThreadPage>;

  /**
   * The text is safe on disk when this resolves. `seen` is the highest number in
   * view. What is written names the account it was written in: the program
   * refuses it in any other.
   */
  send(id: string, message: { text: string; seen: number; reply_to?: string; send_at?: string; account: string }): Promise<OutboxEntry>;
  comment(id: string, comment: { text: string; mentions: string[]; account: string }): Promise<OutboxEntry>;
  /** Tries an entry again, or sends a scheduled one now: a new command, the same message. `seen` as in send. */
  resend(entry: string, options: { force?: boolean; text?: string; seen?: number }): Promise<OutboxEntry>;
  /** Gives up an entry that was not sent and hands its text back. */
  drop(entry: string): Promise<{ text: string }>;
  /** Every text of the account that was refused or not delivered, and drafts whose chat is gone. */
  unsent(): Promise<UnsentEntry[]>;

  markRead(id: string, upto: number): Promise<void>;
  markUnread(id: string): Promise<void>;
  resolve(id: string): Promise<void>;
  reopen(id: string): Promise<void>;
  /** An empty member means nobody. */
  assign(id: string, member: string): Promise<void>;
  accept(id: string): Promise<void>;
  release(id: string): Promise<void>;
  updateContact(contact: string, fields: { name?: string; email?: string; phone?: string }): Promise<void>;
  saveDraft(id: string, draft: { text: string; comment: boolean; account: string }): Promise<void>;
  typing(id: string): Promise<void>;
  /** Which conversation is in front of the agent; empty for none. */
  viewing(id: string): Promise<void>;

  signIn(account: { server: string; email: string; password: string }): Promise<void>;
  signOut(): Promise<void>;
  switchAccount(id: string): Promise<void>;
  startEmbedded(): Promise<void>;
  /** Tries the failed start of the active account again, now. */
  retry(): Promise<void>;
  /** Begins anew what only this device knows of the account that cannot be opened; the damaged file is kept. */
  setAside(): Promise<void>;
  /** The agent has seen a warning that stays until then. */
  dismissWarning(code: string): Promise<void>;
  /** Changes what this member chose; the state shows it at once. */
  putMe(settings: MemberSettings): Promise<void>;

  /** A setting of this window on this device; undefined when never set. */
  getSetting(key: string): Promise<unknown>;
  putSetting(key: string, value: unknown): Promise<void>;
  /** How much of the disk the open account's copy takes and may take. */
  storage(): Promise<Storage>;
  setStorageLimits(limits: StorageLimits): Promise<void>;
  openLink(url: string): Promise<void>;
  copy(text: string): Promise<void>;
  /** Lets the agent choose where to keep a copy of a file. */
  saveFile(sha256: string, name: string): Promise<void>;
  /** Where the bytes of a file can be read from. */
  fileUrl(sha256: string, name: string): string;

  /** Calls back on every event of that name until the returned function is called. */
  on<K extends keyof Events>(name: K, callback: (payload: Events[K]) => void): () => void;
}

/** Makes a Failure of whatever was thrown, so that callers see one shape. */
export function failureOf(cause: unknown): Failure {
  if (typeof cause === 'object' && cause !== null && 'message' in cause) {
    const { message } = cause;
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : 'internal';
    if (typeof message === 'string' && message !== '') return { code, message };
  }
  if (typeof cause === 'string' && cause !== '') return { code: 'internal', message: cause };
  return { code: 'internal', message: 'Something went wrong. Nothing you wrote is lost; please try again.' };
}
