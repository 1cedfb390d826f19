import { noLine, Problem, type Message, type Page, type SentFile, type Session } from "./protocol";

// The requests this page makes. Every one ends: with an answer, with the
// server's refusal, or after a while with "no line".

const patience = 20_000;

export class Api {
  constructor(
    private readonly base: string,
    private readonly token: () => string,
  ) {}

  session(body: object): Promise<Session> {
    return this.json("POST", "/v1/visitor/session", body, false);
  }

  messages(after: number): Promise<Page> {
    return this.json("GET", `/v1/visitor/messages?after=${after}`);
  }

  async say(id: string, text: string, files: SentFile[]): Promise<Message> {
    const body = { id, text, files: files.map(({ sha256, name }) => ({ sha256, name })) };
    return (await this.json<{ message: Message }>("POST", "/v1/visitor/messages", body)).message;
  }

  async hasFile(sha256: string): Promise<boolean> {
    try {
      await this.request("HEAD", `/v1/visitor/files/${sha256}`);
      return true;
    } catch (e) {
      if (e instanceof Problem && e.status === 404) return false;
      throw e;
    }
  }

  async file(sha256: string): Promise<Blob> {
    return (await this.request("GET", `/v1/visitor/files/${sha256}`, undefined, true, 120_000)).blob();
  }

  /** Sends a file and tells how far it is; fetch cannot, so this is XHR. */
  upload(sha256: string, file: File, progress: (part: number) => void, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const xhr = new XMLHttpRequest();
      xhr.open("PUT", `${this.base}/v1/visitor/files/${sha256}`);
      xhr.setRequestHeader("Authorization", `Visitor ${this.token()}`);
      xhr.setRequestHeader("Content-Type", file.type || "application/octet-stream");
      xhr.setRequestHeader("X-Filename", encodeURIComponent(file.name));
      xhr.upload.addEventListener("progress", (e) => e.lengthComputable && progress(e.loaded / e.total));
      xhr.addEventListener("load", () => (xhr.status < 300 ? resolve() : reject(problemIn(xhr.status, xhr.responseText))));
      for (const end of ["error", "abort", "timeout"]) xhr.addEventListener(end, () => reject(noLine()));
      signal.addEventListener("abort", () => xhr.abort());
      xhr.send(file);
    });
  }

  private async json<T>(method: string, path: string, body?: object, signed = true): Promise<T> {
    const answer = await this.request(method, path, body && JSON.stringify(body), signed);
    try {
      return (await answer.json()) as T;
    } catch {
      throw noLine(); // cut off on the way
    }
  }

  private async request(method: string, path: string, body?: string, signed = true, wait = patience): Promise<Response> {
    const headers: Record<string, string> = { "Parley-Protocol": "1" };
    if (signed) headers["Authorization"] = `Visitor ${this.token()}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), wait);
    try {
      const answer = await fetch(this.base + path, {
        method, headers, signal: stop.signal, credentials: "omit", ...(body === undefined ? {} : { body }),
      });
      if (answer.ok) return answer;
      throw problemIn(answer.status, await answer.text());
    } catch (e) {
      throw e instanceof Problem ? e : noLine();
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Reads a problem document; anything else (a proxy's page) keeps its status. */
function problemIn(status: number, text: string): Problem {
  try {
    const p = JSON.parse(text) as { code?: string; detail?: string; retry_after?: number };
    return new Problem(status, p.code ?? "", p.detail ?? "", p.retry_after ?? 0);
  } catch {
    return new Problem(status, "", "");
  }
}
