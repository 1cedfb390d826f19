import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Chat } from "../src/core/chat";
import { Outbox } from "../src/core/outbox";
import type { Message, Page, Settings } from "../src/core/protocol";
import { storeIn } from "../src/core/storage";
import { Thread } from "../src/core/thread";
import { MemoryStorage } from "./memory";

const message = (number: number, kind: Message["author"]["kind"] = "member", id = `m${number}`): Message =>
  ({ id, number, author: { kind }, parts: [{ kind: "text", text: `text ${number}` }], sent_at: "2026-03-10T09:00:00.000000Z" });

describe("the thread", () => {
  const page = (from: number, to: number, ...messages: Message[]): Page => ({ from, to, messages });

  test("takes what follows, in any repetition, and sees gaps", () => {
    const t = new Thread();
    expect(t.apply(page(0, 2, message(1, "customer"), message(2)))).toBe(true);
    expect(t.apply(page(1, 2, message(2)))).toBe(true);
    expect(t.apply(page(4, 5, message(5)))).toBe(false);
    expect(t.position).toBe(2);
    expect(t.apply(page(2, 6, message(5), message(3)))).toBe(true); // 4 and 6 are not for the visitor
    expect(t.position).toBe(6);
    expect(t.messages().map((m) => m.number)).toEqual([1, 2, 3, 5]);
  });

  test("an answer moves the position only when nothing lies between", () => {
    const t = new Thread();
    t.confirm(message(1, "customer"));
    expect(t.position).toBe(1);
    t.confirm(message(3, "customer"));
    expect(t.position).toBe(1);
    expect(t.has("m3")).toBe(true);
  });

  test("unread counts others' messages that still exist", () => {
    const t = new Thread();
    t.apply(page(0, 4, message(1, "customer"), message(2), { ...message(3), deleted_at: "2026-03-10T09:01:00Z" }, message(4, "assistant")));
    expect([t.unread(0), t.unread(2), t.unread(4), t.lastOther()]).toEqual([2, 1, 0, 4]);
  });
});

describe("the outbox", () => {
  test("survives a reload and keeps the order of writing", () => {
    const storage = new MemoryStorage();
    const a = new Outbox(storeIn(storage, "p."));
    for (const id of ["b", "a", "c"]) a.put({ id, text: id, files: [], at: 1 });
    const b = new Outbox(storeIn(storage, "p."));
    expect(b.entries().map((e) => e.id)).toEqual(["a", "b", "c"]);
    b.put({ ...b.entries()[0]!, problem: { code: "too_large", detail: "x" } });
    expect(b.next()?.id).toBe("b");
    b.remove("b");
    expect(a.next()?.id).toBe("c"); // another tab's removal is seen
  });

  test("ignores what others left under its keys", () => {
    const storage = new MemoryStorage();
    const store = storeIn(storage, "p.");
    for (const [k, v] of [["out.x", "not json"], ["out.y", "{}"], ["out.z", '{"id":"other","text":"","files":[]}'], ["out.n", "null"]]) store.set(k!, v!);
    expect(new Outbox(store).entries()).toEqual([]);
  });
});

/** A server in memory: stores each id once, fails as it is told. */
class FakeServer {
  said = new Map<string, Message>();
  posts = 0;
  sessions = 0;
  fail: (n: number) => "before" | "after" | number | undefined = () => undefined;
  token = "t1";
  refuse = 0;

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });
    const path = new URL(url).pathname;
    if (path.endsWith("/session")) {
      this.sessions++;
      if (this.refuse) return json(this.refuse, { code: "forbidden", detail: "This page is not on the list of allowed origins." });
      return json(200, { visitor_token: this.token, settings: {} });
    }
    if ((init.headers as Record<string, string>)["Authorization"] !== `Visitor ${this.token}`) return json(401, { code: "unauthorized", detail: "no" });
    if (init.method === "GET") {
      const after = Number(new URL(url).searchParams.get("after"));
      const messages = [...this.said.values()].filter((m) => m.number > after);
      return json(200, { from: after, to: this.said.size, messages });
    }
    const how = this.fail(++this.posts);
    if (how === "before") throw new TypeError("no line");
    if (typeof how === "number") return json(how, { code: how === 413 ? "too_large" : "too_many", detail: "sentence", retry_after: 2 });
    const body = JSON.parse(String(init.body)) as { id: string; text: string };
    if (!this.said.has(body.id)) this.said.set(body.id, { ...message(this.said.size + 1, "customer", body.id), parts: [{ kind: "text", text: body.text }] });
    if (how === "after") throw new TypeError("line lost with the answer on it");
    return json(200, { message: this.said.get(body.id) });
  };
}

