import { accentOf } from "../core/color";
import { rightToLeft, usableLanguage } from "../core/format";
import type { Arrival, Profile } from "../core/protocol";
import { h, icon, setText } from "../ui/dom";
import * as icons from "../ui/icons";
import css from "./launcher.css?inline";
import type { FromFrame, ToFrame } from "./messages";
import type { Options } from "./options";

// The button and the panel on the company's page. The frame is made when the
// visitor opens the chat, or at once for one who has written before, so that
// an answer shows as a number on the button.

/** What the server puts into the script. */
export type LoaderConfig = { channel: string; origins: string[]; title: string; color: string; theme: string; language: string };

const words = {
  open: "Open chat",
  close: "Close chat",
  unread: (n: number) => (n === 1 ? "1 unread message" : `${n} unread messages`),
};

export class Launcher {
  open = false;
  private readonly host: HTMLElement;
  private readonly shadow: ShadowRoot;
  private readonly button: HTMLButtonElement;
  private readonly badge: HTMLElement;
  private readonly panel: HTMLElement;
  private frame: HTMLIFrameElement | undefined;
  private ready = false;
  private unread = 0;
  private readonly stop = new AbortController();
  private readonly memory: string;

  constructor(
    private readonly base: string,
    private readonly config: LoaderConfig,
    private readonly options: Options,
    private readonly arrival: () => Arrival,
  ) {
    this.memory = `parley.${config.channel}.known`;
    this.host = document.createElement("div");
    this.host.id = "parley-widget";
    this.shadow = this.host.attachShadow({ mode: "open" });
    this.badge = h("span", { class: "badge", hidden: true, "aria-hidden": "true" });
    this.button = h("button", {
      type: "button", class: "launcher", "aria-expanded": "false", "aria-controls": "panel", "aria-label": words.open,
      onclick: () => this.show(!this.open), onpointerenter: () => this.load(), onfocus: () => this.load(),
    }, icon(icons.chat, "icon talk"), icon(icons.down, "icon fold"), this.badge);
    this.panel = h("div", { class: "panel", id: "panel", role: "dialog", "aria-label": config.title || words.open });
    this.panel.inert = true;
    this.shadow.append(this.panel, this.button);
    this.dress();
    this.listen();
  }

  mount(): void {
    document.body.append(this.host);
    if (this.options.open) this.show(true);
    else if (this.remembered() || this.options.profile.user_hash) this.load();
  }

  destroy(): void {
    this.stop.abort();
    this.host.remove();
  }

  /** Opens or closes the panel; closing gives the focus back to the button. */
  show(open: boolean): void {
    if (open === this.open) return;
    this.open = open;
    if (open) this.load();
    this.host.classList.toggle("open", open);
    this.panel.inert = !open;
    this.button.setAttribute("aria-expanded", String(open));
    this.label();
    this.tell();
    if (open) this.frame?.focus();
    else if (this.shadow.activeElement === null || this.shadow.activeElement === this.frame) this.button.focus({ preventScroll: true });
  }

  /** Somebody signed in or out: another visitor, another frame. */
  identify(profile: Profile): void {
    this.options.profile = profile;
    this.count(0);
    if (!this.frame) return;
    this.frame.remove();
    this.frame = undefined;
    this.load();
  }

  private load(): void {
    if (this.frame) return;
    this.ready = false;
    this.frame = h("iframe", {
      src: `${this.base}/widget/${encodeURIComponent(this.config.channel)}`, title: this.config.title || words.open, allow: "clipboard-write",
    });
    this.panel.append(this.frame);
  }

  private listen(): void {
    const signal = this.stop.signal;
    addEventListener("message", (e: MessageEvent<FromFrame>) => {
      if (e.origin !== this.base || e.source !== this.frame?.contentWindow) return;
      const m = e.data;
      if (m.parley === "ready") {
        this.ready = true;
        const { profile, language, theme } = this.options;
        this.post({ parley: "init", arrival: this.arrival(), profile, language, theme, open: this.open });
      } else if (m.parley === "close") this.show(false);
      else if (m.parley === "unread") {
        this.count(m.unread);
        if (m.known) this.remember();
      }
    }, { signal });
    addEventListener("keydown", (e) => {
      if (e.key === "Escape" && this.open && this.shadow.activeElement) this.show(false);
    }, { signal });
    // On a phone the panel fills what the on-screen keyboard leaves.
    const view = window.visualViewport;
    const fit = () => {
      this.host.style.setProperty("--top", `${view?.offsetTop ?? 0}px`);
      this.host.style.setProperty("--height", `${view?.height ?? innerHeight}px`);
    };
    view?.addEventListener("resize", fit, { signal });
    view?.addEventListener("scroll", fit, { signal });
    fit();
  }

  private tell(): void {
    if (this.ready) this.post({ parley: "show", arrival: this.arrival(), open: this.open });
  }

  private post(m: ToFrame): void {
    this.frame?.contentWindow?.postMessage(m, this.base);
  }

  private count(unread: number): void {
    this.unread = unread;
    this.badge.hidden = unread === 0;
    setText(this.badge, unread > 9 ? "9+" : String(unread));
    this.label();
  }

  private label(): void {
    const name = this.open ? words.close : words.open;
    this.button.setAttribute("aria-label", this.unread && !this.open ? `${name}, ${words.unread(this.unread)}` : name);
  }

  private dress(): void {
    const sheet = new CSSStyleSheet(); // not a style element: the page's own policy may forbid those
    sheet.replaceSync(css);
    this.shadow.adoptedStyleSheets = [sheet];
    const language = usableLanguage(this.options.language, this.config.language, document.documentElement.lang, navigator.language);
    this.host.dir = rightToLeft(language) ? "rtl" : "ltr";
    this.host.classList.toggle("left", this.options.left);
    const system = matchMedia("(prefers-color-scheme: dark)");
    const apply = () => {
      const theme = this.options.theme ?? this.config.theme;
      const dark = theme === "dark" || (theme !== "light" && system.matches);
      const a = accentOf(this.config.color || "#0f766e", dark);
      this.host.classList.toggle("dark", dark);
      this.host.style.setProperty("--accent", a?.accent ?? "");
      this.host.style.setProperty("--hover", a?.hover ?? "");
      this.host.style.setProperty("--on", a?.on ?? "");
    };
    system.addEventListener("change", apply, { signal: this.stop.signal });
    apply();
  }

  /** Remembers that this browser has written, in the page's own storage. */
  private remember(): void {
    try {
      localStorage.setItem(this.memory, "1");
    } catch {
      // forbidden: the number on the button then waits for the first opening
    }
  }

  private remembered(): boolean {
    try {
      return localStorage.getItem(this.memory) === "1";
    } catch {
      return false;
    }
  }
}
