import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { arrive, referrerOf, utmOf } from "../src/core/arrival";
import { accentOf, contrast } from "../src/core/color";
import { dayKey, dayLabel, initials, rightToLeft, sizeLabel, usableLanguage } from "../src/core/format";
import { linkPiece, pieces } from "../src/core/links";
import { retryDelay } from "../src/core/retry";
import { digest, sha256 } from "../src/core/sha256";
import { storeIn } from "../src/core/storage";
import { uuid7 } from "../src/core/uuid";
import { wordsFor } from "../src/core/words";
import { readOptions } from "../src/loader/options";
import { MemoryStorage } from "./memory";

describe("ids", () => {
  test("are UUIDv7 of their time", () => {
    const id = uuid7(4_000_000_000_000);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toBe(4_000_000_000_000);
  });

  test("only grow, within a millisecond and when the clock steps back", () => {
    const ids = Array.from({ length: 20_000 }, (_, i) => uuid7(5_000_000_000_000 - (i % 3) * 1000));
    expect(ids).toEqual([...ids].sort());
    expect(new Set(ids).size).toBe(ids.length);
  });
});

test("the wait before a retry doubles to thirty seconds, with full jitter", () => {
  expect([0, 1, 2, 3, 4, 5, 6, 100].map((n) => retryDelay(n, () => 1))).toEqual(
    [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  expect(retryDelay(5, () => 0)).toBe(0);
});

describe("links", () => {
  const links = (s: string) => pieces(s).filter((p) => p.href).map((p) => [p.text, p.href]);

  test.each([
    ["see https://shop.example/a?b=1.", [["https://shop.example/a?b=1", "https://shop.example/a?b=1"]]],
    ["(www.shop.example)", [["www.shop.example", "https://www.shop.example/"]]],
    ["https://en.wikipedia.org/wiki/Coffee_(drink)!", [["https://en.wikipedia.org/wiki/Coffee_(drink)", "https://en.wikipedia.org/wiki/Coffee_(drink)"]]],
    ["mail ana+x@shop.example, please", [["ana+x@shop.example", "mailto:ana+x@shop.example"]]],
    ["http://127.0.0.1:8787/c/x", [["http://127.0.0.1:8787/c/x", "http://127.0.0.1:8787/c/x"]]],
    ["javascript:alert(1) data:text/html,x vbscript:x file:///etc/passwd", []],
    ["JAVASCRIPT://shop.example/%0aalert(1)", []],
    ["no link: a.b, 3.14, e.g. this", []],
    ["https://", []],
    ["https://x", []],
  ])("%s", (text, want) => expect(links(text)).toEqual(want));

  test("the pieces are the text, whatever it is", () => {
    const odd = ["", "<b>https://a.example</b>", "a@b", "مرحبا https://a.example/ش ok", "\u202ehttps://a.example", "@@@...".repeat(2000), "www." + "a".repeat(5000)];
    for (const s of odd) expect(pieces(s).map((p) => p.text).join("")).toBe(s);
  });

  test("every link is http, https or mailto", () => {
    const words = ["https://a.example", "mailto:x@y.example", "javascript:", "//evil.example", "x@y.example", "http:", "www.x.example", "\u0000", "data:"];
    for (const a of words) for (const b of words) for (const p of pieces(`${a} ${b}${a}`)) {
      if (p.href) expect(new URL(p.href).protocol).toMatch(/^(https?|mailto):$/);
    }
  });
});

describe("link parts", () => {
  test.each([
    ["Write to sales", "mailto:sales@x.example", { text: "Write to sales", href: "mailto:sales@x.example" }],
    ["Call us", "tel:+34600100200", { text: "Call us", href: "tel:+34600100200" }],
    ["The handbook", "https://intranet/x", { text: "The handbook", href: "https://intranet/x" }],
    ["", "https://shop.example/a", { text: "https://shop.example/a", href: "https://shop.example/a" }],
    ["Click", "javascript:alert(1)", { text: "Click javascript:alert(1)" }],
    ["Click", "\u0001JavaScript:alert(1)", { text: "Click \u0001JavaScript:alert(1)" }],
    ["A page", "shop.example/a", { text: "A page shop.example/a" }],
    ["shop.example", "shop.example", { text: "shop.example" }],
    ["Only words", "", { text: "Only words" }],
  ])("%s, %s", (title, url, want) => expect(linkPiece(title, url)).toEqual(want));
});

describe("where somebody came from", () => {
  test("campaign parameters", () => {
    expect(utmOf("?utm_source=news&utm_Campaign=Spring%20sale&utm_source=again&x=1&utm_=y&utm_term=")).toEqual(
      { source: "news", campaign: "Spring sale" });
    expect(utmOf(`?utm_source=${"x".repeat(900)}`)["source"]).toHaveLength(200);
  });

  test("the own site refers to nothing", () => {
    expect(referrerOf("https://shop.example/a", "https://shop.example")).toBe("");
    expect(referrerOf("https://search.example/", "https://shop.example")).toBe("https://search.example/");
    expect(referrerOf("", "https://shop.example")).toBe("");
  });

  test("the first page of a tab is remembered, a new campaign replaces it", () => {
    const tab = new MemoryStorage();
    const at = (path: string, referrer: string) => {
      const u = new URL(path, "https://shop.example");
      return arrive({ href: u.href, search: u.search, origin: u.origin }, referrer, tab);
    };
    expect(at("/?utm_source=news", "https://mail.example/")).toEqual(
      { page: "https://shop.example/?utm_source=news", referrer: "https://mail.example/", utm: { source: "news" } });
    expect(at("/cart#top", "https://shop.example/")).toEqual(
      { page: "https://shop.example/cart", referrer: "https://mail.example/", utm: { source: "news" } });
    expect(at("/?utm_source=ad", "")).toEqual({ page: "https://shop.example/?utm_source=ad", utm: { source: "ad" } });
  });
});

describe("SHA-256", () => {
  test.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 70_001])("of %i bytes", async (n) => {
    const data = Uint8Array.from({ length: n }, (_, i) => (i * 31 + 7) & 255);
    const want = createHash("sha256").update(data).digest("hex");
    expect(Buffer.from(digest(data)).toString("hex")).toBe(want);
    expect(await sha256(data.buffer)).toBe(want);
  });
});

