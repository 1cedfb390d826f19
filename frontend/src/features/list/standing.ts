import { t } from '../../domain/messages';
import type { ListRow } from '../../domain/types';

/** Who or what a chat stands with (C19), as its mark in the list and in words. */
export type Standing =
  | { kind: 'none' | 'assistant' | 'escalated' | 'paused' | 'resolved' | 'csat'; label: string }
  | { kind: 'person'; label: string; id: string; name: string };

/** The one mark a list entry shows; what is over beats who was on it. */
export function standing(row: ListRow, nameOf: (member: string) => string): Standing {
  const chat = row.conversation;
  if (chat.status !== 'open') {
    if (chat.csat) return { kind: 'csat', label: t('row.csat', { n: chat.csat }) };
    return { kind: 'resolved', label: t(chat.status === 'closed' ? 'row.closed' : 'row.resolved') };
  }
  switch (chat.state) {
    case 'paused':
      return { kind: 'paused', label: t('row.paused') };
    case 'requested':
      return { kind: 'escalated', label: t('row.requested') };
    case 'agent': {
      const holder = chat.holder?.kind === 'member' ? nameOf(chat.holder.id) : '';
      if (chat.holder && holder) return { kind: 'person', label: t('row.held', { name: holder }), id: chat.holder.id, name: holder };
      break;
    }
    case 'assistant':
      return { kind: 'assistant', label: t('row.assistant') };
    case 'escalated':
      if (!chat.assignee) return { kind: 'escalated', label: t('row.escalated') };
      break;
    default:
      break;
  }
  const name = chat.assignee ? row.assignee_name || nameOf(chat.assignee) : '';
  if (chat.assignee && name) return { kind: 'person', label: t('row.assigned', { name }), id: chat.assignee, name };
  return { kind: 'none', label: '' };
}
