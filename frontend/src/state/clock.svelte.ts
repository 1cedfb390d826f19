/**
 * Clock is the current time as the window shows it: coarse on purpose, so that
 * labels and activity colours change without a timer per row.
 */
export class Clock {
  /** Milliseconds since 1970, brought up to date a few times a minute. */
  now = $state(Date.now());
  private timer: ReturnType<typeof setInterval> | undefined;

  start(everyMs = 20_000): void {
    this.stop();
    this.timer = setInterval(() => {
      this.now = Date.now();
    }, everyMs);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}
