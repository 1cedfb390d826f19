import { Later } from '../ui/later.svelte';

/** The dialogs of the window. */
export const dialogs = new Later(() => import('./dialogs-parts'));
