/** What the page says about an answer, in plain words. */

import { isOpen } from "../protocol/answer";
import type { Answer, Progress } from "../protocol/answer";
import type { ErrorFacts, FinalResponse, Guidance, ManualFacts, Product } from "../protocol/events";

/** The product with its brand, unless the name already says it. */
export function fullName({ brand, name }: Product): string {
  return brand === "" || name.toLowerCase().startsWith(brand.toLowerCase())
    ? name
    : `${brand} ${name}`;
}

/** What is going on, for the line above a running answer. */
export function stateWords(answer: Answer, connected: boolean): string {
  if (!isOpen(answer)) return endWords(answer);
  if (!connected) return "Connection lost. The answer will be taken up again";
  if (answer.cancelRequested) return "Stopping";
  if (answer.phase === "sending") return "Sending the question";
  switch (answer.stage) {
    case "queued":
      return queueWords(answer.progress);
    case "manual.fetching":
      return "Fetching the manual";
    case "manual.extracting":
      return pagesWords(answer.progress);
    case "retrieving":
      return "Searching the manual";
    case "generating":
    case null:
      return answer.text === "" ? "Thinking" : "Writing";
  }
}

/** The same without counts, for a screen reader: said once a stage and not once a page. */
export function spokenState(answer: Answer, connected: boolean): string {
  return isOpen(answer) && connected && !answer.cancelRequested && answer.phase === "running"
    ? stateWords({ ...answer, progress: null }, connected)
    : stateWords(answer, connected);
}

function queueWords(progress: Progress | null): string {
  const position = progress?.queuePosition;
  if (position === null || position === undefined) return "Waiting for a free place";
  return `Waiting for a free place, number ${position} in the queue`;
}

function pagesWords(progress: Progress | null): string {
  if (progress === null || progress.pagesDone === null) return "Reading the manual";
  if (progress.pagesTotal === null) return `Reading the manual, ${progress.pagesDone} pages so far`;
  return `Reading the manual, ${progress.pagesDone} of ${progress.pagesTotal} pages`;
}

/** How far the present stage is, 0 to 1, or null when nobody can say. */
export function fraction(progress: Progress | null): number | null {
  if (progress === null) return null;
  if (progress.fraction !== null) return progress.fraction;
  if (progress.pagesDone === null || !progress.pagesTotal) return null;
  return Math.min(1, progress.pagesDone / progress.pagesTotal);
}

function endWords(answer: Answer): string {
  switch (answer.phase) {
    case "completed":
      return "Answer complete";
    case "incomplete":
      return answer.final?.finish_reason === "deadline"
        ? "The answer ran out of time and is not complete"
        : "The answer reached its longest length and is not complete";
    case "failed":
      return "The answer failed";
    case "cancelled":
      return "You stopped this answer";
    case "interrupted":
      return "The connection was lost before the answer ended";
    default:
      return "The server did not take the question";
  }
}

/** What the server said was wrong; its word for a missing key is meant for programs. */
export function errorWords(error: ErrorFacts): string {
  return error.code === "unauthorized" ? "Sign in, then ask again." : error.message;
}

/** What to make of the answer; null when it needs no word. */
export function guidanceWords(guidance: Guidance): string | null {
  switch (guidance) {
    case "hedge":
      return "Partly certain. The manual bears on this only in part: check the quotations before you rely on it.";
    case "rephrase":
      return "Not certain. Asking in other words, or naming the part, button or message, may find a better passage.";
    case "abstain":
      return "The manual does not say. No passage of it bears on this question.";
    case "answer":
      return null;
  }
}

/** What is wrong with the manual; null when it was there. */
export function manualProblem(manual: ManualFacts | null): string | null {
  switch (manual?.status) {
    case "unavailable":
      return `The manual could not be read${manual.message ? `: ${manual.message}` : "."}`;
    case "none":
      return "There is no manual for this product.";
    case "stale":
      return "The manual's source does not answer, so an earlier copy of it was used.";
    default:
      return null;
  }
}

const MANUAL_WORDS: Record<string, string> = {
  memory: "ready in memory",
  cache: "from the text cache",
  fetched: "fetched now",
  stale: "an earlier copy",
  unavailable: "unavailable",
  none: "none",
};

/** Where the manual came from, with its number of pages. */
export function manualWords(status: string, manual: ManualFacts | null): string {
  const words = MANUAL_WORDS[status] ?? status;
  return manual?.pages ? `${words}, ${count(manual.pages, "page")}` : words;
}

const ANSWER_CACHE_WORDS: Record<string, string> = {
  miss: "written for this question",
  hit: "from the answer cache",
  shared: "shared with someone who asked the same at the same moment",
};

export function answerCacheWords(state: string): string {
  return ANSWER_CACHE_WORDS[state] ?? state;
}

const FALLBACK_WORDS: Record<string, string> = {
  extractive: "No language model answered, so these are sentences of the manual itself.",
  similar: "No language model answered; this is an approved answer to a similar question.",
  template: "No language model answered; this is a prepared text.",
  simplified: "This is a shortened answer, as the full one could not be made.",
  approved: "No language model answered; this is an approved text.",
  default: "No answer could be made; this is the standard text.",
};

/** Says that an answer is a stand-in, and which; null when it is not one. */
export function fallbackWords(fallback: string | null): string | null {
  if (fallback === null) return null;
  return FALLBACK_WORDS[fallback] ?? `This is a stand-in answer (${fallback}).`;
}

/** "1 of 2 quotations checked against the manual", or that there are none. */
export function checkedWords(verified: number, total: number): string {
  if (total === 0) return "no quotations";
  const rest = `${count(total, "quotation")} checked`;
  return verified === total ? rest : `${verified} of ${rest}`;
}

export function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function dollars(usd: number): string {
  return usd === 0 ? "$0" : `$${usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(2)}`;
}

export function tokens(usage: FinalResponse["usage"]): string {
  const said = `${usage.input_tokens} in, ${usage.output_tokens} out`;
  return usage.estimated ? `${said} (estimated)` : said;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
