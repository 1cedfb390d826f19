import { Api } from "./api";
import { Live } from "./live";
import { Outbox, type Entry } from "./outbox";
import { Problem, type Arrival, type Frame, type Message, type Profile, type SentFile, type Session, type Settings } from "./protocol";
import { retryDelay } from "./retry";
import type { Store } from "./storage";
import { Thread } from "./thread";
import { Uploads } from "./uploads";
import { uuid7 } from "./uuid";

// The conversation of one visitor: opens the session when there is something
// to open it for, keeps the thread whole, and sees that what was written goes
// out. Knows nothing of the page; it says "changed" and is read.

export type Line = "idle" | "connecting" | "live" | "offline";

export type Row = { message: Message; state: "sending" | "waiting" | "sent" | "failed"; seen?: boolean; problem?: Refusal };

/** What will not heal by waiting, in the server's words. */
export type Refusal = { code: string; detail: string };

export type ChatOptions = {
  base: string;
  channel: string;
  settings: Settings;
  store: Store;
  /** What the browser kept before the visitor was known by name, if anything. */
  anonymous?: Store;
  /** For tests, and the two tabs of one visitor: runs one task of a name at a time. */
  alone?: (name: string, task: () => Promise<void>) => Promise<void>;
};

const typingEvery = 3_000;

/** Reads the profile that was kept; what is damaged is asked for again. */
function savedProfile(text: string | null): Profile {
  try {
    const p: unknown = JSON.parse(text ?? "{}");
    return typeof p === "object" && p !== null ? p : {};
  } catch {
    return {};
  }
}

export class Chat {
  readonly thread = new Thread();
  readonly uploads: Uploads;
  readonly outbox: Outbox;
  settings: Settings;
  typing: { name: string; until: number } | undefined;
  status = "";
  /** Whether everything that was there when the page opened has arrived. */
  loaded = false;
  /** Why the server does not take this visitor, until it does. */
  refused: Refusal | undefined;
  profile: Profile = {};
  arrival: Arrival = {};
  private readonly api: Api;
  private readonly live: Live;
  private readonly listeners = new Set<() => void>();
  private opening: Promise<void> | undefined;
  private draining = false;
  private pulling: Promise<void> | undefined;
  private drainTimer: ReturnType<typeof setTimeout> | undefined;
  private typingTimer: ReturnType<typeof setTimeout> | undefined;
  private attempt = 0;
  private typedAt = 0;
  private readSent = 0;
  /** The number up to which the company has read, where it says so. */
  private readUpto = 0;

  constructor(private readonly o: ChatOptions) {
    this.settings = o.settings;
    this.outbox = new Outbox(o.store);
    this.api = new Api(o.base, () => this.token);
    this.uploads = new Uploads(this.api, () => this.open(), () => this.changed());
    this.live = new Live(`${o.base.replace(/^http/, "ws")}/v1/visitor/live`, {
      hello: () => ({ type: "hello", token: this.token, after: this.thread.position }),
      frame: (f) => this.take(f),
      state: () => this.changed(),
      unknown: () => void this.forgotten(),
    });
    this.profile = savedProfile(o.store.get("profile"));
    if (!o.store.get("token") && o.anonymous?.get("token")) this.adopt(o.anonymous);
  }

  /** Who was here before they signed in goes on as the same visitor. */
  private adopt(from: Store): void {
    for (const key of from.keys()) {
      const value = from.get(key);
      if (value !== null) this.o.store.set(key, value);
      from.remove(key);
    }
  }

  private get token(): string {
    return this.o.store.get("token") ?? "";
  }

  onChange(f: () => void): void {
    this.listeners.add(f);
  }

  private changed(): void {
    for (const f of this.listeners) f();
  }

  /** Whether this browser has written here before. */
  get known(): boolean {
    return this.token !== "" || this.outbox.entries().length > 0;
  }

  /** Whether name or e-mail are still to be asked for. */
  get asks(): { name: boolean; email: boolean } | undefined {
    const name = Boolean(this.settings.ask_name) && !this.profile.name;
    const email = Boolean(this.settings.ask_email) && !this.profile.email;
    const begun = this.thread.messages().length > 0 || this.outbox.entries().length > 0;
    return (name || email) && !begun ? { name, email } : undefined;
  }

  get line(): Line {
    if (!this.live.running) return this.opening ? "connecting" : "idle";
    return this.live.state;
  }

