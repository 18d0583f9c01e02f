/**
 * One socket to the server that comes back by itself.
 *
 * Clock, dice and socket are handed in, so that tests need none of the browser's. Listeners get
 * every server event and every change of state, in order, on the caller's own turn of the loop.
 */

import { parseFrame, SUBPROTOCOL } from "./events";
import type { ClientEvent, ServerEvent, SessionFacts } from "./events";
import type { SocketLike, Surroundings } from "./surroundings";

/** Without a connection for this long, the page says that it is offline. */
export const OFFLINE_AFTER_MS = 10_000;
/** The first wait before reconnecting is at most this, and doubles up to the longest. */
export const FIRST_RETRY_MS = 400;
export const LONGEST_RETRY_MS = 15_000;
/** After a close that forbids reconnecting at once, at least this. */
export const HELD_RETRY_MS = 30_000;
/** A connection that says nothing for this long after a ping is taken for dead. */
export const PONG_WITHIN_MS = 5_000;
/** An attempt to connect that takes longer than this is given up. */
export const GREETING_WITHIN_MS = 8_000;
/** A page leaves a server that is going away at a random moment within this. */
export const LEAVE_WITHIN_MS = 3_000;

const CLOSE_BAD_TOKEN = 4401;
const CLOSE_OVERLOADED = 1013;
const CLOSE_HELD: Record<number, string> = {
  4429: "This page asked too much in a short time.",
  4509: "The server refused too many messages of this page.",
};
const CLOSE_DENIED: Record<number, string> = {
  4401: "The server needs you to sign in.",
  4403: "The server does not allow this page.",
};

/**
 * `connecting`: before the first answer of the server. `reconnecting`: lost, for less than 10 s.
 * `offline`: lost for longer; attempts go on. `held`: the server asked not to come back at once.
 * `denied`: it will not let this page in.
 */
export type Link = "connecting" | "open" | "reconnecting" | "offline" | "held" | "denied";

export interface ConnectionState {
  link: Link;
  /** Why, in plain words, for `held` and `denied`. */
  reason: string | null;
  /** The session, once the server has told it; kept while the connection is lost. */
  session: SessionFacts | null;
  /** The server is going away: running answers finish, new questions wait. */
  goingAway: boolean;
  /** The server wants an API key: none was given, or it did not take the one that was. */
  signIn: "needed" | "refused" | null;
}

/** True while what is sent is also served. */
export function isReady(state: ConnectionState): boolean {
  return state.link === "open" && state.signIn === null;
}

const TIMERS = ["retryTimer", "offlineTimer", "pingTimer", "silenceTimer", "leaveTimer"] as const;

type EventListener = (event: ServerEvent) => void;
type StateListener = () => void;

export class Connection {
  private state: ConnectionState = {
    link: "connecting",
    reason: null,
    session: null,
    goingAway: false,
    signIn: null,
  };
  private readonly eventListeners = new Set<EventListener>();
  private readonly stateListeners = new Set<StateListener>();
  private socket: SocketLike | null = null;
  private failures = 0;
  private retryTimer: number | null = null;
  private offlineTimer: number | null = null;
  private pingTimer: number | null = null;
  private silenceTimer: number | null = null;
  private leaveTimer: number | null = null;
  private stopped = true;

  constructor(
    private readonly address: string,
    private readonly around: Surroundings,
  ) {}

  /** The state as of now; the same object until it changes. */
  readonly getState = (): ConnectionState => this.state;

  /** Call `listener` at each change of state. Returns the way to stop. */
  readonly onState = (listener: StateListener): (() => void) => {
    this.stateListeners.add(listener);
    return () => this.stateListeners.delete(listener);
  };

