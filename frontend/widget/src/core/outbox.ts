import type { SentFile } from "./protocol";
import type { Store } from "./storage";

// Messages the server has not confirmed. Each is one key of the store, so two
// tabs cannot overwrite each other's, and is there before anything is sent:
// what was typed survives a crash and goes out when there is a line. The id
// makes it go out once, however often it is sent. Ids grow, so their order is
// the order of writing.

export type Entry = {
  id: string;
  text: string;
  files: SentFile[];
  at: number;
  /** Why the server refused it; absent while it may still go out. */
  problem?: { code: string; detail: string };
};

const prefix = "out.";

export class Outbox {
  constructor(private readonly store: Store) {}

  /** All entries in the order they were written. */
  entries(): Entry[] {
    const all: Entry[] = [];
    for (const key of this.store.keys()) {
      if (!key.startsWith(prefix)) continue;
      const entry = read(this.store.get(key));
      if (entry && key === prefix + entry.id) all.push(entry);
    }
    return all.sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  }

  /** The next one to send. */
  next(): Entry | undefined {
    return this.entries().find((e) => !e.problem);
  }

  put(entry: Entry): void {
    this.store.set(prefix + entry.id, JSON.stringify(entry));
  }

  remove(id: string): void {
    this.store.remove(prefix + id);
  }
}

/** Reads an entry; what another program left under our key is nobody's. */
function read(text: string | null): Entry | undefined {
  try {
    const e: unknown = JSON.parse(text ?? "");
    if (typeof e !== "object" || e === null) return undefined;
    const { id, text: said, files, at, problem } = e as Partial<Entry>;
    if (typeof id !== "string" || typeof said !== "string" || !Array.isArray(files)) return undefined;
    return { id, text: said, files, at: typeof at === "number" ? at : 0, ...(problem ? { problem } : {}) };
  } catch {
    return undefined;
  }
}
