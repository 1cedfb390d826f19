import type { Api } from "./api";
import { Problem, type SentFile } from "./protocol";
import { sha256 } from "./sha256";

// Files on their way to the server. A file is sent when it is picked, so that
// the message only names it; what is up already is not sent again.

export type Upload = {
  key: number;
  file: File;
  progress: number;
  state: "sending" | "done" | "failed";
  problem?: string;
  sent?: SentFile;
};

const worthAsking = 1 << 20; // bytes from which "do you have it?" is quicker than sending

export class Uploads {
  list: Upload[] = [];
  /** Content of files sent from this page, to show them without asking for them. */
  readonly local = new Map<string, Blob>();
  private stops = new Map<number, AbortController>();
  private count = 0;

  constructor(
    private readonly api: Api,
    private readonly ready: () => Promise<unknown>,
    private readonly changed: () => void,
  ) {}

  add(file: File): void {
    const up: Upload = { key: ++this.count, file, progress: 0, state: "sending" };
    this.list.push(up);
    void this.send(up);
  }

  retry(key: number): void {
    const up = this.list.find((u) => u.key === key);
    if (up?.state === "failed") void this.send(up);
  }

  remove(key: number): void {
    this.stops.get(key)?.abort();
    this.list = this.list.filter((u) => u.key !== key);
    this.changed();
  }

  get busy(): boolean {
    return this.list.some((u) => u.state === "sending");
  }

  /** Takes the finished files for a message. */
  take(): SentFile[] {
    const done = this.list.flatMap((u) => (u.sent ? [u.sent] : []));
    this.list = this.list.filter((u) => !u.sent);
    return done;
  }

  private async send(up: Upload): Promise<void> {
    const stop = new AbortController();
    this.stops.set(up.key, stop);
    delete up.problem;
    up.state = "sending";
    up.progress = 0;
    this.changed();
    try {
      const hash = await sha256(await up.file.arrayBuffer());
      await this.ready();
      if (up.file.size < worthAsking || !(await this.api.hasFile(hash))) {
        await this.api.upload(hash, up.file, (part) => {
          up.progress = part;
          this.changed();
        }, stop.signal);
      }
      this.local.set(hash, up.file);
      up.progress = 1;
      up.state = "done";
      up.sent = { sha256: hash, name: up.file.name || "file", type: up.file.type, size: up.file.size };
    } catch (e) {
      up.state = "failed";
      up.problem = e instanceof Problem ? e.message : "";
    }
    this.stops.delete(up.key);
    this.changed();
  }
}
