/**
 * Later is a part of the window that is loaded once the first paint is out, or
 * by whoever needs it before that.
 */
export class Later<T> {
  /** Null until it is there. */
  value = $state.raw<T | null>(null);
  /** It did not come when it was asked for last. */
  failed = $state(false);
  private loading: Promise<void> | undefined;

  constructor(private readonly read: () => Promise<T>) {}

  /** Brings it, or else says so in `failed`: whoever needs it next tries again. */
  load(): Promise<void> {
    this.loading ??= this.attempt();
    return this.loading;
  }

  private async attempt(): Promise<void> {
    this.failed = false;
    try {
      this.value = await this.read();
    } catch {
      this.loading = undefined;
      this.failed = true;
    }
  }

  /** The part, for what is drawn only once it is there. */
  get loaded(): T {
    if (this.value === null) throw new Error('a part of the window is used before it was loaded');
    return this.value;
  }
}
