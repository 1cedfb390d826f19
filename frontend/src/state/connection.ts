import { t } from '../domain/messages';
import { secondsLabel, sinceLabel } from '../domain/time';
import type { AppState } from '../domain/types';

/** The freshness of what is on the screen, in words and a colour. */
export interface Freshness {
  tone: 'ok' | 'busy' | 'warn' | 'danger';
  text: string;
  /** How much of a longer sync is done. */
  progress: { done: number; total: number } | null;
}

/** What the sentences about the cache need of the state. */
type Cached = Pick<AppState, 'connection' | 'cached' | 'loaded'>;

/** The line at the bottom of the list: never silent about what is old. */
export function freshness(state: Cached, now: number): Freshness {
  const { connection } = state;
  const { progress } = connection;
  switch (connection.status) {
    case 'live':
      return { tone: 'ok', text: live(state), progress: null };
    case 'catching_up':
      return progress && progress.total > 0
        ? { tone: 'busy', text: t('sync.progress', { done: progress.done, total: progress.total }), progress }
        : { tone: 'busy', text: t('sync.catching_up'), progress: null };
    case 'connecting':
      return { tone: 'busy', text: t('sync.connecting'), progress: null };
    case 'offline':
      return {
        tone: 'warn',
        text: t('sync.with', { state: since('sync.offline', 'sync.offline_now', connection.since, now), rest: readable(state) }),
        progress: null,
      };
    case 'signed_out':
      return { tone: 'warn', text: t('sync.with', { state: t('sync.signed_out'), rest: readable(state) }), progress: null };
    case 'error':
      return { tone: 'danger', text: connection.problem ?? t('sync.error'), progress: null };
  }
}

/** What is here; and up to which moment, once the server has confirmed that it is everything. */
function live({ cached, connection }: Cached): string {
  const { conversations: n, readable } = cached;
  const time = connection.proven ? secondsLabel(connection.checked_at) : '';
  const proven = time !== '';
  if (n === 0) return proven ? t('sync.proven_empty', { time }) : t('sync.live_empty');
  if (readable < n) return proven ? t('sync.proven_part', { n, readable, time }) : t('sync.live_part', { n, readable });
  return proven ? t('sync.proven', { n, time }) : t('sync.live', { n });
}

/** How much can be read without a line: "everything" only when it is true. */
function readable({ cached, loaded }: Cached): string {
  if (!loaded && cached.conversations === 0) return t('sync.not_loaded');
  if (!loaded) return t('sync.part_loaded', { n: cached.readable });
  return cached.readable < cached.conversations
    ? t('sync.part', { n: cached.conversations, readable: cached.readable })
    : t('sync.all');
}

/** The sentence of the offline banner. */
export function offlineSentence(state: Cached, now: number): string {
  const { cached, loaded, connection } = state;
  const what = !loaded
    ? t('offline.not_loaded')
    : cached.readable < cached.conversations
      ? t('offline.part', { n: cached.conversations, readable: cached.readable })
      : t('offline.all');
  return `${since('offline.banner', 'offline.banner_now', connection.since, now)} ${what}`;
}

/**
 * How far the first load of the account is: done, under way, or cut off, when
 * nothing says what the inbox holds and nothing is on its way either.
 */
export function firstLoad({ loaded, connection }: Pick<AppState, 'loaded' | 'connection'>): 'done' | 'running' | 'cut_off' {
  if (loaded) return 'done';
  const { status } = connection;
  return status === 'offline' || status === 'signed_out' || status === 'error' ? 'cut_off' : 'running';
}

function since(
  dated: 'sync.offline' | 'offline.banner',
  undated: 'sync.offline_now' | 'offline.banner_now',
  time: string | null,
  now: number,
): string {
  const label = sinceLabel(time, now);
  return label === '' ? t(undated) : t(dated, { time: label });
}
