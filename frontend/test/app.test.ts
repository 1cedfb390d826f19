import { describe, expect, it } from 'vitest';
import { bindingOf, bindings, printed } from '../src/app/keymap';
import { Layout } from '../src/app/layout.svelte';
import { failureOf } from '../src/backend/backend';
import { backendOver } from '../src/backend/over';
import { compact, fitting, quickLists } from '../src/features/list/quick';
import { standing } from '../src/features/list/standing';
import { defaults, Settings } from '../src/state/settings.svelte';
import { MemoryBackend } from './memory-backend';

const press = (code: string, ...mods: string[]): Parameters<typeof bindingOf>[0] => ({
  code,
  ctrlKey: mods.includes('ctrl'),
  metaKey: mods.includes('meta'),
  shiftKey: mods.includes('shift'),
  altKey: mods.includes('alt'),
});

describe('keys', () => {
  it('go by the physical key, with Cmd on macOS and Ctrl elsewhere', () => {
    expect(bindingOf(press('ArrowDown', 'ctrl', 'shift'), false)?.command).toBe('list.next');
    expect(bindingOf(press('ArrowDown', 'meta', 'shift'), true)?.command).toBe('list.next');
    expect(bindingOf(press('KeyK', 'ctrl'), true)).toBeUndefined();
    expect(bindingOf(press('KeyK', 'ctrl', 'alt'), false)).toBeUndefined();
    expect(bindingOf(press('KeyK'), false)).toBeUndefined();
  });

  it('never clash', () => {
    const chords = bindings.map((b) => printed(b, false));
    expect(new Set(chords).size).toBe(chords.length);
    expect(printed({ code: 'ArrowUp', mod: true, shift: true }, false)).toBe('Ctrl Shift ↑');
    expect(printed({ code: 'KeyK', mod: true }, true)).toBe('⌘ K');
  });
});

describe('Layout', () => {
  const layout = (width: number, values: Partial<typeof defaults> = {}): Layout => {
    const settings = new Settings(new MemoryBackend({ conversations: 1 }));
    settings.values = { ...defaults, ...values };
    const made = new Layout(settings);
    made.viewport = width;
    return made;
  };

  it('leaves room for the chat at the smallest size', () => {
    const small = layout(900, { list_width: 480 });
    expect(small.narrow).toBe(true);
    expect(small.panelOpen).toBe(false);
    expect(900 - 56 - small.list).toBeGreaterThanOrEqual(400);
    const wide = layout(1100, { list_width: 480, panel_width: 420 });
    expect(1100 - 56 - wide.list - wide.panel).toBeGreaterThanOrEqual(360);
  });

  it('opens the card for a look where it does not fit, and remembers it where it does', () => {
    const small = layout(1000);
    small.togglePanel();
    expect(small.panelOpen).toBe(true);
    expect(small.closePeek()).toBe(true);
    expect([small.panelOpen, small.closePeek()]).toEqual([false, false]);
    small.viewport = 1400;
    expect(small.panelOpen).toBe(true);
    small.togglePanel();
    expect(small.panelOpen).toBe(false);
  });

  it('follows the handle while it is dragged and settles', () => {
    const wide = layout(1440);
    wide.drag('list', 400);
    expect(wide.list).toBe(400);
    wide.settle('list', 410);
    expect(wide.list).toBe(410);
  });
});

describe('fitting', () => {
  const widths = [36, 70, 62, 92, 90, 78];
  it('shows all where there is room', () => {
    expect(fitting(widths, 600, 0)).toEqual(quickLists);
  });
  it('shows what fits, and always the chosen one', () => {
    expect(fitting(widths, 312, 0)).toEqual(['all', 'unread', 'mine']);
    expect(fitting(widths, 312, 5)).toContain('resolved');
    expect(fitting(widths, 200, 4)).toContain('unresolved');
  });
});

it('standing names whom a chat is assigned to, where the row itself does not know', async () => {
  const backend = new MemoryBackend({ conversations: 1 });
  const [row] = (await backend.list({ brand: '', quick: 'all', search: '', oldest: false, cursor: '', limit: 1 })).rows;
  if (!row) throw new Error('no row');
  Object.assign(row.conversation, { status: 'open', state: 'escalated', assignee: 'm2' });
  const of = (assignee_name: string): string => standing({ ...row, assignee_name }, (id) => (id === 'm2' ? 'Tomás Rey' : '')).label;
  expect([of('Ana'), of('')]).toEqual(['Assigned to Ana', 'Assigned to Tomás Rey']);
});

it('compact shortens counts and never rounds up', () => {
  expect([0, 999, 1000, 1299, 9999, 18_204].map(compact)).toEqual(['0', '999', '1k', '1.2k', '9.9k', '18k']);
});

describe('the seam', () => {
  it('calls the program by its names, arguments in order', async () => {
    const calls: unknown[] = [];
    const backend = backendOver({
      call: (method, args) => {
        calls.push([method, ...args]);
        return Promise.resolve(null);
      },
      on: () => () => undefined,
      fileUrl: () => '',
    });
    await backend.markRead('c', 57);
    await backend.thread('c', { before: 10, limit: 50 });
    await backend.send('c', { text: 'hi', seen: 57, account: 'a1' });
    await backend.unsent();
    await backend.retry();
    await backend.dismissWarning('server_restored');
    await backend.putMe({ read_mode: 'manual' });
    expect(await backend.getSetting('theme')).toBeUndefined();
    await backend.storage();
    await backend.setStorageLimits({ cache_bytes: 1, files_bytes: 2, days: 3 });
    expect(calls).toEqual([
      ['MarkRead', 'c', 57],
      ['Thread', 'c', { before: 10, limit: 50 }],
      ['Send', 'c', { text: 'hi', seen: 57, account: 'a1' }],
      ['Unsent'],
      ['Retry'],
      ['DismissWarning', 'server_restored'],
      ['PutMe', { read_mode: 'manual' }],
      ['GetSetting', 'theme'],
      ['Storage'],
      ['SetStorageLimits', { cache_bytes: 1, files_bytes: 2, days: 3 }],
    ]);
  });

  it('makes one shape of every failure', () => {
    expect(failureOf({ code: 'closed', message: 'Ended.' })).toEqual({ code: 'closed', message: 'Ended.' });
    expect(failureOf(new Error('boom'))).toEqual({ code: 'internal', message: 'boom' });
    expect(failureOf('no')).toEqual({ code: 'internal', message: 'no' });
    expect(failureOf(undefined).code).toBe('internal');
  });
});
