import type { Events } from '../domain/types';
import { failureOf, type Backend } from './backend';
import { backendOver } from './over';

type Callback = (payload: never) => void;

const tokenKey = 'parley.bridge-token';

/**
 * The token of the bridge: taken from the page's address (?token=…) on first
 * load, taken out of the address bar, and kept for reloads of this tab.
 */
export function bridgeToken(location: Location, storage: Storage, history: History): string {
  const url = new URL(location.href);
  const given = url.searchParams.get('token');
  if (given === null) return storage.getItem(tokenKey) ?? '';
  storage.setItem(tokenKey, given);
  url.searchParams.delete('token');
  history.replaceState(null, '', url);
  return given;
}

/** Backend over the bridge: the same window in an ordinary browser. */
export function browserBackend(token: string, origin: string = globalThis.location.origin): Backend {
  const events = new BridgeEvents(origin, token);
  const bridge = backendOver({
    async call(method, args) {
      let response: Response;
      try {
        response = await fetch(`${origin}/call`, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
          body: JSON.stringify({ method, args }),
        });
      } catch {
        throw failureOf({ code: 'unavailable', message: 'The program behind this page does not answer. Is Parley running?' });
      }
      const text = await response.text();
      const body: unknown = text === '' ? null : JSON.parse(text);
      if (!response.ok) throw failureOf(body);
      return body;
    },
    on: (name, callback) => events.on(name, callback),
    fileUrl: (sha256, name) =>
      `${origin}/files/${sha256}?name=${encodeURIComponent(name)}&token=${encodeURIComponent(token)}`,
  });
  // What reaches outside the window a page does itself.
  return {
    ...bridge,
    async openLink(url) {
      globalThis.open(url, '_blank', 'noopener');
    },
    copy: (text) => navigator.clipboard.writeText(text),
    async saveFile(sha256, name) {
      const link = document.createElement('a');
      link.href = bridge.fileUrl(sha256, name);
      link.download = name;
      link.click();
    },
  };
}

/** The event socket: dialled while somebody listens, and again whenever it breaks. */
class BridgeEvents {
  private readonly listeners = new Map<string, Set<Callback>>();
  private socket: WebSocket | undefined;
  private failures = 0;

  constructor(
    private readonly origin: string,
    private readonly token: string,
  ) {}

  on(name: keyof Events, callback: Callback): () => void {
    const set = this.listeners.get(name) ?? new Set<Callback>();
    this.listeners.set(name, set);
    set.add(callback);
    this.dial();
    return () => {
      set.delete(callback);
    };
  }

  private dial(): void {
    if (this.socket) return;
    const address = `${this.origin.replace(/^http/, 'ws')}/events?token=${encodeURIComponent(this.token)}`;
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.addEventListener('open', () => {
      // Whatever was told before the socket was open, or while it was down, is read again.
      this.emit('state', {});
      this.emit('counts', {});
      this.emit('list', { conversations: null });
      this.failures = 0;
    });
    socket.addEventListener('message', (message) => {
      const { name, payload } = JSON.parse(String(message.data)) as { name: string; payload: unknown };
      this.emit(name, payload);
    });
    socket.addEventListener('close', () => {
      this.socket = undefined;
      this.failures++;
      setTimeout(() => this.dial(), Math.min(250 * 2 ** this.failures, 5000));
    });
  }

  private emit(name: string, payload: unknown): void {
    for (const callback of this.listeners.get(name) ?? []) callback(payload as never);
  }
}
