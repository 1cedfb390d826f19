import type { Arrival } from "./protocol";

// Where a visitor came from. The page changes as they look around; the site
// that sent them and the campaign are those of their first page in this tab.

const key = "parley.arrival";

/** The campaign parameters of an address: utm_source becomes source. */
export function utmOf(search: string): Record<string, string> {
  const utm: Record<string, string> = {};
  for (const [name, value] of new URLSearchParams(search)) {
    const short = /^utm_([a-z_]{1,40})$/i.exec(name)?.[1]?.toLowerCase();
    if (short && value && !(short in utm) && Object.keys(utm).length < 10) utm[short] = value.slice(0, 200);
  }
  return utm;
}

/** The site somebody came from, nothing when it is the same site. */
export function referrerOf(referrer: string, origin: string): string {
  try {
    return new URL(referrer).origin === origin ? "" : referrer;
  } catch {
    return "";
  }
}

/** Describes the arrival, remembering the first one in this tab. */
export function arrive(location: { href: string; search: string; origin: string }, referrer: string, tab?: Storage): Arrival {
  const now: Arrival = { referrer: referrerOf(referrer, location.origin), utm: utmOf(location.search) };
  let first = now;
  try {
    const known = tab?.getItem(key);
    if (known && !Object.keys(now.utm ?? {}).length) first = JSON.parse(known) as Arrival;
    else tab?.setItem(key, JSON.stringify(now));
  } catch {
    // storage is forbidden or holds something else: this page is the first
  }
  return {
    page: location.href.split("#")[0] ?? "",
    ...(first.referrer ? { referrer: first.referrer } : {}),
    ...(first.utm && Object.keys(first.utm).length ? { utm: first.utm } : {}),
  };
}
