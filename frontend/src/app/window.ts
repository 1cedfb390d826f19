import '@fontsource-variable/inter/wght.css';
import { mount } from 'svelte';
import type { Backend } from '../backend/backend';
import { App } from '../state/app.svelte';
import { Clock } from '../state/clock.svelte';
import { Commands } from '../state/commands';
import type { Context } from '../state/context';
import { Desks } from '../state/desk.svelte';
import { ChatList } from '../state/list.svelte';
import { Settings } from '../state/settings.svelte';
import { Toasts } from '../state/toasts.svelte';
import '../ui/tokens.css';
import '../ui/base.css';
import AppView from './App.svelte';
import { followTheme } from './theme';

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
  await settings.load();
  followTheme(settings.values.theme)();
  app.brand = settings.values.brand;
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
  // State, counts and the first page are on their way while the window is being built.
  void app.start();
  void list.ask({ brand: app.brand, oldest: settings.values.oldest_first });
  mount(AppView, { target, props: { context } });
  return context;
}
