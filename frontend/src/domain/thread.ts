/**
 * How a thread becomes rows: day marks, groups of one author, the line before
 * the first unread message, holes in what is cached, and what waits to go out.
 * Pure: messages in, rows out; the server's numbers are the only order.
 */
import { millis } from './time';
import type { Actor, Message, OutboxEntry, Part, Time } from './types';

/** Messages of one author closer than this share one name and one time. */
export const groupGapMs = 5 * 60_000;

/** A message stored this much later than it was sent is flagged as late. */
export const lateMs = 5 * 60_000;

/**
 * What every row may carry above itself. It belongs to the row and is no row
 * of its own, so that rows keep their keys when older messages come above.
 */
interface Above {
  /** The message's id, confirmed or not: a row that gets confirmed stays the same row. */
  key: string;
  /** The first of its day. */
  day: Time | null;
  /** Customer messages from here on that were unread; 0 without the line. */
  unread: number;
  /** Messages before this one are not on this device yet. */
  hole: boolean;
  /** The first of what waits, with newer messages between it and the row above that are not loaded. */
  newer: boolean;
}

/** Something said: by the customer, the assistant, a flow or a member. */
export interface MessageRow extends Above {
  kind: 'message';
  message: Message;
  /** First of its group: the author's name stands above it. */
  first: boolean;
  /** Last of its group: time and ticks stand below it. */
  last: boolean;
}

/** A comment of the house. */
export interface NoteRow extends Above {
  kind: 'note';
  message: Message;
}

/** Something that happened. */
export interface EventRow extends Above {
  kind: 'event';
  message: Message;
}

/** Something of ours the server has not confirmed yet. */
export interface PendingRow extends Above {
  kind: 'pending';
  entry: OutboxEntry;
  first: boolean;
  last: boolean;
}

/** One row of a thread. */
export type Row = MessageRow | NoteRow | EventRow | PendingRow;

/** What stands above the first row. */
export type Top = 'begin' | 'loading' | 'offline';

/** What rowsOf needs besides the messages. */
export interface RowOptions {
  /** The read position when the thread was opened; null hides the line. */
  unreadAfter: number | null;
  /** Entries that are still on their way, oldest first. */
  pending: readonly OutboxEntry[];
  /** The newest message there is stands among the messages. */
  atHead: boolean;
  /** The signed-in member, author of what is pending. */
  me: string;
}

/** The side a message stands on. */
export function isFromCustomer(message: Message): boolean {
  return message.kind === 'message' && message.author.kind === 'customer';
}

/** The local calendar day of a moment, as a number that can be compared; 0 for never. */
export function dayNumber(at: Time | null): number {
  if (at === null) return 0;
  const d = new Date(at);
  return d.getFullYear() * 10_000 + (d.getMonth() + 1) * 100 + d.getDate();
}

/** A message that reached us long after it was sent. */
export function isLate(message: Message): boolean {
  return message.sent_at !== null && (millis(message.stored_at) ?? 0) - (millis(message.sent_at) ?? 0) > lateMs;
}

/** What stands above the first loaded message. */
export function topOf(messages: readonly Message[], complete: boolean, offline: boolean): Top {
  if (complete || messages[0]?.number === 1) return 'begin';
  return offline ? 'offline' : 'loading';
}

/** Builds the rows of a thread from messages in order of number. */
export function rowsOf(messages: readonly Message[], options: RowOptions): Row[] {
  const rows: Row[] = [];
  const unread = unreadLine(messages, options.unreadAfter);
  let day = 0;
  // A late arrival carries an older day; the mark never runs backwards.
  const dayOf = (at: Time | null): Time | null => {
    const today = dayNumber(at);
    if (today <= day) return null;
    day = today;
    return at;
  };
  let before = 0;
  const known = new Set<string>();
  for (const message of messages) {
    known.add(message.id);
    rows.push({
      ...rowOf(message),
      key: message.id,
      day: dayOf(message.sent_at),
      unread: message.number === unread.number ? unread.count : 0,
      hole: before > 0 && message.number > before + 1,
      newer: false,
    });
    before = message.number;
  }
  let newer = !options.atHead;
  for (const entry of options.pending) {
    // The confirmed row and the entry are the same message: the row wins.
    // What says nothing (a handoff on its way) is no row.
    if (!entry.message || known.has(entry.message)) continue;
    const above = { key: entry.message, day: dayOf(entry.created_at), unread: 0, hole: false, newer };
    newer = false;
    rows.push({ kind: 'pending', entry, first: true, last: true, ...above });
  }
  group(rows, options.me);
  return rows;
}

type Plain<R extends Row> = Omit<R, keyof Above>;

function rowOf(message: Message): Plain<MessageRow> | Plain<NoteRow> | Plain<EventRow> {
  switch (message.kind) {
    case 'comment':
      return { kind: 'note', message };
    case 'event':
      return { kind: 'event', message };
    default:
      return { kind: 'message', message, first: true, last: true };
  }
}

/** Where the "New messages" line stands, and how many customer messages follow. */
function unreadLine(messages: readonly Message[], after: number | null): { number: number; count: number } {
  if (after === null) return { number: 0, count: 0 };
  let number = 0;
  let count = 0;
  for (const message of messages) {
    if (message.number <= after || !isFromCustomer(message)) continue;
    if (number === 0) number = message.number;
    count++;
  }
  return { number, count };
}

