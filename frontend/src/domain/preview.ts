import { isMessageKey, t } from './messages';
import type { Conversation } from './types';

/** Who the preview's words may be by, as far as the window knows them. */
export interface Speakers {
  /** The id of the member who looks at the list. */
  me: string;
  /** A member's first name, or empty if unknown. */
  nameOf(member: string): string;
}

type Previewed = Pick<Conversation, 'preview' | 'preview_kind' | 'preview_author'>;

/** The line under a chat's name: what was said last, and by whom. */
export function previewLine(conversation: Previewed, speakers: Speakers): string {
  const { preview_kind: kind, preview_author: author } = conversation;
  if (kind === '') return t('preview.nothing');
  const text = content(conversation);
  const own = author.kind === 'member' && author.id === speakers.me;
  if (kind === 'comment') {
    return own ? t('preview.you_comment', { text }) : t('preview.comment', { name: speaker(author.id, speakers), text });
  }
  switch (author.kind) {
    case 'member':
      return own ? t('preview.you', { text }) : t('preview.by', { name: speaker(author.id, speakers), text });
    case 'assistant':
      return t('preview.by', { name: t('preview.assistant'), text });
    case 'flow':
      return t('preview.by', { name: t('preview.flow'), text });
    default:
      return text;
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
