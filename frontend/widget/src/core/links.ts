// Finds links in message text. Text stays text: the answer is pieces, and the
// page makes text nodes of them. Only http, https and mailto ever become links,
// and tel where a link part says so.

export type Piece = { text: string; href?: string };

const candidate =
  /\b(?:https?:\/\/|www\.)[^\s<>"'`]+|(?<![\w.+-])[\w.+-]{1,64}@[a-z0-9-]+(?:\.[a-z0-9-]+)+(?![\w@-])/giu;

/** Splits text into plain pieces and links. Joined, the pieces are the text. */
export function pieces(text: string): Piece[] {
  const out: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(candidate)) {
    const found = trimEnd(match[0]);
    const href = address(found);
    if (!href) continue;
    if (match.index > from) out.push({ text: text.slice(from, match.index) });
    out.push({ text: found, href });
    from = match.index + found.length;
  }
  if (from < text.length) out.push({ text: text.slice(from) });
  return out;
}

/** Leaves the punctuation of the sentence outside of the link. */
function trimEnd(found: string): string {
  for (;;) {
    const end = found.at(-1) ?? "";
    const open = { ")": "(", "]": "[", "}": "{" }[end];
    const unbalanced = open !== undefined && found.split(end).length > found.split(open).length;
    if (!/[.,;:!?…»”’*_~]/u.test(end) && !unbalanced) return found;
    found = found.slice(0, -1);
  }
}

/** The address a link may lead to, nothing for anything else. */
function address(found: string): string | undefined {
  const full = /^https?:\/\//i.test(found) ? found : /^www\./i.test(found) ? `https://${found}` : `mailto:${found}`;
  try {
    const url = new URL(full);
    const ok = url.protocol === "mailto:" || ((url.protocol === "http:" || url.protocol === "https:") && url.hostname.includes("."));
    return ok || url.hostname === "localhost" ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What shows a link part. Somebody made it a link on purpose, so any host will
 * do; what may lead nowhere still says its address, as the title alone would not.
 */
export function linkPiece(title: string, url: string): Piece {
  try {
    const to = new URL(url);
    if (["http:", "https:", "mailto:", "tel:"].includes(to.protocol)) return { text: title || url, href: to.href };
  } catch {
    // no address at all
  }
  return { text: title === url ? url : `${title} ${url}`.trim() };
}
