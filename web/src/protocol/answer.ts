/** One question and what is known of its answer: a value, and a pure function from event to value. */

import type {
  AnswerEvent,
  ErrorFacts,
  FinalResponse,
  Item,
  ManualFacts,
  Product,
  PromptRef,
  ResumedEvent,
  Source,
  Stage,
} from "./events";

/**
 * `sending`: not yet taken by the server. `running`: created, not ended. `interrupted`: the
 * connection was lost and the answer cannot be taken up again. `refused`: the server did not
 * take the question. The others are the server's own.
 */
export type Phase =
  | "sending"
  | "running"
  | "completed"
  | "incomplete"
  | "failed"
  | "cancelled"
  | "interrupted"
  | "refused";

export interface Attempt {
  model: string;
  reason: string;
  fallback: string | null;
}
export interface Progress {
  fraction: number | null;
  pagesDone: number | null;
  pagesTotal: number | null;
  queuePosition: number | null;
}
export interface Answer {
  /** The `event_id` of the request, which is also the key of this answer in the page. */
  key: string;
  question: string;
  product: Product;
  scenario: string;
  /** Milliseconds of the page's clock. */
  askedAt: number;
  phase: Phase;
  responseId: string | null;
  resumable: boolean;
  epoch: number;
  lastSequence: number;
  cancelRequested: boolean;
  stage: Stage | null;
  progress: Progress | null;
  attempts: Attempt[];
  text: string;
  items: Item[];
  sources: Source[];
  manual: ManualFacts | null;
  prompt: PromptRef | null;
  final: FinalResponse | null;
  error: ErrorFacts | null;
}

export function newAnswer(
  key: string,
  question: string,
  product: Product,
  scenario: string,
  askedAt: number,
): Answer {
  return {
    key,
    question,
    product,
    scenario,
    askedAt,
    phase: "sending",
    responseId: null,
    resumable: false,
    epoch: 1,
    lastSequence: -1,
    cancelRequested: false,
    stage: null,
    progress: null,
    attempts: [],
    text: "",
    items: [],
    sources: [],
    manual: null,
    prompt: null,
    final: null,
    error: null,
  };
}

/** True while the server may still say something about this answer. */
export function isOpen(answer: Answer): boolean {
  return answer.phase === "sending" || answer.phase === "running";
}

/**
 * Apply one event of this answer. An event at or before the last position seen (a repeat after
 * resuming) changes nothing, nor does any event after the end.
 */
export function applyEvent(answer: Answer, event: AnswerEvent): Answer {
  if (!isOpen(answer)) return answer;
  if (event.epoch < answer.epoch) return answer;
  if (event.epoch === answer.epoch && event.sequence_number <= answer.lastSequence) return answer;
  const next = { ...answer, epoch: event.epoch, lastSequence: event.sequence_number };
  switch (event.type) {
    case "response.created":
      return {
        ...next,
        phase: "running",
        responseId: event.response_id,
        resumable: event.response.resumable,
        scenario: event.response.scenario,
        prompt: event.response.prompt,
      };
    case "response.in_progress":
      return {
        ...next,
        stage: event.stage,
        progress: readProgress(event.progress, event.detail),
        sources: event.sources ?? answer.sources,
        manual: event.manual ?? answer.manual,
      };
    case "response.output_text.delta":
      return { ...next, stage: "generating", text: answer.text + event.delta };
    case "response.output_item.done":
      return { ...next, items: addItem(answer.items, event.item) };
    case "response.attempt.started":
      return {
        ...next,
        attempts: [
          ...answer.attempts,
          { model: event.model, reason: event.reason, fallback: event.fallback ?? null },
        ],
      };
    case "response.reset":
      return { ...next, text: "", items: [] };
    case "response.completed":
    case "response.incomplete":
    case "response.failed":
    case "response.cancelled":
      return finish(next, event.response);
    default:
      return next;
  }
}

/** The server took the answer up again, or says how it ended, or cannot. */
export function applyResumed(answer: Answer, event: ResumedEvent): Answer {
  if (!isOpen(answer) || event.recovered) return answer;
  return event.response ? finish(answer, event.response) : interrupt(answer);
}

/** The server did not take the question. */
export function refuse(answer: Answer, error: ErrorFacts): Answer {
  return isOpen(answer) ? { ...answer, phase: "refused", error } : answer;
}

/** The connection is lost and the answer cannot be taken up again. */
export function interrupt(answer: Answer): Answer {
  return isOpen(answer) ? { ...answer, phase: "interrupted" } : answer;
}

function finish(answer: Answer, response: FinalResponse): Answer {
  return {
    ...answer,
    phase: response.status,
    text: response.output_text,
    items: response.items,
    final: response,
    prompt: response.prompt,
    error: response.error ?? null,
  };
}

function addItem(items: Item[], item: Item): Item[] {
  return items.some((known) => known.id === item.id) ? items : [...items, item];
}

function readProgress(
  fraction: number | undefined,
  detail: Record<string, number | string | null> | undefined,
): Progress | null {
  if (fraction === undefined && detail === undefined) return null;
  const count = (name: string): number | null => {
    const value = detail?.[name];
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  };
  return {
    fraction: fraction ?? null,
    pagesDone: count("pages_done"),
    pagesTotal: count("pages_total"),
    queuePosition: count("queue_position"),
  };
}
