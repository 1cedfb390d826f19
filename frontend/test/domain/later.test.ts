import { expect, test, vi } from 'vitest';
import { fieldOf, momentLabel, momentOf, presets, zoneOf } from '../../src/domain/later';

/** A moment in this computer's time zone. */
const at = (text: string): number => new Date(text).getTime();
const offered = (now: string): string[] => presets(at(now)).map((p) => `${p.label} ${fieldOf(p.at)}`);

test('the moments that are offered lie ahead, in order', () => {
  // 4 March 2026 is a Wednesday.
  expect(offered('2026-03-04T10:02:30')).toEqual([
    'later.hour 2026-03-04T11:05', 'later.evening 2026-03-04T18:00', 'later.tomorrow 2026-03-05T09:00', 'later.monday 2026-03-09T09:00',
  ]);
  expect(offered('2026-03-04T17:00:00')).not.toContain('later.evening 2026-03-04T18:00');
  // On a Sunday Monday is tomorrow, and offered once; on a Monday it is the next one.
  expect(offered('2026-03-08T10:00:00').filter((o) => o.endsWith('2026-03-09T09:00'))).toHaveLength(1);
  expect(offered('2026-03-09T10:00:00').at(-1)).toBe('later.monday 2026-03-16T09:00');
  for (const hour of Array.from({ length: 24 * 7 }, (_, i) => i)) {
    const now = at('2026-03-04T00:30:00') + hour * 3_600_000;
    const times = presets(now).map((p) => p.at);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(times[0]).toBeGreaterThan(now);
  }
});

test('a field is read as it is typed, and says what is wrong', () => {
  const now = at('2026-03-04T10:00:00');
  expect(momentOf('2026-03-05T09:30', now)).toEqual({ at: at('2026-03-05T09:30:00') });
  expect(momentOf(' 2026-3-5 9:30 ', now)).toEqual({ at: at('2026-03-05T09:30:00') });
  expect(momentOf(fieldOf(now + 60_000), now)).toEqual({ at: now + 60_000 });
  expect(momentOf('2026-03-04T10:00', now)).toEqual({ problem: 'later.past' });
  expect(momentOf('2027-04-04T10:00', now)).toEqual({ problem: 'later.far' });
  for (const unclear of ['', 'tomorrow', '2026-04-31T10:00', '2026-13-01T10:00', '2026-03-05T24:30', '2026-03-05T09:61', '2026-03-05']) {
    expect(momentOf(unclear, now), unclear).toEqual({ problem: 'later.unclear' });
  }
});

test('a time that clocks leave out is no moment, and does not become another one', () => {
  vi.stubEnv('TZ', 'Europe/Berlin');
  const now = at('2026-03-27T10:00:00');
  expect(momentOf('2026-03-29T02:30', now)).toEqual({ problem: 'later.skipped' });
  expect(momentOf('2026-03-29T01:59', now)).toEqual({ at: Date.UTC(2026, 2, 29, 0, 59) });
  expect(momentOf('2026-03-29T03:00', now)).toEqual({ at: Date.UTC(2026, 2, 29, 1, 0) });
  // Of an hour that comes twice it is the first.
  expect(momentOf('2026-10-25T02:30', now)).toEqual({ at: Date.UTC(2026, 9, 25, 0, 30) });
  expect([zoneOf(Date.UTC(2026, 9, 25, 0, 30)), zoneOf(Date.UTC(2026, 9, 25, 1, 30))]).toEqual(['GMT+2', 'GMT+1']);
  expect(presets(at('2026-03-28T20:00:00')).map((p) => fieldOf(p.at))).toContain('2026-03-29T09:00');
  vi.unstubAllEnvs();
});

test('a moment to come is named as people do', () => {
  const now = at('2026-03-04T10:00:00');
  expect(momentLabel(at('2026-03-04T18:00:00'), now)).toBe('18:00');
  expect(momentLabel(at('2026-03-05T09:00:00'), now)).toBe('Tomorrow 09:00');
  expect(momentLabel(at('2026-03-09T09:00:00'), now)).toBe('Mon 09:00');
  expect(momentLabel(at('2026-04-02T09:00:00'), now)).toBe('Apr 2 09:00');
  expect(momentLabel(at('2027-01-02T09:00:00'), now)).toContain('Jan 2');
});
