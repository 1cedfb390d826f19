import { t } from '../domain/messages';
import { sinceLabel } from '../domain/time';
import type { AppState } from '../domain/types';

/** The freshness of what is on the screen, in words and a colour. */
export interface Freshness {
  tone: 'ok' | 'busy' | 'warn' | 'danger';
  text: string;
  /** How much of a longer sync is done. */
  progress: { done: number; total: number } | null;
}

/** The line at the bottom of the list: never silent about what is old. */
export function freshness(state: Pick<AppState, 'connection' | 'cached'>, now: number): Freshness {
  const { connection, cached } = state;
  const { progress } = connection;
  switch (connection.status) {
    case 'live':
      return {
        tone: 'ok',
        text: cached.conversations > 0 ? t('sync.live', { n: cached.conversations }) : t('sync.live_empty'),
        progress: null,
      };
    case 'catching_up':
      return progress && progress.total > 0
        ? { tone: 'busy', text: t('sync.progress', { done: progress.done, total: progress.total }), progress }
        : { tone: 'busy', text: t('sync.catching_up'), progress: null };
    case 'connecting':
      return { tone: 'busy', text: t('sync.connecting'), progress: null };
    case 'offline':
      return { tone: 'warn', text: since('sync.offline', 'sync.offline_now', connection.since, now), progress: null };
    case 'signed_out':
      return { tone: 'warn', text: t('sync.signed_out'), progress: null };
    case 'error':
      return { tone: 'danger', text: connection.problem ?? t('sync.error'), progress: null };
  }
}

/** The sentence of the offline banner. */
export function offlineSentence(sinceTime: string | null, now: number): string {
  return since('offline.banner', 'offline.banner_now', sinceTime, now);
}

/** The first load of an account: nothing can be shown yet. */
export function isFirstLoad(state: Pick<AppState, 'connection' | 'cached'>): boolean {
  const { status } = state.connection;
  return state.cached.conversations === 0 && (status === 'catching_up' || status === 'connecting');
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
