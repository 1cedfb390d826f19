import type { Theme } from '../state/settings.svelte';

/** A theme as it was stored; what is none comes from another version, and is not ours to guess. */
export function themeOf(stored: unknown): Theme {
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

/** Puts a theme on the page; "system" follows the system until the returned function is called. */
export function followTheme(theme: Theme): () => void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = (): void => {
    document.documentElement.dataset.theme = theme === 'system' ? (dark.matches ? 'dark' : 'light') : theme;
  };
  apply();
  if (theme !== 'system') return () => undefined;
  dark.addEventListener('change', apply);
  return () => dark.removeEventListener('change', apply);
}
