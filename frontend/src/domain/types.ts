/**
 * The shapes of the JSON the program hands to the window. Names are those of
 * the protocol, so they stay in snake_case; a time is RFC 3339 text in UTC, or
 * null for "never", and an id is opaque text, or null for "none".
 */

/** A moment, as the server writes it: "2026-03-02T09:41:00.000000Z". */
export type Time = string;

export type Role = 'owner' | 'admin' | 'supervisor' | 'agent';

export type ChannelKind =
  | 'web'
  | 'whatsapp'
  | 'instagram'
  | 'messenger'
  | 'facebook'
  | 'telegram'
  | 'email'
  | 'shopify'
  | 'generic';

/** The company; everything belongs to one. */
export interface Workspace {
  id: string;
  ver: number;
  name: string;
  settings: { send_interval_seconds: number; max_file_bytes: number };
}

/** A face the company answers as. */
export interface Brand {
  id: string;
  ver: number;
  name: string;
  /** "#rrggbb" */
  color: string;
  position: number;
}

/** One connected account: a number, a mailbox, a widget. */
export interface Channel {
  id: string;
  ver: number;
  brand: string;
  kind: ChannelKind;
  name: string;
  key: string;
  slug: string;
  settings: {
    origins?: string[];
    title?: string;
    greeting?: string;
    color?: string;
    language?: string;
    theme?: string;
    ask_name?: boolean;
    ask_email?: boolean;
    suggested?: string[];
  };
}

export type ReadMode = 'manual' | 'on_reply' | 'on_open';
export type SendKey = 'enter' | 'ctrl_enter';

/** A person of the workspace who answers or supervises. */
export interface Member {
  id: string;
  ver: number;
  name: string;
  email: string;
  role: Role;
  /** What the member may see; empty means every brand. */
  brands: string[] | null;
  disabled?: boolean;
  settings: { read_mode?: ReadMode; send_key?: SendKey; language?: string; undo_seconds?: number };
}

/** A contact's address on one channel. */
export interface Identity {
  id: string;
  channel: string;
  address: string;
  name?: string;
}

/** A person who writes to the company. */
export interface Contact {
  id: string;
  ver: number;
  brand: string;
  /** Empty when unknown: show contactLabel(). */
  name: string;
  email: string;
  phone: string;
  country?: string;
  city?: string;
  language?: string;
  timezone?: string;
  device?: string;
  browser?: string;
  identities: Identity[] | null;
  tags?: string[];
  blocked?: boolean;
  verified?: boolean;
  created_at: Time | null;
}

export type ActorKind = 'customer' | 'member' | 'assistant' | 'flow' | 'system';

/** Who wrote or did something. */
export interface Actor {
  kind: ActorKind;
  /** A member's, contact's or assistant's id; absent for the system. */
  id?: string;
}

/** Who answers a conversation now. */
export interface Holder {
  kind: ActorKind;
  id: string;
  /** Taken by accept: others may not write over it unless they force. */
  firm: boolean;
}

export type HandoffState = 'assistant' | 'escalated' | 'requested' | 'agent' | 'paused' | 'closed';
export type Status = 'open' | 'resolved' | 'closed';

/** Where a customer came from. */
export interface Origin {
  page?: string;
  referrer?: string;
  utm?: Record<string, string>;
}

/** The thread of one contact identity on one channel. */
export interface Conversation {
  id: string;
  ver: number;
  brand: string;
  channel: string;
  contact: string;
  identity?: string;
  state: HandoffState;
  holder: Holder | null;
  assignee: string | null;
  status: Status;
  last_number: number;
  in_number: number;
  read_number: number;
  read_in: number;
  unread: number;
  last_customer_number: number;
  last_reply_number: number;
  last_message_at: Time | null;
  last_customer_at: Time | null;
  preview: string;
  /** text, image, voice, …, comment, event, deleted; empty when nothing was said. */
  preview_kind: string;
  preview_author: Actor;
  seen_by_customer: number;
  turns: number;
  tags: string[] | null;
  priority?: number;
  csat?: number;
  subject?: string;
  origin?: Origin | null;
  created_at: Time | null;
}

export type MessageKind = 'message' | 'comment' | 'event';

export type PartKind =
  | 'text'
  | 'image'
  | 'video'
  | 'audio'
  | 'voice'
  | 'file'
  | 'location'
  | 'link'
  | 'template'
  | 'paid';

