import type { MessageKey } from '../domain/messages';
import type { CommandName } from '../state/commands';

/** A key with its modifiers. `mod` is Cmd on macOS and Ctrl elsewhere. */
export interface Chord {
  /** The physical key (KeyboardEvent.code), so that layouts do not move it. */
  code: string;
  mod?: boolean;
  shift?: boolean;
}

export type Group = 'chats' | 'answering' | 'window';

export interface Binding extends Chord {
  command: CommandName;
  label: MessageKey;
  group: Group;
}

/** Every key of the window that is bound to a command; the overlay lists them from here. */
export const bindings: readonly Binding[] = [
  { command: 'list.next', code: 'ArrowDown', mod: true, shift: true, label: 'keys.next', group: 'chats' },
  { command: 'list.previous', code: 'ArrowUp', mod: true, shift: true, label: 'keys.previous', group: 'chats' },
  { command: 'search.focus', code: 'KeyK', mod: true, label: 'keys.search', group: 'chats' },
  { command: 'thread.read', code: 'KeyR', mod: true, shift: true, label: 'keys.read', group: 'answering' },
  { command: 'thread.resolve', code: 'KeyE', mod: true, shift: true, label: 'keys.resolve', group: 'answering' },
  { command: 'composer.comment', code: 'KeyA', mod: true, shift: true, label: 'keys.comment', group: 'answering' },
  { command: 'composer.undo', code: 'Backspace', mod: true, shift: true, label: 'keys.undo', group: 'answering' },
  { command: 'contact.toggle', code: 'KeyS', mod: true, shift: true, label: 'keys.contact', group: 'window' },
  { command: 'settings.open', code: 'Comma', mod: true, label: 'keys.settings', group: 'window' },
];

/** Keys handled where they are pressed, listed in the overlay all the same. */
export const localKeys: readonly { keys: string; label: MessageKey; group: Group }[] = [
  { keys: '↑ ↓', label: 'keys.move', group: 'chats' },
  { keys: 'Enter', label: 'keys.open', group: 'chats' },
  { keys: 'F6', label: 'keys.panels', group: 'window' },
  { keys: 'Shift F6', label: 'keys.panels_back', group: 'window' },
  { keys: 'Esc', label: 'keys.escape', group: 'window' },
  { keys: '?', label: 'keys.help', group: 'window' },
];

type Pressed = Pick<KeyboardEvent, 'code' | 'ctrlKey' | 'metaKey' | 'shiftKey' | 'altKey'>;

/** The binding of what was pressed, if any. Alt is never part of one. */
export function bindingOf(event: Pressed, mac: boolean): Binding | undefined {
  if (event.altKey) return undefined;
  const mod = mac ? event.metaKey : event.ctrlKey;
  const foreign = mac ? event.ctrlKey : event.metaKey;
  if (foreign) return undefined;
  return bindings.find(
    (binding) => binding.code === event.code && (binding.mod ?? false) === mod && (binding.shift ?? false) === event.shiftKey,
  );
}

const names: Record<string, string> = { ArrowUp: '↑', ArrowDown: '↓', Comma: ',' };

/** The keys of a command as they are printed, "" where it has none. */
export function keysOf(command: string, mac: boolean): string {
  const binding = bindings.find((b) => b.command === command);
  return binding ? printed(binding, mac) : '';
}

/** A chord as it is printed: "Ctrl Shift ↓", or "⇧ ⌘ ↓" on macOS. */
export function printed(chord: Chord, mac: boolean): string {
  const key = names[chord.code] ?? chord.code.replace(/^(Key|Digit)/, '');
  const shift = chord.shift ? (mac ? '⇧' : 'Shift') : '';
  const mod = chord.mod ? (mac ? '⌘' : 'Ctrl') : '';
  return (mac ? [shift, mod, key] : [mod, shift, key]).filter((part) => part !== '').join(' ');
}

/** Reports whether typing goes into a text field there. */
export function isTextField(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches('input:not([type=checkbox], [type=radio]), textarea');
}

/** Reports whether a dialog or menu has the keys. */
export function isLayer(target: EventTarget | null): boolean {
  // A dialog of the platform has them wherever the focus is: a click on a picture in it may leave it on the page.
  if (document.querySelector('dialog[open]')) return true;
  return target instanceof Element && target.closest('[role="dialog"], [role="menu"], [data-select-content]') !== null;
}

/** Reports whether this computer prints Cmd where others print Ctrl. */
export function onMac(): boolean {
  return /^Mac|^iP/.test(globalThis.navigator?.platform ?? '');
}
