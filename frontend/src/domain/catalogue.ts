/**
 * One wording, or its plural forms. "{n}" takes a parameter of that name; the
 * form is chosen by the parameter n.
 */
export type Wording = string | { one: string; other: string };
export type Catalogue = Record<string, Wording>;
export type Params = Record<string, string | number>;

const rules = new Map<string, Intl.PluralRules>();

function rulesOf(locale: string): Intl.PluralRules {
  let found = rules.get(locale);
  if (!found) rules.set(locale, (found = new Intl.PluralRules(locale)));
  return found;
}

/** Puts the parameters into a wording. */
export function word(wording: Wording, params: Params, locale: string): string {
  const text =
    typeof wording === 'string'
      ? wording
      : wording[rulesOf(locale).select(Number(params.n)) === 'one' ? 'one' : 'other'];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) return whole;
    if (typeof value !== 'number') return value;
    // Small numbers look the same everywhere, and waking Intl up for them costs the start of the window milliseconds.
    return Number.isInteger(value) && value >= 0 && value < 1000 ? String(value) : value.toLocaleString(locale);
  });
}
