import { afterEach, describe, expect, it, vi } from 'vitest';
import { pluralOf, word, written } from '../../src/domain/catalogue';

afterEach(() => vi.restoreAllMocks());

describe('English numbers', () => {
  it('do not wake Intl up', () => {
    const format = vi.spyOn(Number.prototype, 'toLocaleString');
    const rules = vi.spyOn(Intl, 'PluralRules');
    expect(word({ one: '{n} chat', other: '{n} chats' }, { n: 18_204 }, 'en')).toBe('18,204 chats');
    expect(word({ one: '{n} chat', other: '{n} chats' }, { n: 1 }, 'en')).toBe('1 chat');
    expect([format.mock.calls, rules.mock.calls]).toEqual([[], []]);
  });

  it('are what Intl makes of them', () => {
    const numbers = [0, 1, 2, 10, 11, 21, 101, 999, 1000, 1001, 9999, 18_204, 100_000, 1_234_567, Number.MAX_SAFE_INTEGER];
    numbers.push(0.5, 1.5, 0.9999, 1.0005, 999.9999, 1234.5678, 98_765.4321, 1e21, Number.POSITIVE_INFINITY);
    for (let n = 3; n < 5_000_000; n = Math.ceil(n * 1.01)) numbers.push(n, n / 8);
    const plurals = new Intl.PluralRules('en');
    for (const n of [...numbers, ...numbers.filter((n) => n > 0).map((n) => -n), Number.NaN]) {
      expect([n, written(n, 'en'), pluralOf(n, 'en')]).toEqual([n, n.toLocaleString('en'), plurals.select(n)]);
    }
  });
});

it('other languages keep their own forms', () => {
  expect(pluralOf(0, 'fr')).toBe('one');
  expect(word({ one: '{n} Chat', other: '{n} Chats' }, { n: 18_204 }, 'de')).toBe('18.204 Chats');
});
