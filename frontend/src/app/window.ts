import '@fontsource-variable/inter/wght.css';
import { mount } from 'svelte';
import type { Backend } from '../backend/backend';
import { App } from '../state/app.svelte';
import { Clock } from '../state/clock.svelte';
import { Commands } from '../state/commands';
import type { Context } from '../state/context';
import { Desks } from '../state/desk.svelte';
import { ChatList, pageSize } from '../state/list.svelte';
import { Settings } from '../state/settings.svelte';
import { Toasts } from '../state/toasts.svelte';
import '../ui/tokens.css';
import '../ui/base.css';
import { bits } from '../ui/bits';
import AppView from './App.svelte';
import { chat } from './chat';
import { dialogs } from './dialogs';
import { followTheme } from './theme';

/** How long nothing is painted while the program has not answered, ms: an empty frame is worse than a moment. */
const patience = 150;

/** More rows than a window shows at once need no font at once. */
const rowsAtOnce = 20;

/** Builds the window over a backend: everything that lives as long as it does is made here. */
export async function openWindow(backend: Backend, target: HTMLElement): Promise<Context> {
  const owner = new App(backend);
  const context: Context = {
    backend,
    app: owner,
    desks: new Desks(owner),
    list: new ChatList(backend),
    settings: new Settings(backend),
    toasts: new Toasts(),
    clock: new Clock(),
    commands: new Commands(),
  };
  const { app, list, settings, clock } = context;
  app.admit({
    leave: () => Promise.resolve(),
    enter(account, from) {
      // Another account's list starts anew; the first one's is on its way already.
      if (from !== null) {
        settings.set('brand', '');
        void list.restart();
      } else if (account !== null && (list.answered || list.failure)) void list.reload();
    },
    scoped(brand) {
      settings.set('brand', brand);
      void list.ask({ brand });
    },
  });
  const hear = listen(context);
  clock.start();
  const begun = begin(context);
  await Promise.race([begun.then(() => fontsFor(list)), new Promise((late) => setTimeout(late, patience))]);
  followTheme(settings.values.theme)();
  mount(AppView, { target, props: { context } });
  // After the first paint: the network, and what nobody needs before there is something to click on.
  requestAnimationFrame(() =>
    setTimeout(() => {
      void begun.then(hear);
      void Promise.all([chat.load(), bits.load(), dialogs.load()]);
      backend.shown().catch(() => undefined); // the program goes online anyway, a little later
    }),
  );
  return context;
}

/**
 * Hears the program from before the first picture is asked for: what is told
 * after that is in no answer. Changes of the list wait until the returned
 * function is called: before the first picture they would only delay it.
 */
function listen({ app, backend, list, toasts }: Context): () => void {
  let drawn = false;
  let missed = false;
  const changed = (): void => {
    void list.changed();
    // The first chat of an empty inbox changes what the window says about itself.
    if (app.state?.cached.conversations === 0) void app.refresh();
  };
  app.listen();
  backend.on('list', () => {
    if (drawn) changed();
    else missed = true;
  });
  backend.on('problem', ({ message }) => toasts.show(message, { tone: 'danger', ms: 8000 }));
  return () => {
    drawn = true;
    if (missed) changed();
  };
}

/**
 * Brings the fonts of the scripts that the first rows are written in. With them
 * the text is laid out once, and the system is not searched for others to stand in.
 */
async function fontsFor({ rows }: ChatList): Promise<void> {
  const text = rows.slice(0, rowsAtOnce).map(({ label, conversation }) => label + conversation.preview).join('');
  await document.fonts.load('1em "Inter Variable"', `Parley ${text}`).catch(() => undefined);
}

/** Brings what the window shows first. What could not be read is asked for, and says then why. */
async function begin({ app, backend, list, settings }: Context): Promise<void> {
  const opening = await backend.opening(pageSize).catch(() => undefined);
  if (opening) settings.take(opening.settings);
  const { brand, oldest_first: oldest } = settings.values;
  app.brand = brand;
  const started = app.start(opening);
  // The state may have shown that the brand is out of reach: then this is not its list.
  const known = app.brand === brand ? opening?.list : null;
  await Promise.all([started, list.ask({ brand: app.brand, oldest }, known ?? undefined)]);
}
