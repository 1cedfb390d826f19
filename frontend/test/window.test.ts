/** The window over an inbox in memory, in a real browser: what only a page can show. */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { chromium, type Browser, type Locator, type Page } from 'playwright-core';
import { build, preview, type PreviewServer } from 'vite';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { t } from '../src/domain/messages';
import type { MemoryBackend } from './memory-backend';

declare global {
  var backend: MemoryBackend;
}

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 });

let folder: string;
let server: PreviewServer;
let browser: Browser;
let page: Page;
/** What nobody has caught in the page. */
let errors: string[];

function installed(): string {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const paths = ['chromium', 'chromium-browser', 'google-chrome'].flatMap((name) => folders.map((at) => join(at, name)));
  const found = paths.find((path) => existsSync(path));
  if (!found) throw new Error('no Chromium here: run `make test`, which installs it');
  return found;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parley-window-'));
  // As it is shipped, parts loaded later included; only the backend is another one.
  const mode = 'production';
  await build({ mode, logLevel: 'error', build: { outDir: folder, rolldownOptions: { input: 'test/dev.html' } } });
  await build({ configFile: 'vite.prerender.config.ts', logLevel: 'error', build: { outDir: folder } });
  server = await preview({ mode, logLevel: 'error', build: { outDir: folder }, preview: { port: 0, host: '127.0.0.1' } });
  const root = process.getuid?.() === 0; // Chromium's sandbox refuses to run as root
  browser = await chromium.launch({ executablePath: installed(), args: root ? ['--no-sandbox'] : [] });
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await page.close();
  expect(errors).toEqual([]);
});

/** Opens the window. `before` runs in the page and may change the backend first; parts that are `missing` do not come. */
async function open(before: (backend: MemoryBackend) => void = () => undefined, missing: string[] = [], now?: number): Promise<void> {
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  if (now !== undefined) await page.clock.setFixedTime(now);
  page.setDefaultTimeout(10_000);
  errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  for (const part of missing) await page.route(`**/${part}-*.js`, (route) => route.abort());
  await page.addInitScript(`Object.defineProperty(globalThis, 'backend', {
    configurable: true,
    set(backend) {
      (${before.toString()})(backend);
      Object.defineProperty(globalThis, 'backend', { value: backend });
    },
  })`);
  await page.goto(address());
}

const address = (): string => `${server.resolvedUrls?.local[0]}test/dev.html?n=200`;

const button = (name: string): Locator => page.getByRole('button', { name, exact: true });
const rows = (): Locator => page.getByRole('option');
const alert = (text: string): Locator => page.getByRole('alert').filter({ hasText: text });
/** Waits until the window has asked for a list like this one. */
const askedFor = (search: string): Promise<unknown> =>
  page.waitForFunction(
    (search) => backend.calls.some(([name, query]) => name === 'list' && (query as { search: string }).search === search),
    search,
  );

test('a search of two words can be typed, at any speed, and is cleared from the empty list', async () => {
  await open();
  const field = page.getByRole('textbox', { name: t('search.label') });
  await field.pressSequentially('ben ');
  await askedFor('ben');
  await field.pressSequentially('okafor ');
  await button(t('quick.all')).click(); // another question, of the same words
  expect(await field.inputValue()).toBe('ben okafor ');
  await field.fill('nobody at all');
  await button(t('empty.clear')).click();
  expect(await field.inputValue()).toBe('');
});

test('what narrows a search is named, and what is found is marked and opened where it was said', async () => {
  await open();
  await rows().first().waitFor();
  const id = await page.evaluate(() => {
    const found = [...backend.world.conversations.values()].toSorted((a, b) => b.last_number - a.last_number)[0];
    const said = backend.world.messages.get(found?.id ?? '')?.[2];
    if (said?.parts?.[0]) said.parts[0] = { kind: 'text', text: 'a zanzibar <b>mug</b>, please' };
    return said?.id ?? '';
  });
  const field = page.getByRole('textbox', { name: t('search.label') });
  await field.focus();
  await button('from: ' + t('search.from')).click();
  expect(await field.inputValue()).toBe('from:');
  await field.fill('zanzibar <b>');
  await page.locator('mark').filter({ hasText: 'zanzibar <b>' }).waitFor(); // text is text
  expect(await rows().count()).toBe(1);
  await page.getByRole('radio', { name: t('search.by_fit') }).click();
  await page.waitForFunction(() => backend.calls.some(([name, query]) => name === 'list' && (query as { best: boolean }).best));
  await field.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  const row = page.locator(`[data-key="${id}"]`).last();
  await row.waitFor();
  await page.waitForFunction((id) => {
    const row = [...document.querySelectorAll(`[data-key="${id}"]`)].at(-1)?.getBoundingClientRect();
    return row !== undefined && row.top >= 0 && row.bottom <= innerHeight;
  }, id);
});

