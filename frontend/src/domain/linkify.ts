/** Text cut where links begin and end. Message text stays text: no HTML is ever made of it. */
export type Segment = { kind: 'text'; text: string } | { kind: 'link'; text: string; href: string };

// The lengths are bounded so that hostile text costs no more than its length.
const candidate =
  /\b(?:https?:\/\/|www\.)[^\s<>"'`{}|\\^]{1,2048}|\b[\p{L}\p{N}._%+-]{1,64}@[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63}){0,8}\.\p{L}{2,24}/giu;

/**
 * Finds web addresses and e-mail addresses. Only http, https and mailto come
 * out, and an address that a URL parser refuses stays text.
 */
export function linkify(text: string): Segment[] {
  const segments: Segment[] = [];
  let from = 0;
  for (const match of text.matchAll(candidate)) {
    const found = trimmed(match[0]);
    const href = addressOf(found);
    if (href === null || match.index < from) continue;
    if (match.index > from) segments.push({ kind: 'text', text: text.slice(from, match.index) });
    segments.push({ kind: 'link', text: found, href });
    from = match.index + found.length;
  }
  if (from < text.length) segments.push({ kind: 'text', text: text.slice(from) });
  return segments;
}

/** Punctuation after an address ends the sentence, unless a bracket was opened within. */
function trimmed(found: string): string {
  let end = found.length;
  for (; end > 0; end--) {
    const last = found[end - 1] ?? '';
    if (last === ')' && count(found.slice(0, end), '(') >= count(found.slice(0, end), ')')) break;
    if (!/[.,;:!?…'"”»)\]}*_~]/u.test(last)) break;
  }
  return found.slice(0, end);
}

function addressOf(found: string): string | null {
  const web = /^(?:https?:\/\/|www\.)/i.test(found);
  const address = !web ? `mailto:${found}` : /^www\./i.test(found) ? `https://${found}` : found;
  if (!URL.canParse(address)) return null;
  const url = new URL(address);
  // A name before the host ("https://bank.example@evil.example") is there to deceive.
  if (web && (url.username !== '' || url.password !== '' || !url.hostname.includes('.'))) {
    return url.hostname === 'localhost' && url.username === '' ? url.href : null;
  }
  return url.href;
}

function count(text: string, letter: string): number {
  return text.split(letter).length - 1;
}
