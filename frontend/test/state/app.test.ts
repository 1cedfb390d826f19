import { describe, expect, it, vi } from 'vitest';
import { t } from '../../src/domain/messages';
import { App, latest } from '../../src/state/app.svelte';
import { firstLoad, freshness, offlineSentence } from '../../src/state/connection';
import { Commands } from '../../src/state/commands';
import { defaults, Settings } from '../../src/state/settings.svelte';
import { Toasts } from '../../src/state/toasts.svelte';
import { MemoryBackend } from '../memory-backend';

const now = new Date(2026, 2, 4, 12).getTime();

describe('App', () => {
  it('reads the state, follows events, and knows everybody by id', async () => {
    const backend = new MemoryBackend({ conversations: 20, now });
    const app = new App(backend);
    await app.start();
    expect(app.me?.name).toBe('Jo Reed');
    expect(app.member(backend.world.state.members[1]?.id)?.name).toBe('Tomás Rey');
    expect(app.member(null)).toBeUndefined();
    backend.world.state.connection = { ...backend.world.state.connection, status: 'offline' };
    backend.emit('state', {});
    await app.refresh();
    expect(app.state?.connection.status).toBe('offline');
    app.stop();
    const calls = backend.calls.length;
    backend.emit('state', {});
    expect(backend.calls).toHaveLength(calls);
  });

  it('starts from what is known without asking for it', async () => {
    const backend = new MemoryBackend({ conversations: 5, now });
    const opening = await backend.opening(60);
    backend.calls.length = 0;
    const app = new App(backend);
    await app.start(opening);
    expect(app.me?.name).toBe('Jo Reed');
    expect(app.counts).toEqual(opening.counts);
    expect(backend.calls).toEqual([]);
    const lacking = new App(backend);
    await lacking.start({ ...opening, counts: null });
    expect(backend.calls.map(([name]) => name)).toEqual(['counts']);
    expect(lacking.counts).toEqual(opening.counts);
  });

  it('tells why there is no state, and keeps the old one when a later read fails', async () => {
    const backend = new MemoryBackend({ conversations: 5, now });
    backend.broken = { code: 'unavailable', message: 'No answer.' };
    const app = new App(backend);
    await app.start();
    expect(app.failure).toEqual({ code: 'unavailable', message: 'No answer.' });
    backend.broken = null;
    await app.refresh();
    expect(app.failure).toBeNull();
    backend.broken = { code: 'unavailable', message: 'No answer.' };
    await app.refresh();
    expect(app.state?.me?.name).toBe('Jo Reed');
    expect(app.failure).toBeNull();
  });

  it('forgets what was selected when the account changes', async () => {
    const backend = new MemoryBackend({ conversations: 5, now });
    const app = new App(backend);
    await app.start();
    app.select('some-chat');
    app.scope('some-brand');
    await backend.switchAccount('a2');
    await app.refresh();
    expect([app.selected, app.brand]).toEqual(['', '']);
  });

  it('knows how the member answers from the member, on every device alike', async () => {
    const backend = new MemoryBackend({ conversations: 5, now });
    const app = new App(backend);
    await app.start();
    expect([app.readMode, app.sendKey]).toEqual(['on_reply', 'enter']);
    await backend.putMe({ read_mode: 'manual', send_key: 'ctrl_enter' });
    await app.refresh();
    expect([app.readMode, app.sendKey]).toEqual(['manual', 'ctrl_enter']);
    expect(backend.settings.size).toBe(0);
  });

  it('reads again what was told while the opening was on its way', async () => {
    const backend = new MemoryBackend({ conversations: 5, now });
    const app = new App(backend);
    app.listen();
    const opening = await backend.opening(60);
    backend.world.state.connection = { ...backend.world.state.connection, status: 'offline' };
    backend.emit('state', {});
    await app.start(opening);
    await app.refresh();
    expect(app.state?.connection.status).toBe('offline');
  });

  it('shows all brands when the one in front is out of reach', async () => {
    const backend = new MemoryBackend({ conversations: 60, now });
    const app = new App(backend);
    const scoped: string[] = [];
    app.admit({ leave: () => Promise.resolve(), enter: () => undefined, scoped: (brand) => scoped.push(brand) });
    await app.start();
    const [kept, lost] = backend.world.state.brands;
    app.scope(lost?.id ?? '');
    backend.world.state.brands = kept ? [kept] : [];
    backend.world.state.loaded = false;
    await app.refresh();
    expect(app.brand).toBe(lost?.id); // not all brands may be here yet
    backend.world.state.loaded = true;
    await app.refresh();
    expect([app.brand, scoped]).toEqual(['', [lost?.id, '']]);
    await app.refreshCounts();
    expect(app.counts).toEqual(await backend.counts(''));
  });

  it('counts unread chats, not messages', async () => {
    const backend = new MemoryBackend({ conversations: 60, now });
    const counts = await backend.counts('');
    const chats = Object.values(counts.brands).reduce((sum, n) => sum + n, 0);
    expect(chats).toBe(counts.quick.unread);
    expect(t('rail.unread', { n: 331 })).toBe('331 unread chats');
  });

  it('counts within the brand', async () => {
    const backend = new MemoryBackend({ conversations: 60, now });
    const app = new App(backend);
    await app.start();
    const all = app.counts?.quick.all ?? 0;
    app.scope(backend.world.state.brands[1]?.id ?? '');
    await app.refreshCounts();
    expect(app.counts?.quick.all).toBeLessThan(all);
  });
});

