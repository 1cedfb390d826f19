// How long to wait before trying again: full jitter, up to one second first,
// then doubling to thirty, for ever. Many browsers that lost the same server
// do not come back at the same moment.

const first = 1_000;
const most = 30_000;

/** Milliseconds to wait before attempt number `attempt`, counted from 0. */
export function retryDelay(attempt: number, random: () => number = Math.random): number {
  return random() * Math.min(most, first * 2 ** Math.min(attempt, 16));
}
