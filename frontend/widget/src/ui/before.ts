import type { Profile } from "../core/protocol";
import type { Words } from "../core/words";
import { h } from "./dom";

// What a company may ask before the first message: a name, an e-mail address.

/** Makes the form; `done` gets what was entered. */
export function beforeForm(asks: { name: boolean; email: boolean }, w: Words, done: (p: Profile) => void): HTMLFormElement {
  const field = (id: string, label: string, type: string, autocomplete: string, need: string) => {
    const input = h("input", { id, type, autocomplete, maxlength: 200, dir: "auto", required: true, "aria-describedby": `${id}-need` });
    const error = h("p", { id: `${id}-need`, class: "need", role: "alert" });
    const check = () => {
      const ok = input.value.trim() !== "" && input.checkValidity();
      error.textContent = ok ? "" : need;
      input.setAttribute("aria-invalid", String(!ok));
      return ok;
    };
    input.addEventListener("input", () => input.getAttribute("aria-invalid") === "true" && check());
    return { el: h("div", { class: "asked" }, h("label", { for: id }, label), input, error), input, check };
  };
  const name = asks.name ? field("before-name", w.name, "text", "name", w.needName) : undefined;
  const email = asks.email ? field("before-email", w.email, "email", "email", w.needEmail) : undefined;
  const form = h("form", { class: "before", novalidate: true, "aria-label": w.before },
    h("h2", {}, w.before), h("p", { class: "lead" }, w.beforeText),
    ...[name, email].flatMap((f) => (f ? [f.el] : [])),
    h("button", { type: "submit", class: "primary" }, w.begin));
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    const fields = [name, email].filter((f) => f !== undefined);
    const bad = fields.filter((f) => !f.check());
    if (bad[0]) {
      bad[0].input.focus();
      return;
    }
    done({
      ...(name ? { name: name.input.value.trim() } : {}),
      ...(email ? { email: email.input.value.trim() } : {}),
    });
  });
  return form;
}
