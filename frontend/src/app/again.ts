import type { App } from '../state/app.svelte';
import type { Later } from '../ui/later.svelte';

/**
 * Loads parts again that did not come. A browser may remember that and not ask
 * a second time: then a new page does, once the program answers.
 */
export async function loadAgain(app: App, ...parts: Later<unknown>[]): Promise<void> {
  await Promise.all(parts.map((part) => part.load()));
  if (!parts.some((part) => part.failed)) return;
  const answers = await app.backend.state().then(
    () => true,
    () => false,
  );
  if (answers) await app.away(async () => location.reload());
}
