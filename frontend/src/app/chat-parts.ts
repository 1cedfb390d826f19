export { default as Composer } from '../features/composer/Composer.svelte';
export { default as ContactPanel } from '../features/contact/ContactPanel.svelte';
export { default as Thread } from '../features/thread/Thread.svelte';
