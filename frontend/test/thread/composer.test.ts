import { describe, expect, test } from 'vitest';
import { insertMention, isBlank, matchMembers, meaningOf, mentionAt, mentionsIn, restAfterSend, roomFor, type Press } from '../../src/domain/composer';
import type { Member } from '../../src/domain/types';

const press = (over: Partial<Press>): Press => ({
  key: 'Enter', ctrlKey: false, metaKey: false, shiftKey: false, altKey: false, isComposing: false, keyCode: 13, ...over,
});
const member = (id: string, name: string, over: Partial<Member> = {}): Member => ({
  id, ver: 1, name, email: `${id}@northwind.example`, role: 'agent', brands: [], settings: {}, ...over,
});
const jo = member('jo', 'Jo Reed');
const joan = member('joan', 'Joan Miró');
const tomas = member('tr', 'Tomás Rey');

describe('meaningOf', () => {
  test.each([
    ['enter', {}, 'send'],
    ['enter', { shiftKey: true }, 'newline'],
    ['enter', { ctrlKey: true }, 'send'],
    ['enter', { altKey: true }, 'none'],
    ['ctrl_enter', {}, 'newline'],
    ['ctrl_enter', { ctrlKey: true }, 'send'],
    ['ctrl_enter', { metaKey: true }, 'send'],
    ['ctrl_enter', { shiftKey: true }, 'none'],
    ['enter', { key: 'Escape' }, 'leave'],
    ['enter', { key: 'a' }, 'none'],
  ] as const)('%s with %o means %s', (setting, keys, meaning) => {
    expect(meaningOf(press(keys), setting)).toBe(meaning);
  });

  test('Enter of an input method never sends, however the engine reports it', () => {
    expect(meaningOf(press({ isComposing: true }), 'enter')).toBe('none');
    expect(meaningOf(press({ keyCode: 229 }), 'enter')).toBe('none');
    expect(meaningOf(press({ key: 'Escape', isComposing: true }), 'enter')).toBe('none');
  });
});

describe('roomFor', () => {
  test('counts characters, not code units', () => {
    expect(roomFor('😀'.repeat(100), 100)).toEqual({ left: 0, near: true, over: false });
    expect(roomFor('😀'.repeat(101), 100)).toMatchObject({ left: -1, over: true });
  });
  test('is silent far from the limit and where there is none', () => {
    expect(roomFor('short', 10_000)).toMatchObject({ near: false, over: false });
    expect(roomFor('anything', 0)).toMatchObject({ near: false, over: false });
  });
});

describe('mentions', () => {
  test('are found at the caret, and an address is none', () => {
    expect(mentionAt('please @to', 10)).toEqual({ start: 7, query: 'to' });
    expect(mentionAt('@', 1)).toEqual({ start: 0, query: '' });
    expect(mentionAt('write me@exam', 13)).toBeNull();
    expect(mentionAt('@to and then much more text', 27)).toBeNull();
    expect(mentionAt('@to\nnext', 8)).toBeNull();
  });

  test('match without accents, by any word of the name, and never somebody disabled', () => {
    const all = [jo, joan, tomas, member('x', 'Toby Gone', { disabled: true })];
    expect(matchMembers(all, 'tomas').map((m) => m.id)).toEqual(['tr']);
    expect(matchMembers(all, 'rey').map((m) => m.id)).toEqual(['tr']);
    expect(matchMembers(all, 'jo').map((m) => m.id)).toEqual(['jo', 'joan']);
    expect(matchMembers(all, 'toby')).toEqual([]);
  });

  test('are put in whole, with one space and the caret behind', () => {
    expect(insertMention('please @to', { start: 7, query: 'to' }, tomas)).toEqual({ text: 'please @Tomás Rey ', caret: 18 });
    expect(insertMention('please @to look', { start: 7, query: 'to' }, tomas)).toEqual({ text: 'please @Tomás Rey look', caret: 18 });
  });

  test('are what the text still says when it is sent', () => {
    const all = [member('j', 'Jo'), jo, joan];
    expect(mentionsIn('@Jo Reed please', all)).toEqual(['jo']);
    expect(mentionsIn('@Jo and @Jo Reed', all).toSorted()).toEqual(['j', 'jo']);
    expect(mentionsIn('@Joan Miró', all)).toEqual(['joan']);
    expect(mentionsIn('nobody@Jo', [])).toEqual([]);
  });
});

test('what was typed while a message was being accepted stays', () => {
  expect(restAfterSend('hello', 'hello')).toBe('');
  expect(restAfterSend('hello and more', 'hello')).toBe('and more');
  expect(restAfterSend('something else', 'hello')).toBe('something else');
});

test('blank is what has nothing to read', () => {
  expect(isBlank(' \n\t')).toBe(true);
  expect(isBlank(' . ')).toBe(false);
});
