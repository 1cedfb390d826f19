import { Later } from './later.svelte';

/**
 * What menus and dialogs are made of. bits-ui is a third of the window's
 * script, and no window opens with a menu.
 */
export const bits = new Later(() => import('./bits-parts'));
