/** Which judgements wait, and when each is sent: values and pure functions. Times are Unix ms. */

import type { ErrorFacts, FeedbackCreate } from "../protocol/events";

/** More are refused: a person does not judge this much without a connection, a fault does. */
export const MOST_WAITING = 1000;
/** This many are on their way at once; the server takes 1,000 of one connection. */
export const MOST_UNDER_WAY = 64;
/** Without an answer for this long, a judgement is sent again; the id makes that safe. */
export const ANSWER_WITHIN_MS = 20_000;
/** What another tab stored is left to that tab for this long. */
export const FOREIGN_GRACE_MS = 2_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

export interface Entry {
  /** The `event_id`. */
  id: string;
  event: FeedbackCreate;
  storedAt: number;
}
export interface Waiting {
  entry: Entry;
  /** How often it came back with an error that passes. */
  attempts: number;
  dueAt: number;
  /** When it was sent on the present connection, or null. */
  sentAt: number | null;
}
/** In the order in which they were judged. */
export type Queue = ReadonlyMap<string, Waiting>;

export const NOTHING_WAITS: Queue = new Map();

/** Add entries that are not in it yet; the queue stays in the order of the ids, which is time. */
export function added(queue: Queue, entries: readonly Entry[], dueAt: number): Queue {
  const fresh = entries.filter((entry) => !queue.has(entry.id));
  if (fresh.length === 0) return queue;
  const all = [
    ...queue.values(),
    ...fresh.map((entry) => ({ entry, attempts: 0, dueAt, sentAt: null })),
  ];
  all.sort((a, b) => (a.entry.id < b.entry.id ? -1 : 1));
  return new Map(all.map((waiting) => [waiting.entry.id, waiting]));
}

export function removed(queue: Queue, id: string): Queue {
  if (!queue.has(id)) return queue;
  const next = new Map(queue);
  next.delete(id);
  return next;
}

export function sent(queue: Queue, id: string, now: number): Queue {
  return changed(queue, id, (waiting) => ({ ...waiting, sentAt: now }));
}

/** The connection is gone: whatever was under way is due again. */
export function unsent(queue: Queue, now: number): Queue {
  return new Map(
    [...queue].map(([id, waiting]) => [
      id,
      waiting.sentAt === null ? waiting : { ...waiting, sentAt: null, dueAt: now },
    ]),
  );
}

/**
 * An `error` came for a judgement. Null when it is final and the judgement is to be dropped. One
 * that only lacks a key waits for the key.
 */
export function refused(queue: Queue, id: string, error: ErrorFacts, now: number): Queue | null {
  if (error.code === "unauthorized") {
    return changed(queue, id, (waiting) => ({ ...waiting, sentAt: null, dueAt: now }));
  }
  if (!error.retryable) return null;
  return changed(queue, id, (waiting) => {
    const own = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** waiting.attempts);
    const wait = Math.min(LONGEST_WAIT_MS, error.retry_after_ms ?? own);
    return { ...waiting, attempts: waiting.attempts + 1, sentAt: null, dueAt: now + wait };
  });
}

/** What is to be sent now, oldest first, no more than may be under way. */
export function toSend(queue: Queue, now: number): Entry[] {
  const all = [...queue.values()];
  const underWay = all.filter((one) => one.sentAt !== null && !isOverdue(one, now)).length;
  return all
    .filter((one) => (one.sentAt === null ? one.dueAt <= now : isOverdue(one, now)))
    .slice(0, Math.max(0, MOST_UNDER_WAY - underWay))
    .map((one) => one.entry);
}

/** When to look again, or null when nothing waits. */
export function nextLook(queue: Queue): number | null {
  const times = [...queue.values()].map((one) =>
    one.sentAt === null ? one.dueAt : one.sentAt + ANSWER_WITHIN_MS,
  );
  return times.length === 0 ? null : Math.min(...times);
}

function isOverdue(waiting: Waiting, now: number): boolean {
  return waiting.sentAt !== null && waiting.sentAt + ANSWER_WITHIN_MS <= now;
}

function changed(queue: Queue, id: string, change: (waiting: Waiting) => Waiting): Queue {
  const waiting = queue.get(id);
  return waiting === undefined ? queue : new Map(queue).set(id, change(waiting));
}
