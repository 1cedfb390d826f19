/**
 * Later is a part of the window that is loaded once the first paint is out, or
 * by whoever needs it before that.
 */
export class Later<T> {
  /** Null until it is there. */
  value = $state.raw<T | null>(null);
  private loading: Promise<void> | undefined;

  constructor(private readonly read: () => Promise<T>) {}

  load(): Promise<void> {
    this.loading ??= this.read().then(
      (value) => {
        this.value = value;
      },
      (cause: unknown) => {
        this.loading = undefined; // whoever needs it next tries again
        throw cause;
      },
    );
    return this.loading;
  }

  /** The part, for what is drawn only once it is there. */
  get loaded(): T {
    if (this.value === null) throw new Error('a part of the window is used before it was loaded');
    return this.value;
  }
}
