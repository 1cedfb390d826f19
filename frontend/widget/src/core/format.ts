// Times, days and sizes in the visitor's language.

const dayOf = (d: Date) => Math.round(Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) / 86_400_000);

/** A key that is equal for two times of the same day here. */
export const dayKey = (at: number) => dayOf(new Date(at));

/** "Today", "Yesterday", else the date. */
export function dayLabel(at: number, now: number, language: string): string {
  const then = new Date(at);
  const ago = dayOf(then) - dayOf(new Date(now));
  if (ago === 0 || ago === -1) {
    const word = new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(ago, "day");
    return word.charAt(0).toLocaleUpperCase(language) + word.slice(1);
  }
  const sameYear = then.getFullYear() === new Date(now).getFullYear();
  return new Intl.DateTimeFormat(language, {
    weekday: "short", day: "numeric", month: "long", ...(sameYear ? {} : { year: "numeric" }),
  }).format(then);
}

/** The time of day. */
export const timeLabel = (at: number, language: string) =>
  new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" }).format(at);

/** Date and time, for a hover and for screen readers. */
export const fullTime = (at: number, language: string) =>
  new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" }).format(at);

/** "312 B", "1.4 MB". */
export function sizeLabel(bytes: number, language: string): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let i = 0;
  for (; bytes >= 1000 && i < units.length - 1; i++) bytes /= 1024;
  return new Intl.NumberFormat(language, {
    style: "unit", unit: units[i], unitDisplay: "short", maximumFractionDigits: i < 2 || bytes >= 10 ? 0 : 1,
  }).format(bytes);
}

/** One or two letters that stand for a name. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letter = (w: string | undefined) => [...(w ?? "")].find((c) => /[\p{L}\p{N}]/u.test(c)) ?? "";
  return (letter(words[0]) + (words.length > 1 ? letter(words.at(-1)) : "")).toLocaleUpperCase();
}

/** The language to use: the first that Intl knows. */
export function usableLanguage(...wanted: (string | undefined)[]): string {
  for (const w of wanted) {
    try {
      const known = w && Intl.getCanonicalLocales(w)[0];
      if (known) return known;
    } catch {
      // not a language tag: the next one
    }
  }
  return "en";
}

/** Whether a language is written from right to left. */
export const rightToLeft = (language: string) => /^(ar|arc|dv|fa|he|ks|ku-arab|ps|sd|ug|ur|yi)(-|$)/i.test(language);
