import { describe, expect, test } from 'vitest';
import { countryName, fieldProblem, languageName, localTime, originLines, placeLine } from '../../src/domain/contact';
import { safeLink, shorten, withMentions } from '../../src/domain/richtext';
import type { Contact, Conversation, Message, OutboxEntry, Problem } from '../../src/domain/types';
import { bars } from '../../src/domain/waveform';
import { authorName, canForce, deliveryWords, eventWords, fileSize, followWords, holderWords, partWords, pendingLabel, priceWords, problemWords, resendLabel, rowLabel, typingWords, type Names } from '../../src/domain/wording';

const names: Names = { me: 'me', customer: 'Lucía', nameOf: (id) => ({ me: 'Jo Reed', tr: 'Tomás Rey' })[id] ?? '' };
const by = (id: string) => ({ kind: 'member', id }) as const;

describe('holderWords', () => {
  const conversation = (over: Partial<Conversation>): Conversation =>
    ({ status: 'open', state: 'escalated', holder: null, ...over }) as Conversation;
  test.each([
    [{ holder: { kind: 'member', id: 'me', firm: true }, state: 'agent' }, 'You are active', 'accent'],
    [{ holder: { kind: 'member', id: 'tr', firm: false }, state: 'agent' }, 'Held by Tomás', 'plain'],
    [{ state: 'assistant' }, 'AI answers', 'assistant'],
    [{ state: 'escalated' }, 'Waits for a person', 'warn'],
    [{ state: 'paused' }, 'Paused', 'plain'],
    [{ status: 'resolved', state: 'assistant' }, 'Resolved', 'plain'],
    [{ status: 'closed' }, 'Ended', 'plain'],
  ] as const)('%o', (over, text, tone) => {
    expect(holderWords(conversation(over as Partial<Conversation>), names)).toEqual({ text, tone });
  });
});

describe('eventWords', () => {
  test('words each known event, names who did it, and gives the reason', () => {
    expect(eventWords({ name: 'accepted' }, by('me'), names)).toBe('You joined and accepted');
    expect(eventWords({ name: 'escalated', reason: 'missing parcel' }, { kind: 'assistant' }, names)).toBe('Escalated by Assistant: missing parcel');
    expect(eventWords({ name: 'assigned', member: 'me' }, by('tr'), names)).toBe('Tomás Rey assigned you');
    expect(eventWords({ name: 'assigned', member: 'tr' }, by('tr'), names)).toBe('Tomás Rey took the chat over');
    expect(eventWords({ name: 'assigned' }, by('tr'), names)).toBe('Tomás Rey unassigned the chat');
    expect(eventWords({ name: 'reopened' }, { kind: 'system' }, names)).toBe('Chat reopened');
  });
  test('shows an event of a newer server readably', () => {
    expect(eventWords({ name: 'priority_raised' }, by('tr'), names)).toBe('Priority raised');
    expect(eventWords(null, by('tr'), names)).toBe('Something happened');
  });
});

test('typingWords', () => {
  expect(typingWords(false, [])).toBe('');
  expect(typingWords(false, ['Ana'])).toBe('Ana is typing…');
  expect(typingWords(true, [])).toBe('You are typing…');
  expect(typingWords(true, ['Ana'])).toBe('You, Ana are typing…');
  expect(typingWords(true, ['Ana', 'Ben', 'Cy'])).toBe('You, Ana and 2 others are typing…');
});

test('authors, deliveries and refusals are named', () => {
  expect(authorName(by('me'), names)).toBe('You');
  expect(authorName(by('gone'), names)).toBe('Colleague');
  expect(deliveryWords({ state: 'failed', error: 'No such number.' })).toBe('Not delivered: No such number.');
  expect(problemWords({ code: 'held_by_other', holder: { kind: 'member', id: 'tr', firm: true } }, names)).toBe('Tomás Rey is answering this chat.');
  expect(problemWords({ code: 'closed', detail: 'This conversation has ended.' }, names)).toBe('This conversation has ended.');
  expect(problemWords(null, names)).not.toBe('');
});

test('the button says how a refused text goes out', () => {
  expect(resendLabel(null)).toBe('thread.try_again');
  expect(resendLabel({ code: 'too_large' })).toBe('thread.try_again');
  expect(resendLabel({ code: 'newer_messages' })).toBe('thread.send_anyway');
  expect(resendLabel({ code: 'moment_passed' })).toBe('thread.send_now');
});

test('what waits for a refused text is named with it', () => {
  const entry = { state: 'refused' } as OutboxEntry;
  expect(followWords(entry)).toBe('');
  expect(followWords({ ...entry, then: null })).toBe('');
  expect(followWords({ ...entry, then: ['conversation.resolve'] })).toBe('Once it is sent, the chat is resolved.');
  expect(followWords({ ...entry, then: ['handoff.release'] })).toBe('Once it is sent, the chat is released.');
});

