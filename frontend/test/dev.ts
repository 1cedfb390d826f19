/**
 * The window over an inbox in memory, for looking at it and for tests in a
 * browser. The address says what to show: ?theme=dark, ?n=0 for an empty
 * inbox, ?status=offline|catching_up|signed_out|error, ?warning=1, ?broken=1,
 * ?readable=1650 for a partly filled cache, ?cut=1 for a first load cut off.
 * The backend is `window.backend`.
 */
import { openWindow } from '../src/app/window';
import type { ConnectionStatus } from '../src/domain/types';
import { MemoryBackend } from './memory-backend';

const ask = new URLSearchParams(location.search);
const backend = new MemoryBackend({ conversations: Number(ask.get('n') ?? 2000) });
const { state } = backend.world;

const first = [...backend.world.conversations.keys()];
if (first[4]) backend.drafts.set(first[4], { text: 'Thanks for your patience, the parcel', comment: false });
backend.settings.set('theme', ask.get('theme') ?? 'light');
if (ask.has('brand')) backend.settings.set('brand', state.brands[Number(ask.get('brand'))]?.id);

const status = ask.get('status') as ConnectionStatus | null;
if (status) {
  state.connection = { ...state.connection, status, since: new Date(Date.now() - 400_000).toISOString() };
  if (status === 'catching_up') state.connection.progress = { done: 1200, total: 3400 };
  if (status === 'error') state.connection.problem = 'The cache on this computer could not be opened.';
}
if (ask.has('warning')) state.warnings = [{ code: 'keychain_missing', message: 'The sign-in is kept in a file.' }];
if (ask.has('readable')) state.cached.readable = Number(ask.get('readable'));
if (ask.has('cut')) Object.assign(state, { loaded: false, cached: { conversations: 0, readable: 0 }, share_links: [] });
if (ask.has('signin')) Object.assign(state, { accounts: [], account: null, me: null });
if (ask.has('broken')) backend.broken = { code: 'unavailable', message: 'The program behind this window does not answer.' };

Object.assign(globalThis, { backend });
void openWindow(backend, document.getElementById('app') as HTMLElement);
