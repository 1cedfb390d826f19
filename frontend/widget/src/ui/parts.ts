import type { Part } from "../core/protocol";
import { sizeLabel } from "../core/format";
import { linkPiece, pieces, type Piece } from "../core/links";
import type { Words } from "../core/words";
import { h, icon } from "./dom";
import * as icons from "./icons";

// The pieces of a message. Text becomes text nodes; files are asked for with
// the visitor's token and shown from memory, so no address of a file exists
// that somebody else could open.

export type Media = {
  words: Words;
  language: string;
  blob: (sha256: string) => Promise<Blob>;
  /** Something grew: keep the newest message in view. */
  grew: () => void;
};

/** Shows one part of a message. */
export function part(p: Part, media: Media): HTMLElement {
  switch (p.kind) {
    case "text":
      return words(pieces(p.text ?? ""));
    case "image":
      return imagePart(p, media);
    case "audio":
    case "voice":
    case "video":
      return playable(p, media);
    case "file":
      return filePart(p, media);
    case "link":
      return words([linkPiece(p.title ?? "", p.url ?? "")]);
    case "location":
      return location(p, media);
    default:
      return h("p", { class: "odd" }, media.words.unsupported);
  }
}

function anchor(href: string, text: string): HTMLAnchorElement {
  return h("a", { href, target: "_blank", rel: "noopener noreferrer nofollow" }, text);
}

function words(said: Piece[]): HTMLElement {
  return h("p", { class: "text", dir: "auto" }, ...said.map((p) => (p.href ? anchor(p.href, p.text) : p.text)));
}

function location(p: Part, media: Media): HTMLElement {
  const at = `${(p.latitude ?? 0).toFixed(5)}, ${(p.longitude ?? 0).toFixed(5)}`;
  return h("p", { class: "filerow" }, icon(icons.pin), h("span", { class: "filename" }, `${media.words.location}: ${at}`));
}

function imagePart(p: Part, media: Media): HTMLElement {
  const name = p.name || media.words.image;
  const img = h("img", { alt: name, decoding: "async" });
  const frame = h("button", { type: "button", class: "picture", "aria-label": media.words.open(name) }, img);
  if (p.width && p.height) {
    const scale = Math.min(1, 280 / p.width, 320 / p.height);
    img.width = Math.round(p.width * scale);
    img.height = Math.round(p.height * scale);
  }
  const load = async () => {
    frame.classList.remove("broken");
    try {
      img.src = URL.createObjectURL(await media.blob(p.sha256 ?? ""));
      await img.decode();
      frame.classList.add("there");
    } catch {
      frame.classList.add("broken");
      frame.title = media.words.unavailable;
    }
    media.grew();
  };
  frame.addEventListener("click", () => (frame.classList.contains("broken") ? void load() : void save(p, media)));
  whenNear(frame, () => void load());
  return frame;
}

/** Calls back once an element comes near the screen. */
function whenNear(el: HTMLElement, f: () => void): void {
  const watch = new IntersectionObserver((seen) => {
    if (!seen.some((s) => s.isIntersecting)) return;
    watch.disconnect();
    f();
  }, { rootMargin: "400px" });
  watch.observe(el);
}

/** Hands the content to the browser's downloads. */
async function save(p: Part, media: Media): Promise<void> {
  const url = URL.createObjectURL(await media.blob(p.sha256 ?? ""));
  const a = h("a", { href: url, download: p.name || "file" });
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function fileRow(p: Part, media: Media, drawing: string, name: string, label: string, act: () => Promise<void>): HTMLButtonElement {
  const size = h("span", { class: "filesize" }, p.size ? sizeLabel(p.size, media.language) : "");
  const row = h("button", { type: "button", class: "filerow", "aria-label": `${label} ${size.textContent ?? ""}`.trim() },
    h("span", { class: "filemark" }, icon(drawing)),
    h("span", { class: "filewords" }, h("span", { class: "filename", dir: "auto" }, name), size));
  row.addEventListener("click", () => {
    row.disabled = true;
    act().catch(() => (size.textContent = media.words.unavailable)).finally(() => (row.disabled = false));
  });
  return row;
}

function filePart(p: Part, media: Media): HTMLElement {
  const name = p.name || media.words.file;
  return fileRow(p, media, icons.file, name, media.words.download(name), () => save(p, media));
}

function playable(p: Part, media: Media): HTMLElement {
  const name = p.name || media.words[p.kind === "video" ? "video" : p.kind === "voice" ? "voice" : "audio"];
  const row: HTMLElement = fileRow(p, media, icons.play, name, media.words.play(name), async () => {
    const src = URL.createObjectURL(await media.blob(p.sha256 ?? ""));
    const player = h(p.kind === "video" ? "video" : "audio", { src, controls: true, class: "player", "aria-label": name });
    row.replaceWith(player);
    media.grew();
    await player.play().catch(() => undefined); // the controls are there
  });
  return row;
}
