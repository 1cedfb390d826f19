import type { Theme } from '../state/settings.svelte';

/** Puts a theme on the page and tells whether it is dark; "system" follows the system until the returned function is called. */
export function followTheme(theme: Theme, tell: (dark: boolean) => void = () => undefined): () => void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = (): void => {
    const now = theme === 'system' ? (dark.matches ? 'dark' : 'light') : theme;
    document.documentElement.dataset.theme = now;
    tell(now === 'dark');
  };
  apply();
  if (theme !== 'system') return () => undefined;
  dark.addEventListener('change', apply);
  return () => dark.removeEventListener('change', apply);
}