test('typing does not scroll the thread away from its end', async () => {
  await open();
  await rows().first().click();
  const field = page.getByRole('main').getByRole('textbox');
  const distance = () =>
    page.locator('main [role="log"]').evaluate((log) => ({
      long: log.scrollHeight > log.clientHeight + 100,
      end: Math.abs(log.scrollHeight - log.clientHeight - log.scrollTop) <= 1,
    }));
  await expect.poll(distance).toEqual({ long: true, end: true });
  await field.pressSequentially('Good morning');
  expect(await distance()).toEqual({ long: true, end: true });
  await field.press('Shift+Enter');
  await field.pressSequentially('and good night');
  await expect.poll(distance).toEqual({ long: true, end: true });
});

test('a refusal stays on the screen until it is dismissed by the keyboard, and a loss until it was seen', async () => {
  await open((backend) => {
    backend.world.state.warnings = [{ code: 'server_restored', message: '12 messages that others wrote are gone.' }];
  });
  await rows().first().waitFor();
  await page.clock.install();
  await page.evaluate(() => backend.emit('problem', { code: 'conflict', message: 'This chat is resolved already.', conversation: '' }));
  await alert('This chat is resolved already.').waitFor();
  await page.clock.fastForward(600_000);
  await page.locator('.toast').getByRole('button', { name: t('toast.dismiss') }).press('Enter');
  await alert('This chat is resolved already.').waitFor({ state: 'detached' });

  const lost = page.getByRole('status').filter({ hasText: '12 messages that others wrote are gone.' });
  await lost.getByRole('button', { name: t('warning.dismiss') }).press('Enter');
  await lost.waitFor({ state: 'detached' });
  expect(await page.evaluate(() => backend.world.state.warnings)).toEqual([]);
});

test('how much of the disk is used is shown, and size and age can be limited by keyboard', async () => {
  await open();
  await rows().first().waitFor();
  await page.keyboard.press('Control+,');
  const dialog = page.getByRole('dialog', { name: t('settings.title') });
  await dialog.getByText(t('settings.storage_cache_note', { size: '700 MB' })).waitFor();
  await dialog.getByText(t('settings.storage_files_note', { size: '50 MB' })).waitFor();
  const choose = async (label: string, value: string, keys: string[]): Promise<void> => {
    const select = dialog.locator(`[aria-label^="${label}: "]`);
    await select.focus();
    await page.keyboard.press('Enter');
    for (const key of keys) await page.keyboard.press(key);
    await page.keyboard.press('Enter');
    await select.filter({ hasText: value }).waitFor();
  };
  await choose(t('settings.storage_cache'), '500 MB', ['Home', 'ArrowDown']);
  await choose(t('settings.storage_files'), t('settings.storage_unlimited'), ['End']);
  await choose(t('settings.storage_days'), t('settings.storage_for_days', { days: 90 }), ['Home', 'ArrowDown']);
  const MB = 1024 * 1024;
  expect(await page.evaluate(() => backend.limits)).toEqual({ cache_bytes: 500 * MB, files_bytes: 0, days: 90 });
  await choose(t('settings.storage_days'), t('settings.storage_for_ever'), ['End']);
  expect(await page.evaluate(() => backend.limits.days)).toBe(0);
});

test('a list that cannot be read says so above the rows from before, and is read again', async () => {
  await open();
  await rows().first().waitFor();
  await page.evaluate(() => {
    backend.broken = { code: 'unavailable', message: 'No answer.' };
  });
  await page.getByRole('textbox', { name: t('search.label') }).fill('zzzz');
  const bar = alert(t('list.before', { problem: 'No answer.' }));
  await bar.waitFor();
  expect(await rows().count()).toBeGreaterThan(0);
  await page.evaluate(() => {
    backend.broken = null;
  });
  await bar.getByRole('button', { name: t('list.retry') }).click();
  await page.getByText(t('empty.search')).waitFor();
  expect(await bar.count()).toBe(0);
});