  /** Begins where this browser left off; a first visit waits for a reason. */
  start(): void {
    if (this.known) void this.open().catch(() => undefined);
    else this.loaded = true;
    this.changed();
  }

  /** Opens the session, once. Rejects when it cannot be opened now. */
  open(): Promise<void> {
    if (this.live.running) return Promise.resolve();
    this.opening ??= this.openNow().finally(() => {
      this.opening = undefined;
      this.changed();
    });
    this.changed();
    return this.opening;
  }

  private async openNow(): Promise<void> {
    try {
      await this.alone("session", () => this.requestSession());
    } catch (e) {
      this.refused = e instanceof Problem && e.lasting ? { code: e.code, detail: e.message } : undefined;
      this.loaded ||= this.refused !== undefined;
      this.later(e);
      throw e;
    }
    this.refused = undefined;
    this.live.start();
    await this.pull().catch(() => undefined); // the socket brings it as well
    this.attempt = 0;
    void this.drain();
  }

  private async requestSession(): Promise<void> {
    const before = this.token;
    const answer: Session = await this.api.session({
      channel: this.o.channel,
      ...(before ? { visitor_token: before } : {}),
      ...(Object.keys(this.profile).length ? { profile: this.profile } : {}),
      ...this.arrival,
      language: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    });
    if (before && before !== answer.visitor_token) this.empty();
    this.o.store.set("token", answer.visitor_token);
    this.settings = { ...this.settings, ...answer.settings };
  }

  /** What a form or the embedding page says about the visitor. */
  introduce(profile: Profile, remember: boolean): void {
    this.profile = { ...this.profile, ...profile };
    if (remember) this.o.store.set("profile", JSON.stringify(this.profile));
    if (this.known && this.live.running) void this.requestSession().catch(() => undefined);
    this.changed();
  }

  /** Another visitor's thread begins. */
  private empty(): void {
    this.thread.clear();
    this.readUpto = 0;
  }

  /** The thread ends at a number before ours: the server was restored from an older backup. */
  private shorter(to: number): void {
    this.empty();
    this.readSent = 0;
    if (this.seenNumber > to) this.o.store.set("seen", String(to));
    this.changed();
  }

  /** The server does not know this visitor: begin anew, keeping what waits. */
  private async forgotten(): Promise<void> {
    this.o.store.remove("token");
    this.empty();
    this.readSent = 0;
    this.live.stop();
    await this.open().catch(() => undefined);
  }

  /** Writes a message: kept first, then sent. */
  send(text: string, files: SentFile[]): void {
    this.outbox.put({ id: uuid7(), text, files, at: Date.now() });
    this.typedAt = 0;
    this.changed();
    this.attempt = 0;
    void this.drain();
  }

  /** Sends a refused message again. */
  retry(entry: Entry): void {
    this.refused = undefined;
    const { problem, ...again } = entry;
    if (problem?.code === "id_reused") {
      this.outbox.remove(entry.id);
      again.id = uuid7();
    }
    this.outbox.put(again);
    this.changed();
    void this.drain();
  }

  discard(id: string): void {
    this.outbox.remove(id);
    this.changed();
  }

  /** The line may be back: try everything at once. */
  wake(): void {
    this.attempt = 0;
    if (this.live.running) this.live.check();
    void this.drain();
  }

  /** Sends what waits, one after the other, in one tab at a time. */
  private async drain(): Promise<void> {
    if (this.draining || !this.outbox.next()) return;
    this.draining = true;
    clearTimeout(this.drainTimer);
    try {
      await this.open();
      await this.alone("send", async () => {
        for (let e = this.outbox.next(); e; e = this.outbox.next()) await this.deliver(e);
      });
      this.attempt = 0;
    } catch (e) {
      this.later(e);
    } finally {
      this.draining = false;
      this.changed();
    }
  }

  private async deliver(e: Entry): Promise<void> {
    try {
      this.thread.confirm(await this.api.say(e.id, e.text, e.files));
      this.outbox.remove(e.id); // only now: the row above has taken its place
      this.changed();
    } catch (problem) {
      if (!(problem instanceof Problem) || problem.passing) throw problem;
      if (problem.status === 401) {
        await this.forgotten();
        throw problem;
      }
      this.outbox.put({ ...e, problem: { code: problem.code, detail: problem.message } });
      this.changed();
    }
  }

