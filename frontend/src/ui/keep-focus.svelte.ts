import { tick, untrack } from 'svelte';

/** What is watched for the keyboard, and where it goes. */
export interface KeepFocusOptions {
  part: () => HTMLElement | undefined;
  /** Reads whatever may take something of the part away when it changes. */
  changes: () => unknown;
  /** Selects what is drawn and cannot have the keyboard. */
  unreachable: string;
  /** Takes the keyboard over. */
  rescue: () => void;
}

/** Keeps the keyboard in a part of the window when what had it there goes, or goes out of reach. */
export function keepFocus({ part, changes, unreachable, rescue }: KeepFocusOptions): void {
  let inside = false;
  // Before the drawing: what is taken out of the page has lost the keyboard afterwards.
  $effect.pre(() => {
    changes();
    inside ||= untrack(() => part()?.contains(document.activeElement) ?? false);
  });
  $effect(() => {
    changes();
    if (!inside) return;
    inside = false;
    // One change may be drawn in more than one go.
    void tick().then(() => {
      const active = document.activeElement;
      const nowhere = active === null || active === document.body;
      if (nowhere || (part()?.contains(active) && active.closest(unreachable))) rescue();
    });
  });
}
