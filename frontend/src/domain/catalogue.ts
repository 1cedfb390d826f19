/**
 * One wording, or its plural forms. "{n}" takes a parameter of that name; the
 * form is chosen by the parameter n.
 */
export type Wording = string | { one: string; other: string };
export type Catalogue = Record<string, Wording>;
export type Params = Record<string, string | number>;

/** Puts the parameters into a wording. */
export function word(wording: Wording, params: Params, locale: string): string {
  const text =
    typeof wording === 'string'
      ? wording
      : wording[new Intl.PluralRules(locale).select(Number(params.n)) === 'one' ? 'one' : 'other'];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = params[name];
    if (value === undefined) return whole;
    return typeof value === 'number' ? value.toLocaleString(locale) : value;
  });
}
