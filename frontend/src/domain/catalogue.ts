/**
 * One wording, or its plural forms. "{n}" takes a parameter of that name; the
 * form is chosen by the parameter n.
 */
export type Wording = string | { one: string; other: string };
export type Catalogue = Record<string, Wording>;
export type Params = Record<string, string | number>;

/** English needs no Intl for whole numbers, and waking it up costs the start of the window milliseconds. */
function isPlain(n: number, locale: string): boolean {
  return locale === 'en' && Number.isSafeInteger(n);
}

const rules = new Map<string, Intl.PluralRules>();

function rulesOf(locale: string): Intl.PluralRules {
  let found = rules.get(locale);
  if (!found) rules.set(locale, (found = new Intl.PluralRules(locale)));
  return found;
}

/** The plural form a language has for a number. */
export function pluralOf(n: number, locale: string): 'one' | 'other' {
  const one = isPlain(n, locale) ? Math.abs(n) === 1 : rulesOf(locale).select(n) === 'one';
  return one ? 'one' : 'other';
}

/** A number as a language writes it: 18204 → "18,204". */
export function written(n: number, locale: string): string {
  return isPlain(n, locale) ? String(n).replace(/\B(?=(\d{3})+$)/g, ',') : n.toLocaleString(locale);
}

/** Puts the parameters into a wording. */
export function word(wording: Wording, params: Params, locale: string): string {
  const text = typeof wording === 'string' ? wording : wording[pluralOf(Number(params.n), locale)];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? written(value, locale) : value;
  });
}
