import type { Row } from "../core/chat";
import { dayKey, dayLabel, fullTime, initials, timeLabel } from "../core/format";
import { h, icon, setChildren, setText } from "./dom";
import * as icons from "./icons";
import { part, type Media } from "./parts";

// The thread. Rows are kept by id and only what changed in them is touched:
// nothing jumps, and a screen reader hears each message once.

export type LogHooks = { retry: (id: string) => void; discard: (id: string) => void; suggest: (text: string) => void };

export type LogView = { greeting: string; title: string; suggested: string[]; rows: Row[]; loaded: boolean; resolved: boolean };

type Kept = { el: HTMLElement; content: string; bubble: HTMLElement; meta: HTMLElement; who: HTMLElement };

const page = 150; // rows shown at first; older ones by a button
const together = 5 * 60_000; // messages this close need no name of their own

export class Log {
  readonly el: HTMLElement;
  readonly jump: HTMLButtonElement;
  private readonly list: HTMLElement;
  private readonly intro: HTMLElement;
  private readonly end: HTMLElement;
  private readonly earlier: HTMLButtonElement;
  private readonly kept = new Map<string, Kept>();
  private readonly days = new Map<number, { el: HTMLElement; label: HTMLElement }>();
  private shown = page;
  private stuck = true;
  private top = 0;
  private fresh = 0;
  private newest = 0;
  private last: LogView | undefined;

  constructor(private readonly media: Media, private readonly hooks: LogHooks) {
    const w = media.words;
    this.intro = h("div", { class: "intro" });
    this.list = h("div", { class: "rows" });
    this.end = h("p", { class: "end", hidden: true }, w.resolved);
    this.earlier = h("button", { type: "button", class: "pill", hidden: true, onclick: () => this.more() }, w.earlier);
    // The log itself takes the focus, so that it can be scrolled by keys.
    this.el = h("div", { class: "log", role: "log", "aria-live": "off", "aria-label": w.conversation, tabindex: 0 },
      h("div", { class: "column" }, this.intro, this.earlier, this.list, this.end));
    this.jump = h("button", { type: "button", class: "pill jump", hidden: true, onclick: () => this.toEnd(true) });
    this.el.addEventListener("scroll", () => this.scrolled(), { passive: true });
    const grown = new ResizeObserver(() => this.keep());
    grown.observe(this.el);
    grown.observe(this.list);
  }

