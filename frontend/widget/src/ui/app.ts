import type { Chat } from "../core/chat";
import { initials } from "../core/format";
import type { Store } from "../core/storage";
import type { Words } from "../core/words";
import { beforeForm } from "./before";
import { Composer } from "./composer";
import { h, icon, setText } from "./dom";
import * as icons from "./icons";
import { Log } from "./log";

// The chat as it is seen: header, thread, what is going on, composer. It reads
// the Chat whenever that says "changed", at most once a frame.

export type AppOptions = {
  chat: Chat;
  words: Words;
  language: string;
  store: Store;
  /** In a frame: closes the panel. */
  close?: () => void;
  /** Called after each drawing, with what the embedding page shows. */
  drawn?: (unread: number) => void;
};

export class App {
  readonly el: HTMLElement;
  private readonly log: Log;
  private readonly composer: Composer;
  private readonly subtitle: HTMLElement;
  private readonly notice: HTMLElement;
  private readonly typing: HTMLElement;
  private before: HTMLFormElement | undefined;
  private visible = true;
  private drawing = 0;
  private readonly title: string;

  constructor(private readonly o: AppOptions) {
    const { chat, words: w } = o;
    this.title = chat.settings.title || w.chat;
    this.subtitle = h("p", { class: "subtitle" });
    this.notice = h("p", { class: "notice", role: "status", hidden: true });
    this.typing = h("p", { class: "typing", role: "status" });
    this.log = new Log(
      { words: w, language: o.language, blob: (sha) => chat.file(sha), grew: () => this.log.keep() },
      {
        retry: (id) => {
          const entry = chat.outbox.entries().find((e) => e.id === id);
          if (entry) chat.retry(entry);
        },
        discard: (id) => chat.discard(id),
        suggest: (text) => {
          chat.send(text, []);
          this.composer.focus();
        },
      });
    const draft = { get: () => o.store.get("draft") ?? "", set: (t: string) => (t ? void o.store.set("draft", t) : o.store.remove("draft")) };
    this.composer = new Composer(chat, w, o.language, draft, () => this.log.toEnd(false));
    this.el = h("main", { class: "chat" },
      h("header", { class: "bar" },
        h("span", { class: "face", "aria-hidden": "true" }, initials(this.title) || icon(icons.chat)),
        h("div", { class: "titles" }, h("h1", {}, h("bdi", {}, this.title)), this.subtitle),
        o.close && h("button", { type: "button", class: "tool", "aria-label": w.close, title: w.close, onclick: o.close }, icon(icons.close))),
      this.log.el, this.typing,
      h("div", { class: "foot" }, this.log.jump, this.notice, this.composer.el),
      h("p", { class: "dropzone", "aria-hidden": "true" }, icon(icons.clip), w.drop));
    this.listen();
    this.draw();
  }

  private listen(): void {
    const { chat } = this.o;
    chat.onChange(() => {
      if (this.drawing) return;
      this.drawing = requestAnimationFrame(() => this.draw());
      // A hidden page gets no frames, and must still count what is unread.
      if (document.hidden) queueMicrotask(() => this.draw());
    });
    addEventListener("online", () => chat.wake());
    addEventListener("offline", () => this.draw());
    addEventListener("storage", () => this.draw());
    addEventListener("focus", () => this.draw());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) chat.wake();
      this.draw();
    });
    this.log.el.addEventListener("scroll", () => this.read(), { passive: true });
    addEventListener("keydown", (e) => {
      if (e.key === "Escape" && !e.isComposing) this.o.close?.();
    });
    this.acceptDrops();
  }

  private acceptDrops(): void {
    const over = (e: DragEvent, on: boolean) => {
      if (!e.dataTransfer?.types.includes("Files") || this.before) return;
      e.preventDefault();
      this.el.classList.toggle("dropping", on);
    };
    addEventListener("dragover", (e) => over(e, true));
    addEventListener("dragleave", (e) => e.relatedTarget === null && over(e, false));
    addEventListener("drop", (e) => {
      over(e, false);
      if (!this.before) this.composer.attach([...(e.dataTransfer?.files ?? [])]);
    });
  }

  /** Whether the panel is open; a closed one reads nothing. */
  show(visible: boolean): void {
    this.visible = visible;
    if (visible) {
      this.log.keep();
      this.focus();
    }
    this.draw();
  }

  focus(): void {
    if (this.before) this.before.querySelector("input")?.focus({ preventScroll: true });
    else this.composer.focus();
  }

  private read(): void {
    if (this.visible && !document.hidden && this.log.atEnd && this.o.chat.unread > 0) this.o.chat.seen();
  }

  private draw(): void {
    cancelAnimationFrame(this.drawing);
    this.drawing = 0;
    const { chat, words: w } = this.o;
    const s = chat.settings;
    this.log.draw({
      greeting: s.greeting ?? "", title: this.title, suggested: chat.asks ? [] : (s.suggested ?? []),
      rows: chat.rows(), loaded: chat.loaded, resolved: chat.status === "resolved",
    });
    this.drawBefore();
    this.composer.draw();
    const offline = !navigator.onLine;
    const broken = offline || chat.line === "offline" || (chat.line === "connecting" && chat.outbox.next() !== undefined);
    const refused = offline ? undefined : chat.refused;
    this.notice.hidden = !broken && !refused;
    setText(this.notice, refused ? refused.detail || w.refused : !broken ? "" : offline ? w.offline : w.reconnecting);
    setText(this.subtitle, broken ? w.connecting : chat.line === "connecting" ? w.connecting : chat.line === "live" ? w.online : "");
    this.subtitle.dataset["line"] = broken ? "offline" : chat.line;
    this.drawTyping();
    this.read();
    this.o.drawn?.(chat.unread);
  }

  private drawTyping(): void {
    const { typing } = this.o.chat;
    const { words: w } = this.o;
    const on = typing !== undefined && typing.until > Date.now();
    const text = on ? w.typing(typing.name) : "";
    if ((this.typing.dataset["text"] ?? "") === text) return;
    this.typing.dataset["text"] = text;
    this.typing.replaceChildren(...(on ? [h("bdi", {}, text), h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"))] : []));
    this.log.keep();
  }

  private drawBefore(): void {
    const { chat, words } = this.o;
    const asks = chat.loaded ? chat.asks : undefined;
    this.composer.el.hidden = asks !== undefined;
    if (!asks) {
      this.before?.remove();
      this.before = undefined;
    } else if (!this.before) {
      this.before = beforeForm(asks, words, (profile) => {
        chat.introduce(profile, true);
        void chat.open().catch(() => undefined); // it is kept and goes along later
        this.composer.focus();
      });
      this.composer.el.before(this.before);
    }
    this.el.classList.toggle("asking", asks !== undefined);
  }
}
