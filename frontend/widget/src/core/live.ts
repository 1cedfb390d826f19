import type { Frame } from "./protocol";
import { retryDelay } from "./retry";

// The live socket: dials, notices silence, dials again, for ever. Nothing
// about one socket is needed to go on with the next: the position is in hello.

export type LiveState = "connecting" | "live" | "offline";

export type LiveHooks = {
  hello: () => object;
  frame: (f: Frame) => void;
  state: (s: LiveState) => void;
  /** The server does not know the token any more. */
  unknown: () => void;
};

const signedOut = 4001;
const restarting = 1012;
const tick = 5_000;

export class Live {
  private socket: WebSocket | undefined;
  private redial: ReturnType<typeof setTimeout> | undefined;
  private watch: ReturnType<typeof setInterval> | undefined;
  private attempt = 0;
  private beat = 20_000;
  private heard = 0;
  private ticked = 0;
  state: LiveState = "offline";

  constructor(
    private readonly url: string,
    private readonly hooks: LiveHooks,
  ) {}

  get running(): boolean {
    return this.watch !== undefined;
  }

  /** Begins; from here on there is a socket or a wait for one. */
  start(): void {
    if (this.running) return;
    this.ticked = Date.now();
    this.watch = setInterval(() => this.look(), tick);
    this.dial();
  }

  stop(): void {
    clearInterval(this.watch);
    this.watch = undefined;
    this.drop();
    this.turn("offline");
  }

  /** Dials at once: the line is back, or the page was woken. */
  now(): void {
    if (!this.running) return;
    this.attempt = 0;
    this.dial();
  }

  /** Dials anew unless the socket is known to be alive. */
  check(): void {
    if (this.running && (this.state !== "live" || this.silent())) this.now();
  }

  send(frame: object): boolean {
    if (this.state !== "live" || this.socket?.readyState !== 1) return false;
    this.socket.send(JSON.stringify(frame));
    return true;
  }

  private silent(): boolean {
    return Date.now() - this.heard > 2 * this.beat;
  }

  /** Every few seconds: a clock that jumped means sleep, silence a dead line. */
  private look(): void {
    const jumped = Date.now() - this.ticked > tick + 10_000;
    this.ticked = Date.now();
    if (jumped) this.now();
    else if (this.socket && this.silent()) this.again();
  }

  private dial(): void {
    this.drop();
    this.turn("connecting");
    this.heard = Date.now(); // the server has as long as for any other frame
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.url);
    } catch {
      this.again();
      return;
    }
    this.socket = socket;
    const mine = () => this.socket === socket;
    socket.addEventListener("open", () => mine() && socket.send(JSON.stringify(this.hooks.hello())));
    socket.addEventListener("message", (e: MessageEvent<unknown>) => mine() && this.take(e.data));
    socket.addEventListener("close", (e) => {
      if (!mine()) return;
      if (e.code === signedOut) {
        this.stop();
        this.hooks.unknown();
      } else this.again(e.code === restarting ? comeBack(e.reason) : 0);
    });
  }

  private take(data: unknown): void {
    let frame: Frame;
    try {
      frame = JSON.parse(String(data)) as Frame;
    } catch {
      return;
    }
    this.heard = Date.now();
    if (frame.type === "welcome") {
      this.attempt = 0;
      if (frame.beat) this.beat = frame.beat * 1000;
      this.turn("live");
    }
    this.hooks.frame(frame);
  }

  private again(wait = 0): void {
    this.drop();
    this.turn("offline");
    this.redial = setTimeout(() => this.dial(), wait || retryDelay(this.attempt++));
  }

  /** Lets go of the socket without waiting for a closing handshake. */
  private drop(): void {
    clearTimeout(this.redial);
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
  }

  private turn(state: LiveState): void {
    if (this.state === state) return;
    this.state = state;
    this.hooks.state(state);
  }
}

/** When a server that restarts wants us back, in milliseconds; 0 if it does not say. */
function comeBack(reason: string): number {
  try {
    const seconds = (JSON.parse(reason) as { retry_after?: number }).retry_after ?? 0;
    return seconds > 0 && seconds <= 600 ? seconds * 1000 : 0;
  } catch {
    return 0;
  }
}