/** Joins neighbouring rows of one author within the gap: one name above, one time below. */
function group(rows: Row[], me: string): void {
  for (let i = 1; i < rows.length; i++) {
    const a = rows[i - 1];
    const b = rows[i];
    if (!isSpoken(a) || !isSpoken(b)) continue;
    const from = speaker(a, me);
    const to = speaker(b, me);
    if (from.author.kind !== to.author.kind || from.author.id !== to.author.id) continue;
    if (Math.abs(to.at - from.at) > groupGapMs || b.day || b.unread > 0 || b.hole || b.newer) continue;
    b.first = false;
    // What is true of one message only keeps its line: a failure, an edit, another tick.
    if (!keepsOwnLine(a) && tick(a) === tick(b)) a.last = false;
  }
}

function isSpoken(row: Row | undefined): row is MessageRow | PendingRow {
  return (
    row !== undefined &&
    (row.kind === 'message' || (row.kind === 'pending' && !row.entry.comment && onItsWay(row.entry)))
  );
}

/** Whether a text goes out by itself at once: anything else stands in a row of its own, with what can be done. */
function onItsWay(entry: OutboxEntry): boolean {
  return (entry.state === 'queued' || entry.state === 'sending') && !entry.send_at;
}

function speaker(row: MessageRow | PendingRow, me: string): { author: Actor; at: number } {
  return row.kind === 'message'
    ? { author: row.message.author, at: millis(row.message.sent_at) ?? 0 }
    : { author: { kind: 'member', id: me }, at: millis(row.entry.created_at) ?? 0 };
}

function keepsOwnLine(row: MessageRow | PendingRow): boolean {
  if (row.kind === 'pending') return false;
  return row.message.delivery?.state === 'failed' || Boolean(row.message.edited_at) || isLate(row.message);
}

/** How far a message has got, as its tick shows it. */
function tick(row: MessageRow | PendingRow): string {
  return row.kind === 'pending' ? 'queued' : (row.message.delivery?.state ?? '');
}

/**
 * Puts newer versions and new messages into a list ordered by number. The
 * same row may arrive in any order, any number of times: only a higher
 * version replaces it. Returns the same list when nothing changed.
 */
export function mergeMessages(have: readonly Message[], more: readonly Message[]): readonly Message[] {
  if (more.length === 0) return have;
  const byID = new Map(have.map((m) => [m.id, m]));
  let changed = false;
  for (const message of more) {
    const old = byID.get(message.id);
    if (old && old.ver >= message.ver) continue;
    byID.set(message.id, message);
    changed = true;
  }
  if (!changed) return have;
  return [...byID.values()].toSorted((a, b) => a.number - b.number);
}

/** How many messages a thread keeps in memory, whatever its length. */
export const maxLoaded = 400;

/**
 * Lets go of what is farthest from where the reader is: of the newest end
 * after loading older messages, of the oldest end after loading newer ones.
 */
export function trimMessages(
  messages: readonly Message[],
  keep: 'older' | 'newer',
  max = maxLoaded,
): readonly Message[] {
  if (messages.length <= max) return messages;
  return keep === 'older' ? messages.slice(0, max) : messages.slice(messages.length - max);
}

/** The first guess of a row's height, before it is measured. */
export function estimateHeight(row: Row): number {
  return (row.day ? 37 : 0) + (row.unread > 0 ? 34 : 0) + (row.hole ? 34 : 0) + (row.newer ? 34 : 0) + ownHeight(row);
}

function extraHeight(entry: OutboxEntry): number {
  if (entry.state === 'refused') return 90;
  return onItsWay(entry) ? 0 : 34;
}

function ownHeight(row: Row): number {
  switch (row.kind) {
    case 'event':
      return 29;
    case 'note':
      return 50 + lines(text(row.message), 92) * 20;
    case 'pending':
      return bubbleHeight(row.entry.text, row.first, row.last) + extraHeight(row.entry);
    case 'message':
      return (
        parts(row.message).reduce((sum, part) => sum + partHeight(part.kind, part.height ?? 0), 0) +
        bubbleHeight(text(row.message), row.first, row.last)
      );
  }
}

function partHeight(kind: string, height: number): number {
  switch (kind) {
    case 'image':
    case 'video':
      return Math.min(height || 220, 300);
    case 'voice':
    case 'audio':
    case 'file':
      return 46;
    case 'paid':
      return 140;
    default:
      return 0;
  }
}

function bubbleHeight(said: string, first: boolean, last: boolean): number {
  return (first ? 24 : 3) + (said ? 16 + lines(said, 64) * 19 : 0) + (last ? 18 : 0);
}

function lines(said: string, width: number): number {
  let n = 0;
  for (const line of said.split('\n')) n += Math.max(1, Math.ceil(line.length / width));
  return n;
}

/** The parts of a message; a deleted one has none. */
export function parts(message: Message): readonly Part[] {
  return message.parts ?? [];
}

/** All text of a message, parts joined by line breaks. */
export function text(message: Message): string {
  return parts(message)
    .filter((p) => p.kind === 'text' && p.text)
    .map((p) => p.text)
    .join('\n');
}