/** One piece of a message; which fields are set follows from kind. */
export interface Part {
  kind: PartKind;
  text?: string;
  sha256?: string;
  name?: string;
  type?: string;
  size?: number;
  width?: number;
  height?: number;
  duration_ms?: number;
  /** 64 bars of a waveform, base64. */
  peaks?: string;
  transcript?: string;
  url?: string;
  title?: string;
  latitude?: number;
  longitude?: number;
  price?: number;
  currency?: string;
  state?: string;
}

export type DeliveryState = 'queued' | 'sent' | 'delivered' | 'read' | 'failed';

/** How far an outgoing message has got, with the cause if it failed. */
export interface Delivery {
  state: DeliveryState;
  error?: string;
}

/** What happened, for messages of kind event. */
export interface MessageEvent {
  name: string;
  member?: string;
  reason?: string;
}

/** One row of a thread; number is its place in it. */
export interface Message {
  id: string;
  ver: number;
  conversation: string;
  number: number;
  in_number: number;
  kind: MessageKind;
  author: Actor;
  parts: Part[] | null;
  event?: MessageEvent | null;
  mentions?: string[] | null;
  sent_at: Time | null;
  stored_at: Time | null;
  delivery?: Delivery | null;
  reply_to?: string | null;
  edited_at?: Time | null;
  deleted_at?: Time | null;
}

/** What a member chose for every computer they work on. */
export type MemberSettings = Member['settings'];

/** What a channel can do in a conversation right now. */
export interface Abilities {
  /** Characters. */
  max_text: number;
  receipts: boolean;
  typing: boolean;
  /** When the channel stops taking answers; absent: never. */
  reply_until?: Time | null;
}

/** Why a command was refused. */
export interface Problem {
  code: string;
  title?: string;
  detail?: string;
  /** newer_messages: what was said meanwhile. */
  messages?: Message[];
  /** held_by_other: who holds it. */
  holder?: Holder;
  /** resolved: who did it. */
  by?: Actor | null;
  /** resolved, window_closed: when. */
  at?: Time | null;
  /** too_soon: seconds. */
  retry_after?: number;
}

/** Something typed here that the server has not confirmed yet. */
export interface OutboxEntry {
  /** The command's id: what resend and drop take. */
  id: string;
  /** The message's id: equal to the confirmed message's. */
  message: string;
  conversation: string;
  kind: string;
  text: string;
  comment: boolean;
  /** held: can be taken back until due. scheduled: the server sends it at send_at. undelivered: the channel could not. */
  state: 'held' | 'queued' | 'sending' | 'refused' | 'scheduled' | 'undelivered';
  problem: Problem | null;
  created_at: Time;
  due?: Time | null;
  send_at?: Time | null;
  attempts: number;
  /** The message it quotes. */
  reply_to?: string | null;
  /** refused: the kinds of commands that wait for its author to decide; null: none. */
  then?: string[] | null;
}

/** A text of this account that was refused, not delivered or not confirmed for long, or a draft that outlived its chat, waiting for its author. */
export interface UnsentEntry extends OutboxEntry {
  /** What the contact is called. */
  label: string;
  /** The chat can still be opened. */
  reachable: boolean;
  /** It has waited for ten minutes or more, and goes out by itself. */
  unconfirmed: boolean;
}

/** A workspace this program is signed in to. */
export interface Account {
  id: string;
  server: string;
  email: string;
  workspace: string;
  kind: 'embedded' | 'remote';
  active: boolean;
  signed_out: boolean;
  /** What waits in it; of an account that is not open, as it was left. */
  outbox: Outbox;
}

/** Texts on their way (queued) or waiting for their author; failed: on the server, refused when due or not delivered. */
export interface Outbox {
  queued: number;
  refused: number;
  failed: number;
  /** Those of the queued that have waited for ten minutes or more. */
  unconfirmed: number;
}

export type ConnectionStatus = 'connecting' | 'live' | 'catching_up' | 'offline' | 'signed_out' | 'error';

/** How fresh what the window shows is. */
export interface Connection {
  status: ConnectionStatus;
  since: Time | null;
  checked_at: Time | null;
  /** That nothing was missing then was compared with the server, not only concluded. */
  proven: boolean;
  position: number;
  head: number;
  progress: { done: number; total: number } | null;
  problem: string | null;
  /** What helps against it, beside trying again. */
  remedy?: 'set_aside';
}

/** The page of a web channel that customers can write from. */
export interface ShareLink {
  channel: string;
  name: string;
  brand: string;
  url: string;
}

/** How much of this computer's disk an account's copy may take; 0 is no limit. */
export interface StorageLimits {
  cache_bytes: number;
  files_bytes: number;
  /** Messages of chats that are done go after so many. */
  days: number;
}

/** How much that is now. */
export interface Storage {
  cache_bytes: number;
  files_bytes: number;
  limits: StorageLimits;
}

