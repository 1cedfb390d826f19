/** What thread and contact card say about messages, events and people: values in, sentences out. */
import { momentLabel } from './later';
import { isMessageKey, t, type MessageKey } from './messages';
import { firstName } from './preview';
import { parts, text } from './thread';
import { clockLabel, durationLabel, millis, sinceLabel } from './time';
import type { Actor, Conversation, Delivery, Message, MessageEvent, OutboxEntry, Part, Problem, Undelivered, UnsentEntry } from './types';

/** Who names may be asked for. */
export interface Names {
  /** The id of the member who looks. */
  me: string;
  /** What the customer is called. */
  customer: string;
  /** A member's name, or empty if unknown. */
  nameOf(member: string): string;
}

/** The tones of the holder pill. */
export type Tone = 'accent' | 'assistant' | 'warn' | 'plain';

/** Who answers now, in a few words. */
export function holderWords(c: Conversation, names: Names): { text: string; tone: Tone } {
  if (c.status === 'closed' || c.state === 'closed') return { text: t('thread.ended'), tone: 'plain' };
  if (c.status === 'resolved') return { text: t('thread.resolved'), tone: 'plain' };
  if (c.holder?.kind === 'member') {
    if (c.holder.id === names.me) return { text: t('thread.you_active'), tone: 'accent' };
    const name = firstName(names.nameOf(c.holder.id)) || t('thread.colleague');
    return { text: t('thread.held_by', { name }), tone: 'plain' };
  }
  switch (c.state) {
    case 'assistant':
      return { text: t('thread.ai_answers'), tone: 'assistant' };
    case 'paused':
      return { text: t('thread.paused'), tone: 'plain' };
    case 'requested':
      return { text: t('thread.asks_to_join'), tone: 'warn' };
    default:
      return { text: t('thread.waits'), tone: 'warn' };
  }
}

/** Who wrote, as the thread names them. */
export function authorName(author: Actor, names: Names): string {
  switch (author.kind) {
    case 'customer':
      return names.customer;
    case 'member':
      return author.id === names.me ? t('thread.you') : names.nameOf(author.id ?? '') || t('thread.colleague');
    case 'assistant':
      return t('thread.assistant');
    case 'flow':
      return t('thread.flow');
    default:
      return t('thread.system');
  }
}

/** What an event row says. A name from a newer server is shown readably, never dropped. */
export function eventWords(event: MessageEvent | null | undefined, author: Actor, names: Names): string {
  const words = eventSentence(event, author, names);
  return event?.reason ? t('thread.event.because', { event: words, reason: event.reason }) : words;
}

function eventSentence(event: MessageEvent | null | undefined, author: Actor, names: Names): string {
  const actor = authorName(author, names);
  const name = event?.name ?? '';
  if (name === 'assigned') {
    if (!event?.member) return t('thread.event.unassigned', { actor });
    if (author.kind === 'member' && author.id === event.member) return t('thread.event.assigned_self', { actor });
    const member = authorName({ kind: 'member', id: event.member }, names);
    return t('thread.event.assigned', { actor, member: member === t('thread.you') ? member.toLowerCase() : member });
  }
  if (name === 'reopened' && author.kind !== 'member') return t('thread.event.reopened_itself');
  const key = `thread.event.${name}`;
  if (name !== '' && isMessageKey(key)) return t(key, { actor });
  const readable = name.replace(/[._-]+/gu, ' ').trim();
  return readable === '' ? t('thread.event.unknown') : readable.charAt(0).toUpperCase() + readable.slice(1);
}

/** What a delivery state means, for the tick's label. */
export function deliveryWords(delivery: Delivery): string {
  if (delivery.state === 'failed' && delivery.error)
    return t('thread.delivery.failed_because', { cause: delivery.error });
  return t(`thread.delivery.${delivery.state}`);
}

/** Whether an entry with this problem goes out all the same when its author says so. */
export function canForce(problem: Problem | null): boolean {
  return ['newer_messages', 'held_by_other', 'resolved'].includes(problem?.code ?? '');
}

/** What the button says with which its author sends a refused entry all the same. */
export function resendLabel(problem: Problem | null): MessageKey {
  if (problem?.code === 'moment_passed') return 'thread.send_now';
  return canForce(problem) ? 'thread.send_anyway' : 'thread.try_again';
}

/** What happens once a refused text goes out after all, as a sentence; empty: nothing more. */
export function followWords(entry: OutboxEntry): string {
  if (entry.then?.includes('conversation.resolve')) return t('thread.then_resolve');
  return entry.then?.includes('handoff.release') ? t('thread.then_release') : '';
}

