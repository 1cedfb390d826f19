// What the browser keeps for one visitor of one channel. Storage may be
// forbidden (private windows, frames of other sites) or full: then the page
// remembers in memory, and works until it is closed.

export interface Store {
  get(key: string): string | null;
  /** False when it could not be kept beyond this page. */
  set(key: string, value: string): boolean;
  remove(key: string): void;
  keys(): string[];
}

/** A store over a Storage, each key under a prefix. */
export function storeIn(storage: Storage | undefined, prefix: string): Store {
  const memory = new Map<string, string>();
  const attempt = <T>(otherwise: T, f: (s: Storage) => T): T => {
    try {
      return storage ? f(storage) : otherwise;
    } catch {
      return otherwise;
    }
  };
  return {
    get: (key) => memory.get(key) ?? attempt<string | null>(null, (s) => s.getItem(prefix + key)),
    set(key, value) {
      const kept = attempt(false, (s) => (s.setItem(prefix + key, value), true));
      if (kept) memory.delete(key);
      else memory.set(key, value);
      return kept;
    },
    remove(key) {
      memory.delete(key);
      attempt(undefined, (s) => s.removeItem(prefix + key));
    },
    keys() {
      const stored = attempt<string[]>([], (s) => {
        const all: string[] = [];
        for (let i = 0; i < s.length; i++) {
          const key = s.key(i);
          if (key?.startsWith(prefix)) all.push(key.slice(prefix.length));
        }
        return all;
      });
      return [...new Set([...stored, ...memory.keys()])];
    },
  };
}

/** The page's localStorage, if the browser lets us. */
export function browserStorage(): Storage | undefined {
  try {
    return window.localStorage;
  } catch {
    return undefined;
  }
}
