/**
 * Judgements on their way to the server. Each is kept before it is sent, sent while there is a
 * connection, sent again under the same id until the server has it, and only then let go.
 */

import { isReady } from "../protocol/connection";
import type { ConnectionState } from "../protocol/connection";
import type {
  ClientEvent,
  ErrorFacts,
  FeedbackCreate,
  FeedbackLevel,
  ServerEvent,
} from "../protocol/events";
import { feedbackEvent } from "./judgement";
import type { Opinion, Target } from "./judgement";
import { Marks } from "./marks";
import type { Kind, Mark } from "./marks";
import {
  added,
  FOREIGN_GRACE_MS,
  MOST_WAITING,
  nextLook,
  NOTHING_WAITS,
  refused,
  removed,
  sent,
  toSend,
  unsent,
} from "./queue";
import type { Entry, Queue } from "./queue";
import type { Shelf } from "./shelf";

const LARGEST_FRAME_BYTES = 64 * 1024;
/** Beyond this the page's clock is wrong, and the server's is used for ids, which it checks. */
const CLOCK_OFF_MS = 60_000;
/** So many problems are listed; of more, the newest. */
const MOST_PROBLEMS = 5;

export interface OutboxState {
  waiting: number;
  /** False where the browser keeps nothing: what waits is lost when the page is closed. */
  durable: boolean;
  /** What could not be saved, in words. */
  problems: readonly string[];
}

/** What the outbox needs of a connection. */
export interface Wire {
  getState: () => ConnectionState;
  onState: (listener: () => void) => () => void;
  onEvent: (listener: (event: ServerEvent) => void) => () => void;
  send: (event: ClientEvent) => boolean;
}
/** What tabs of one browser tell each other: what was kept, and what became of it. */
export type Word =
  | { kind: "kept"; entry: Entry }
  | { kind: "settled"; id: string; level: FeedbackLevel | null; problem: string | null };
export interface Surroundings {
  openShelf: () => Promise<Shelf>;
  now: () => number;
  newId: (nowMs: number) => string;
  setTimer: (act: () => void, ms: number) => number;
  clearTimer: (timer: number) => void;
  /** Tell the other tabs, and hear them. */
  tell: (word: Word) => void;
  hear: (listener: (word: Word) => void) => void;
}

export class Outbox {
  private state: OutboxState = { waiting: 0, durable: true, problems: [] };
  private readonly marks = new Marks();
  private readonly listeners = new Set<() => void>();
  private readonly shelf: Promise<Shelf | null>;
  private queue: Queue = NOTHING_WAITS;
  /** How many are being kept and not in the queue yet. */
  private keeping = 0;
  private timer: number | null = null;
  private clockOff = 0;
  private wasReady: boolean;

  constructor(
    private readonly wire: Wire,
    private readonly around: Surroundings,
  ) {
    this.wasReady = isReady(wire.getState());
    wire.onState(() => this.linkChanged());
    wire.onEvent((event) => this.received(event));
    around.hear((word) => this.heard(word));
    this.shelf = this.load();
  }

  readonly getState = (): OutboxState => this.state;

  readonly onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** The latest verdict on a target, or with `rate` the latest stars. The same until it changes. */
  markOf(responseId: string, itemId: string | null, kind: Kind): Mark | null {
    return this.marks.of(responseId, itemId, kind);
  }

  /**
   * Keep one opinion and send it; settled once it is kept. Null, with a problem to show, when it
   * cannot be taken.
   */
  judge(target: Target, opinion: Opinion): Promise<void> | null {
    const now = this.around.now();
    const id = this.around.newId(now + this.clockOff);
    const event = feedbackEvent(target, opinion, id, now);
    const hindrance = this.hindrance(event);
    if (hindrance !== null) {
      this.complain(hindrance);
      return null;
    }
    this.marks.add(id, target, opinion);
    return this.take({ id, event, storedAt: now });
  }

  private async take(entry: Entry): Promise<void> {
    this.keeping += 1;
    this.publish();
    if (await this.keep(entry)) this.around.tell({ kind: "kept", entry });
    this.keeping -= 1;
    this.queue = added(this.queue, [entry], entry.storedAt);
    this.flush();
  }

  /** Take the problems off the page. */
  dismissProblems(): void {
    this.state = { ...this.state, problems: [] };
    this.publish();
  }

  private async load(): Promise<Shelf | null> {
    try {
      const shelf = await this.around.openShelf();
      const entries = (await shelf.all()).slice(0, MOST_WAITING);
      const now = this.around.now();
      const old = entries.filter((entry) => entry.storedAt + FOREIGN_GRACE_MS <= now);
      this.queue = added(added(this.queue, old, now), entries, now + FOREIGN_GRACE_MS);
      this.flush();
      return shelf;
    } catch {
      this.state = { ...this.state, durable: false };
      this.publish();
      return null;
    }
  }

