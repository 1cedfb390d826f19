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
      } else if (account !== null && list.answered) void list.reload();
    },
  });
  clock.start();
  // With its font the text is laid out once, and the system is not searched for others to stand in.
  const font = document.fonts.load('1em "Inter Variable"').catch(() => undefined);
  await Promise.race([Promise.all([begin(context), font]), new Promise((late) => setTimeout(late, patience))]);
  followTheme(settings.values.theme)();
  mount(AppView, { target, props: { context } });
  // After the first paint: the network, and what nobody needs before there is something to click on.
  requestAnimationFrame(() =>
    setTimeout(() => {
      void Promise.all([chat.load(), bits.load(), dialogs.load()]);
      backend.shown().catch(() => undefined); // the program goes online anyway, a little later
    }),
  );
  return context;
}

/** Brings what the window shows first. What could not be read is asked for, and says then why. */
async function begin({ app, backend, list, settings }: Context): Promise<void> {
  const opening = await backend.opening(pageSize).catch(() => undefined);
  if (opening) settings.take(opening.settings);
  app.brand = settings.values.brand;
  const asked = { brand: app.brand, oldest: settings.values.oldest_first };
  await Promise.all([app.start(opening), list.ask(asked, opening?.list ?? undefined)]);
}
