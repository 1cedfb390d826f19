import { arrive } from "../core/arrival";
import { Launcher, type LoaderConfig } from "./launcher";
import { profileOf, readOptions, type PageOptions } from "./options";

// The script of the script tag: a button on the company's page that opens the
// chat in a frame. It runs on pages that are not ours, so it keeps to itself:
// one global, one element with a shadow root, nothing before it is needed.

/** The server puts the channel's configuration here. */
declare const PARLEY_CONFIG: LoaderConfig;

type Api = {
  open: () => void;
  close: () => void;
  toggle: () => void;
  /** Says who the visitor is, after they signed in; null after they signed out. */
  identify: (user: PageOptions["user"] | null) => void;
  destroy: () => void;
};

const tag = document.currentScript as HTMLScriptElement | null;
const page = window as { Parley?: unknown };

function run(config: LoaderConfig): void {
  const own = new URL(tag?.src ?? location.href).origin;
  if (location.origin !== own && !config.origins.includes(location.origin)) {
    // oxlint-disable-next-line no-console -- the only place where the page's owner can be told
    console.warn(`Parley: ${location.origin} is not on this channel's list of allowed origins, so the chat is not shown.`);
    return;
  }
  if (page.Parley && typeof (page.Parley as Api).destroy === "function") return; // the tag stands twice
  const options = readOptions({ ...tag?.dataset }, page.Parley);
  const tab = (() => {
    try {
      return window.sessionStorage;
    } catch {
      return undefined;
    }
  })();
  const launcher = new Launcher(own, config, options, () => arrive(location, document.referrer, tab));
  const api: Api = {
    open: () => launcher.show(true),
    close: () => launcher.show(false),
    toggle: () => launcher.show(!launcher.open),
    identify: (user) => launcher.identify(profileOf(user ?? undefined)),
    destroy: () => {
      launcher.destroy();
      delete page.Parley;
    },
  };
  page.Parley = api;
  const mount = () => launcher.mount();
  if (document.body) mount();
  else addEventListener("DOMContentLoaded", mount);
}

run(PARLEY_CONFIG);
