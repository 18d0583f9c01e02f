/**
 * The messages of `manicule.v1` that this page sends and reads.
 *
 * A field with `?` may be absent, one with `| null` may be null. Numbers that count characters
 * count Unicode code points (see `text/offsets.ts`).
 */

export const SUBPROTOCOL = "manicule.v1";

export type Stage = "queued" | "manual.fetching" | "manual.extracting" | "retrieving" | "generating";
export type Guidance = "answer" | "hedge" | "rephrase" | "abstain";
export type ManualStatus = "memory" | "cache" | "fetched" | "stale" | "unavailable" | "none";
export type Role = "user" | "assistant";

interface ItemFields {
  id: string;
  offset: number;
}
export interface Citation extends ItemFields {
  type: "citation";
  page: number;
  cited_text: string;
  start_char: number;
  end_char: number;
  verified: boolean;
}
export interface Suggestion extends ItemFields {
  type: "suggestion";
  text: string;
  known: boolean;
  product_id?: string;
}
export interface Remark extends ItemFields {
  type: "pro_tip" | "warning" | "follow_up";
  text: string;
}
export type Card = Suggestion | Remark;
export type Item = Citation | Card;

export interface ErrorFacts {
  code: string;
  message: string;
  retryable: boolean;
  param?: string;
  event_id?: string;
  response_id?: string;
  retry_after_ms?: number;
}
export interface PromptRef {
  name: string;
  version: string;
}
export interface Source {
  page: number;
  heading: string;
  score: number;
}
export interface ManualFacts {
  status: ManualStatus;
  pages: number | null;
  sha256: string | null;
  problem?: string;
  message?: string;
}
export interface StartedResponse {
  id: string;
  status: "in_progress";
  product_id: string | null;
  scenario: string;
  created_at: number;
  prompt: PromptRef;
  resumable: boolean;
}
export interface FinalResponse {
  id: string;
  status: "completed" | "incomplete" | "failed" | "cancelled";
  output_text: string;
  items: Item[];
  model: string | null;
  prompt: PromptRef;
  finish_reason: string;
  confidence: number | null;
  is_confused: boolean;
  guidance: Guidance;
  usage: { input_tokens: number; output_tokens: number; cached_tokens: number; estimated: boolean };
  cost_usd: number | null;
  cache: { manual: string; answer: "miss" | "hit" | "shared" };
  fallback: string | null;
  timing_ms: {
    manual: number | null;
    retrieval: number | null;
    first_token: number | null;
    total: number;
  };
  receipt: string;
  error?: ErrorFacts;
}
export interface SessionFacts {
  id: string;
  protocol: string;
  server_version: string;
  scenarios: string[];
  limits: {
    max_frame_bytes: number;
    max_input_chars: number;
    max_concurrent_responses: number;
    requests_per_minute: number;
  };
  ping_interval_s: number;
  resumable: boolean;
  /** Nothing is served before a key or token, which the server waits for some seconds only. */
  needs_token?: true;
}
export interface Product {
  id: string;
  name: string;
  brand: string;
  category: string;
}
export interface FoundProduct extends Product {
  score: number;
  manual: { available: boolean; cached: boolean };
}

interface AnswerEventFields {
  response_id: string;
  epoch: number;
  sequence_number: number;
}
export type AnswerEvent = AnswerEventFields &
  (
    | { type: "response.created"; response: StartedResponse; event_id?: string }
    | {
        type: "response.in_progress";
        stage: Stage;
        progress?: number;
        detail?: Record<string, number | string | null>;
        sources?: Source[];
        manual?: ManualFacts;
      }
    | { type: "response.output_text.delta"; delta: string }
    | { type: "response.output_item.done"; item: Item }
    | {
        type: "response.attempt.started";
        attempt: number;
        model: string;
        reason: string;
        fallback?: string;
      }
    | { type: "response.reset"; reason: string }
    | { type: "response.completed"; response: FinalResponse }
    | { type: "response.incomplete"; response: FinalResponse }
    | { type: "response.failed"; response: FinalResponse }
    | { type: "response.cancelled"; response: FinalResponse }
  );
export interface ResumedEvent {
  type: "response.resumed";
  response_id: string;
  recovered: boolean;
  epoch: number;
  from_sequence_number: number;
  status: FinalResponse["status"] | "in_progress";
  response?: FinalResponse;
}
export interface ErrorEvent {
  type: "error";
  error: ErrorFacts;
}
export interface CatalogResults {
  type: "catalog.results";
  event_id?: string;
  products: FoundProduct[];
}
export interface FeedbackAcknowledged {
  type: "feedback.acknowledged";
  event_id: string;
  level: FeedbackLevel;
  duplicate: boolean;
}
export interface GoAway {
  type: "session.go_away";
  reason: string;
  time_left_ms: number;
}
export type ServerEvent =
  | AnswerEvent
  | ResumedEvent
  | ErrorEvent
  | CatalogResults
  | FeedbackAcknowledged
  | GoAway
  | { type: "session.created" | "session.updated"; session: SessionFacts }
  | { type: "pong"; event_id?: string };

export interface HistoryTurn {
  role: Role;
  content: string;
}
/** `committed`: in the store of record. `logged`: in the durable journal, on its way there. */
export type FeedbackLevel = "committed" | "logged";
export type FeedbackAction = "accept" | "reject" | "modify" | "rate" | "dismiss";
export type Category =
  | "factual_error"
  | "relevance_low"
  | "target_mismatch"
  | "length_issue"
  | "language_quality"
  | "tone_inappropriate"
  | "formatting_error"
  | "compliance_violation"
  | "brand_violation"
  | "technical_issue";
export interface FeedbackCreate {
  type: "feedback.create";
  /** A UUID, and the idempotency key: sent again under the same id it counts once. */
  event_id: string;
  response_id: string;
  item_id?: string;
  action: FeedbackAction;
  score?: number;
  final_text?: string;
  tags?: Category[];
  comment?: string;
  receipt?: string;
  occurred_at: string;
}

export type ClientEvent =
  | { type: "ping"; event_id?: string }
  | { type: "session.update"; token: string }
  | FeedbackCreate
  | { type: "catalog.search"; event_id: string; query: string; limit?: number }
  | {
      type: "response.create";
      event_id: string;
      input: string;
      product_id: string;
      scenario?: string;
      history?: HistoryTurn[];
    }
  | { type: "response.cancel"; event_id?: string; response_id: string }
  | {
      type: "response.resume";
      event_id?: string;
      response_id: string;
      epoch: number;
      starting_after: number;
    };

/**
 * Read one frame. Returns null for what is not an object with a `type`; unknown types pass
 * through, as later versions of the protocol may add some, and are ignored by whoever reads them.
 */
export function parseFrame(frame: string): ServerEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  return typeof (value as { type?: unknown }).type === "string" ? (value as ServerEvent) : null;
}

/** True for events that belong to one answer and carry its position. */
export function isAnswerEvent(event: ServerEvent): event is AnswerEvent {
  return "sequence_number" in event && event.type.startsWith("response.");
}