test('a refusal says what happened, who did it and when', () => {
  const now = Date.parse('2026-03-04T12:00:00');
  const at = (clock: string): string => new Date(`2026-03-04T${clock}:00`).toISOString();
  const said = (author: Message['author'], clock: string): Message => ({ id: clock, kind: 'message', author, parts: [], sent_at: at(clock) }) as unknown as Message;
  const words = (problem: Problem): string => problemWords(problem, names, now);
  const newer = (...messages: Message[]): string => words({ code: 'newer_messages', messages });
  expect(newer(said(by('tr'), '11:55'), said({ kind: 'customer' }, '11:56'))).toMatch(/^Tomás Rey answered at 11:55,/u);
  expect(newer(said({ kind: 'customer' }, '11:56'))).toMatch(/^Lucía wrote at 11:56 while/u);
  expect(newer()).toMatch(/^Somebody wrote/u);
  expect(words({ code: 'resolved', by: by('tr'), at: at('09:05') })).toMatch(/^Tomás Rey resolved this chat at 09:05/u);
  expect(words({ code: 'window_closed', at: at('08:00'), detail: 'x' })).toContain('since 08:00');
  expect(words({ code: 'blocked_contact', detail: 'x' })).toContain('blocked');
  expect(words({ code: 'undelivered', detail: 'No such number.' })).toContain('No such number.');
  expect(['newer_messages', 'held_by_other', 'resolved', 'window_closed', 'blocked_contact', 'closed'].filter((code) => canForce({ code }))).toEqual([
    'newer_messages', 'held_by_other', 'resolved',
  ]);
});

test('a row that has not gone out says what becomes of it', () => {
  const now = Date.parse('2026-03-04T12:00:00');
  const iso = (clock: string): string => new Date(`2026-03-04T${clock}`).toISOString();
  const label = (over: Partial<OutboxEntry>): string => pendingLabel({ text: 'Hi', state: 'queued', problem: null, comment: false, ...over } as OutboxEntry, names, now);
  expect(label({})).toBe('You: Hi, Waiting to go out');
  expect(label({ state: 'held', due: iso('12:00:09') })).toBe('You: Hi, Goes out in 9 seconds. It can be taken back.');
  expect(label({ state: 'scheduled', send_at: iso('18:00:00') })).toBe('You: Hi, Goes out 18:00');
  expect(label({ state: 'refused', problem: { code: 'closed', detail: 'It has ended.' } })).toBe('You: Hi, Not sent: It has ended.');
});

test('parts, sizes and prices are said as people say them', () => {
  expect(partWords({ kind: 'voice', duration_ms: 14_000 })).toBe('voice message, 0:14');
  expect(partWords({ kind: 'file', name: 'a.pdf' })).toContain('a.pdf');
  expect([0, 900, 2048, 5_000_000].map(fileSize)).toEqual(['', '900 B', '2.0 kB', '4.8 MB']);
  expect(priceWords(400, 'USD')).toBe('$4.00');
  expect(priceWords(400, 'JPY')).toBe('¥400');
  expect(priceWords(400, 'not a currency')).toBe('4.00 not a currency');
});

test('a row names author, time, words and state for who cannot see it', () => {
  const message = {
    kind: 'message', author: by('me'), parts: [{ kind: 'text', text: 'Hello' }], sent_at: '2026-03-02T09:41:00.000000Z', delivery: { state: 'read' },
  } as Message;
  expect(rowLabel(message, names)).toMatch(/^You, \d\d:\d\d: Hello, Read$/);
});

describe('text', () => {
  test('only addresses that may be opened are links', () => {
    expect(safeLink('javascript:alert(1)')).toBe('');
    expect(safeLink('file:///etc/passwd')).toBe('');
    expect(safeLink('nonsense')).toBe('');
    expect(safeLink('https://shop.example/a')).toBe('https://shop.example/a');
    expect(safeLink('mailto:a@b.example')).toBe('mailto:a@b.example');
  });
  test('mentions stand out, and nothing of the text is lost', () => {
    const text = 'x @Jo Reed, @Joan and @Jo: https://a.example.';
    const segments = withMentions(text, ['Jo', 'Jo Reed']);
    expect(segments.filter((s) => s.kind === 'mention').map((s) => s.text)).toEqual(['@Jo Reed', '@Jo']);
    expect(segments.map((s) => s.text).join('')).toBe(text);
  });
  test('a long text is cut at a space, never within a character', () => {
    expect(shorten('one two three', 9)).toBe('one two');
    expect(shorten('a😀', 2)).toBe('a');
    expect(shorten('short', 10)).toBe('short');
  });
});

test('bars follow the peaks and stay between silence and full height', () => {
  const loud = bars(btoa(String.fromCharCode(...Array.from({ length: 64 }, (_, i) => (i < 32 ? 255 : 0)))), 40);
  expect(loud).toHaveLength(40);
  expect(loud[0]).toBe(1);
  expect(loud[39]).toBeLessThan(0.2);
  expect(bars('%%%', 4)).toEqual([0.3, 0.3, 0.3, 0.3]);
});

describe('contact', () => {
  test.each([
    ['email', 'lucia@example.com', true],
    ['email', 'lucia@example', false],
    ['email', 'a b@example.com', false],
    ['phone', '+34 600 000 123', true],
    ['phone', 'call me', false],
    ['phone', '12', false],
    ['name', '', true],
    ['name', 'x'.repeat(201), false],
  ] as const)('%s %s is fine: %s', (field, value, fine) => {
    expect(fieldProblem(field, value) === '').toBe(fine);
  });
  test('says only what is known', () => {
    const contact = { city: 'Madrid', language: 'es', timezone: 'Europe/Madrid' } as Contact;
    const now = Date.UTC(2026, 0, 5, 8, 56);
    expect(placeLine(contact, now)).toBe('Madrid · Spanish · local time 09:56');
    expect(placeLine({} as Contact, now)).toBe('');
    expect(localTime('Mars/Olympus', now)).toBe('');
    expect(languageName('Norwegian')).toBe('Norwegian');
    expect(countryName('ES')).toBe('Spain');
    expect(originLines({ origin: { page: 'https://a.example', utm: { utm_source: 'ig' } } } as unknown as Conversation)).toEqual([
      { label: 'Page', value: 'https://a.example' },
      { label: 'UTM source', value: 'ig' },
    ]);
  });
});
