import { millis } from './time';
import type { Conversation } from './types';

/** What the border of a list entry says (C9–C11). */
export type Activity = 'live' | 'warm' | 'paused' | 'quiet';

const tenMinutes = 10 * 60_000;
const hour = 60 * 60_000;

/** Paused beats everything; resolved and closed chats are quiet. */
export function activityOf(
  conversation: Pick<Conversation, 'state' | 'status' | 'last_message_at'>,
  now: number,
): Activity {
  if (conversation.status !== 'open') return 'quiet';
  if (conversation.state === 'paused') return 'paused';
  const at = millis(conversation.last_message_at);
  if (at === null) return 'quiet';
  const age = now - at;
  if (age <= tenMinutes) return 'live';
  return age <= hour ? 'warm' : 'quiet';
}
