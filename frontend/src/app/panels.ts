import type { Commands } from '../state/commands';

const focusable = 'button:not(:disabled), [href], input:not(:disabled), textarea:not(:disabled), [tabindex="0"]';

/** Moves the focus to the next or previous part of the window (F6). */
export function cyclePanels(step: 1 | -1, commands: Commands): void {
  const parts = [...document.querySelectorAll<HTMLElement>('[data-panel]')];
  if (parts.length === 0) return;
  const current = parts.findIndex((part) => part.contains(document.activeElement));
  const from = current < 0 && step < 0 ? 0 : current;
  const next = parts[(from + step + parts.length) % parts.length];
  if (next) enter(next, commands);
}

function enter(part: HTMLElement, commands: Commands): void {
  const before = document.activeElement;
  if (part.dataset.panel === 'list') commands.run('list.focus');
  if (part.dataset.panel === 'thread') commands.run('thread.focus');
  if (document.activeElement !== before && part.contains(document.activeElement)) return;
  (part.querySelector<HTMLElement>(focusable) ?? part).focus();
}
