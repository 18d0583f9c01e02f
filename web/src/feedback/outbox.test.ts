import { beforeEach, describe, expect, it } from "vitest";
import type { ConnectionState } from "../protocol/connection";
import type { ClientEvent, FeedbackCreate, ServerEvent } from "../protocol/events";
import type { Opinion } from "./judgement";
import { Outbox } from "./outbox";
import type { Word } from "./outbox";
import { FOREIGN_GRACE_MS, MOST_WAITING } from "./queue";
import type { Entry } from "./queue";
import type { Shelf } from "./shelf";

/** One tab: its connection, its timers, and a shelf and words that it may share with others. */
class Tab {
  link: ConnectionState = { link: "open", reason: null, session: null, goingAway: false, signIn: null };
  sent: FeedbackCreate[] = [];
  timers = new Map<number, () => void>();
  now = 1_000_000;
  private nextTimer = 1;
  private states = (): void => {};
  private events = (_event: ServerEvent): void => {};
  private words = (_word: Word): void => {};
  readonly outbox: Outbox;

  constructor(
    readonly shelf: FakeShelf | null,
    readonly others: Tab[] = [],
  ) {
    let made = 0;
    this.outbox = new Outbox(
      {
        getState: () => this.link,
        onState: (listener) => ((this.states = listener), () => {}),
        onEvent: (listener) => ((this.events = listener), () => {}),
        send: (event: ClientEvent) => {
          if (this.link.link !== "open") return false;
          this.sent.push(event as FeedbackCreate);
          return true;
        },
      },
      {
        openShelf: () => (shelf === null ? Promise.reject(new Error("blocked")) : Promise.resolve(shelf)),
        now: () => this.now,
        newId: (now) => `${now}-${String(++made).padStart(6, "0")}`,
        setTimer: (act) => (this.timers.set(this.nextTimer, act), this.nextTimer++),
        clearTimer: (timer) => void this.timers.delete(timer),
        tell: (word) => this.others.forEach((tab) => tab.words(structuredClone(word))),
        hear: (listener) => (this.words = listener),
      },
    );
  }

  become(change: Partial<ConnectionState>): void {
    this.link = { ...this.link, ...change };
    this.states();
  }

  say(event: object): void {
    this.events(event as ServerEvent);
  }

  acknowledge(id: string, level = "committed"): void {
    this.say({ type: "feedback.acknowledged", event_id: id, level, duplicate: false });
  }

  refuse(id: string, code: string, retryable = false): void {
    this.say({ type: "error", error: { code, message: "Because.", retryable, event_id: id } });
  }

  pass(ms: number): void {
    this.now += ms;
    for (const [timer, act] of [...this.timers]) {
      this.timers.delete(timer);
      act();
    }
  }

  async judge(opinion: Opinion = { action: "accept" }): Promise<boolean> {
    const kept = this.outbox.judge({ responseId: "r1", itemId: null, receipt: "s" }, opinion);
    await kept;
    return kept !== null;
  }

  get mark() {
    return this.outbox.markOf("r1", null, "verdict");
  }
}

class FakeShelf implements Shelf {
  entries = new Map<string, Entry>();
  full = false;
  all = async (): Promise<Entry[]> => [...this.entries.values()];
  put = async (entry: Entry): Promise<void> => {
    if (this.full) throw new Error("quota");
    this.entries.set(entry.id, entry);
  };
  remove = async (id: string): Promise<void> => void this.entries.delete(id);
}

const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 0));

let shelf: FakeShelf;
let tab: Tab;
beforeEach(async () => {
  shelf = new FakeShelf();
  tab = new Tab(shelf);
  await settled();
});