  /** Call `listener` with each event of the server. Returns the way to stop. */
  onEvent(listener: EventListener): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }

  start(): void {
    if (!this.stopped) return;
    this.stopped = false;
    this.startOfflineTimer();
    this.open();
  }

  stop(): void {
    this.stopped = true;
    for (const timer of TIMERS) {
      this.clear(timer);
    }
    this.drop();
  }

  /** Send one event. False when there is no open connection; nothing is queued then. */
  send(event: ClientEvent): boolean {
    if (this.state.link !== "open" || this.socket?.readyState !== 1) return false;
    this.socket.send(JSON.stringify(event));
    return true;
  }

  /** Try now instead of when the next attempt is due; the user asked, or the network is back. */
  retryNow(): void {
    if (this.stopped || this.state.link === "open" || this.socket !== null) return;
    this.clear("retryTimer");
    if (this.state.link === "held" || this.state.link === "denied") {
      this.update({ link: "reconnecting", reason: null });
      this.startOfflineTimer();
    }
    this.open();
  }

  /** Use this API key from here on, also after reconnecting. */
  signIn(token: string): void {
    this.around.token.set(token);
    if (this.state.link === "open") this.sendToken();
    else this.retryNow();
  }

  /** Find out soon whether the connection still lives (after sleep, or a change of network). */
  probe(): void {
    if (this.state.link === "open") this.ping();
    else this.retryNow();
  }

  /** Leave a server that is going away, soon, and connect anew, perhaps to another one. */
  moveOn(): void {
    if (this.leaveTimer !== null || !this.state.goingAway) return;
    this.leaveTimer = this.around.setTimer(() => {
      this.leaveTimer = null;
      this.drop();
      this.lost(1001);
    }, LEAVE_WITHIN_MS * this.around.random());
  }

  private open(): void {
    const socket = this.around.connect(this.address, SUBPROTOCOL);
    this.socket = socket;
    socket.onmessage = (event: { data?: unknown }) => {
      if (this.socket === socket && typeof event.data === "string") this.received(event.data);
    };
    socket.onclose = (event: { code?: number }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.lost(event.code ?? 1006);
    };
    this.expectWithin(GREETING_WITHIN_MS);
  }

  private received(frame: string): void {
    this.clear("silenceTimer");
    const event = parseFrame(frame);
    if (event === null) return;
    if (event.type === "session.created") this.opened(event.session);
    else if (event.type === "session.updated") this.update({ session: event.session, signIn: null });
    else if (event.type === "error" && event.error.code === "unauthorized") this.turnedAway();
    else if (event.type === "session.go_away") this.update({ goingAway: true });
    for (const listener of [...this.eventListeners]) listener(event);
  }

  private opened(session: SessionFacts): void {
    this.failures = 0;
    this.clear("offlineTimer");
    // First of all, so that whatever the listeners send comes after it.
    const wanted = session.needs_token === true ? (this.state.signIn ?? "needed") : this.state.signIn;
    const signIn = this.sendToken() ? null : wanted;
    this.update({ link: "open", reason: null, session, goingAway: false, signIn });
    this.schedulePing();
  }

  private sendToken(): boolean {
    const token = this.around.token.get();
    if (token === null || this.socket?.readyState !== 1) return false;
    this.socket.send(JSON.stringify({ type: "session.update", token } satisfies ClientEvent));
    return true;
  }

  /** The server wants a key, or another one than it got. */
  private turnedAway(): void {
    if (this.around.token.get() !== null) {
      this.around.token.set(null);
      this.update({ signIn: "refused" });
    } else if (this.state.signIn === null) this.update({ signIn: "needed" });
  }

  private lost(code: number): void {
    this.clear("pingTimer");
    this.clear("silenceTimer");
    this.clear("leaveTimer");
    if (this.stopped) return;
    const denied = CLOSE_DENIED[code];
    const held = CLOSE_HELD[code];
    if (denied !== undefined) {
      this.clear("offlineTimer");
      if (code === CLOSE_BAD_TOKEN) this.turnedAway();
      this.update({ link: "denied", reason: denied, goingAway: false });
      return;
    }
    if (held !== undefined) {
      this.clear("offlineTimer");
      this.update({ link: "held", reason: held, goingAway: false });
      this.scheduleRetry(HELD_RETRY_MS * (1 + this.around.random()));
      return;
    }
    if (this.state.link === "open" || this.state.link === "held") {
      this.update({ link: "reconnecting", reason: null, goingAway: false });
      this.startOfflineTimer();
    }
    const steps = code === CLOSE_OVERLOADED ? this.failures + 3 : this.failures;
    const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** steps);
    this.failures += 1;
    // Anywhere in the upper half of the wait, so that many pages do not come back together.
    this.scheduleRetry(longest * (0.5 + this.around.random() / 2));
  }

  private scheduleRetry(ms: number): void {
    this.clear("retryTimer");
    this.retryTimer = this.around.setTimer(() => {
      this.retryTimer = null;
      if (!this.stopped && this.socket === null) this.open();
    }, ms);
  }

  private startOfflineTimer(): void {
    if (this.offlineTimer !== null) return;
    this.offlineTimer = this.around.setTimer(() => {
      this.offlineTimer = null;
      if (this.state.link === "connecting" || this.state.link === "reconnecting") {
        this.update({ link: "offline" });
      }
    }, OFFLINE_AFTER_MS);
  }

  private schedulePing(): void {
    this.clear("pingTimer");
    const everyMs = Math.max(5, this.state.session?.ping_interval_s ?? 20) * 1000;
    this.pingTimer = this.around.setTimer(() => {
      this.ping();
      this.schedulePing();
    }, everyMs);
  }

  private ping(): void {
    if (this.silenceTimer === null && this.send({ type: "ping" })) this.expectWithin(PONG_WITHIN_MS);
  }

  /** Take the connection for dead unless a frame comes within `ms`. */
  private expectWithin(ms: number): void {
    this.silenceTimer = this.around.setTimer(() => {
      this.silenceTimer = null;
      this.drop();
      this.lost(1006);
    }, ms);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private clear(timer: (typeof TIMERS)[number]): void {
    const running = this[timer];
    if (running !== null) this.around.clearTimer(running);
    this[timer] = null;
  }

  private update(change: Partial<ConnectionState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of [...this.stateListeners]) listener();
  }
}