/** A condition the agent must know about, e.g. "keychain_missing". */
export interface Warning {
  code: string;
  message: string;
}

/** What the window shows first, in one answer. */
export interface Opening {
  /** The settings of this window on this device, by key. */
  settings: Record<string, unknown>;
  state: AppState;
  /** Null when they cannot be read; asking for them says why. */
  counts: Counts | null;
  /** The top of the list as it was left; null when it cannot be read. */
  list: ListPage | null;
  /** Where this window begins to count its questions: after those of the window before. */
  turn?: number;
}

/** Everything the window knows outside lists and threads. */
export interface AppState {
  accounts: Account[];
  account: string | null;
  me: Member | null;
  workspace: Workspace | null;
  brands: Brand[];
  channels: Channel[];
  members: Member[];
  connection: Connection;
  warnings: Warning[];
  share_links: ShareLink[];
  /** The first load of this account is complete. */
  loaded: boolean;
  /** Chats that are known here, and those whose newest messages are here too. */
  cached: { conversations: number; readable: number };
  /** Of the account on the screen. */
  outbox: Outbox;
  version: string;
}

export type Quick = 'all' | 'unread' | 'mine' | 'unassigned' | 'unresolved' | 'resolved';

/** Unread chats: per brand, and in each quick list. */
export interface Counts {
  brands: Record<string, number>;
  quick: Record<Quick, number>;
}

/** One entry of the chat list. */
export interface ListRow {
  conversation: Conversation;
  label: string;
  channel_kind: ChannelKind;
  brand: string;
  assignee_name: string;
  /** Text of this member's draft, or empty. */
  draft: string;
  /** Messages still on their way out. */
  pending: number;
  /** Texts of this member the server refused; they wait for a decision. */
  refused: number;
  /** In the answer to a search: what was found in the chat, unless its contact was. */
  hit?: Hit;
}

/** A message in which something was found, as a part of its text. */
export interface Hit {
  message: string;
  number: number;
  kind: MessageKind;
  author: Actor;
  at: Time;
  /** In what it was found: text, a file's name, a voice message's transcript. */
  part: string;
  text: string;
  /** From and to of what was found, in the text. */
  marks: [number, number][];
}

export interface ListQuery {
  /** A brand's id, or empty for all brands. */
  brand: string;
  quick: Quick;
  /** What was typed, operators and all; empty for the list. */
  search: string;
  /** Of a search: what fits best first. */
  best?: boolean;
  oldest: boolean;
  /** Grows with every question: a search is over as soon as another one is asked. */
  turn?: number;
  /** From the previous page's next, or empty for the first page. */
  cursor: string;
  limit: number;
}

export interface ListPage {
  rows: ListRow[];
  /** Empty when this was the last page. */
  next: string;
}

/** A conversation with what stands around it. */
export interface ConversationView {
  conversation: Conversation;
  contact: Contact;
  channel: Channel;
  abilities: Abilities;
  draft: { text: string; comment: boolean } | null;
  /** Other conversations of the same contact. */
  others: Conversation[];
}

export interface ThreadQuery {
  before?: number;
  after?: number;
  around?: number;
  limit: number;
}

/** Part of a thread: confirmed messages in the order of their numbers, then what is on its way. */
export interface ThreadPage {
  messages: Message[];
  from: number;
  to: number;
  head: number;
  pending: OutboxEntry[];
  /** Nothing older exists. */
  complete: boolean;
  /** A hole is being filled; a "thread" event follows. */
  loading: boolean;
}

/** Somebody is typing; it ends by itself after ttl seconds. */
export interface Typing {
  conversation: string;
  kind: 'member' | 'customer';
  member?: string;
  name: string;
  ttl: number;
}

/** A message that has not gone out. */
export interface Undelivered {
  account: string;
  /** What resend and drop take. */
  entry: string;
  conversation: string;
  message: string;
  /** What the contact is called; empty when that is not known here. */
  label: string;
  code: string;
  reason: string;
}

/** What the program tells the window, by event name. */
export interface Events {
  state: Record<string, never>;
  /** Which conversations changed; null means any. */
  list: { conversations: string[] | null };
  thread: { conversation: string };
  typing: Typing;
  counts: Record<string, never>;
  /** Something shown early was refused after all, and has been put back. */
  problem: { code: string; message: string; conversation: string };
  /** A message of this member's has not gone out and waits for them; told once. */
  undelivered: Undelivered;
}

/** How the program says no: a code to decide on and a sentence for a person. */
export interface Failure {
  code: string;
  message: string;
}
