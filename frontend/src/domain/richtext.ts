/**
 * Message text with what may be clicked or stands out in it. Message text
 * stays text: no HTML is ever made of it.
 */
import { linkify, type Segment } from './linkify';

/** A piece of a comment: as in linkify, or the name of a mentioned member. */
export type RichSegment = Segment | { kind: 'mention'; text: string };

/** Marks "@Name" of the mentioned members; the rest is cut at links as usual. */
export function withMentions(text: string, names: readonly string[]): RichSegment[] {
  const wanted = names.filter(Boolean).toSorted((a, b) => b.length - a.length);
  const out: RichSegment[] = [];
  let plain = 0;
  let at = text.indexOf('@');
  while (at >= 0) {
    const rest = text.slice(at + 1, at + 130);
    const name = wanted.find((n) => startsWithName(rest, n));
    if (name !== undefined) {
      if (at > plain) out.push(...linkify(text.slice(plain, at)));
      plain = at + 1 + name.length;
      out.push({ kind: 'mention', text: text.slice(at, plain) });
    }
    at = text.indexOf('@', Math.max(plain, at + 1));
  }
  if (plain < text.length) out.push(...linkify(text.slice(plain)));
  return out;
}

/** "Jo" is not mentioned by "@Joan". */
function startsWithName(text: string, name: string): boolean {
  return text.toLowerCase().startsWith(name.toLowerCase()) && !/^[\p{L}\p{N}]/u.test(text.slice(name.length));
}

/** The beginning of a long text, cut at a space so that no address and no character is cut in two. */
export function shorten(text: string, max: number): string {
  if (text.length <= max) return text;
  const head = text.slice(0, max);
  const space = Math.max(head.lastIndexOf(' '), head.lastIndexOf('\n'));
  if (space > max - 2100 && space > 0) return head.slice(0, space);
  return head.replace(/[\ud800-\udbff]$/u, '');
}

/** The address if it may be opened, "" otherwise. */
export function safeLink(address: string): string {
  if (!URL.canParse(address)) return '';
  const url = new URL(address);
  return ['http:', 'https:', 'mailto:'].includes(url.protocol) ? url.href : '';
}