test('the list follows the chat that was opened, and its keys go on from there', async () => {
  await open();
  await rows().nth(6).waitFor();
  // Before the list has had the time to follow, as on a machine that is slow.
  const [first, next] = await page.evaluate(() => {
    const [, opened, below] = [...document.querySelectorAll<HTMLElement>('[role="option"]')];
    opened?.click();
    const list = document.querySelector('[role="listbox"]');
    list?.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true, cancelable: true }));
    return [opened?.id ?? '', below?.id ?? ''];
  });
  await page.locator(`[role="listbox"][aria-activedescendant="${next}"]`).waitFor();
  await page.locator(`[id="${first}"][aria-selected="true"]`).waitFor();
  await page.getByRole('listbox').press('Enter');
  await page.locator(`[id="${next}"][aria-selected="true"]`).waitFor();

  const label = await rows().nth(14).locator('.name').textContent();
  for (let i = 0; i < 12; i++) await page.keyboard.press('Control+Shift+ArrowDown');
  await page.getByRole('heading', { name: label ?? '', exact: true }).waitFor();
  const selected = page.locator('[role="option"][aria-selected="true"]');
  await selected.filter({ hasText: label ?? '' }).waitFor();
  await page.waitForFunction(() => {
    const row = document.querySelector('[role="option"][aria-selected="true"]')?.getBoundingClientRect();
    const list = document.querySelector('[role="listbox"]')?.getBoundingClientRect();
    return row !== undefined && list !== undefined && row.top >= list.top - 1 && row.bottom <= list.bottom + 1;
  });
});

test('what is told between the opening and the first picture is not lost', async () => {
  await open((backend) => {
    const { opening } = backend;
    backend.opening = async (rows) => {
      const answer = await opening(rows);
      backend.customerSays([...backend.world.conversations.keys()][40] ?? '', 'Is anybody there?');
      return answer;
    };
  });
  await rows().first().filter({ hasText: 'Is anybody there?' }).waitFor();
});

test('a brand that is out of reach leaves all brands, with their chats', async () => {
  await open((backend) => {
    backend.settings.set('brand', 'gone');
  });
  const all = page.getByRole('navigation').locator('[aria-current="page"]', { hasText: t('rail.all') });
  await all.waitFor();
  await rows().first().waitFor();
  expect(await page.evaluate(() => backend.settings.get('brand'))).toBe('');

  const lost = await page.evaluate(() => backend.world.state.brands.at(-1)?.name ?? '');
  await page.getByRole('navigation').getByTitle(lost, { exact: true }).click();
  await page.getByRole('heading', { name: lost }).waitFor();
  await page.evaluate(() => {
    const { state, conversations } = backend.world;
    const lost = state.brands.at(-1)?.id;
    state.brands = state.brands.slice(0, -1);
    for (const chat of conversations.values()) if (chat.brand === lost) conversations.delete(chat.id);
    backend.emit('state', {});
    backend.emit('list', { conversations: null });
  });
  await all.waitFor();
  await rows().first().waitFor();
  expect(await page.evaluate(() => backend.settings.get('brand'))).toBe('');
});

test('an account that cannot be opened leaves the way to the others, and to a server', async () => {
  await open((backend) => {
    const { state } = backend.world;
    const { connection } = state;
    state.account = null;
    state.connection = { ...connection, status: 'error', problem: 'The cache is damaged.' };
    const { switchAccount, list } = backend;
    backend.list = (query) => (state.account === null ? Promise.reject({ code: 'unavailable', message: 'No account.' }) : list(query));
    backend.switchAccount = (id) => {
      state.connection = connection;
      return switchAccount(id);
    };
  });
  await alert('The cache is damaged.').waitFor();
  await button(t('problem.sign_in')).click();
  await page.getByRole('dialog').getByLabel(t('signin.server')).waitFor();
  await page.keyboard.press('Escape');
  await button(t('signin.open', { workspace: 'Example Group' })).click();
  await rows().first().waitFor();
});

