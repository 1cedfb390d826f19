import '@fontsource-variable/inter/wght.css';
import { hydrate, mount } from 'svelte';
import type { Backend } from '../backend/backend';
import { t } from '../domain/messages';
import { undeliveredWords } from '../domain/wording';
import type { Context } from '../state/context';
import type { ChatList } from '../state/list.svelte';
import '../ui/tokens.css';
import '../ui/base.css';
import { bits } from '../ui/bits';
import { painted } from '../ui/painted';
import AppView from './App.svelte';
import { begin, contextOver } from './begin';
import { chat } from './chat';
import { dialogs } from './dialogs';
import { fontsFor, soon } from './first-paint';
import { followTheme } from './theme';

/** More rows than a window shows at once need no font at once. */
const rowsAtOnce = 20;

/** Builds the window over a backend: everything that lives as long as it does is made here. */
export async function openWindow(backend: Backend, target: HTMLElement): Promise<Context> {
  const context = contextOver(backend);
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
  await soon(begun.then(() => fontsFor(firstWords(list))));
  followTheme(settings.values.theme)();
  // The program may have put the first picture into the page: it becomes this window.
  const show = target.firstElementChild ? hydrate : mount;
  show(AppView, { target, props: { context } });
  target.inert = false;
  // After the first paint: the network, and what nobody needs before there is something to click on.
  void painted().then(() => {
    void begun.then(hear);
    void Promise.all([chat.load(), bits.load(), dialogs.load()]);
    backend.shown().catch(() => undefined); // the program goes online anyway, a little later
  });
  return context;
}

/**
 * Hears the program from before the first picture is asked for: what is told
 * after that is in no answer. Changes of the list wait until the returned
 * function is called: before the first picture they would only delay it.
 */
function listen({ app, backend, commands, list, toasts }: Context): () => void {
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
  backend.on('problem', ({ message }) => toasts.show(message, { tone: 'danger', ms: 0 }));
  backend.on('undelivered', (told) => {
    const here = told.account === app.state?.account;
    if (here && told.conversation === app.selected && document.hasFocus()) return; // its author is looking at it
    const action = { label: t('undelivered.show'), run: () => commands.run('unsent.open') };
    toasts.show(undeliveredWords(told), { tone: told.code === 'unconfirmed' ? 'warn' : 'danger', ms: 10_000, ...(here ? { action } : {}) });
  });
  return () => {
    drawn = true;
    if (missed) changed();
  };
}

/** What the first rows say. */
function firstWords({ rows }: ChatList): string {
  return rows.slice(0, rowsAtOnce).map(({ label, conversation }) => label + conversation.preview).join('');
}
