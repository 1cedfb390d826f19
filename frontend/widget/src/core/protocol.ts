// What crosses the wire between this page and the server; docs/protocol.md §7.

export type AuthorKind = "customer" | "member" | "assistant" | "flow" | "system";

export type Part = {
  kind: string;
  text?: string;
  sha256?: string;
  name?: string;
  type?: string;
  size?: number;
  width?: number;
  height?: number;
  duration_ms?: number;
  url?: string;
  title?: string;
  latitude?: number;
  longitude?: number;
};

export type Message = {
  id: string;
  number: number;
  author: { kind: AuthorKind; name?: string };
  parts: Part[];
  sent_at: string | null;
  edited_at?: string | null;
  deleted_at?: string | null;
};

export type Page = { from: number; to: number; messages: Message[] };

export type Profile = { user_id?: string; user_hash?: string; name?: string; email?: string; phone?: string };

export type Settings = {
  title: string;
  greeting?: string;
  color?: string;
  language?: string;
  theme?: string;
  ask_name?: boolean;
  ask_email?: boolean;
  suggested?: string[];
  max_file_bytes: number;
};

export type Session = { visitor_token: string; conversation?: string | null; settings: Settings };

export type Arrival = { page?: string; referrer?: string; utm?: Record<string, string> };

export type SentFile = { sha256: string; name: string; type: string; size: number };

export type Frame = {
  type: string;
  message?: Message;
  from?: number;
  to?: number;
  name?: string;
  ttl?: number;
  upto?: number;
  status?: string;
  beat?: number;
};

/** What the server writes into the page. */
export type PageConfig = { channel: string; mode: "page" | "frame"; origins: string[]; settings: Settings };

/** A refusal, as the server words it. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    /** Seconds after which it may work. */
    readonly retryAfter = 0,
  ) {
    super(detail);
  }

  /** Whether the same request may succeed later. */
  get passing(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 425 || this.status === 429 || this.status >= 500;
  }

  /** Whether waiting will not help; a visitor who is not known begins anew. */
  get lasting(): boolean {
    return !this.passing && this.status !== 401;
  }
}

/** The line is down: nothing is known about what became of the request. */
export const noLine = () => new Problem(0, "offline", "");
