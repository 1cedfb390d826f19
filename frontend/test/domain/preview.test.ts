import { describe, expect, it } from 'vitest';
import { activityOf } from '../../src/domain/activity';
import { word } from '../../src/domain/catalogue';
import { previewOf, firstName } from '../../src/domain/preview';
import type { Actor } from '../../src/domain/types';

const speakers = { me: 'me', nameOf: (id: string) => (id === 'ana' ? 'Ana' : '') };
const line = (author: Actor, preview: string, preview_kind = 'text'): string =>
  Object.values(previewOf({ preview, preview_kind, preview_author: author }, speakers)).filter(Boolean).join(' ');

describe('previewOf', () => {
  it('says who spoke, except the customer', () => {
    expect(line({ kind: 'customer', id: 'c' }, 'hello')).toBe('hello');
    expect(line({ kind: 'member', id: 'me' }, 'hello')).toBe('You: hello');
    expect(line({ kind: 'member', id: 'ana' }, 'hello')).toBe('Ana: hello');
    expect(line({ kind: 'member', id: 'gone' }, 'hello')).toBe('Colleague: hello');
    expect(line({ kind: 'assistant', id: 'bean' }, 'hello')).toBe('AI: hello');
    expect(line({ kind: 'flow' }, 'hello')).toBe('Bot: hello');
  });

  it('names what is not words', () => {
    expect(line({ kind: 'customer' }, '', 'voice')).toBe('Voice message');
    expect(line({ kind: 'customer' }, 'invoice.pdf', 'file')).toBe('File · invoice.pdf');
    expect(line({ kind: 'member', id: 'me' }, '', 'image')).toBe('You: Photo');
    expect(line({ kind: 'customer' }, 'gone', 'deleted')).toBe('Message deleted');
    expect(line({ kind: 'customer' }, 'x', 'hologram')).toBe('Message · x');
    expect(line({ kind: 'system' }, '', '')).toBe('No messages yet');
  });

  it('marks comments as notes', () => {
    expect(line({ kind: 'member', id: 'me' }, 'check', 'comment')).toBe('You noted: check');
    expect(line({ kind: 'member', id: 'ana' }, 'check', 'comment')).toBe('Ana noted: check');
  });

  it('leaves braces of a customer alone', () => {
    expect(line({ kind: 'member', id: 'me' }, '{name} {text}')).toBe('You: {name} {text}');
  });
});

describe('activityOf', () => {
  const now = Date.UTC(2026, 2, 4, 12);
  const chat = (ago: number, over: object = {}): Parameters<typeof activityOf>[0] => ({
    state: 'agent',
    status: 'open',
    last_message_at: new Date(now - ago).toISOString(),
    ...over,
  });
  it('is green for ten minutes and yellow for an hour, edges included', () => {
    expect(activityOf(chat(600_000), now)).toBe('live');
    expect(activityOf(chat(600_001), now)).toBe('warm');
    expect(activityOf(chat(3_600_000), now)).toBe('warm');
    expect(activityOf(chat(3_600_001), now)).toBe('quiet');
    expect(activityOf(chat(-5000), now)).toBe('live');
  });
  it('is red while paused, quiet once done', () => {
    expect(activityOf(chat(0, { state: 'paused' }), now)).toBe('paused');
    expect(activityOf(chat(0, { status: 'resolved' }), now)).toBe('quiet');
    expect(activityOf(chat(0, { last_message_at: null }), now)).toBe('quiet');
  });
});

describe('word', () => {
  it('chooses the plural and writes numbers for people', () => {
    const forms = { one: '{n} chat', other: '{n} chats' };
    expect(word(forms, { n: 1 }, 'en')).toBe('1 chat');
    expect(word(forms, { n: 18_204 }, 'en')).toBe('18,204 chats');
    expect(word('{a} and {b}', { a: 'x' }, 'en')).toBe('x and {b}');
  });
});

it('firstName', () => {
  expect(firstName('  Tomás Rey ')).toBe('Tomás');
  expect(firstName('')).toBe('');
});
