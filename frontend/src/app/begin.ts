import type { Backend } from '../backend/backend';
import { App } from '../state/app.svelte';
import { Clock } from '../state/clock.svelte';
import { Commands } from '../state/commands';
import type { Context } from '../state/context';
import { Desks } from '../state/desk.svelte';
import { ChatList, pageSize } from '../state/list.svelte';
import { Settings } from '../state/settings.svelte';
import { Toasts } from '../state/toasts.svelte';

/** Makes everything that lives as long as the window does. */
export function contextOver(backend: Backend): Context {
  const app = new App(backend);
  return {
    backend,
    app,
    desks: new Desks(app),
    list: new ChatList(backend),
    settings: new Settings(backend),
    toasts: new Toasts(),
    clock: new Clock(),
    commands: new Commands(),
  };
}

/** Brings what the window shows first. What could not be read is asked for, and says then why. */
export async function begin({ app, backend, list, settings }: Context): Promise<void> {
  const opening = await backend.opening(pageSize).catch(() => undefined);
  if (opening) settings.take(opening.settings);
  list.count(opening?.turn);
  const { brand, oldest_first: oldest } = settings.values;
  app.brand = brand;
  const started = app.start(opening);
  // The state may have shown that the brand is out of reach: then this is not its list.
  const known = app.brand === brand ? opening?.list : null;
  await Promise.all([started, list.ask({ brand: app.brand, oldest }, known ?? undefined)]);
}