describe("colours", () => {
  const colors = ["#0f766e", "#ffffff", "#000000", "#ffe600", "#2563eb", "#ff0000", "#7f7f7f", "#00ff00"];
  test.each(colors.flatMap((c) => [[c, false], [c, true]] as const))("%s, dark %s, is readable", (c, dark) => {
    const a = accentOf(c, dark)!;
    expect(contrast(a.accent, dark ? "#171b1a" : "#ffffff")).toBeGreaterThanOrEqual(4.5);
    expect(contrast(a.accent, a.on)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(a.mine, a.mineInk)).toBeGreaterThanOrEqual(4.5);
  });
  test("the default stays as it was chosen", () => expect(accentOf("#0f766e", false)?.accent).toBe("#0f766e"));
  test.each(["", "red", "#fff", "#12345g", "#0f766e;x:y"])("%j is no colour", (c) => expect(accentOf(c, false)).toBeUndefined());
});

describe("what is written around messages", () => {
  test("days", () => {
    const now = new Date(2026, 2, 10, 9).getTime();
    expect(dayLabel(new Date(2026, 2, 10, 0, 1).getTime(), now, "en")).toBe("Today");
    expect(dayLabel(new Date(2026, 2, 9, 23, 59).getTime(), now, "en")).toBe("Yesterday");
    expect(dayLabel(new Date(2026, 2, 9, 23, 59).getTime(), now, "de")).toBe("Gestern");
    expect(dayLabel(new Date(2026, 1, 1).getTime(), now, "en-GB")).toContain("February");
    expect(dayLabel(new Date(2024, 1, 1).getTime(), now, "en")).toContain("2024");
    expect(dayKey(new Date(2026, 2, 10, 0, 1).getTime())).toBe(dayKey(now));
  });
  test("sizes", () => {
    expect(sizeLabel(312, "en")).toBe("312 byte");
    expect(sizeLabel(1_500_000, "en")).toBe("1.4 MB");
    expect(sizeLabel(10 << 20, "en")).toBe("10 MB");
  });
  test.each([["Northwind Coffee", "NC"], ["ana", "A"], ["  ", ""], ["李 小龙", "李小"], ["😀 Kim", "K"], ["O'Neil (Support)", "OS"]])(
    "initials of %j", (name, want) => expect(initials(name)).toBe(want));
  test("languages", () => {
    expect(usableLanguage("not a tag!", undefined, "pt-br")).toBe("pt-BR");
    expect(usableLanguage("")).toBe("en");
    expect(rightToLeft("ar-EG")).toBe(true);
    expect(rightToLeft("arn")).toBe(false);
    expect(wordsFor("xx").send).toBe("Send");
    expect(wordsFor("en-GB").newMessages(1)).toBe("1 new message");
  });
});

describe("storage", () => {
  test("keeps what fits, remembers what does not, and says so", () => {
    const s = storeIn(new MemoryStorage(20), "p.");
    expect(s.set("a", "x")).toBe(true);
    expect(s.set("b", "y".repeat(50))).toBe(false);
    expect(s.get("b")).toHaveLength(50);
    expect(s.keys().sort()).toEqual(["a", "b"]);
    s.remove("b");
    expect(s.get("b")).toBeNull();
  });
  test("works without any", () => {
    const s = storeIn(undefined, "p.");
    s.set("a", "x");
    expect([s.get("a"), s.keys()]).toEqual(["x", ["a"]]);
  });
  test("keeps visitors apart", () => {
    const storage = new MemoryStorage();
    const [one, two] = [storeIn(storage, "parley.k.-."), storeIn(storage, "parley.k.=u1.")];
    one.set("token", "1");
    two.set("token", "2");
    expect([one.get("token"), two.get("token"), one.keys(), two.keys()]).toEqual(["1", "2", ["token"], ["token"]]);
  });
});

test("a page's options: window.Parley wins over the tag", () => {
  const o = readOptions({ userId: "7", name: "Tag", theme: "dark", open: "" },
    { user: { name: "Page", hash: "ff", email: 3 }, position: "left", language: "de" });
  expect(o).toEqual({ profile: { user_id: "7", user_hash: "ff", name: "Page", email: "3" }, language: "de", theme: "dark", left: true, open: true });
  expect(readOptions({}, "nonsense")).toEqual({ profile: {}, language: undefined, theme: undefined, left: false, open: false });
});
