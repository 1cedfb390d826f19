import type { Events } from '../domain/types';
import { failureOf, type Backend } from './backend';
import { openingInPage } from './opening';
import { backendOver } from './over';

type Method = (...args: unknown[]) => Promise<unknown>;

/** What the Wails runtime puts on window before our script runs. */
interface WailsWindow {
  go?: { main?: { App?: Record<string, Method> } };
  runtime?: { EventsOn(name: string, callback: (payload: never) => void): () => void };
}

const wails = (): WailsWindow => globalThis as unknown as WailsWindow;

/** Reports whether the page runs inside the native window. */
export function insideWails(): boolean {
  return wails().go?.main?.App !== undefined;
}

/** Backend over the bindings of the native window. */
export function wailsBackend(): Backend {
  return backendOver({
    opening: openingInPage,
    async call(method, args) {
      const bound = wails().go?.main?.App?.[method];
      if (!bound) throw failureOf(`This version of Parley does not know “${method}”.`);
      try {
        return await bound(...args);
      } catch (cause) {
        throw failureOf(parsed(cause));
      }
    },
    on(name: keyof Events, callback) {
      return wails().runtime?.EventsOn(name, callback) ?? (() => undefined);
    },
    fileUrl: (sha256, name) => `/files/${sha256}?name=${encodeURIComponent(name)}`,
  });
}

/** An error formatter's object may arrive as its JSON text. */
function parsed(cause: unknown): unknown {
  if (typeof cause !== 'string' || !cause.startsWith('{')) return cause;
  try {
    return JSON.parse(cause) as unknown;
  } catch {
    return cause;
  }
}
