import { describe, expect, test } from 'vitest';
import { estimateHeight, isLate, mergeMessages, rowsOf, topOf, trimMessages } from '../../src/domain/thread';
import type { Actor, Message, OutboxEntry } from '../../src/domain/types';

const customer: Actor = { kind: 'customer', id: 'c' };
const agent: Actor = { kind: 'member', id: 'me' };
const start = new Date(2026, 2, 2, 9, 0).getTime();

function message(number: number, over: Partial<Message> = {}, minutes = number): Message {
  const at = new Date(start + minutes * 60_000).toISOString();
  return {
    id: `m${number}`, ver: number, conversation: 'x', number, in_number: 0, kind: 'message', author: customer,
    parts: [{ kind: 'text', text: `text ${number}` }], sent_at: at, stored_at: at, ...over,
  };
}
function entry(id: string, over: Partial<OutboxEntry> = {}): OutboxEntry {
  return {
    id: `cmd-${id}`, message: id, conversation: 'x', kind: 'message.send', text: 'hi', comment: false, state: 'queued',
    problem: null, created_at: new Date(start + 60 * 60_000).toISOString(), attempts: 0, ...over,
  };
}
const options = { unreadAfter: null, pending: [], atHead: true, me: 'me' };

describe('rowsOf', () => {
  test('what waits is always shown, below a line where newer messages are missing', () => {
    const pending = [entry('a'), entry('b', { state: 'refused' })];
    const far = rowsOf([message(1)], { ...options, pending, atHead: false });
    expect(far.map((row) => [row.key, row.newer])).toEqual([['m1', false], ['a', true], ['b', false]]);
    expect(rowsOf([], { ...options, pending, atHead: false })).toHaveLength(2);
    expect(rowsOf([message(1)], { ...options, pending }).some((row) => row.newer)).toBe(false);
  });

  test('groups neighbours of one author within five minutes', () => {
    const rows = rowsOf([message(1), message(2), message(3, {}, 9), message(4, { author: agent }, 10)], options);
    expect(rows.map((r) => r.kind === 'message' && [r.first, r.last])).toEqual([
      [true, false], [false, true], [true, true], [true, true],
    ]);
  });

  test('a comment or an event between two messages ends the group', () => {
    const rows = rowsOf([message(1), message(2, { kind: 'comment', author: agent }), message(3)], options);
    expect(rows.map((r) => r.kind)).toEqual(['message', 'note', 'message']);
    expect(rows[2]).toMatchObject({ first: true, last: true });
  });

  test('what is true of one message only keeps its own line', () => {
    const failed = message(1, { author: agent, delivery: { state: 'failed', error: 'no' } });
    const read = message(2, { author: agent, delivery: { state: 'read' } });
    const sent = message(3, { author: agent, delivery: { state: 'sent' } });
    const alike = message(4, { author: agent, delivery: { state: 'sent' } });
    const rows = rowsOf([failed, read, sent, alike], options);
    expect(rows.map((r) => r.kind === 'message' && r.last)).toEqual([true, true, false, true]);
  });

  test('each day is marked once, and a late arrival never turns the days back', () => {
    const late = message(3, { sent_at: new Date(start - 86_400_000).toISOString() }, 24 * 60);
    const rows = rowsOf([message(1), message(2, {}, 24 * 60), late, message(4, {}, 24 * 60 + 1)], options);
    expect(rows.map((r) => r.day !== null)).toEqual([true, true, false, false]);
    expect(isLate(late)).toBe(true);
    expect(isLate(message(1))).toBe(false);
  });

  test('the line of new messages stands before the first unread customer message and counts them', () => {
    const thread = [message(1), message(2, { author: agent }), message(3), message(4, { author: agent }), message(5)];
    const rows = rowsOf(thread, { ...options, unreadAfter: 1 });
    expect(rows.map((r) => r.unread)).toEqual([0, 0, 2, 0, 0]);
    expect(rowsOf(thread, { ...options, unreadAfter: 5 }).some((r) => r.unread > 0)).toBe(false);
  });

  test('a gap in the numbers is a hole, whatever the times say', () => {
    const rows = rowsOf([message(1), message(2), message(7)], options);
    expect(rows.map((r) => r.hole)).toEqual([false, false, true]);
  });

  test('an entry that the server has confirmed is shown once, as the confirmed row', () => {
    const rows = rowsOf([message(1), message(2, { author: agent })], { ...options, pending: [entry('m2'), entry('new')] });
    expect(rows.map((r) => [r.kind, r.key])).toEqual([['message', 'm1'], ['message', 'm2'], ['pending', 'new']]);
  });

  test('a refused entry stands alone; a queued one joins what this member just said', () => {
    const own = message(1, { author: agent, delivery: { state: 'queued' } }, 59);
    const rows = rowsOf([own], { ...options, pending: [entry('a'), entry('b', { state: 'refused' })] });
    expect(rows.map((r) => 'first' in r && [r.first, r.last])).toEqual([[true, false], [false, true], [true, true]]);
  });

  test('keys are stable when older messages come above', () => {
    const newer = [message(5), message(6)];
    const before = rowsOf(newer, options).map((r) => r.key);
    const after = rowsOf([message(3), message(4), ...newer], options).map((r) => r.key);
    expect(after.slice(-2)).toEqual(before);
  });
});

describe('mergeMessages', () => {
  test('arrives in any order, any number of times, and ends the same', () => {
    const all = [1, 2, 3, 4].map((n) => message(n));
    const merged = mergeMessages(mergeMessages([], [all[3], all[1]] as Message[]), [all[2], all[0], all[1]] as Message[]);
    expect(merged.map((m) => m.number)).toEqual([1, 2, 3, 4]);
    expect(mergeMessages(merged, all)).toBe(merged);
  });

  test('only a higher version replaces a message', () => {
    const have = [message(1, { ver: 5 })];
    const stale = { ...message(1), ver: 4, parts: [] };
    const edited = { ...message(1), ver: 6, edited_at: 'now' };
    expect(mergeMessages(have, [stale])).toBe(have);
    expect(mergeMessages(have, [edited])[0]?.edited_at).toBe('now');
  });
});

test('trimMessages lets go of the end the reader is not at', () => {
  const all = Array.from({ length: 10 }, (_, i) => message(i + 1));
  expect(trimMessages(all, 'older', 4).map((m) => m.number)).toEqual([1, 2, 3, 4]);
  expect(trimMessages(all, 'newer', 4).map((m) => m.number)).toEqual([7, 8, 9, 10]);
  expect(trimMessages(all, 'newer', 10)).toBe(all);
});

test('topOf tells the beginning from what is loading and from what cannot be loaded', () => {
  expect(topOf([message(1)], false, true)).toBe('begin');
  expect(topOf([message(9)], true, false)).toBe('begin');
  expect(topOf([message(9)], false, false)).toBe('loading');
  expect(topOf([message(9)], false, true)).toBe('offline');
});

test('estimateHeight grows with the text and with what stands above the row', () => {
  const [short] = rowsOf([message(1)], options);
  const [long] = rowsOf([message(1, { parts: [{ kind: 'text', text: 'word '.repeat(200) }] })], options);
  if (!short || !long) throw new Error('no rows');
  expect(estimateHeight(long)).toBeGreaterThan(estimateHeight(short) + 100);
  expect(estimateHeight(short)).toBeGreaterThan(estimateHeight({ ...short, day: null }));
});
