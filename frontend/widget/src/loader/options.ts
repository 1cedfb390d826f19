import type { Profile } from "../core/protocol";

// What the company's page may say: data attributes of the script tag, and
// window.Parley set before the script runs. The latter wins.

/** What a page may set as window.Parley before the script. */
export type PageOptions = {
  user?: { id?: string; hash?: string; name?: string; email?: string; phone?: string };
  language?: string;
  theme?: string;
  position?: string;
  open?: boolean;
};

export type Options = { profile: Profile; language: string | undefined; theme: string | undefined; left: boolean; open: boolean };

const text = (v: unknown) => (typeof v === "string" || typeof v === "number" ? String(v).trim() : "");

/** Turns a page's user into a profile, leaving out what is not said. */
export function profileOf(user: PageOptions["user"]): Profile {
  const profile: Profile = {};
  const fields = [["user_id", user?.id], ["user_hash", user?.hash], ["name", user?.name], ["email", user?.email], ["phone", user?.phone]] as const;
  for (const [key, value] of fields) if (text(value)) profile[key] = text(value);
  return profile;
}

/** Reads the options from both places. */
export function readOptions(data: Record<string, string | undefined>, page: unknown): Options {
  const p = (typeof page === "object" && page !== null ? page : {}) as PageOptions;
  const user = {
    id: data["userId"], hash: data["userHash"], name: data["name"], email: data["email"], phone: data["phone"],
    ...Object.fromEntries(Object.entries(p.user ?? {}).filter(([, v]) => text(v))),
  };
  return {
    profile: profileOf(user),
    language: text(p.language ?? data["language"]) || undefined,
    theme: text(p.theme ?? data["theme"]) || undefined,
    left: text(p.position ?? data["position"]) === "left",
    open: p.open === true || data["open"] === "" || data["open"] === "true",
  };
}
