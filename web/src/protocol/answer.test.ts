import { describe, expect, it } from "vitest";
import { applyEvent, applyResumed, interrupt, isOpen, newAnswer, refuse } from "./answer";
import type { Answer } from "./answer";
import type { AnswerEvent, FinalResponse } from "./events";

const product = { id: "p", name: "P", brand: "B", category: "C" };
const position = (sequence_number: number, epoch = 1) => ({ response_id: "r", epoch, sequence_number });
const created: AnswerEvent = {
  ...position(0),
  type: "response.created",
  event_id: "k",
  response: {
    id: "r",
    status: "in_progress",
    product_id: "p",
    scenario: "general",
    created_at: 1,
    prompt: { name: "general", version: "1" },
    resumable: true,
  },
};
const delta = (sequence: number, text: string, epoch = 1): AnswerEvent => ({
  ...position(sequence, epoch),
  type: "response.output_text.delta",
  delta: text,
});
const final = (status: FinalResponse["status"], text: string): FinalResponse => ({
  id: "r",
  status,
  output_text: text,
  items: [],
  model: "m",
  prompt: { name: "general", version: "1" },
  finish_reason: "stop",
  confidence: 0.7,
  is_confused: false,
  guidance: "answer",
  usage: { input_tokens: 1, output_tokens: 1, cached_tokens: 0, estimated: true },
  cost_usd: null,
  cache: { manual: "memory", answer: "miss" },
  fallback: null,
  timing_ms: { manual: null, retrieval: null, first_token: null, total: 5 },
  receipt: "",
});
const play = (...events: AnswerEvent[]): Answer =>
  events.reduce(applyEvent, newAnswer("k", "q?", product, "general", 0));

describe("applyEvent", () => {
  it("goes from sending to running to the end", () => {
    expect(play().phase).toBe("sending");
    const running = play(created, delta(1, "Hel"), delta(2, "lo"));
    expect([running.phase, running.text, running.responseId]).toEqual(["running", "Hello", "r"]);
    const done = applyEvent(running, { ...position(3), type: "response.completed", response: final("completed", "Hello.") });
    expect([done.phase, done.text, isOpen(done)]).toEqual(["completed", "Hello.", false]);
  });

  it("ignores what it has seen before and what comes after the end", () => {
    const once = play(created, delta(1, "a"), delta(2, "b"));
    expect(applyEvent(once, delta(1, "a"))).toBe(once);
    expect(applyEvent(once, delta(2, "b"))).toBe(once);
    const done = applyEvent(once, { ...position(3), type: "response.cancelled", response: final("cancelled", "ab") });
    expect(applyEvent(done, delta(4, "c"))).toBe(done);
  });

  it("discards text at a reset and goes on in the next epoch", () => {
    const after = play(
      created,
      delta(1, "wrong"),
      { ...position(2), type: "response.reset", reason: "failover" },
      delta(0, "right", 2),
      delta(3, "late", 1),
    );
    expect([after.text, after.epoch, after.lastSequence]).toEqual(["right", 2, 0]);
  });

  it("keeps sources and manual when later stages do not repeat them", () => {
    const manual = { status: "fetched" as const, pages: 3, sha256: "x" };
    const after = play(
      created,
      {
        ...position(1),
        type: "response.in_progress",
        stage: "retrieving",
        sources: [{ page: 1, heading: "h", score: 0.5 }],
        manual,
      },
      { ...position(2), type: "response.in_progress", stage: "generating" },
    );
    expect([after.stage, after.sources.length, after.manual]).toEqual(["generating", 1, manual]);
  });

  it("reads progress in pages and ignores what is not a number", () => {
    const at = (detail: Record<string, number | string | null>) =>
      play(created, { ...position(1), type: "response.in_progress", stage: "manual.extracting", detail }).progress;
    expect(at({ pages_done: 3, pages_total: 9 })).toMatchObject({ pagesDone: 3, pagesTotal: 9 });
    expect(at({ pages_done: "3", pages_total: null })).toMatchObject({ pagesDone: null, pagesTotal: null });
  });

  it("takes an item once", () => {
    const item = { type: "warning" as const, id: "i1", offset: 0, text: "hot" };
    const after = play(
      created,
      { ...position(1), type: "response.output_item.done", item },
      { ...position(2), type: "response.output_item.done", item },
    );
    expect(after.items).toEqual([item]);
  });

  it("lets an event of an unknown type pass", () => {
    const odd = { ...position(1), type: "response.sound" } as unknown as AnswerEvent;
    expect(play(created, odd, delta(2, "a")).text).toBe("a");
  });
});

describe("the other ends", () => {
  it("refuses, interrupts and takes a final answer when it cannot be resumed", () => {
    const error = { code: "overloaded", message: "Try again.", retryable: true };
    expect(refuse(play(), error)).toMatchObject({ phase: "refused", error });
    expect(interrupt(play(created)).phase).toBe("interrupted");
    const resumed = {
      type: "response.resumed" as const,
      response_id: "r",
      recovered: false,
      epoch: 1,
      from_sequence_number: 0,
      status: "completed" as const,
    };
    expect(applyResumed(play(created), resumed).phase).toBe("interrupted");
    expect(applyResumed(play(created), { ...resumed, response: final("completed", "all") }).text).toBe("all");
    const running = play(created);
    expect(applyResumed(running, { ...resumed, recovered: true })).toBe(running);
  });
});
