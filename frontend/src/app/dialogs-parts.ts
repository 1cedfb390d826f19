export { default as SettingsDialog } from '../features/settings/SettingsDialog.svelte';
export { default as ShareLinks } from '../features/share/ShareLinks.svelte';
export { default as SignInDialog } from '../features/signin/SignInDialog.svelte';
export { default as UnsentDialog } from '../features/unsent/UnsentDialog.svelte';
export { default as KeysDialog } from './KeysDialog.svelte';
