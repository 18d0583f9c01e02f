import { describe, expect, it } from "vitest";
import { draftProblem, editable, EMPTY_DRAFT, feedbackEvent, LONGEST_COMMENT, opinionsOf, REASONS } from "./judgement";

const draft = EMPTY_DRAFT;
const target = { responseId: "r1", itemId: null, receipt: "signed" };

describe("a draft", () => {
  it("says nothing while it is empty, or holds only a comment", () => {
    expect(opinionsOf(draft, "Text.")).toEqual([]);
    expect(opinionsOf({ ...draft, comment: "hm" }, "Text.")).toEqual([]);
    expect(opinionsOf({ ...draft, text: " Text. " }, "Text.")).toEqual([]);
  });

  it("rejects, with reasons and comment where there are any", () => {
    expect(opinionsOf({ ...draft, rejecting: true }, "")).toEqual([{ action: "reject" }]);
    const full = { ...draft, rejecting: true, tags: ["factual_error"] as const, comment: " no " };
    expect(opinionsOf(full, "")).toEqual([
      { action: "reject", tags: ["factual_error"], comment: "no" },
    ]);
  });

  it("is an edit when the text was changed, and stars are said beside it", () => {
    expect(opinionsOf({ ...draft, rejecting: true, text: "Better.", score: 2, comment: "c" }, "Text.")).toEqual([
      { action: "modify", final_text: "Better.", comment: "c" },
      { action: "rate", score: 2 },
    ]);
    expect(opinionsOf({ ...draft, score: 5, comment: "c" }, "")).toEqual([
      { action: "rate", score: 5, comment: "c" },
    ]);
  });

  it("begins without the gaps where the markers stood", () => {
    expect(editable("Swap it . Easy.\n\n\n\n1. Open \n2. Wipe, too.\n\n")).toBe(
      "Swap it. Easy.\n\n1. Open\n2. Wipe, too.",
    );
  });

  it("counts characters as the server does", () => {
    expect(draftProblem({ ...draft, comment: "\u{1F642}".repeat(LONGEST_COMMENT) })).toBe(null);
    expect(draftProblem({ ...draft, comment: "x".repeat(LONGEST_COMMENT + 2) })).toContain("2 characters");
    expect(draftProblem({ ...draft, text: "x".repeat(16_001) })).toContain("1 characters");
  });
});

describe("an event", () => {
  it("names its answer, its item, the receipt and the client's time", () => {
    expect(feedbackEvent({ ...target, itemId: "i1" }, { action: "accept" }, "id", 0)).toEqual({
      type: "feedback.create",
      event_id: "id",
      response_id: "r1",
      item_id: "i1",
      action: "accept",
      receipt: "signed",
      occurred_at: "1970-01-01T00:00:00.000Z",
    });
    const bare = feedbackEvent({ ...target, receipt: "" }, { action: "accept" }, "id", 0);
    expect(Object.keys(bare)).not.toContain("receipt");
    expect(Object.keys(bare)).not.toContain("item_id");
  });

  it("holds nothing that the server refuses to read", () => {
    const event = feedbackEvent(target, { action: "reject", comment: "a\0b\ud800c\udc00d\u{1F642}" }, "id", 0);
    expect(event.comment).toBe("abcd\u{1F642}");
  });

  it("has a plain word for each of the ten reasons", () => {
    expect(new Set(Object.values(REASONS)).size).toBe(10);
  });
});
