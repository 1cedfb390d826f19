import { isMessageKey, t } from './messages';
import type { Conversation, Hit } from './types';

/** Who the preview's words may be by, as far as the window knows them. */
export interface Speakers {
  /** The id of the member who looks at the list. */
  me: string;
  /** A member's first name, or empty if unknown. */
  nameOf(member: string): string;
}

type Previewed = Pick<Conversation, 'preview' | 'preview_kind' | 'preview_author'>;

/** The line under a chat's name. Its two parts may run in different directions. */
export interface Preview {
  /** Who said it, with a colon; empty for the customer. */
  lead: string;
  text: string;
}

/** What was said last, and by whom. */
export function previewOf(conversation: Previewed, speakers: Speakers): Preview {
  if (conversation.preview_kind === '') return { lead: '', text: t('preview.nothing') };
  return { lead: leadOf(conversation, speakers), text: content(conversation) };
}

/** Who said what was found. */
export function leadOfHit({ kind, author }: Pick<Hit, 'kind' | 'author'>, speakers: Speakers): string {
  return leadOf({ preview_kind: kind === 'comment' ? kind : 'text', preview_author: author }, speakers);
}

/** A piece of a text that has something marked in it. */
export interface Piece {
  text: string;
  marked: boolean;
}

/** Cuts the text of a hit where its marks begin and end. Marks that make no sense mark nothing. */
export function markedPieces({ text, marks }: Pick<Hit, 'text' | 'marks'>): Piece[] {
  const pieces: Piece[] = [];
  let last = 0;
  for (const [from, to] of marks) {
    if (from < last || to <= from || to > text.length) continue;
    if (from > last) pieces.push({ text: text.slice(last, from), marked: false });
    pieces.push({ text: text.slice(from, to), marked: true });
    last = to;
  }
  if (last < text.length) pieces.push({ text: text.slice(last), marked: false });
  return pieces;
}

function leadOf({ preview_kind: kind, preview_author: author }: Omit<Previewed, 'preview'>, speakers: Speakers): string {
  const own = author.kind === 'member' && author.id === speakers.me;
  if (kind === 'comment') return own ? t('preview.you_comment') : t('preview.comment', { name: speaker(author.id, speakers) });
  switch (author.kind) {
    case 'member':
      return own ? t('preview.you') : t('preview.by', { name: speaker(author.id, speakers) });
    case 'assistant':
      return t('preview.by', { name: t('preview.assistant') });
    case 'flow':
      return t('preview.by', { name: t('preview.flow') });
    default:
      return '';
  }
}

/** Words as they are; anything else is named, with its words if it has any. */
function content({ preview, preview_kind: kind }: Previewed): string {
  if (kind === 'text' || kind === 'comment') return preview;
  const key = `preview.${kind}`;
  const named = isMessageKey(key) ? t(key) : t('preview.other');
  return preview === '' || kind === 'deleted' ? named : t('preview.named', { kind: named, text: preview });
}

function speaker(member: string | undefined, speakers: Speakers): string {
  return speakers.nameOf(member ?? '') || t('preview.colleague');
}

/** The part of a name colleagues use: "Tomás Rey" → "Tomás". */
export function firstName(name: string): string {
  return name.trim().split(/\s+/u)[0] ?? '';
}
