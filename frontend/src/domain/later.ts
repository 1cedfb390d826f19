/** When a message may be sent later: the moments that are offered, and what somebody types. */
import { t, type MessageKey } from './messages';
import { daysBetween, listLabel } from './time';

/** A moment that is offered. */
export interface Preset {
  label: MessageKey;
  /** Milliseconds since 1970. */
  at: number;
}

const minute = 60_000;
/** The server keeps a message for a year at most. */
const farthest = 366 * 24 * 60 * minute;

/** A day from now at an hour, in this computer's time zone. */
function at(now: number, days: number, hour: number): number {
  const date = new Date(now);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + days, hour).getTime();
}

/** The moments that are offered, soonest first. */
export function presets(now: number): Preset[] {
  const evening = at(now, 0, 18);
  // Sunday is 0: the next Monday is one to seven days ahead.
  const toMonday = (8 - new Date(now).getDay()) % 7 || 7;
  return [
    { label: 'later.hour', at: Math.ceil((now + 60 * minute) / (5 * minute)) * 5 * minute },
    ...(evening - now > 2 * 60 * minute ? [{ label: 'later.evening', at: evening } as const] : []),
    { label: 'later.tomorrow', at: at(now, 1, 9) },
    ...(toMonday > 1 ? [{ label: 'later.monday', at: at(now, toMonday, 9) } as const] : []),
  ];
}

/** What a field for date and time holds for a moment: "2026-03-02T09:00". */
export function fieldOf(ms: number): string {
  const date = new Date(ms);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The moment in a field for date and time, typed by hand where the platform draws none; else what is wrong. */
export function momentOf(field: string, now: number): { at: number } | { problem: MessageKey } {
  const parts = /^\s*(\d{4})-(\d{1,2})-(\d{1,2})[T\s]+(\d{1,2}):(\d{2})(?::\d{2}(?:\.\d+)?)?\s*$/u.exec(field);
  if (!parts) return { problem: 'later.unclear' };
  const [year = 0, month = 0, day = 0, hour = 0, minutes = 0] = parts.slice(1).map(Number);
  const date = new Date(year, month - 1, day, hour, minutes);
  // A 31 April would silently become another day.
  if (date.getMonth() !== month - 1 || date.getDate() !== day || hour > 23 || minutes > 59) return { problem: 'later.unclear' };
  // Where clocks are put forward an hour of that day is left out, and would silently become the next one.
  if (date.getHours() !== hour || date.getMinutes() !== minutes) return { problem: 'later.skipped' };
  const ms = date.getTime();
  if (ms <= now) return { problem: 'later.past' };
  return ms - now > farthest ? { problem: 'later.far' } : { at: ms };
}

/** What clocks are called at a moment: of an hour that comes twice it tells which one is meant. */
export function zoneOf(ms: number): string {
  const parts = new Intl.DateTimeFormat('en', { timeZoneName: 'short' }).formatToParts(ms);
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? '';
}

/** "18:00" today, "Tomorrow 09:00", "Mon 09:00" this week, "Mar 3 09:00" after. */
export function momentLabel(ms: number, now: number): string {
  const time = fieldOf(ms).slice(11);
  const days = daysBetween(now, ms);
  if (days <= 0) return time;
  if (days === 1) return `${t('later.tomorrow_short')} ${time}`;
  // The names of days and months are those of the list, as if looked back on from then.
  const day = listLabel(new Date(ms).toISOString(), days < 7 ? ms + 86_400_000 : ms + 8 * 86_400_000);
  return `${day} ${time}`;
}
