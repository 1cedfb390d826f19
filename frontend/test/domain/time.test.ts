import { describe, expect, it } from 'vitest';
import { clockLabel, daysBetween, dayLabel, durationLabel, listLabel, millis, sinceLabel } from '../../src/domain/time';

/** Noon of a Wednesday, in whatever time zone the tests run. */
const now = new Date(2026, 2, 4, 12, 0).getTime();
const at = (...args: [number, number, number, number?, number?]): string => new Date(...args).toISOString();

describe('listLabel', () => {
  it('gives the clock today, the weekday this week, then the date', () => {
    expect(listLabel(at(2026, 2, 4, 9, 5), now)).toBe('09:05');
    expect(listLabel(at(2026, 2, 3, 23, 59), now)).toBe('Tue');
    expect(listLabel(at(2026, 1, 26, 12), now)).toBe('Thu');
    expect(listLabel(at(2026, 1, 25, 12), now)).toBe('Feb 25');
    expect(listLabel(at(2025, 11, 31), now)).toBe('Dec 31, 2025');
  });

  it('shows a time that is ahead of this clock as today', () => {
    expect(listLabel(at(2026, 2, 4, 12, 3), now)).toBe('12:03');
  });

  it('is empty for never and for what is no time', () => {
    expect(listLabel(null, now)).toBe('');
    expect(listLabel('soon', now)).toBe('');
  });
});

describe('dayLabel', () => {
  it('goes by the calendar, not by 24 hours', () => {
    const justAfterMidnight = new Date(2026, 2, 4, 0, 5).getTime();
    expect(dayLabel(at(2026, 2, 3, 23, 55), justAfterMidnight)).toBe('Yesterday');
    expect(dayLabel(at(2026, 2, 4, 0, 1), justAfterMidnight)).toBe('Today');
    expect(dayLabel(at(2026, 2, 2), now)).toBe('Monday, March 2');
    expect(dayLabel(at(2024, 2, 2), now)).toBe('March 2, 2024');
  });
});

describe('daysBetween', () => {
  it('counts days of 23 and 25 hours as one', () => {
    expect(daysBetween(new Date(2026, 2, 28, 12).getTime(), new Date(2026, 2, 30, 1).getTime())).toBe(2);
    expect(daysBetween(new Date(2026, 9, 24, 23).getTime(), new Date(2026, 9, 26, 0, 30).getTime())).toBe(2);
  });
});

it('sinceLabel names the day once it is not today', () => {
  expect(sinceLabel(at(2026, 2, 4, 12, 1), now)).toBe('12:01');
  expect(sinceLabel(at(2026, 2, 2, 12, 1), now)).toBe('Mon 12:01');
});

it('clockLabel, durationLabel and millis', () => {
  expect(clockLabel(at(2026, 2, 4, 0, 7))).toBe('00:07');
  expect(durationLabel(14_000)).toBe('0:14');
  expect(durationLabel(3_723_000)).toBe('1:02:03');
  expect(millis('2026-03-04T09:41:00.123456Z')).toBe(Date.UTC(2026, 2, 4, 9, 41, 0, 123));
});
