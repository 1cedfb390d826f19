/**
 * The rules of the composer, without a textarea: which key does what, when a
 * text is too long, what "@jo" means, and which mentions a text still holds.
 */
import type { Member, SendKey } from './types';

/** What a key press in the composer means. */
export type KeyMeaning = 'send' | 'newline' | 'leave' | 'none';

/** The parts of a keyboard event the composer decides on. */
export interface Press {
  key: string;
  ctrlKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
  altKey: boolean;
  isComposing: boolean;
  keyCode: number;
}

/**
 * What a key press means. Enter that ends a composition of an input method
 * never sends: WebKit reports it after the composition with key code 229.
 */
export function meaningOf(press: Press, sendKey: SendKey): KeyMeaning {
  if (press.isComposing || press.keyCode === 229) return 'none';
  if (press.key === 'Escape') return 'leave';
  if (press.key !== 'Enter' || press.altKey) return 'none';
  const command = press.ctrlKey || press.metaKey;
  if (command) return 'send';
  if (sendKey === 'enter') return press.shiftKey ? 'newline' : 'send';
  return press.shiftKey ? 'none' : 'newline';
}

/** How much room a text has left. */
export interface Room {
  /** Characters left; negative when the text is too long. */
  left: number;
  /** Near the limit: show the counter. */
  near: boolean;
  over: boolean;
}

/** Counts as the server does: characters, not bytes or code units. */
export function roomFor(text: string, max: number): Room {
  // A text of n code units has at least n/2 characters: far from the limit nothing is counted.
  if (max <= 0 || text.length < max * 0.9 - 200) return { left: max, near: false, over: false };
  let n = 0;
  for (const _ of text) n++;
  const left = max - n;
  return { left, near: left <= Math.max(50, max * 0.1), over: left < 0 };
}

/** Whether there is anything to send. */
export function isBlank(text: string): boolean {
  return text.trim() === '';
}

/** An "@…" being typed: where it starts and what stands after it. */
export interface MentionQuery {
  start: number;
  query: string;
}

/** The mention being typed at the caret, if any. */
export function mentionAt(text: string, caret: number): MentionQuery | null {
  const before = text.slice(Math.max(0, caret - 60), caret);
  const at = before.lastIndexOf('@');
  if (at < 0) return null;
  // "me@example.com" is an address, not a mention.
  if (at > 0 && !/[\s([{,;]/u.test(before[at - 1] ?? '')) return null;
  const query = before.slice(at + 1);
  if (/[\n@]/u.test(query) || /\s{2}|^\s/u.test(query) || query.split(/\s/u).length > 3) return null;
  return { start: caret - query.length - 1, query };
}

/** Members whose name or e-mail fits what was typed; whole-name starts come first. */
export function matchMembers(members: readonly Member[], query: string, limit = 6): Member[] {
  const wanted = fold(query.trim());
  const ranked: { member: Member; rank: number }[] = [];
  for (const member of members) {
    if (member.disabled) continue;
    const name = fold(member.name);
    let rank = -1;
    if (name.startsWith(wanted)) rank = 0;
    else if (name.split(/\s+/u).some((word) => word.startsWith(wanted))) rank = 1;
    else if (fold(member.email).startsWith(wanted)) rank = 2;
    if (rank >= 0) ranked.push({ member, rank });
  }
  return ranked
    .toSorted((a, b) => a.rank - b.rank || a.member.name.localeCompare(b.member.name))
    .slice(0, limit)
    .map((r) => r.member);
}

/** Lower case without accents, so that "jose" finds "José". */
function fold(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}

/** Replaces the mention being typed by the member's name and a space. */
export function insertMention(text: string, at: MentionQuery, member: Member): { text: string; caret: number } {
  const end = at.start + 1 + at.query.length;
  const tail = text.slice(end);
  const put = `@${member.name}${/^\s/u.test(tail) ? '' : ' '}`;
  return { text: text.slice(0, at.start) + put + tail, caret: at.start + put.length + (/^\s/u.test(tail) ? 1 : 0) };
}

/** The members a text mentions: whoever's "@Name" stands in it, longest names first. */
export function mentionsIn(text: string, members: readonly Member[]): string[] {
  const out: string[] = [];
  let rest = text.toLowerCase();
  for (const member of members.toSorted((a, b) => b.name.length - a.name.length)) {
    if (member.disabled || !member.name) continue;
    const tag = `@${member.name.toLowerCase()}`;
    let found = false;
    for (let i = rest.indexOf(tag); i >= 0; i = rest.indexOf(tag, i + 1)) {
      if (/^[\p{L}\p{N}]/u.test(rest.slice(i + tag.length))) continue;
      // Blanked, so that "@Jo" inside "@Jo Reed" is not a second mention.
      rest = rest.slice(0, i) + ' '.repeat(tag.length) + rest.slice(i + tag.length);
      found = true;
    }
    if (found) out.push(member.id);
  }
  return out;
}

/** What stays in the composer after `sent` was accepted while `now` stands in it. */
export function restAfterSend(now: string, sent: string): string {
  return now.startsWith(sent) ? now.slice(sent.length).replace(/^\s+/u, '') : now;
}
