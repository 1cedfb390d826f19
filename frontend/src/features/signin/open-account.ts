import { failureOf } from '../../backend/backend';
import type { Context } from '../../state/context';

/** Runs what opens an account, shows it, and says why when it could not be opened. */
export async function openAccount({ app, toasts }: Pick<Context, 'app' | 'toasts'>, action: () => Promise<void>): Promise<void> {
  try {
    await app.away(action);
    await app.refresh();
  } catch (cause) {
    toasts.show(failureOf(cause).message, { tone: 'danger' });
  }
}