it('latest never overlaps itself and ends with the newest answer', async () => {
  const open: ((value: number) => void)[] = [];
  const got: number[] = [];
  const read = latest(
    () => new Promise<number>((resolve) => open.push(resolve)),
    (value) => got.push(value),
    () => undefined,
  );
  const first = read();
  void read();
  void read();
  expect(open).toHaveLength(1);
  open[0]?.(1);
  await Promise.resolve();
  await Promise.resolve();
  await Promise.resolve();
  expect(open).toHaveLength(2);
  open[1]?.(2);
  await first;
  expect(got).toEqual([1, 2]);
});

it.each([0, 1, 2, 3, 4, 5, 6])('latest reads again for who asks %i moments after an answer', async (moments) => {
  const open: ((value: number) => void)[] = [];
  const read = latest(
    () => new Promise<number>((resolve) => open.push(resolve)),
    () => undefined,
    () => undefined,
  );
  void read();
  open[0]?.(1);
  for (let i = 0; i < moments; i++) await Promise.resolve();
  void read();
  for (let i = 0; i < 10; i++) await Promise.resolve();
  expect(open).toHaveLength(2);
});

describe('freshness', () => {
  const backend = new MemoryBackend({ conversations: 3, now });
  const { state } = backend.world;
  const since = new Date(2026, 2, 4, 11, 1).toISOString();
  const of = (over: Partial<typeof state.connection>, conversations = 18_204): ReturnType<typeof freshness> =>
    freshness({ connection: { ...state.connection, since, ...over }, cached: { conversations, readable: conversations }, loaded: true }, now);
  const part = { cached: { conversations: 1747, readable: 1650 }, loaded: true };

  it('says what is and since when', () => {
    expect(of({ status: 'live' }).text).toBe('Up to date · 18,204 chats readable offline');
    expect(of({ status: 'live' }, 1).text).toBe('Up to date · 1 chat readable offline');
    expect(of({ status: 'catching_up', progress: { done: 1200, total: 3400 } }).text).toBe('Syncing 1,200 of 3,400');
    expect(of({ status: 'offline' })).toMatchObject({ tone: 'warn', text: 'Offline since 11:01 · everything is readable' });
    expect(of({ status: 'offline', since: null }).text).toBe('Offline · everything is readable');
    expect(of({ status: 'error', problem: 'The disk is full.' })).toMatchObject({ tone: 'danger', text: 'The disk is full.' });
    expect(offlineSentence({ ...state, connection: { ...state.connection, since } }, now)).toMatch(/since 11:01\. Everything is readable/u);
  });

  it('says up to when it is complete once that is proven', () => {
    const checked = { status: 'live' as const, checked_at: new Date(2026, 2, 4, 12, 1, 7).toISOString() };
    expect(of(checked).text).not.toContain('complete');
    expect(of({ ...checked, proven: true })).toMatchObject({ tone: 'ok', text: 'Up to date · complete to 12:01:07 · 18,204 chats readable offline' });
    expect(of({ ...checked, proven: true }, 0).text).toBe('Up to date · complete to 12:01:07');
    expect(freshness({ connection: { ...state.connection, ...checked, proven: true }, ...part }, now).text).toBe(
      'Up to date · complete to 12:01:07 · 1,747 chats, 1,650 readable offline',
    );
    expect(of({ ...checked, proven: true, status: 'offline' }).text).toBe('Offline since 11:01 · everything is readable');
  });

  it('counts only chats that can be read', () => {
    const connection = { ...state.connection, status: 'offline' as const, since };
    expect(freshness({ connection: state.connection, ...part }, now).text).toBe('Up to date · 1,747 chats, 1,650 readable offline');
    expect(freshness({ connection, ...part }, now).text).toBe('Offline since 11:01 · 1,747 chats, 1,650 readable');
    expect(offlineSentence({ connection, ...part }, now)).toContain('1,747 chats, 1,650 readable');
    const cut = { connection, cached: { conversations: 0, readable: 0 }, loaded: false };
    expect(freshness(cut, now).text).toBe('Offline since 11:01 · not loaded yet');
    expect(freshness({ ...cut, cached: { conversations: 90, readable: 12 } }, now).text).toContain('not loaded completely, 12 chats');
    for (const words of [freshness({ connection, ...part }, now).text, freshness(cut, now).text, offlineSentence({ connection, ...part }, now), offlineSentence(cut, now)]) {
      expect(words).not.toMatch(/everything/iu);
    }
  });

  it.each([
    ['catching_up', 'running'],
    ['connecting', 'running'],
    ['live', 'running'],
    ['offline', 'cut_off'],
    ['signed_out', 'cut_off'],
    ['error', 'cut_off'],
  ] as const)('tells how far the first load is: %s, %s', (status, expected) => {
    const connection = { ...state.connection, status };
    expect(firstLoad({ connection, loaded: false })).toBe(expected);
    expect(firstLoad({ connection, loaded: true })).toBe('done');
  });
});

