export type Tone = 'info' | 'ok' | 'warn' | 'danger';

export interface Toast {
  id: number;
  text: string;
  tone: Tone;
  action?: { label: string; run: () => void };
  /** It stays until somebody has dismissed it. */
  stays: boolean;
}

/** Toasts are short notices in the corner; they leave by themselves. */
export class Toasts {
  items = $state.raw<Toast[]>([]);
  private next = 1;

  /** Shows a notice for `ms`, or until dismissed when ms is 0. Answers its id. */
  show(text: string, options: { tone?: Tone; action?: Toast['action']; ms?: number } = {}): number {
    const { tone = 'info', action, ms = 5000 } = options;
    const id = this.next++;
    // The same sentence twice is one notice: repeated failures must not pile up.
    const others = this.items.filter((toast) => toast.text !== text);
    // Nor may many small ones push out what nobody has dismissed yet.
    const passing = others.filter((toast) => !toast.stays).slice(-3);
    const kept = others.filter((toast) => toast.stays || passing.includes(toast));
    this.items = [...kept, { id, text, tone, stays: ms === 0, ...(action ? { action } : {}) }];
    if (ms > 0) setTimeout(() => this.dismiss(id), ms);
    return id;
  }

  dismiss(id: number): void {
    this.items = this.items.filter((toast) => toast.id !== id);
  }
}
