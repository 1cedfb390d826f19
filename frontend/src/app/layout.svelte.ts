import type { Settings } from '../state/settings.svelte';

export const railWidth = 56;
export const listLimits = { min: 260, max: 480 };
export const panelLimits = { min: 260, max: 420 };
/** Below this width the contact card does not fit beside the chat and is laid over it. */
export const narrowBelow = 1100;
/** The chat never gets narrower than this. */
const threadMin = 400;

/** Layout decides the widths of the window's parts, within what fits. */
export class Layout {
  /** px */
  viewport = $state(globalThis.innerWidth);
  /** Widths while a handle is being dragged, before they are remembered. */
  private dragged = $state<{ list?: number; panel?: number }>({});
  /** In a narrow window the card is opened for a look, which is not remembered. */
  private peek = $state(false);

  constructor(private readonly settings: Settings) {}

  readonly narrow = $derived.by(() => this.viewport < narrowBelow);

  readonly panelOpen = $derived.by(() => (this.narrow ? this.peek : this.settings.values.panel_open));

  readonly panel = $derived.by(() => clamp(this.dragged.panel ?? this.settings.values.panel_width, panelLimits));

  readonly listMax = $derived.by(() => {
    const beside = this.panelOpen && !this.narrow ? this.panel : 0;
    return Math.max(listLimits.min, Math.min(listLimits.max, this.viewport - railWidth - beside - threadMin));
  });

  readonly list = $derived.by(() =>
    clamp(this.dragged.list ?? this.settings.values.list_width, { min: listLimits.min, max: this.listMax }),
  );

  togglePanel(): void {
    if (this.narrow) this.peek = !this.peek;
    else this.settings.set('panel_open', !this.settings.values.panel_open);
  }

  /** Closes the card where it lies over the chat. Reports whether it did. */
  closePeek(): boolean {
    const open = this.narrow && this.peek;
    this.peek = false;
    return open;
  }

  drag(part: 'list' | 'panel', width: number): void {
    this.dragged = { ...this.dragged, [part]: width };
  }

  settle(part: 'list' | 'panel', width: number): void {
    this.dragged = {};
    this.settings.set(part === 'list' ? 'list_width' : 'panel_width', width);
  }
}

function clamp(width: number, { min, max }: { min: number; max: number }): number {
  return Math.min(max, Math.max(min, width));
}
