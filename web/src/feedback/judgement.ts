/** What a person thinks of an answer or of one item of it, and the events that say so. */

import type { Category, FeedbackAction, FeedbackCreate } from "../protocol/events";
import { codePoints, firstPoints } from "../text/offsets";

export const LONGEST_COMMENT = 4000;
export const LONGEST_TEXT = 16_000;

/** The reasons of the protocol in plain words, the frequent ones first. */
export const REASONS: Record<Category, string> = {
  factual_error: "It is wrong",
  relevance_low: "Beside the question",
  target_mismatch: "Not for my product or level",
  length_issue: "Too long or too short",
  language_quality: "Badly worded",
  tone_inappropriate: "Wrong tone",
  formatting_error: "Badly laid out",
  compliance_violation: "Unsafe or against the rules",
  brand_violation: "Against the brand",
  technical_issue: "Technical fault",
};

export const ALL_REASONS = Object.keys(REASONS) as Category[];
/** What can be wrong with a quotation, which is the manual's own text. */
export const QUOTATION_REASONS: readonly Category[] = [
  "factual_error",
  "relevance_low",
  "formatting_error",
  "technical_issue",
];

/** What is judged: an answer, or with `itemId` one item of it. */
export interface Target {
  responseId: string;
  itemId: string | null;
  receipt: string;
}
export interface Opinion {
  action: FeedbackAction;
  score?: number;
  final_text?: string;
  tags?: Category[];
  comment?: string;
}

/** What stands in the panel; `text` is null while the text is not edited. */
export interface Draft {
  rejecting: boolean;
  tags: readonly Category[];
  comment: string;
  score: number | null;
  text: string | null;
}
export const EMPTY_DRAFT: Draft = {
  rejecting: false,
  tags: [],
  comment: "",
  score: null,
  text: null,
};

/**
 * The opinions in a draft, none when it says nothing yet. An edited text is a `modify`, else
 * reasons or a thumb down a `reject`; stars are a `rate` of their own.
 */
export function opinionsOf(draft: Draft, original: string): Opinion[] {
  const comment = draft.comment.trim();
  const said = {
    ...(draft.tags.length > 0 && { tags: [...draft.tags] }),
    ...(comment !== "" && { comment }),
  };
  const opinions: Opinion[] = [];
  const text = draft.text?.trim() ?? "";
  if (text !== "" && text !== original.trim()) {
    opinions.push({ action: "modify", final_text: text, ...said });
  } else if (draft.rejecting || draft.tags.length > 0) {
    opinions.push({ action: "reject", ...said });
  }
  if (draft.score !== null) {
    const alone = opinions.length === 0;
    opinions.push({ action: "rate", score: draft.score, ...(alone && said) });
  }
  return opinions;
}

/** An answer as a person begins to edit it, without the gaps where its markers stood. */
export function editable(text: string): string {
  return text
    .replace(/[^\S\n]+(?=[.,;:!?)])/g, "")
    .replace(/[^\S\n]+$/gm, "")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

/** Why the draft cannot be sent, in words, or null. */
export function draftProblem(draft: Draft): string | null {
  const over = (text: string, longest: number): number => codePoints(text.trim()) - longest;
  if (over(draft.comment, LONGEST_COMMENT) > 0) {
    return `The comment is ${over(draft.comment, LONGEST_COMMENT)} characters too long.`;
  }
  if (over(draft.text ?? "", LONGEST_TEXT) > 0) {
    return `The text is ${over(draft.text ?? "", LONGEST_TEXT)} characters too long.`;
  }
  return null;
}

/** The event for one opinion. `occurredAt` is Unix milliseconds of this page's clock. */
export function feedbackEvent(
  target: Target,
  opinion: Opinion,
  id: string,
  occurredAt: number,
): FeedbackCreate {
  const { comment, final_text: text, ...rest } = opinion;
  return {
    type: "feedback.create",
    event_id: id,
    response_id: target.responseId,
    ...(target.itemId !== null && { item_id: target.itemId }),
    ...rest,
    ...(text !== undefined && { final_text: firstPoints(sendable(text), LONGEST_TEXT) }),
    ...(comment !== undefined && { comment: firstPoints(sendable(comment), LONGEST_COMMENT) }),
    ...(target.receipt !== "" && { receipt: target.receipt }),
    occurred_at: new Date(occurredAt).toISOString(),
  };
}

/** Pasted text without what the protocol refuses: NUL and halves of characters. */
function sendable(text: string): string {
  return text.replace(/\0|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "");
}
