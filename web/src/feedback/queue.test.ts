import { describe, expect, it } from "vitest";
import type { ErrorFacts, FeedbackCreate } from "../protocol/events";
import {
  added,
  ANSWER_WITHIN_MS,
  MOST_UNDER_WAY,
  nextLook,
  NOTHING_WAITS,
  refused,
  removed,
  sent,
  toSend,
  unsent,
} from "./queue";
import type { Entry } from "./queue";

const entry = (id: string): Entry => ({
  id,
  event: { type: "feedback.create", event_id: id } as FeedbackCreate,
  storedAt: 0,
});
const error = (change: Partial<ErrorFacts>): ErrorFacts => ({
  code: "store_unavailable",
  message: "",
  retryable: true,
  ...change,
});
const ids = (entries: Entry[]): string[] => entries.map((one) => one.id);
const two = added(NOTHING_WAITS, [entry("b"), entry("a")], 5);

describe("the queue", () => {
  it("is sent in the order of time, once due, each once", () => {
    expect(toSend(two, 4)).toEqual([]);
    expect(ids(toSend(two, 5))).toEqual(["a", "b"]);
    expect(ids(toSend(sent(two, "a", 5), 6))).toEqual(["b"]);
    expect(added(two, [entry("a")], 9)).toBe(two);
  });

  it("sends again what was under way when the connection was lost", () => {
    const lost = unsent(sent(two, "a", 5), 7);
    expect(ids(toSend(lost, 7))).toEqual(["a", "b"]);
  });

  it("sends again what nobody answered", () => {
    const once = sent(removed(two, "b"), "a", 5);
    expect(nextLook(once)).toBe(5 + ANSWER_WITHIN_MS);
    expect(ids(toSend(once, 5 + ANSWER_WITHIN_MS))).toEqual(["a"]);
  });

  it("has no more under way than the server takes", () => {
    const many = Array.from({ length: 100 }, (_, index) => entry(`e${100 + index}`));
    let queue = added(NOTHING_WAITS, many, 0);
    const first = toSend(queue, 0);
    expect(first.length).toBe(MOST_UNDER_WAY);
    for (const one of first) queue = sent(queue, one.id, 0);
    expect(toSend(queue, 1)).toEqual([]);
  });
});

describe("an error", () => {
  const once = sent(two, "a", 5);

  it("that passes puts it off: as long as the server says, else longer each time", () => {
    const told = refused(once, "a", error({ retry_after_ms: 250 }), 10)!;
    expect([told.get("a")!.dueAt, told.get("a")!.sentAt]).toEqual([260, null]);
    const untold = refused(once, "a", error({}), 10)!;
    const again = refused(sent(untold, "a", 1010), "a", error({}), 1010)!;
    expect([untold.get("a")!.dueAt, again.get("a")!.dueAt]).toEqual([1010, 3010]);
    expect(refused(once, "a", error({ retry_after_ms: 1e12 }), 0)!.get("a")!.dueAt).toBe(60_000);
  });

  it("that does not pass is final", () => {
    for (const code of ["conflict", "invalid_event", "response_not_found", "invalid_receipt"]) {
      expect(refused(once, "a", error({ code, retryable: false }), 0)).toBe(null);
    }
  });

  it("for want of a key only waits for the key", () => {
    const waiting = refused(once, "a", error({ code: "unauthorized", retryable: false }), 10)!;
    expect(waiting.get("a")).toMatchObject({ sentAt: null, dueAt: 10, attempts: 0 });
  });
});

it("looks again when the earliest is due, and not at all when nothing waits", () => {
  expect(nextLook(NOTHING_WAITS)).toBe(null);
  expect(nextLook(two)).toBe(5);
});