test('the account menu says beside each account what waits in it', async () => {
  await open((backend) => {
    for (const account of backend.world.state.accounts) if (!account.active) account.outbox = { queued: 2, refused: 1, failed: 1, unconfirmed: 0 };
  });
  await rows().first().waitFor();
  await page.getByRole('button', { name: t('rail.account') }).click();
  const beside = (workspace: string): Locator => page.getByRole('menuitemradio').filter({ hasText: workspace });
  await beside('Example Group').getByText(`${t('account.queued', { n: 2 })}, ${t('account.refused', { n: 2 })}`).waitFor();
  expect(await beside('Northwind').getByText(t('account.queued', { n: 0 })).count()).toBe(0);
});

test('a damaged file is set aside after it was said what is lost', async () => {
  await open((backend) => {
    const { state } = backend.world;
    state.account = null;
    state.connection = { ...state.connection, status: 'error', problem: 'The file is damaged.', remedy: 'set_aside' };
    const { list } = backend;
    backend.list = (query) => (state.account === null ? Promise.reject({ code: 'unavailable', message: 'No account.' }) : list(query));
  });
  await button(t('problem.set_aside')).press('Enter');
  const sure = page.getByRole('group', { name: t('problem.set_aside_title') });
  await sure.getByText(t('problem.set_aside_text')).waitFor();
  expect(await page.evaluate(() => backend.calls.some(([name]) => name === 'setAside'))).toBe(false);
  await sure.getByRole('button', { name: t('problem.set_aside') }).click();
  await rows().first().waitFor();
});

test('a part that did not come says so, and comes when it is asked for again', async () => {
  await open(() => undefined, ['chat-parts', 'dialogs-parts']);
  await rows().first().click();
  const failed = page.getByRole('main').getByRole('alert');
  await failed.filter({ hasText: t('part.failed') }).waitFor();
  await button(t('rail.settings')).click();
  await page.getByRole('region', { name: t('toast.label') }).getByText(t('dialog.failed')).waitFor();
  await page.unrouteAll();
  await failed.getByRole('button', { name: t('problem.retry') }).click();
  // Where the browser does not ask twice, this is a new page.
  await expect.poll(() => failed.count()).toBe(0);
  await rows().first().click();
  await page.getByRole('log').waitFor();
  await button(t('rail.settings')).click();
  await page.getByRole('dialog').waitFor();
});

test('no key of the window works behind an enlarged picture', async () => {
  await open((backend) => {
    const pixel = 'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7';
    backend.fileUrl = () => pixel;
    const [first = ''] = backend.world.conversations.keys();
    const last = backend.world.messages.get(first)?.at(-1);
    Object.assign(last ?? {}, { kind: 'message', parts: [{ kind: 'image', sha256: 'b', name: 'parcel.png', width: 80, height: 50 }] });
  });
  await rows().first().click();
  await page.getByRole('button', { name: t('thread.enlarge', { name: t('thread.image_named', { name: 'parcel.png' }) }) }).click();
  const picture = page.getByRole('dialog');
  await picture.waitFor();
  await page.keyboard.press('Control+Shift+E');
  await picture.getByRole('img').click(); // may leave the focus on the page
  await page.keyboard.press('Control+Shift+E');
  const resolved = (): Promise<number> => page.evaluate(() => backend.calls.filter(([name]) => name === 'resolve').length);
  expect(await resolved()).toBe(0);
  await page.keyboard.press('Escape');
  await picture.waitFor({ state: 'detached' });
  await page.keyboard.press('Control+Shift+E');
  await expect.poll(resolved).toBe(1);
});

