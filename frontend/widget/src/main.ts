import "./chat.css";
import { arrive } from "./core/arrival";
import { Chat } from "./core/chat";
import { rightToLeft, usableLanguage } from "./core/format";
import type { Arrival, PageConfig, Profile } from "./core/protocol";
import { browserStorage, storeIn } from "./core/storage";
import { wordsFor } from "./core/words";
import type { FromFrame, ToFrame } from "./loader/messages";
import { App } from "./ui/app";
import { dress } from "./ui/theme";

// The chat page: alone at the share link, or in the widget's frame, where the
// page around it says who the visitor is and whether the panel is open.

const config = JSON.parse(document.getElementById("config")?.textContent ?? "") as PageConfig;
const framed = config.mode === "frame" && window.parent !== window;

type Start = { arrival: Arrival; profile: Profile; language?: string | undefined; theme?: string | undefined; open: boolean; tell?: (m: FromFrame) => void };

function start(s: Start): { app: App; chat: Chat } {
  const language = usableLanguage(s.language, config.settings.language, navigator.language);
  const root = document.documentElement;
  root.lang = language;
  root.dir = rightToLeft(language) ? "rtl" : "ltr";
  dress(root, s.theme ?? config.settings.theme, config.settings.color);
  const storage = browserStorage();
  const prefix = `parley.${config.channel}.`;
  const anonymous = storeIn(storage, `${prefix}-.`);
  const store = s.profile.user_id ? storeIn(storage, `${prefix}=${s.profile.user_id}.`) : anonymous;
  const chat = new Chat({
    base: location.origin, channel: config.channel, settings: config.settings, store,
    ...(s.profile.user_id ? { anonymous } : {}),
  });
  chat.arrival = s.arrival;
  if (Object.keys(s.profile).length) chat.introduce(s.profile, false);
  const app = new App({
    chat, language, words: wordsFor(language), store,
    ...(s.tell ? { close: () => s.tell?.({ parley: "close" }) } : {}),
    drawn: (unread) => {
      if (s.tell) s.tell({ parley: "unread", unread, known: chat.known });
      else document.title = unread ? `(${unread}) ${config.settings.title}` : config.settings.title;
    },
  });
  document.getElementById("app")?.replaceChildren(app.el);
  chat.start();
  app.show(s.open);
  return { app, chat };
}

/** Keeps the page as high as what the on-screen keyboard leaves of it. */
function followKeyboard(): void {
  const view = window.visualViewport;
  if (!view) return;
  const fit = () => {
    document.documentElement.style.setProperty("--height", `${view.height}px`);
    if (view.offsetTop > 0) scrollTo(0, 0);
  };
  view.addEventListener("resize", fit);
  view.addEventListener("scroll", fit);
  fit();
}

function alone(): void {
  followKeyboard();
  let tab: Storage | undefined;
  try {
    tab = window.sessionStorage;
  } catch {
    tab = undefined;
  }
  start({ arrival: arrive(location, document.referrer, tab), profile: {}, open: true });
}

/** In the frame, the first "init" of an allowed page begins everything. */
function inFrame(): void {
  let running: ReturnType<typeof start> | undefined;
  addEventListener("message", (e: MessageEvent<ToFrame>) => {
    const allowed = e.source === window.parent && (config.origins.includes(e.origin) || e.origin === location.origin);
    if (!allowed || typeof e.data !== "object" || e.data === null) return;
    const m = e.data;
    if (m.parley === "init" && !running) {
      let told = "";
      const tell = (out: FromFrame) => {
        const text = JSON.stringify(out);
        if (out.parley === "unread" && text === told) return;
        if (out.parley === "unread") told = text;
        window.parent.postMessage(out, e.origin);
      };
      running = start({ arrival: m.arrival, profile: m.profile, language: m.language, theme: m.theme, open: m.open, tell });
      if (m.open || m.profile.user_hash) void running.chat.open().catch(() => undefined);
    } else if (m.parley === "show" && running) {
      running.chat.arrival = m.arrival;
      running.app.show(m.open);
      if (m.open) void running.chat.open().catch(() => undefined);
    }
  });
  window.parent.postMessage({ parley: "ready" } satisfies FromFrame, "*"); // says nothing but that it is here
}

if (framed) inFrame();
else alone();
