// A channel's colour, made readable: a company may pick any, and text on it
// and in it must keep a contrast of 4.5 : 1 on both themes.

type Rgb = [number, number, number];

const white: Rgb = [255, 255, 255];
const black: Rgb = [0, 0, 0];
const ink: Rgb = [9, 20, 18];

function parse(hex: string): Rgb | undefined {
  if (!/^#[0-9a-f]{6}$/i.test(hex)) return undefined;
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb;
}

const text = (c: Rgb) => `#${c.map((v) => Math.round(v).toString(16).padStart(2, "0")).join("")}`;

const mix = (a: Rgb, b: Rgb, t: number) => a.map((v, i) => v + (b[i]! - v) * t) as Rgb;

function luminance(c: Rgb): number {
  const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4)) as Rgb;
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function between(a: Rgb, b: Rgb): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

/** The contrast of two colours, 1 to 21. */
export function contrast(a: string, b: string): number {
  return between(parse(a) ?? white, parse(b) ?? white);
}

/** `mine` and `mineInk` are a message of one's own: the accent itself by day, a calm shade of it by night. */
export type Accent = { accent: string; hover: string; on: string; soft: string; mine: string; mineInk: string };

/** An accent and its companions for a theme, nothing for what is no colour. */
export function accentOf(hex: string, dark: boolean): Accent | undefined {
  const wanted = parse(hex);
  if (!wanted) return undefined;
  const back: Rgb = dark ? [23, 27, 26] : white;
  let accent = wanted;
  for (let t = 0; t <= 1 && between(accent, back) < 4.5; t += 0.05) accent = mix(wanted, dark ? white : black, t);
  const on = between(accent, white) >= 4.5 ? white : ink;
  return {
    accent: text(accent),
    hover: text(mix(accent, dark ? white : black, 0.14)),
    on: text(on),
    soft: text(mix(back, accent, dark ? 0.2 : 0.12)),
    mine: text(dark ? mix(back, accent, 0.26) : accent),
    mineInk: text(dark ? mix(white, accent, 0.12) : on),
  };
}