test('the picture that the program draws becomes the window, element by element', async () => {
  const now = Date.now(); // a minute that passes in between would show in the rows
  await open(undefined, [], now);
  const opening = await page.evaluate(async () => JSON.stringify(await backend.opening(60)));
  await page.close();

  // As in the program: a script without a page, and without Intl.
  const program = createContext({}) as { prerender(...args: unknown[]): void; prerendered(): string };
  runInContext(`delete globalThis.Intl; Date.now = () => ${now}`, program);
  runInContext(await readFile(join(folder, 'prerender.js'), 'utf8'), program);
  program.prerender(opening, { innerWidth: 1280, innerHeight: 800, navigator: { platform: 'Linux x86_64' } });
  await new Promise((done) => setImmediate(done));
  const { body } = JSON.parse(program.prerendered()) as { body: string };

  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.clock.setFixedTime(now);
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.route('**/dev.html*', async (route) => {
    const html = await (await route.fetch()).text();
    const keep = '<script>globalThis.drawn = [...document.querySelectorAll("#app *")]; drawn.text = drawn.map((e) => e.outerHTML)</script>';
    await route.fulfill({ contentType: 'text/html', body: html.replace('<div id="app"></div>', () => `<div id="app" inert>${body}</div>${keep}`) });
  });
  await page.goto(address());
  await rows().nth(12).waitFor(); // rows beyond the view are drawn when the window runs
  const kept = await page.evaluate(() => {
    const { drawn } = globalThis as unknown as { drawn: Element[] & { text: string[] } };
    return {
      rows: drawn.filter((e) => e.matches('[role="option"]')).length,
      // The button of a menu is exchanged once the menu can be built.
      gone: drawn.text.filter((_, i) => !drawn[i]?.isConnected && !drawn[i]?.closest('[aria-haspopup]')),
      changed: drawn.text.filter((text, i) => drawn[i]?.matches('[role="option"], [role="option"] *, nav *') && drawn[i].outerHTML !== text),
    };
  });
  expect(kept).toEqual({ rows: 10, gone: [], changed: [] });
  expect(said).toEqual([]);
});

test('a message can be taken back by click and by key, and a scheduled one stands in the thread', async () => {
  await open((backend) => {
    const { state } = backend.world;
    if (state.me) state.me = { ...state.me, settings: { ...state.me.settings, undo_seconds: 30 } };
  });
  await rows().first().click();
  const field = page.getByRole('textbox', { name: t('composer.reply') });
  const undo = page.getByRole('button', { name: t('thread.undo_send'), exact: true });
  for (const take of [() => undo.click(), () => page.keyboard.press('Control+Shift+Backspace')]) {
    await field.fill('too fast');
    await field.press('Enter');
    await undo.waitFor();
    expect(await field.inputValue()).toBe('');
    await page.getByText(/Goes out in (30|29|28|27) s$/u).waitFor();
    await take();
    await expect.poll(() => field.inputValue()).toBe('too fast');
    await undo.waitFor({ state: 'detached' });
  }
  await page.getByRole('button', { name: t('composer.later') }).click();
  await page.getByRole('menuitem', { name: t('later.choose') }).click();
  const dialog = page.getByRole('dialog', { name: t('later.title') });
  const moment = dialog.getByLabel(t('later.field'));
  await moment.fill('2001-01-01T09:00');
  await moment.press('Enter');
  await dialog.getByText(t('later.past')).waitFor();
  const next = new Date().getFullYear() + 1;
  await moment.fill(`${next}-01-01T09:00`);
  await moment.press('Enter');
  await dialog.waitFor({ state: 'detached' });
  const scheduled = page.getByRole('region', { name: t('thread.scheduled_label') });
  await scheduled.getByText('too fast').waitFor();
  await scheduled.getByText(/09:00$/u).waitFor();
  expect(await field.inputValue()).toBe('');
  await scheduled.getByRole('button', { name: t('thread.edit') }).click();
  await expect.poll(() => field.inputValue()).toBe('too fast');
  expect(await scheduled.count()).toBe(0);
});

