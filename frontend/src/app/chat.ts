import { Later } from '../ui/later.svelte';

/** What an open chat needs. The list is shown without it. */
export const chat = new Later(() => import('./chat-parts'));