describe("a judgement", () => {
  it("is kept before it is sent, and let go only once the server has it", async () => {
    let kept = -1;
    shelf.put = async (entry) => {
      kept = tab.sent.length;
      shelf.entries.set(entry.id, entry);
    };
    await tab.judge();
    expect([kept, tab.sent.length, shelf.entries.size]).toEqual([0, 1, 1]);
    expect([tab.outbox.getState().waiting, tab.mark?.state]).toEqual([1, "saving"]);
    tab.acknowledge(tab.sent[0]!.event_id, "logged");
    await settled();
    expect([tab.outbox.getState().waiting, shelf.entries.size]).toEqual([0, 0]);
    expect(tab.mark).toMatchObject({ state: "saved", level: "logged" });
  });

  it("waits without a connection and goes again under the same id", async () => {
    await tab.judge();
    tab.become({ link: "reconnecting" });
    expect(tab.mark?.state).toBe("waiting");
    tab.become({ link: "open" });
    expect(new Set(tab.sent.map((event) => event.event_id)).size).toBe(1);
    expect(tab.sent.length).toBe(2);
    expect(tab.sent[1]).toEqual(tab.sent[0]);
  });

  it("goes again after the time that the server named", async () => {
    await tab.judge();
    const id = tab.sent[0]!.event_id;
    tab.say({
      type: "error",
      error: { code: "store_unavailable", message: "", retryable: true, retry_after_ms: 300, event_id: id },
    });
    expect([tab.mark?.state, tab.sent.length]).toEqual(["waiting", 1]);
    tab.pass(200);
    expect(tab.sent.length).toBe(1);
    tab.pass(100);
    expect(tab.sent.map((event) => event.event_id)).toEqual([id, id]);
  });

  it("that the server will never take is dropped, and that is said", async () => {
    await tab.judge();
    tab.refuse(tab.sent[0]!.event_id, "conflict");
    await settled();
    expect([tab.outbox.getState().waiting, shelf.entries.size, tab.mark?.state]).toEqual([0, 0, "refused"]);
    expect(tab.outbox.getState().problems).toEqual(["A judgement could not be saved. Because."]);
    tab.outbox.dismissProblems();
    expect(tab.outbox.getState().problems).toEqual([]);
  });

  it("waits for a key that the server wants", async () => {
    await tab.judge();
    tab.become({ signIn: "needed" });
    tab.refuse(tab.sent[0]!.event_id, "unauthorized");
    expect([tab.outbox.getState().waiting, tab.sent.length]).toEqual([1, 1]);
    tab.become({ signIn: null });
    expect(tab.sent.length).toBe(2);
  });

  it("of another mind is a new event, and the mark is the newest's", async () => {
    await tab.judge();
    await tab.judge({ action: "reject" });
    const [first, second] = tab.sent;
    expect(first!.event_id).not.toBe(second!.event_id);
    tab.acknowledge(first!.event_id);
    expect(tab.mark).toMatchObject({ action: "reject", state: "saving" });
  });
});

describe("the shelf", () => {
  it("outlives the page", async () => {
    tab.become({ link: "offline" });
    await tab.judge();
    const later = new Tab(shelf);
    later.now += 60_000;
    await settled();
    expect(later.outbox.getState().waiting).toBe(1);
    expect(later.sent.length).toBe(1);
  });

  it("that fails is replaced by memory, visibly, and nothing is lost meanwhile", async () => {
    const bare = new Tab(null);
    await settled();
    await bare.judge();
    expect(bare.outbox.getState()).toMatchObject({ durable: false, waiting: 1 });
    expect(bare.sent.length).toBe(1);
    shelf.full = true;
    await tab.judge();
    expect(tab.outbox.getState()).toMatchObject({ durable: false, waiting: 1 });
    expect(tab.sent.length).toBe(1);
  });

  it("is bounded, and says so", async () => {
    tab.become({ link: "offline" });
    for (let index = 0; index < MOST_WAITING; index += 1) expect(await tab.judge()).toBe(true);
    expect(await tab.judge()).toBe(false);
    expect(tab.outbox.getState().waiting).toBe(MOST_WAITING);
    expect(tab.outbox.getState().problems[0]).toContain("1,000 judgements wait");
  });

  it("takes nothing that would close the connection for its size", async () => {
    expect(await tab.judge({ action: "modify", final_text: "\u{1F642}".repeat(16_000) })).toBe(true);
    tab.link = { ...tab.link, session: { limits: { max_frame_bytes: 1000 } } as never };
    expect(await tab.judge({ action: "modify", final_text: "x".repeat(1000) })).toBe(false);
  });
});

describe("two tabs", () => {
  it("count together, and what one had saved the other lets go", async () => {
    const other = new Tab(shelf, [tab]);
    tab.others.push(other);
    await settled();
    await tab.judge();
    expect([other.outbox.getState().waiting, other.sent.length]).toEqual([1, 0]);
    tab.acknowledge(tab.sent[0]!.event_id);
    expect(other.outbox.getState().waiting).toBe(0);
  });

  it("send for each other once one is gone", async () => {
    const other = new Tab(shelf);
    tab.others.push(other);
    await settled();
    tab.become({ link: "offline" });
    await tab.judge();
    other.pass(FOREIGN_GRACE_MS);
    expect(other.sent.length).toBe(1);
  });
});

it("takes the server's time for ids when this clock is wrong", async () => {
  const created_at = tab.now / 1000 + 3600;
  tab.say({ type: "response.created", response_id: "r1", response: { created_at } });
  await tab.judge();
  expect(tab.sent[0]!.event_id).toMatch(new RegExp(`^${created_at * 1000}-`));
  expect(Date.parse(tab.sent[0]!.occurred_at)).toBe(tab.now);
});