  /** Tries again after a while: what the server asked for, else full jitter. */
  private later(e: unknown): void {
    const asked = e instanceof Problem ? e.retryAfter * 1000 : 0;
    if (e instanceof Problem && e.lasting) return;
    clearTimeout(this.drainTimer);
    this.drainTimer = setTimeout(() => {
      if (this.outbox.next()) void this.drain();
      else if (this.known) void this.open().catch(() => undefined);
    }, Math.max(asked, retryDelay(this.attempt++)));
  }

  /** Fills the thread up to what the server has. */
  private pull(): Promise<void> {
    this.pulling ??= (async () => {
      for (;;) {
        const page = await this.api.messages(this.thread.position);
        if (page.to < page.from) {
          this.shorter(page.to);
          continue;
        }
        const before = this.thread.position;
        // One that does not fit was asked for before the thread became shorter.
        if (this.thread.apply(page) && (page.messages.length === 0 || this.thread.position === before)) break;
      }
      this.loaded = true;
    })().finally(() => {
      this.pulling = undefined;
      this.changed();
    });
    return this.pulling;
  }

  private take(f: Frame): void {
    if (f.type === "message" && f.to !== undefined && f.to < (f.from ?? 0)) {
      this.shorter(f.to);
      this.pull().catch(() => this.live.now());
    } else if (f.type === "message" && f.message) {
      const whole = this.thread.apply({ from: f.from ?? 0, to: f.to ?? f.message.number, messages: [f.message] });
      if (!whole) this.pull().catch(() => this.live.now()); // the next hello asks for the rest
      if (f.message.author.kind !== "customer") this.typing = undefined;
      else this.outbox.remove(f.message.id);
      if (f.message.author.kind !== "customer" || this.status === "resolved") this.status = "";
    } else if (f.type === "typing") {
      const ttl = (f.ttl ?? 6) * 1000;
      this.typing = { name: f.name ?? "", until: Date.now() + ttl };
      clearTimeout(this.typingTimer);
      this.typingTimer = setTimeout(() => {
        this.typing = undefined;
        this.changed();
      }, ttl);
    } else if (f.type === "read") {
      this.readUpto = Math.max(this.readUpto, f.upto ?? 0);
    } else if (f.type === "state") {
      this.status = f.status ?? "";
    } else if (f.type === "welcome") {
      this.readSent = 0;
      this.loaded ||= !this.pulling;
      void this.drain();
    } else return;
    this.changed();
  }

  /** Tells members that the visitor is typing, not at every key. */
  type(): void {
    if (Date.now() - this.typedAt < typingEvery) return;
    if (this.live.send({ type: "typing" })) this.typedAt = Date.now();
  }

  /** The visitor has everything in front of them. */
  seen(): void {
    const upto = this.thread.lastOther();
    if (upto > this.seenNumber) this.o.store.set("seen", String(upto));
    if (upto > this.readSent && this.live.send({ type: "read", upto })) this.readSent = upto;
  }

  private get seenNumber(): number {
    return Number(this.o.store.get("seen")) || 0;
  }

  get unread(): number {
    return this.thread.unread(this.seenNumber);
  }

  /** The thread as it is shown: confirmed by number, then what waits. */
  rows(): Row[] {
    const rows: Row[] = this.thread.messages().map((message) => ({
      message, state: "sent",
      ...(message.author.kind === "customer" && message.number <= this.readUpto ? { seen: true } : {}),
    }));
    for (const e of this.outbox.entries()) {
      if (this.thread.has(e.id)) continue;
      const parts = [
        ...(e.text ? [{ kind: "text", text: e.text }] : []),
        ...e.files.map((f) => ({ kind: f.type.startsWith("image/") ? "image" : "file", ...f })),
      ];
      const message: Message = { id: e.id, number: 0, author: { kind: "customer" }, parts, sent_at: new Date(e.at).toISOString() };
      const problem = e.problem ?? this.refused;
      const state = problem ? "failed" : this.line === "live" ? "sending" : "waiting";
      rows.push({ message, state, ...(problem ? { problem } : {}) });
    }
    return rows;
  }

  file(sha256: string): Promise<Blob> {
    const local = this.uploads.local.get(sha256);
    return local ? Promise.resolve(local) : this.api.file(sha256);
  }

  private alone(name: string, task: () => Promise<void>): Promise<void> {
    if (this.o.alone) return this.o.alone(name, task);
    // One visitor, several tabs: one at a time makes the token, one sends.
    const locks = globalThis.navigator?.locks;
    return locks ? (locks.request(`parley.${this.o.channel}.${name}`, task) as Promise<void>) : task();
  }
}