describe('Settings', () => {
  it('starts from what was chosen and ignores values of another type', async () => {
    const backend = new MemoryBackend({ conversations: 1, now });
    backend.settings.set('theme', 'dark').set('list_width', 'wide').set('oldest_first', true);
    const settings = new Settings(backend);
    settings.take((await backend.opening(60)).settings);
    expect(settings.values).toEqual({ ...defaults, theme: 'dark', oldest_first: true });
  });

  it('writes a change once and keeps it when storing fails', async () => {
    const backend = new MemoryBackend({ conversations: 1, now });
    const settings = new Settings(backend);
    settings.set('theme', 'dark');
    settings.set('theme', 'dark');
    expect(backend.calls).toEqual([['putSetting', 'theme', 'dark']]);
    backend.broken = { code: 'unavailable', message: 'The folder is read-only.' };
    settings.set('list_width', 300);
    await Promise.resolve();
    expect(settings.values.list_width).toBe(300);
  });
});

it('Commands: the latest handler wins until it goes', () => {
  const commands = new Commands();
  const done: string[] = [];
  expect(commands.run('help.toggle')).toBe(false);
  commands.on('help.toggle', () => done.push('first'));
  const off = commands.on('help.toggle', () => done.push('second'));
  commands.run('help.toggle');
  off();
  expect(commands.run('help.toggle')).toBe(true);
  expect(done).toEqual(['second', 'first']);
});

it('Toasts: what tells of a loss stays until it is dismissed, however much follows', () => {
  vi.useFakeTimers();
  const toasts = new Toasts();
  const loss = toasts.show('Ana could not be assigned.', { tone: 'danger', ms: 0 });
  for (const text of ['1', '2', '3', '4', '5']) toasts.show(text);
  expect(toasts.items.map((toast) => toast.text)).toEqual(['Ana could not be assigned.', '2', '3', '4', '5']);
  vi.advanceTimersByTime(60_000);
  expect(toasts.items.map((toast) => toast.id)).toEqual([loss]);
  toasts.dismiss(loss);
  expect(toasts.items).toEqual([]);
  vi.useRealTimers();
});

it('Toasts: the same sentence is one notice', () => {
  const toasts = new Toasts();
  toasts.show('Saved.', { ms: 0 });
  const id = toasts.show('Saved.', { ms: 0 });
  expect(toasts.items).toHaveLength(1);
  toasts.dismiss(id);
  expect(toasts.items).toHaveLength(0);
});