class FakeSocket {
  static all: FakeSocket[] = [];
  readyState = 1;
  sent: { type: string; after?: number; upto?: number }[] = [];
  private readonly on: Record<string, (e: object) => void> = {};
  constructor() {
    FakeSocket.all.push(this);
  }
  addEventListener(type: string, f: (e: object) => void): void {
    this.on[type] = f;
  }
  opened(): void {
    this.on["open"]?.({});
  }
  send(s: string): void {
    this.sent.push(JSON.parse(s) as { type: string });
  }
  close(): void {
    this.readyState = 3;
  }
  end(code: number, reason: string): void {
    this.on["close"]?.({ code, reason });
  }
  hear(frame: object): void {
    this.on["message"]?.({ data: JSON.stringify(frame) });
  }
}

describe("the chat", () => {
  let server: FakeServer;
  let storage: MemoryStorage;
  const settings: Settings = { title: "T", max_file_bytes: 1 };
  const open = () => new Chat({ base: "http://x.example", channel: "k", settings, store: storeIn(storage, "p."), alone: (_, task) => task() });
  const settle = () => vi.advanceTimersByTimeAsync(0);
  const texts = (c: Chat) => c.rows().map((r) => `${r.message.parts[0]?.text} ${r.state}`);

  beforeEach(() => {
    vi.useFakeTimers();
    server = new FakeServer();
    storage = new MemoryStorage();
    FakeSocket.all = [];
    vi.stubGlobal("navigator", { language: "en-GB" });
    vi.stubGlobal("fetch", server.fetch);
    vi.stubGlobal("WebSocket", FakeSocket);
    vi.spyOn(Math, "random").mockReturnValue(0.5);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });
  const last = () => FakeSocket.all.at(-1)!;

  test("a first visit opens no session until there is a reason", async () => {
    const c = open();
    c.start();
    await settle();
    expect([server.sessions, c.loaded, c.line]).toEqual([0, true, "idle"]);
    c.send("hello", []);
    expect(texts(c)).toEqual(["hello waiting"]);
    await settle();
    expect(texts(c)).toEqual(["hello sent"]);
    expect(server.sessions).toBe(1);
  });

  test("a message goes out once, also when only the answer was lost", async () => {
    server.fail = (n) => (n === 1 ? "before" : n === 2 ? "after" : undefined);
    const c = open();
    c.start();
    c.send("one", []);
    await settle();
    c.send("two", []);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(texts(c)).toEqual(["one sent", "two sent"]);
    expect([...server.said.values()].map((m) => m.parts[0]?.text)).toEqual(["one", "two"]);
    expect(c.outbox.entries()).toEqual([]);
  });

  test("what was typed before a crash goes out after it, once", async () => {
    server.fail = () => "after";
    open().send("kept", []);
    await settle();
    expect(server.said.size).toBe(1);
    server.fail = () => undefined;
    const c = open(); // the page is loaded again
    expect(texts(c)).toEqual(["kept waiting"]);
    c.start();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(texts(c)).toEqual(["kept sent"]);
    expect(server.said.size).toBe(1);
  });

  test("a refusal is shown and can be repeated; waiting is the server's choice", async () => {
    server.fail = (n) => (n === 1 ? 413 : n === 2 ? 429 : undefined);
    const c = open();
    c.send("long", []);
    await settle();
    expect(c.rows()[0]).toMatchObject({ state: "failed", problem: { code: "too_large", detail: "sentence" } });
    c.retry(c.outbox.entries()[0]!);
    await settle();
    expect(server.posts).toBe(2);
    await vi.advanceTimersByTimeAsync(1_900);
    expect(server.posts).toBe(2);
    await vi.advanceTimersByTimeAsync(200);
    expect(texts(c)).toEqual(["long sent"]);
  });

  test.each([400, 403, 404])("a session that is refused with %i is said in words, the text is kept", async (status) => {
    server.refuse = status;
    const c = open();
    c.send("hello", []);
    await settle();
    expect(c.rows()[0]).toMatchObject({ state: "failed", problem: { detail: "This page is not on the list of allowed origins." } });
    expect(c.refused?.code).toBe("forbidden");
    expect(c.loaded).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.sessions).toBe(1); // waiting would not help
    expect(texts(open())).toEqual(["hello waiting"]); // kept: another page may try
    server.refuse = 0;
    c.retry(c.outbox.entries()[0]!);
    await settle();
    expect(texts(c)).toEqual(["hello sent"]);
    expect(c.refused).toBeUndefined();
  });

  test("a session that fails for a while is waited for", async () => {
    server.refuse = 503;
    const c = open();
    c.send("hello", []);
    await settle();
    expect(texts(c)).toEqual(["hello waiting"]);
    server.refuse = 0;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(texts(c)).toEqual(["hello sent"]);
  });

  test("a thread that became shorter is loaded anew, what waits is kept", async () => {
    const c = open();
    for (const text of ["one", "two", "three"]) c.send(text, []);
    await settle();
    last().hear({ type: "welcome", beat: 20 });
    for (const id of ["four", "five"]) server.said.set(id, message(server.said.size + 1, "member", id));
    last().hear({ type: "message", from: 3, to: 5, message: message(5, "member", "five") });
    await settle();
    c.seen();
    server.fail = () => "before";
    c.send("kept", []);
    await settle();
    for (const id of [...server.said.keys()].slice(1)) server.said.delete(id); // restored from a backup
    last().hear({ type: "message", from: 5, to: 1 });
    await settle();
    expect(texts(c)).toEqual(["one sent", "kept sending"]);
    server.said.set("new", message(2, "member", "new"));
    last().hear({ type: "message", from: 1, to: 2, message: message(2, "member", "new") });
    expect(c.unread).toBe(1); // its number was seen before, it was not
    server.fail = () => undefined;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(texts(c)).toEqual(["one sent", "text 2 sent", "kept sent"]);
  });

  test("a pull finds out, too, that the thread is shorter", async () => {
    const c = open();
    for (const text of ["one", "two", "three"]) c.send(text, []);
    await settle();
    for (const id of [...server.said.keys()].slice(1)) server.said.delete(id);
    last().hear({ type: "message", from: 7, to: 8, message: message(8) }); // a gap
    await settle();
    expect(texts(c)).toEqual(["one sent"]);
    expect(c.thread.position).toBe(1);
  });

  test("a server that restarts says when to come back", async () => {
    const c = open();
    c.send("one", []);
    await settle();
    last().hear({ type: "welcome", beat: 20 });
    last().end(1012, '{"retry_after":1.4}');
    await vi.advanceTimersByTimeAsync(1_300); // by itself it would have come after half a second
    expect(FakeSocket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("a server that forgot the visitor gets a new one, nothing is lost", async () => {
    const c = open();
    c.send("one", []);
    await settle();
    server.said.clear();
    server.token = "t2";
    c.send("two", []);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(texts(c)).toEqual(["two sent"]);
    expect(server.sessions).toBe(2);
  });

  test("a gap in the socket's frames is pulled", async () => {
    const c = open();
    c.send("one", []);
    await settle();
    last().hear({ type: "welcome", beat: 20 });
    server.said.set("a", message(2, "member", "a"));
    server.said.set("b", message(3, "member", "b"));
    last().hear({ type: "message", from: 2, to: 3, message: message(3, "member", "b") });
    await settle();
    expect(c.thread.messages().map((m) => m.number)).toEqual([1, 2, 3]);
    expect(c.unread).toBe(2);
    c.seen();
    expect(c.unread).toBe(0);
    expect(last().sent.at(-1)).toEqual({ type: "read", upto: 3 });
  });

  test("what the company has read is shown as seen, and stays so", async () => {
    const c = open();
    const seen = () => c.rows().map((r) => r.seen ?? false);
    c.send("one", []);
    await settle();
    last().hear({ type: "welcome", beat: 20 });
    server.said.set("m2", message(2));
    last().hear({ type: "message", from: 1, to: 2, message: message(2) });
    c.send("three", []);
    await settle();
    expect(seen()).toEqual([false, false, false]);
    let drawn = 0;
    c.onChange(() => drawn++);
    last().hear({ type: "read", upto: 2 });
    expect(drawn).toBe(1);
    expect(seen()).toEqual([true, false, false]); // their own messages are not theirs to see
    last().hear({ type: "read", upto: 3 });
    last().hear({ type: "read", upto: 1 });
    expect(seen()).toEqual([true, false, true]);
  });

  test("silence for two beats is a dead line; the next hello says where to go on", async () => {
    const c = open();
    c.send("one", []);
    await settle();
    last().opened();
    expect(last().sent[0]).toMatchObject({ type: "hello", after: 1 });
    last().hear({ type: "welcome", beat: 20 });
    expect(c.line).toBe("live");
    await vi.advanceTimersByTimeAsync(35_000);
    expect(FakeSocket.all).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(11_000);
    expect(FakeSocket.all.length).toBeGreaterThan(1);
    expect(FakeSocket.all[0]?.readyState).toBe(3);
  });

  test("typing ends by itself, and with the message", async () => {
    const c = open();
    c.send("one", []);
    await settle();
    last().hear({ type: "welcome", beat: 20 });
    last().hear({ type: "typing", name: "Ana", ttl: 6 });
    expect(c.typing?.name).toBe("Ana");
    await vi.advanceTimersByTimeAsync(6_100);
    expect(c.typing).toBeUndefined();
    last().hear({ type: "typing", name: "Ana", ttl: 6 });
    last().hear({ type: "message", from: 1, to: 2, message: message(2) });
    expect(c.typing).toBeUndefined();
    c.type();
    c.type();
    expect(last().sent.filter((f) => f.type === "typing")).toHaveLength(1);
  });

  test("asks for name and e-mail only before the first message", async () => {
    settings.ask_email = true;
    const c = open();
    expect(c.asks).toEqual({ name: false, email: true });
    c.introduce({ email: "a@b.example" }, true);
    expect(c.asks).toBeUndefined();
    expect(open().asks).toBeUndefined(); // remembered
    delete settings.ask_email;
  });
});
