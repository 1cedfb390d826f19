import { accentOf } from "../core/color";

// Light, dark or the system's, with the company's colour in both.

/** Applies theme and colour, and follows the system when it changes. */
export function dress(root: HTMLElement, theme: string | undefined, color: string | undefined): void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const dark = theme === "dark" || (theme !== "light" && system.matches);
    root.dataset["theme"] = dark ? "dark" : "light";
    const a = color ? accentOf(color, dark) : undefined;
    const set = (name: string, value: string | undefined) =>
      value ? root.style.setProperty(name, value) : root.style.removeProperty(name);
    set("--accent", a?.accent);
    set("--accent-hover", a?.hover);
    set("--accent-soft", a?.soft);
    set("--ink-on-accent", a?.on);
    set("--focus", a?.accent);
    set("--mine", a?.mine);
    set("--mine-ink", a?.mineInk);
  };
  system.addEventListener("change", apply);
  apply();
}
