import { t } from './messages';
import type { Time } from './types';

/** Milliseconds since 1970, or null for never and for what is no time. */
export function millis(time: Time | null | undefined): number | null {
  if (!time) return null;
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? null : ms;
}

/** A formatter made when it is first needed: each costs milliseconds the start of the window has not. */
function formatter(locale: string | undefined, options: Intl.DateTimeFormatOptions): { format(ms: number): string } {
  let made: Intl.DateTimeFormat | undefined;
  return { format: (ms) => (made ??= new Intl.DateTimeFormat(locale, options)).format(ms) };
}

const two = (n: number): string => String(n).padStart(2, '0');
const clock = { format: (ms: number): string => `${two(new Date(ms).getHours())}:${two(new Date(ms).getMinutes())}` };
const longDay = formatter('en', { weekday: 'long', day: 'numeric', month: 'long' });
const longDayYear = formatter('en', { day: 'numeric', month: 'long', year: 'numeric' });
const full = formatter('en', { dateStyle: 'full', timeStyle: 'short', hourCycle: 'h23' });

/** Whole days between two moments by the calendar, in this computer's time zone. */
export function daysBetween(earlier: number, later: number): number {
  const midnight = (ms: number): number => {
    const date = new Date(ms);
    return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  };
  return Math.round((midnight(later) - midnight(earlier)) / 86_400_000);
}

/** "09:41" */
export function clockLabel(time: Time | null | undefined): string {
  const ms = millis(time);
  return ms === null ? '' : clock.format(ms);
}

/** "09:41:07" */
export function secondsLabel(time: Time | null | undefined): string {
  const ms = millis(time);
  return ms === null ? '' : `${clock.format(ms)}:${two(new Date(ms).getSeconds())}`;
}

/** For a list: "09:41" today, "Fri" this week, "3 Mar" this year, "3 Mar 2024" before. */
export function listLabel(time: Time | null | undefined, now: number): string {
  const ms = millis(time);
  if (ms === null) return '';
  const days = daysBetween(ms, now);
  if (days <= 0) return clock.format(ms);
  const date = new Date(ms);
  if (days < 7) return named('time.weekdays', date.getDay());
  const params = { day: date.getDate(), month: named('time.months', date.getMonth()), year: String(date.getFullYear()) };
  return t(sameYear(ms, now) ? 'time.day_month' : 'time.day_month_year', params);
}

/** One of the names that the catalogue keeps in one line. */
function named(key: 'time.weekdays' | 'time.months', index: number): string {
  return t(key).split(' ')[index] ?? '';
}

/** For the line between two days of a thread: "Today", "Yesterday", "Monday 2 March". */
export function dayLabel(time: Time | null | undefined, now: number): string {
  const ms = millis(time);
  if (ms === null) return '';
  const days = daysBetween(ms, now);
  if (days === 0) return t('time.today');
  if (days === 1) return t('time.yesterday');
  return sameYear(ms, now) ? longDay.format(ms) : longDayYear.format(ms);
}

/** For "since …": "12:01" today, "Fri 12:01" before. */
export function sinceLabel(time: Time | null | undefined, now: number): string {
  const ms = millis(time);
  if (ms === null) return '';
  return daysBetween(ms, now) <= 0 ? clock.format(ms) : `${listLabel(time, now)} ${clock.format(ms)}`;
}

/** The whole of it, for tooltips: "Monday, 2 March 2026 at 09:41". */
export function fullLabel(time: Time | null | undefined): string {
  const ms = millis(time);
  return ms === null ? '' : full.format(ms);
}

/** "0:14", "1:02:03" */
export function durationLabel(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const pad = (n: number): string => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

function sameYear(a: number, b: number): boolean {
  return new Date(a).getFullYear() === new Date(b).getFullYear();
}
