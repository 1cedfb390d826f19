import type { Chat } from "../core/chat";
import { sizeLabel } from "../core/format";
import type { Upload } from "../core/uploads";
import type { Words } from "../core/words";
import { h, icon, setChildren, setText } from "./dom";
import * as icons from "./icons";

// Where the visitor writes. Enter sends, Shift+Enter is a new line, and an
// Enter that ends the composition of a character is neither.

const maxText = 10_000; // characters
const maxFiles = 19;

/** One file on its way, as it is shown. */
type Chip = { el: HTMLElement; bar: HTMLProgressElement; state: HTMLElement; again: HTMLElement };

export class Composer {
  readonly el: HTMLFormElement;
  private readonly input: HTMLTextAreaElement;
  private readonly sendButton: HTMLButtonElement;
  private readonly tray: HTMLElement;
  private readonly note: HTMLElement;
  private readonly picker: HTMLInputElement;
  private readonly chips = new Map<number, Chip>();

  constructor(
    private readonly chat: Chat,
    private readonly words: Words,
    private readonly language: string,
    private readonly draft: { get: () => string; set: (text: string) => void },
    private readonly sent: () => void,
  ) {
    const w = words;
    this.input = h("textarea", {
      rows: 1, placeholder: w.placeholder, "aria-label": w.message, dir: "auto", enterkeyhint: "send",
      "aria-describedby": "hint", autocomplete: "off",
    });
    this.input.value = draft.get();
    this.picker = h("input", { type: "file", multiple: true, hidden: true, tabindex: -1, "aria-hidden": "true" });
    this.sendButton = h("button", { type: "submit", class: "send", "aria-label": w.send, title: w.send }, icon(icons.send));
    this.tray = h("ul", { class: "tray", hidden: true });
    this.note = h("p", { class: "note", role: "alert" });
    this.el = h("form", { class: "composer", novalidate: true },
      this.tray, this.note,
      h("div", { class: "field" },
        h("button", { type: "button", class: "tool", "aria-label": w.attach, title: w.attach, onclick: () => this.picker.click() }, icon(icons.clip)),
        this.input, this.sendButton, this.picker),
      h("p", { id: "hint", class: "unseen" }, w.hint));
    this.listen();
    this.draw();
  }

  private listen(): void {
    this.el.addEventListener("submit", (e) => {
      e.preventDefault();
      this.submit();
    });
    this.input.addEventListener("keydown", (e) => {
      // keyCode 229 is how some browsers say "this key is part of a composition".
      if (e.key !== "Enter" || e.shiftKey || e.ctrlKey || e.altKey || e.metaKey || e.isComposing || e.keyCode === 229) return;
      e.preventDefault();
      this.submit();
    });
    this.input.addEventListener("input", () => {
      this.draft.set(this.input.value);
      this.say("");
      if (this.input.value.trim()) this.chat.type();
      this.draw();
    });
    this.input.addEventListener("paste", (e) => {
      const files = [...(e.clipboardData?.files ?? [])];
      if (!files.length) return;
      e.preventDefault();
      this.attach(files);
    });
    this.picker.addEventListener("change", () => {
      this.attach([...(this.picker.files ?? [])]);
      this.picker.value = "";
      this.focus();
    });
  }

  focus(): void {
    this.input.focus({ preventScroll: true });
  }

  /** Starts sending files; what cannot be sent is said before it is tried. */
  attach(files: File[]): void {
    const max = this.chat.settings.max_file_bytes;
    this.say("");
    for (const file of files) {
      if (file.size === 0) this.say(this.words.emptyFile);
      else if (max > 0 && file.size > max) this.say(this.words.tooLarge(sizeLabel(max, this.language)));
      else if (this.chat.uploads.list.length >= maxFiles) this.say(this.words.tooMany(maxFiles));
      else this.chat.uploads.add(file);
    }
  }

  private say(text: string): void {
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  private submit(): void {
    if (this.chat.uploads.busy) return;
    const text = this.input.value;
    if ([...text].length > maxText) {
      this.say(this.words.tooLong);
      return;
    }
    const files = this.chat.uploads.take();
    if (!text.trim() && !files.length) return;
    this.chat.send(text.trim() ? text : "", files); // kept before the field is emptied
    this.input.value = "";
    this.draft.set("");
    this.draw();
    this.focus();
    this.sent();
  }

  draw(): void {
    const uploads = this.chat.uploads.list;
    setChildren(this.tray, uploads.map((u) => this.chip(u)));
    for (const key of this.chips.keys()) if (!uploads.some((u) => u.key === key)) this.chips.delete(key);
    this.tray.hidden = uploads.length === 0;
    const ready = this.input.value.trim() !== "" || uploads.some((u) => u.state === "done");
    this.sendButton.disabled = !ready || this.chat.uploads.busy;
    // Grow with the text: measured, as not every browser has field-sizing.
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 148)}px`;
    this.input.style.overflowY = this.input.scrollHeight > 148 ? "auto" : "hidden";
  }

  private chip(u: Upload): HTMLElement {
    const w = this.words;
    const chip = this.chips.get(u.key) ?? this.makeChip(u);
    chip.bar.value = u.progress;
    chip.bar.setAttribute("aria-label", w.uploading(Math.round(u.progress * 100)));
    chip.bar.hidden = u.state !== "sending";
    chip.again.hidden = u.state !== "failed";
    chip.el.classList.toggle("failed", u.state === "failed");
    setText(chip.state, u.state === "failed" ? u.problem || w.uploadFailed : sizeLabel(u.file.size, this.language));
    return chip.el;
  }

  private makeChip(u: Upload): Chip {
    const w = this.words;
    const bar = h("progress", { max: 1, value: 0 });
    const state = h("span", { class: "filesize", role: "status" });
    const again = h("button", { type: "button", class: "tool", "aria-label": w.retry, title: w.retry, onclick: () => this.chat.uploads.retry(u.key) }, icon(icons.retry));
    const remove = h("button", { type: "button", class: "tool", "aria-label": w.remove(u.file.name), onclick: () => this.chat.uploads.remove(u.key) }, icon(icons.close));
    const el = h("li", { class: "upload" }, h("span", { class: "filemark" }, icon(icons.file)),
      h("span", { class: "filewords" }, h("span", { class: "filename", dir: "auto" }, u.file.name), state, bar), again, remove);
    const chip = { el, bar, state, again };
    this.chips.set(u.key, chip);
    return chip;
  }
}
