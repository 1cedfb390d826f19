import type { Opening } from '../domain/types';

/** What the window shows first, if the program has put it into the page. */
export function openingInPage(): Opening | null {
  return JSON.parse(document.getElementById('opening')?.textContent ?? 'null') as Opening | null;
}
