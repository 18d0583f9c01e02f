import { beforeEach, describe, expect, it } from "vitest";
import type { ConnectionState } from "../protocol/connection";
import type { ClientEvent, ServerEvent } from "../protocol/events";
import { Conversation, historyFor, MOST_HISTORY_TURNS } from "./conversation";
import type { Wire } from "./conversation";
import { newAnswer } from "../protocol/answer";

const product = { id: "p", name: "P", brand: "", category: "" };

class FakeWire implements Wire {
  state: ConnectionState = { link: "open", reason: null, session: null, goingAway: false, signIn: null };
  sent: ClientEvent[] = [];
  left = 0;
  private events: (event: ServerEvent) => void = () => undefined;
  private states: () => void = () => undefined;

  getState = (): ConnectionState => this.state;
  onState = (listener: () => void): (() => void) => {
    this.states = listener;
    return () => undefined;
  };
  onEvent = (listener: (event: ServerEvent) => void): (() => void) => {
    this.events = listener;
    return () => undefined;
  };
  send = (event: ClientEvent): boolean => {
    if (this.state.link !== "open") return false;
    this.sent.push(event);
    return true;
  };
  moveOn = (): void => {
    this.left += 1;
  };

  say(event: unknown): void {
    this.events(event as ServerEvent);
  }

  become(change: Partial<ConnectionState>): void {
    this.state = { ...this.state, ...change };
    this.states();
  }

  create(key: string, id: string, resumable = false): void {
    this.say({
      type: "response.created",
      response_id: id,
      epoch: 1,
      sequence_number: 0,
      event_id: key,
      response: { id, resumable, scenario: "general", prompt: { name: "general", version: "1" } },
    });
  }

  end(id: string, text: string): void {
    const response = { id, status: "completed", output_text: text, items: [], prompt: { name: "general", version: "1" } };
    this.say({ type: "response.completed", response_id: id, epoch: 1, sequence_number: 9, response });
  }
}

let wire: FakeWire;
let talk: Conversation;
let ids: number;
beforeEach(() => {
  wire = new FakeWire();
  ids = 0;
  talk = new Conversation(wire, () => `k${++ids}`, () => 0);
});
const phases = () => talk.getAnswers().map((answer) => answer.phase);

describe("asking", () => {
  it("sends what was said before about the same product, and no other", () => {
    talk.ask("one?", product, "general");
    wire.create("k1", "r1");
    wire.end("r1", "One.");
    talk.ask("other?", { ...product, id: "x" }, "general");
    talk.ask("two?", product, "studio");
    expect(wire.sent[1]).toMatchObject({ product_id: "x", history: [] });
    expect(wire.sent[2]).toMatchObject({
      input: "two?",
      scenario: "studio",
      history: [
        { role: "user", content: "one?" },
        { role: "assistant", content: "One." },
      ],
    });
  });

  it("does nothing without a connection", () => {
    wire.become({ link: "reconnecting" });
    expect(talk.ask("one?", product, "general")).toBe(false);
    expect(talk.getAnswers()).toEqual([]);
  });

  it("shows why the server refused", () => {
    talk.ask("one?", product, "general");
    wire.say({ type: "error", error: { code: "rate_limited", message: "Wait.", retryable: true, event_id: "k1" } });
    expect(phases()).toEqual(["refused"]);
  });

  it("keeps answers apart", () => {
    talk.ask("one?", product, "general");
    talk.ask("two?", product, "general");
    wire.create("k2", "r2");
    wire.create("k1", "r1");
    wire.end("r2", "Two.");
    expect(phases()).toEqual(["running", "completed"]);
  });
});

describe("cancelling", () => {
  it("waits for the answer's id when it has none yet", () => {
    talk.ask("one?", product, "general");
    talk.cancel("k1");
    talk.cancel("k1");
    expect(wire.sent.length).toBe(1);
    wire.create("k1", "r1");
    expect(wire.sent[1]).toEqual({ type: "response.cancel", response_id: "r1" });
  });
});

describe("a lost connection", () => {
  it("interrupts what cannot be taken up again, and sends nothing by itself", () => {
    talk.ask("one?", product, "general");
    talk.ask("two?", product, "general");
    wire.create("k1", "r1");
    wire.become({ link: "reconnecting" });
    expect(phases()).toEqual(["interrupted", "interrupted"]);
    wire.become({ link: "open" });
    wire.say({ type: "session.created", session: {} });
    expect(wire.sent.length).toBe(2);
  });

  it("resumes after the last event when the server can", () => {
    talk.ask("one?", product, "general");
    wire.create("k1", "r1", true);
    wire.say({ type: "response.output_text.delta", response_id: "r1", epoch: 1, sequence_number: 1, delta: "a" });
    wire.become({ link: "reconnecting" });
    wire.become({ link: "open" });
    wire.say({ type: "session.created", session: {} });
    expect(wire.sent[1]).toEqual({ type: "response.resume", response_id: "r1", epoch: 1, starting_after: 1 });
    wire.say({ type: "error", error: { code: "response_not_found", message: "", retryable: false, response_id: "r1" } });
    expect(phases()).toEqual(["interrupted"]);
  });

  it("asks again for an answer that cannot be looked up now, some times", () => {
    const waiting: (() => void)[] = [];
    talk = new Conversation(wire, () => `k${++ids}`, () => 0, (run) => waiting.push(run));
    talk.ask("one?", product, "general");
    wire.create("k1", "r1", true);
    const error = { code: "store_unavailable", message: "", retryable: true, response_id: "r1" };
    for (let tries = 1; tries <= 5; tries += 1) {
      wire.say({ type: "error", error });
      waiting.pop()?.();
      expect(wire.sent.at(-1)).toMatchObject({ type: "response.resume", response_id: "r1" });
      expect(phases()).toEqual(["running"]);
    }
    wire.say({ type: "error", error });
    expect(phases()).toEqual(["interrupted"]);
  });
});

describe("a server that goes away", () => {
  it("is left once no answer runs", () => {
    talk.ask("one?", product, "general");
    wire.create("k1", "r1");
    wire.become({ goingAway: true });
    expect(wire.left).toBe(0);
    wire.end("r1", "One.");
    expect(wire.left).toBeGreaterThan(0);
  });
});

describe("history", () => {
  it("keeps the newest turns and stays within its limits", () => {
    const answers = Array.from({ length: 30 }, (_, index) => ({
      ...newAnswer(`k${index}`, `q${index}`, product, "general", 0),
      phase: "completed" as const,
      text: `a${index}`,
    }));
    const turns = historyFor(answers, "p");
    expect(turns.length).toBe(MOST_HISTORY_TURNS);
    expect([turns[0]!.content, turns.at(-1)!.content]).toEqual(["q20", "a29"]);
    const long = answers.map((answer) => ({ ...answer, text: "ü".repeat(20_000) }));
    expect(new TextEncoder().encode(JSON.stringify(historyFor(long, "p"))).length).toBeLessThan(30_000);
  });
});
