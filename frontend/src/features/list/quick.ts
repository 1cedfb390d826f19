import type { Quick } from '../../domain/types';

/** The quick lists in the order of their tabs. */
export const quickLists: readonly Quick[] = ['all', 'unread', 'mine', 'unassigned', 'unresolved', 'resolved'];

/** A count as short as a tab has room for: 999, 1.2k, 18k. */
export function compact(n: number): string {
  if (n < 1000) return String(n);
  const thousands = n / 1000;
  return `${thousands < 10 ? Math.floor(thousands * 10) / 10 : Math.floor(thousands)}k`;
}

const gap = 2;
const padding = 20;
/** Room of the button that opens the rest. */
const moreWidth = 28;

/**
 * Which tabs fit into the room, given each one's width. The chosen one is
 * always among them: it takes the last place if it would not fit by itself.
 */
export function fitting(widths: readonly number[], room: number, chosen: number): Quick[] {
  if (widths.length < quickLists.length || room === 0) return [...quickLists].slice(0, 3);
  const space = room - padding;
  const wide = (tabs: readonly number[]): number => tabs.reduce((sum, i) => sum + (widths[i] ?? 0) + gap, -gap);
  const all = quickLists.map((_, i) => i);
  if (wide(all) <= space) return [...quickLists];
  let tabs: number[] = [];
  for (const i of all) {
    const rest = i === chosen || tabs.includes(chosen) || chosen < i ? [...tabs, i] : [...tabs, i, chosen];
    if (wide(rest) > space - moreWidth - gap) break;
    tabs = [...tabs, i];
  }
  if (chosen >= 0 && !tabs.includes(chosen)) tabs = [...tabs, chosen];
  return tabs.map((i) => quickLists[i] as Quick);
}