test('what did not go out is counted, listed with its reason, and sent with one click', async () => {
  await open((backend) => {
    const [id = ''] = backend.world.conversations.keys();
    const entry = { conversation: id, kind: 'message.send', comment: false, created_at: new Date().toISOString(), attempts: 0 };
    const colleague = { kind: 'member', id: backend.world.state.members[1]?.id ?? '' } as const;
    backend.pending.set(id, [
      { ...entry, id: 'r1', message: 'm1', text: 'crossed', state: 'refused', problem: { code: 'resolved', by: colleague, at: new Date().toISOString() } },
    ]);
    backend.orphans = [
      { ...entry, id: 'undelivered:m2', message: 'm2', text: 'lost', state: 'undelivered', problem: { code: 'undelivered', detail: 'No such number.' }, label: 'Lucía', reachable: true, unconfirmed: false },
    ];
  });
  await page.getByRole('status').filter({ hasText: t('sync.refused', { n: 2 }) }).waitFor();
  await page.getByRole('button', { name: t('sync.refused', { n: 2 }) }).click();
  const list = page.getByRole('list', { name: t('unsent.title') });
  await list.getByText(t('unsent.undelivered_because', { cause: 'No such number.' })).waitFor();
  await list.getByText(/resolved this chat at/u).waitFor();
  await list.getByRole('button', { name: t('thread.send_anyway') }).click();
  await list.getByRole('button', { name: t('thread.try_again') }).click();
  await page.getByText(t('unsent.none')).waitFor();
  const sent = await page.evaluate(() => backend.calls.filter(([name]) => name === 'resend').map((call) => call[1]));
  expect(sent).toEqual(['r1', 'undelivered:m2']);
});

test('what waits for long is listed apart from what was refused, and tried again with one click', async () => {
  await open((backend) => {
    const [id = ''] = backend.world.conversations.keys();
    const entry = { conversation: id, kind: 'message.send', comment: false, created_at: new Date().toISOString(), attempts: 3, problem: null };
    backend.pending.set(id, [{ ...entry, id: 'q1', message: 'm1', text: 'on my way', state: 'queued' }]);
    backend.late.add('q1');
  });
  await page.getByRole('button', { name: t('sync.unconfirmed', { n: 1 }) }).click();
  const list = page.getByRole('list', { name: t('unsent.title') });
  await list.getByText(t('unsent.unconfirmed')).waitFor();
  expect(await list.getByRole('button', { name: t('unsent.drop') }).count()).toBe(0);
  await list.getByRole('button', { name: t('problem.retry') }).click();
  await expect.poll(() => page.evaluate(() => backend.calls.some(([name]) => name === 'retry'))).toBe(true);
});

test('what has not gone out is said where its author is not looking at it, and leads to the list', async () => {
  await open();
  await rows().first().click();
  const tell = (code: string, other: boolean): Promise<void> =>
    page.evaluate(
      ({ code, other }) => {
        const [open = '', elsewhere = ''] = backend.world.conversations.keys();
        const account = backend.world.state.account ?? '';
        backend.emit('undelivered', { account, entry: 'e', conversation: other ? elsewhere : open, message: 'm', label: 'Lucía', code, reason: 'No such number.' });
      },
      { code, other },
    );
  await tell('undelivered', false);
  await tell('unconfirmed', true);
  await page.getByText(t('undelivered.waits', { name: 'Lucía' })).waitFor();
  expect(await page.getByText(t('undelivered.failed', { name: 'Lucía', reason: 'No such number.' })).count()).toBe(0);
  await tell('undelivered', true);
  const toast = page.locator('.toast').filter({ hasText: t('undelivered.failed', { name: 'Lucía', reason: 'No such number.' }) });
  await toast.getByRole('button', { name: t('undelivered.show') }).click();
  await page.getByRole('dialog', { name: t('unsent.title') }).waitFor();
});

test('the page is dark while the system is, follows it at once, and stays as it was chosen', async () => {
  await open((backend) => backend.settings.set('theme', 'system'));
  const themeIs = (theme: string): Promise<unknown> => page.locator(`html[data-theme="${theme}"]`).waitFor();
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.reload();
  await rows().first().waitFor();
  await themeIs('dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await themeIs('light');
  await page.emulateMedia({ colorScheme: 'dark' });
  await themeIs('dark');

  await page.keyboard.press('Control+,');
  const select = page.getByRole('dialog', { name: t('settings.title') }).locator(`[aria-label^="${t('settings.theme')}: "]`);
  await select.press('Enter');
  await page.getByRole('option', { name: t('theme.light'), exact: true }).click();
  await themeIs('light');
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const seen = await page.evaluate(async () => {
      await new Promise((drawn) => requestAnimationFrame(drawn)); // by then the page has heard of it
      return [matchMedia('(prefers-color-scheme: dark)').matches, document.documentElement.dataset.theme];
    });
    expect(seen).toEqual([colorScheme === 'dark', 'light']);
  }
});
