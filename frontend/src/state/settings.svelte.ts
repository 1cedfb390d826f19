import type { Backend } from '../backend/backend';

export type Theme = 'light' | 'dark' | 'system';

/** The choices of this window on this device, with what holds when nothing was chosen. */
export interface Choices {
  theme: Theme;
  /** px */
  list_width: number;
  /** px */
  panel_width: number;
  panel_open: boolean;
  /** The list shows the chats waiting longest first. */
  oldest_first: boolean;
  /** The brand the inbox is scoped to; empty for all. */
  brand: string;
}

export const defaults: Choices = {
  theme: 'system',
  list_width: 332,
  panel_width: 304,
  panel_open: true,
  oldest_first: false,
  brand: '',
};

const keys = Object.keys(defaults) as (keyof Choices)[];

/** Settings holds the choices, and writes each change through to the backend. */
export class Settings {
  values = $state<Choices>({ ...defaults });

  constructor(private readonly backend: Backend) {}

  /** Takes what was ever chosen. What is not there stays at its default. */
  take(stored: Record<string, unknown>): void {
    const loaded: Partial<Record<keyof Choices, unknown>> = {};
    for (const key of keys) {
      // A value of another type comes from another version: not ours to guess.
      if (typeof stored[key] === typeof defaults[key]) loaded[key] = stored[key];
    }
    this.values = { ...defaults, ...(loaded as Partial<Choices>) };
  }

  /** Changes one choice at once and stores it. */
  set<K extends keyof Choices>(key: K, value: Choices[K]): void {
    if (this.values[key] === value) return;
    this.values[key] = value;
    // A choice that could not be stored still holds until the window closes.
    this.backend.putSetting(key, value).catch(() => undefined);
  }
}
