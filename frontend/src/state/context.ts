/** What every feature may reach: handed down once by the shell, never imported as a global. */
import { getContext, setContext } from 'svelte';
import type { Backend } from '../backend/backend';
import type { App } from './app.svelte';
import type { Clock } from './clock.svelte';
import type { Commands } from './commands';
import type { Desks } from './desk.svelte';
import type { ChatList } from './list.svelte';
import type { Settings } from './settings.svelte';
import type { Toasts } from './toasts.svelte';

export interface Context {
  backend: Backend;
  app: App;
  desks: Desks;
  list: ChatList;
  settings: Settings;
  toasts: Toasts;
  clock: Clock;
  commands: Commands;
}

const key = Symbol('parley');

/** Hands the context to all components below; for the shell and for tests. */
export function provide(context: Context): Context {
  return setContext(key, context);
}

/** The context of this window; call while a component is being initialised. */
export function parley(): Context {
  return getContext<Context>(key);
}
