// Building the page by hand: elements, text nodes, never markup from strings.

type Child = Node | string | undefined | false;
type Attributes = Record<string, string | number | boolean | undefined | ((e: never) => void)>;

/** Makes an element. "on…" attributes are listeners, undefined and false are left out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") el.addEventListener(name.slice(2), value as EventListener);
    else if (value !== undefined && value !== false) el.setAttribute(name, value === true ? "" : String(value));
  }
  el.append(...children.filter((c): c is Node | string => c !== undefined && c !== false));
  return el;
}

const svg = "http://www.w3.org/2000/svg";

/** Makes an icon from the paths of a 24 by 24 drawing. */
export function icon(paths: string, className = "icon"): SVGSVGElement {
  const el = document.createElementNS(svg, "svg");
  for (const [k, v] of Object.entries({ viewBox: "0 0 24 24", class: className, "aria-hidden": "true" })) el.setAttribute(k, v);
  const path = document.createElementNS(svg, "path");
  path.setAttribute("d", paths);
  el.append(path);
  return el;
}

/** Replaces the children only if they differ in number or identity. */
export function setChildren(parent: Element, children: Node[]): void {
  children.forEach((child, i) => {
    if (parent.childNodes[i] !== child) parent.insertBefore(child, parent.childNodes[i] ?? null);
  });
  while (parent.childNodes.length > children.length) parent.lastChild?.remove();
}

/** Writes text only when it changed, so that nothing is announced twice. */
export function setText(el: Element, text: string): void {
  if (el.textContent !== text) el.textContent = text;
}