/** Why an entry was refused, as a sentence: what happened, who did it, and when. */
export function problemWords(problem: Problem | null, names: Names, now = Date.now()): string {
  switch (problem?.code) {
    case 'newer_messages': {
      const said = problem.messages ?? [];
      // A colleague's answer says more than the customer's next line.
      const last = said.findLast((m) => m.author.kind !== 'customer') ?? said.at(-1);
      if (!last) return t('thread.refused.newer');
      const key = last.author.kind === 'customer' ? 'thread.refused.wrote' : 'thread.refused.answered';
      return t(key, { name: authorName(last.author, names), time: sinceLabel(last.sent_at, now) });
    }
    case 'resolved':
      if (!problem.by) break;
      return t('thread.refused.resolved', { name: authorName(problem.by, names), time: sinceLabel(problem.at, now) });
    case 'window_closed':
      if (!problem.at) break;
      return t('thread.refused.window', { time: sinceLabel(problem.at, now) });
    case 'blocked_contact':
      return t('thread.refused.blocked');
    case 'undelivered':
      return problem.detail ? t('unsent.undelivered_because', { cause: problem.detail }) : t('unsent.undelivered');
    case 'held_by_other':
      return t('thread.refused.held', { name: names.nameOf(problem.holder?.id ?? '') || t('thread.colleague') });
  }
  return problem?.detail || problem?.title || t('thread.refused.other');
}

/** What is said once of a message that has not gone out. */
export function undeliveredWords({ label, code, reason }: Undelivered): string {
  const name = label || t('undelivered.somebody');
  return code === 'unconfirmed' ? t('undelivered.waits', { name }) : t('undelivered.failed', { name, reason }).trim();
}

/** Why a text waits in the list of what could not be sent. */
export function unsentWords(entry: UnsentEntry, nameOf: (member: string) => string, signedOut = false): string {
  if (entry.unconfirmed) return t(signedOut ? 'unsent.signed_out' : 'unsent.unconfirmed');
  if (!entry.problem) return t(entry.kind === 'draft' ? 'unsent.draft' : 'unsent.waiting');
  return problemWords(entry.problem, { me: '', customer: entry.label, nameOf });
}

/** "Ana is typing…", "You, Ana are typing…"; empty when nobody is. */
export function typingWords(you: boolean, others: readonly string[]): string {
  const all = you ? [t('thread.you'), ...others] : [...others];
  if (all.length === 0) return '';
  if (all.length > 3) return t('thread.typing_crowd', { names: all.slice(0, 2).join(', '), n: all.length - 2 });
  return t(all.length === 1 && !you ? 'thread.typing_one' : 'thread.typing_many', { names: all.join(', ') });
}

/** The size of a file as people say it. */
export function fileSize(bytes: number | undefined): string {
  if (!bytes || bytes < 0) return '';
  if (bytes < 1024) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB'];
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit] ?? ''}`;
}

/** A price in minor units, in its currency. */
export function priceWords(minor: number | undefined, currency: string | undefined): string {
  const amount = minor ?? 0;
  try {
    const format = new Intl.NumberFormat('en', { style: 'currency', currency: currency || 'USD' });
    return format.format(amount / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
  } catch {
    // A currency no catalogue knows is still shown as it came.
    return `${(amount / 100).toFixed(2)} ${currency ?? ''}`.trim();
  }
}

/** What a part that is not text is called. */
export function partWords(part: Part): string {
  const name = part.title || part.name || part.text || '';
  switch (part.kind) {
    case 'text':
    case 'template':
      return part.text || part.title || '';
    case 'voice':
    case 'audio':
      return t('thread.voice', { length: durationLabel(part.duration_ms ?? 0) });
    case 'image':
      return name ? t('thread.image_named', { name }) : t('thread.image');
    default: {
      const kind = t(`preview.${part.kind}`);
      return name ? t('preview.named', { kind, text: name }) : kind;
    }
  }
}

/** A message in one line: for quotes and for screen readers. */
export function messageWords(message: Message): string {
  if (message.deleted_at) return t('thread.deleted');
  return text(message) || parts(message).map(partWords).join(', ');
}

/** What the row of a text is called that has not gone out: the words, and what becomes of them. */
export function pendingLabel(entry: OutboxEntry, names: Names, now = Date.now()): string {
  const becomes = (): string => {
    switch (entry.state) {
      case 'refused':
        return `${t('thread.not_sent')}: ${problemWords(entry.problem, names, now)}`;
      case 'held':
        return t('thread.held_spoken', { n: Math.max(0, Math.ceil(((millis(entry.due) ?? now) - now) / 1000)) });
      case 'scheduled':
        return t('thread.scheduled', { time: momentLabel(millis(entry.send_at) ?? now, now) });
      default:
        return t(entry.comment ? 'thread.waiting_comment' : 'thread.waiting');
    }
  };
  return `${t('thread.you')}: ${entry.text.slice(0, 500)}, ${becomes()}`;
}

/** What a row is called when the keyboard lands on it: author, time, words, state. */
export function rowLabel(message: Message, names: Names): string {
  const author = authorName(message.author, names);
  const said = message.kind === 'event' ? eventWords(message.event, message.author, names) : messageWords(message);
  const label = t('thread.row', {
    author: message.kind === 'comment' ? t('thread.comment_by', { name: author }) : author,
    time: clockLabel(message.sent_at),
    text: said.slice(0, 500),
  });
  const after = [message.edited_at ? t('thread.edited') : '', message.delivery ? deliveryWords(message.delivery) : ''];
  return [label, ...after].filter(Boolean).join(', ');
}