  /** Only the reader leaves the end, by going up; an image that grows does not. */
  private scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.el;
    if (scrollHeight - scrollTop - clientHeight < 60) this.stuck = true;
    else if (scrollTop < this.top) this.stuck = false;
    this.top = scrollTop;
    if (this.stuck) this.fresh = 0;
    this.drawJump();
  }

  /** Whether the newest message is in view. */
  get atEnd(): boolean {
    return this.stuck;
  }

  /** Something grew: stay where the reader is. */
  keep(): void {
    if (this.stuck) this.toEnd(false);
  }

  toEnd(smooth: boolean): void {
    this.stuck = true;
    this.fresh = 0;
    const gentle = smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.el.scrollTo({ top: this.el.scrollHeight, behavior: gentle ? "smooth" : "auto" });
    this.drawJump();
  }

  private more(): void {
    const before = this.el.scrollHeight - this.el.scrollTop;
    this.shown += page;
    if (this.last) this.draw(this.last);
    this.el.scrollTop = this.el.scrollHeight - before;
  }

  draw(view: LogView): void {
    const known = this.last;
    this.last = view;
    this.drawIntro(view);
    const rows = view.rows.slice(-this.shown);
    this.earlier.hidden = rows.length === view.rows.length;
    const alive = new Set<string>();
    const nodes: Node[] = [];
    rows.forEach((row, i) => {
      const at = timeOf(row);
      const before = rows[i - 1];
      const newDay = !before || dayKey(timeOf(before)) !== dayKey(at);
      if (newDay) nodes.push(this.day(at));
      const after = rows[i + 1];
      const joins = (a: Row | undefined, b: Row | undefined) => !!a && !!b && speaker(a) === speaker(b) && Math.abs(timeOf(b) - timeOf(a)) < together && dayKey(timeOf(a)) === dayKey(timeOf(b));
      nodes.push(this.row(row, !joins(before, row), !joins(row, after)));
      alive.add(row.message.id);
    });
    for (const id of this.kept.keys()) if (!alive.has(id)) this.kept.delete(id);
    setChildren(this.list, nodes);
    this.end.hidden = !view.resolved || view.rows.length === 0;
    this.count(view, known);
    if (view.loaded && this.el.getAttribute("aria-live") === "off") {
      this.el.setAttribute("aria-live", "polite"); // what was there before is not news
    }
  }

  /** Counts what came while the reader was further up, and scrolls if not. */
  private count(view: LogView, known: LogView | undefined): void {
    const newest = view.rows.reduce((n, r) => Math.max(n, r.message.number), 0);
    const mine = view.rows.at(-1);
    const wrote = mine && mine.state !== "sent" && known?.rows.at(-1)?.message.id !== mine.message.id;
    if (known && !this.stuck) {
      this.fresh += view.rows.filter((r) => r.message.number > this.newest && r.message.author.kind !== "customer").length;
    }
    this.newest = Math.max(this.newest, newest);
    if (this.stuck || wrote) this.toEnd(false);
    this.drawJump();
  }

  private drawJump(): void {
    this.jump.hidden = this.stuck;
    if (this.stuck) return;
    const w = this.media.words;
    this.jump.replaceChildren(icon(icons.down), ...(this.fresh ? [w.newMessages(this.fresh)] : []));
    if (this.fresh) this.jump.removeAttribute("aria-label");
    else this.jump.setAttribute("aria-label", w.latest);
  }

  private drawIntro(view: LogView): void {
    const empty = view.rows.length === 0;
    const state = `${empty}${view.loaded}${view.greeting}${view.suggested.join("\n")}`;
    if (this.intro.dataset["state"] === state) return;
    this.intro.dataset["state"] = state;
    this.intro.classList.toggle("small", !empty);
    const w = this.media.words;
    const chips = view.suggested.map((text) =>
      h("li", {}, h("button", { type: "button", class: "chip", dir: "auto", onclick: () => this.hooks.suggest(text) }, text)));
    this.intro.replaceChildren(
      h("span", { class: "face big", "aria-hidden": "true" }, initials(view.title) || icon(icons.chat)),
      h("h2", { dir: "auto" }, view.greeting || w.greeting),
      ...(empty && view.loaded ? [h("p", { class: "lead" }, w.start)] : []),
      ...(empty && view.loaded && chips.length ? [h("ul", { class: "chips", "aria-label": w.suggested }, ...chips)] : []),
    );
  }

  private day(at: number): HTMLElement {
    const key = dayKey(at);
    let day = this.days.get(key);
    if (!day) {
      const label = h("span");
      day = { el: h("p", { class: "day" }, label), label };
      this.days.set(key, day);
    }
    setText(day.label, dayLabel(at, Date.now(), this.media.language));
    return day.el;
  }

  private row(row: Row, first: boolean, last: boolean): HTMLElement {
    const m = row.message;
    const kept = this.kept.get(m.id) ?? this.make(m.id);
    const kind = m.author.kind === "customer" ? "mine" : m.author.kind === "assistant" ? "theirs assistant" : "theirs";
    kept.el.className = `row ${kind}${first ? " first" : ""}${last ? " last" : ""}${row.state === "failed" ? " failed" : ""}`;
    const content = JSON.stringify(m.deleted_at ? "deleted" : m.parts.map((p) => [p.kind, p.text, p.sha256, p.url]));
    if (kept.content !== content) {
      kept.content = content;
      const media = !m.deleted_at && m.parts.length > 0 && m.parts.every((p) => p.kind === "image");
      kept.bubble.className = media ? "bubble media" : "bubble";
      kept.bubble.replaceChildren(...(m.deleted_at
        ? [h("p", { class: "odd" }, this.media.words.deleted)]
        : m.parts.map((p) => part(p, this.media))));
    }
    this.drawWho(kept, row, first);
    this.drawMeta(kept, row, last);
    return kept.el;
  }

  private make(id: string): Kept {
    const who = h("p", { class: "who" });
    const bubble = h("div", { class: "bubble" });
    const meta = h("p", { class: "meta" });
    const el = h("div", { "data-id": id }, who, bubble, meta);
    const kept = { el, content: "", bubble, meta, who };
    this.kept.set(id, kept);
    return kept;
  }

  private drawWho(kept: Kept, row: Row, first: boolean): void {
    const w = this.media.words;
    const { kind, name } = row.message.author;
    const said = kind === "customer" ? w.you : name || (kind === "assistant" ? w.assistant : w.team);
    const state = `${kind}${said}${first}`;
    if (kept.who.dataset["state"] === state) return;
    kept.who.dataset["state"] = state;
    // Later messages of one speaker keep the name for screen readers only.
    kept.who.className = first && kind !== "customer" ? "who" : "who unseen";
    kept.who.replaceChildren(
      h("span", { class: "face", "aria-hidden": "true" }, kind === "assistant" ? icon(icons.sparkle) : initials(said)),
      h("bdi", {}, said),
      ...(kind === "assistant" && name ? [h("span", { class: "tag" }, w.assistant)] : []));
  }

  private drawMeta(kept: Kept, row: Row, last: boolean): void {
    const w = this.media.words;
    const m = row.message;
    const at = timeOf(row);
    const language = this.media.language;
    const state = `${row.state}${row.seen ?? ""}${last}${at}${m.edited_at ?? ""}${row.problem?.detail ?? ""}`;
    if (kept.meta.dataset["state"] === state) return;
    kept.meta.dataset["state"] = state;
    kept.meta.hidden = !last && row.state === "sent";
    const time = h("time", { datetime: new Date(at).toISOString(), title: fullTime(at, language) }, timeLabel(at, language));
    const nodes: Node[] = [];
    if (row.state === "failed") {
      nodes.push(icon(icons.alert), h("span", {}, row.problem?.detail || w.failed),
        h("button", { type: "button", class: "link", onclick: () => this.hooks.retry(m.id) }, w.retry),
        h("button", { type: "button", class: "link", onclick: () => this.hooks.discard(m.id) }, w.discard));
    } else {
      if (m.edited_at && !m.deleted_at) nodes.push(h("span", {}, w.edited));
      nodes.push(time);
      if (m.author.kind === "customer") nodes.push(tick(row, w));
    }
    kept.meta.replaceChildren(...nodes);
  }
}

function tick({ state, seen }: Row, w: Media["words"]): Node {
  const label = seen ? w.seen : state === "sent" ? w.sent : state === "sending" ? w.sending : w.waiting;
  const el = h("span", { class: `tick ${state}${seen ? " seen" : ""}`, role: "img", "aria-label": label, title: label });
  el.append(icon(seen ? icons.checks : state === "sent" ? icons.check : icons.clock));
  return el;
}

const speaker = (r: Row) => `${r.message.author.kind} ${r.message.author.name ?? ""}`;

const timeOf = (r: Row) => Date.parse(r.message.sent_at ?? "") || 0;