  /** Put an entry on the shelf. False where that fails: it then lasts as long as the page. */
  private async keep(entry: Entry): Promise<boolean> {
    try {
      const shelf = await this.shelf;
      await shelf?.put(entry);
      return shelf !== null;
    } catch {
      this.state = { ...this.state, durable: false };
      return false;
    }
  }

  private hindrance(event: FeedbackCreate): string | null {
    if (this.queue.size + this.keeping >= MOST_WAITING) {
      return `${MOST_WAITING.toLocaleString("en")} judgements wait to be saved. Connect before you judge more.`;
    }
    return this.isTooLarge(event) ? "The text is too long to be sent. Shorten it." : null;
  }

  /** A frame over the limit would close the connection, again and again. */
  private isTooLarge(event: FeedbackCreate): boolean {
    const limit = this.wire.getState().session?.limits.max_frame_bytes ?? LARGEST_FRAME_BYTES;
    return new TextEncoder().encode(JSON.stringify(event)).length > limit;
  }

  private linkChanged(): void {
    const ready = isReady(this.wire.getState());
    if (ready === this.wasReady) return;
    this.wasReady = ready;
    if (!ready) this.queue = unsent(this.queue, this.around.now());
    this.flush();
  }

  private received(event: ServerEvent): void {
    if (event.type === "feedback.acknowledged") {
      if (this.queue.has(event.event_id)) this.settle(event.event_id, event.level, null);
    } else if (event.type === "error") this.receivedError(event.error);
    else if (event.type === "response.created") {
      const off = event.response.created_at * 1000 - this.around.now();
      this.clockOff = Math.abs(off) > CLOCK_OFF_MS ? off : 0;
    }
  }

  private receivedError(error: ErrorFacts): void {
    const id = error.event_id;
    if (id === undefined || !this.queue.has(id)) return;
    const next = refused(this.queue, id, error, this.around.now());
    if (next === null) {
      this.settle(id, null, error.message);
      return;
    }
    this.queue = next;
    this.flush();
  }

  /** The server has it, or will never take it: let it go, here and in the other tabs. */
  private settle(id: string, level: FeedbackLevel | null, problem: string | null): void {
    this.around.tell({ kind: "settled", id, level, problem });
    void this.shelf.then((shelf) => shelf?.remove(id)).catch(() => {
      // It stays on the shelf and is sent once more later; the server knows its id by then.
    });
    this.letGo(id, level, problem);
    if (problem !== null) this.complain(`A judgement could not be saved. ${problem}`);
  }

  private letGo(id: string, level: FeedbackLevel | null, problem: string | null): void {
    this.queue = removed(this.queue, id);
    this.marks.settle(id, level, problem);
    this.flush();
  }

  private heard(word: Word): void {
    if (word.kind === "settled") this.letGo(word.id, word.level, word.problem);
    else {
      this.queue = added(this.queue, [word.entry], this.around.now() + FOREIGN_GRACE_MS);
      this.flush();
    }
  }

  private flush(): void {
    if (isReady(this.wire.getState())) {
      const now = this.around.now();
      for (const entry of toSend(this.queue, now)) {
        if (this.isTooLarge(entry.event)) {
          this.settle(entry.id, null, "It is larger than this server takes.");
          return; // settling flushes what is left
        }
        if (!this.wire.send(entry.event)) break;
        this.queue = sent(this.queue, entry.id, now);
      }
    }
    this.lookAgain();
    this.publish();
  }

  private lookAgain(): void {
    if (this.timer !== null) this.around.clearTimer(this.timer);
    this.timer = null;
    const at = isReady(this.wire.getState()) ? nextLook(this.queue) : null;
    if (at === null) return;
    this.timer = this.around.setTimer(() => {
      this.timer = null;
      this.flush();
    }, Math.max(10, at - this.around.now()));
  }

  private complain(problem: string): void {
    const problems = [...this.state.problems.filter((one) => one !== problem), problem];
    this.state = { ...this.state, problems: problems.slice(-MOST_PROBLEMS) };
    this.publish();
  }

  private publish(): void {
    for (const [id, waiting] of this.queue) {
      this.marks.change(id, { state: waiting.sentAt === null ? "waiting" : "saving" });
    }
    this.state = { ...this.state, waiting: this.queue.size + this.keeping };
    for (const listener of [...this.listeners]) listener();
  }
}
