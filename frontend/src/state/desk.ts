/** The stores of the open chat, found by whoever shows a part of it. */
import type { App } from './app.svelte';
import { ComposerStore } from './composer.svelte';
import { ContactCard } from './contact.svelte';
import type { Settings } from './settings.svelte';
import { ThreadStore } from './thread.svelte';

/** What thread, composer and contact card share. */
export interface Desk {
  threads: ThreadStore;
  composers: ComposerStore;
  card: ContactCard;
}

/** One desk for each App; it lives exactly as long. */
const desks = new WeakMap<App, Desk>();

/** The desk of this window. */
export function deskOf({ app, settings }: { app: App; settings: Settings }): Desk {
  let desk = desks.get(app);
  if (!desk) {
    const threads = new ThreadStore(app, settings);
    desk = { threads, composers: new ComposerStore(app, threads), card: new ContactCard(app.backend) };
    desks.set(app, desk);
  }
  return desk;
}
