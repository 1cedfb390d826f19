import type { Contact } from './types';

/** Colours white text is readable on (AA), far enough apart to tell people by. */
const palette = [
  '#a8583d', '#3f6f8f', '#9a5b8d', '#4d7a55', '#8a6420', '#5f6bb0',
  '#7d5a4a', '#357471', '#a04f5f', '#66725a', '#7a5ba6', '#4a6b8a',
] as const;

/** What to call a contact: name, else e-mail, phone, or "Visitor 7f3a" from the id. */
export function contactLabel(contact: Pick<Contact, 'id' | 'name' | 'email' | 'phone'>): string {
  return contact.name || contact.email || contact.phone || `Visitor ${contact.id.slice(-4)}`.trim();
}

/** One or two letters for an avatar: "Lucía Fernández" → "LF". */
export function initials(label: string): string {
  if (/^Visitor [0-9a-z]{0,4}$/i.test(label)) return 'V';
  const words = label
    .replace(/@.*$/, '')
    .split(/[\s._-]+/u)
    .map((word) => firstLetter(word))
    .filter((letter) => letter !== '');
  const first = words[0];
  if (first === undefined) return '#';
  const last = words.length > 1 ? words.at(-1) : '';
  // Two letters of a script without capitals are too wide for the disc.
  return /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}/u.test(first)
    ? first
    : (first + (last ?? '')).toUpperCase();
}

function firstLetter(word: string): string {
  return word.match(/\p{L}|\p{N}/u)?.[0] ?? '';
}

/** The same colour for the same id, on every device. */
export function avatarColor(seed: string): string {
  let hash = 2166136261;
  for (let i = 0; i < seed.length; i++) {
    hash = Math.imul(hash ^ seed.charCodeAt(i), 16777619);
  }
  return palette[(hash >>> 0) % palette.length] ?? palette[0];
}

/** Black or white, whichever is readable on a colour somebody else chose. */
export function inkOn(color: string): string {
  const hex = /^#([0-9a-f]{6})$/i.exec(color)?.[1];
  if (!hex) return '#ffffff';
  const [r, g, b] = [0, 2, 4].map((at) => {
    const channel = parseInt(hex.slice(at, at + 2), 16) / 255;
    return channel <= 0.03928 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 ? '#ffffff' : '#0b1210';
}
