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
async function open(before: (backend: MemoryBackend) => void = () => undefined, missing: string[] = []): Promise<void> {
  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
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
  await open();
  const opening = await page.evaluate(async () => JSON.stringify(await backend.opening(60)));
  await page.close();

  // As in the program: a script without a page, and without Intl.
  const program = createContext({}) as { prerender(...args: unknown[]): void; prerendered(): string };
  runInContext('delete globalThis.Intl', program);
  runInContext(await readFile(join(folder, 'prerender.js'), 'utf8'), program);
  program.prerender(opening, { innerWidth: 1280, innerHeight: 800, navigator: { platform: 'Linux x86_64' } });
  await new Promise((done) => setImmediate(done));
  const { body } = JSON.parse(program.prerendered()) as { body: string };

  page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
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
