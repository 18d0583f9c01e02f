/** The questions and answers of this page, tied to a connection. The server keeps none of it. */

import {
  applyEvent,
  applyResumed,
  interrupt,
  isOpen,
  newAnswer,
  refuse,
} from "../protocol/answer";
import type { Answer } from "../protocol/answer";
import { isAnswerEvent } from "../protocol/events";
import type {
  AnswerEvent,
  ClientEvent,
  ErrorFacts,
  HistoryTurn,
  Product,
  ServerEvent,
} from "../protocol/events";
import type { ConnectionState } from "../protocol/connection";
import { firstPoints } from "../text/offsets";

export const MOST_HISTORY_TURNS = 20;
/** One earlier message is cut here, and all together stay far below the frame limit. */
const LONGEST_TURN_CHARS = 4000;
const MOST_HISTORY_BYTES = 24_000;

/** An answer that cannot be looked up now is asked for again so often, and after at least so long. */
const RESUME_TRIES = 5;
const RESUME_AGAIN_MS = 1000;

/** What the conversation needs of a connection. */
export interface Wire {
  getState: () => ConnectionState;
  onState: (listener: () => void) => () => void;
  onEvent: (listener: (event: ServerEvent) => void) => () => void;
  send: (event: ClientEvent) => boolean;
  moveOn: () => void;
}

export class Conversation {
  private answers: readonly Answer[] = [];
  private readonly listeners = new Set<() => void>();
  private readonly leave: (() => void)[];
  private readonly resumeTries = new Map<string, number>();
  private wasOpen: boolean;

  constructor(
    private readonly wire: Wire,
    private readonly newId: () => string,
    private readonly now: () => number,
    private readonly later: (run: () => void, ms: number) => void = (run, ms) => {
      setTimeout(run, ms);
    },
  ) {
    this.wasOpen = wire.getState().link === "open";
    this.leave = [
      wire.onEvent((event) => this.received(event)),
      wire.onState(() => this.linkChanged()),
    ];
  }

  readonly getAnswers = (): readonly Answer[] => this.answers;

  readonly onChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  close(): void {
    for (const leave of this.leave) leave();
  }

  /** Ask, with what was said before about the same product. False when it could not be sent. */
  ask(question: string, product: Product, scenario: string): boolean {
    const key = this.newId();
    const sent = this.wire.send({
      type: "response.create",
      event_id: key,
      input: question,
      product_id: product.id,
      scenario,
      history: historyFor(this.answers, product.id),
    });
    if (!sent) return false;
    this.set([...this.answers, newAnswer(key, question, product, scenario, this.now())]);
    return true;
  }

  /** Stop an answer; one that the server has not taken yet is stopped once it has. */
  cancel(key: string): void {
    const answer = this.answers.find((one) => one.key === key);
    if (answer === undefined || !isOpen(answer) || answer.cancelRequested) return;
    this.change(key, (one) => ({ ...one, cancelRequested: true }));
    if (answer.responseId !== null) this.sendCancel(answer.responseId);
  }

  private sendCancel(responseId: string): void {
    this.wire.send({ type: "response.cancel", response_id: responseId });
  }

  private received(event: ServerEvent): void {
    if (event.type === "error") this.receivedError(event.error);
    else if (event.type === "session.created") this.resumeAll();
    else if (event.type === "response.resumed") {
      this.changeById(event.response_id, (answer) => applyResumed(answer, event));
    } else if (isAnswerEvent(event)) this.receivedAnswer(event);
    this.leaveWhenIdle();
  }

  private receivedAnswer(event: AnswerEvent): void {
    if (event.type !== "response.created") {
      this.changeById(event.response_id, (answer) => applyEvent(answer, event));
      return;
    }
    const asked = this.answers.find((answer) => answer.key === event.event_id);
    if (asked === undefined) return;
    this.change(asked.key, (answer) => applyEvent(answer, event));
    if (asked.cancelRequested) this.sendCancel(event.response_id);
  }

  private receivedError(error: ErrorFacts): void {
    if (error.event_id !== undefined) {
      this.change(error.event_id, (answer) =>
        answer.phase === "sending" ? refuse(answer, error) : answer,
      );
    }
    if (error.response_id !== undefined) this.notResumed(error.response_id, error);
  }

  /** An answer could not be taken up: not now, or not at all. */
  private notResumed(responseId: string, error: ErrorFacts): void {
    const tries = (this.resumeTries.get(responseId) ?? 0) + 1;
    this.resumeTries.set(responseId, tries);
    if (!error.retryable || tries > RESUME_TRIES) {
      this.changeById(responseId, interrupt);
      return;
    }
    this.later(() => {
      const answer = this.answers.find((one) => one.responseId === responseId);
      if (answer !== undefined) this.resume(answer);
    }, Math.max(RESUME_AGAIN_MS, error.retry_after_ms ?? 0));
  }

  private linkChanged(): void {
    const open = this.wire.getState().link === "open";
    if (this.wasOpen && !open) {
      // An answer that can be taken up again waits for the connection; the others have ended.
      this.set(
        this.answers.map((answer) =>
          answer.responseId !== null && answer.resumable ? answer : interrupt(answer),
        ),
      );
    }
    this.wasOpen = open;
    this.leaveWhenIdle();
  }

  private resumeAll(): void {
    this.resumeTries.clear();
    for (const answer of this.answers) this.resume(answer);
  }

  private resume(answer: Answer): void {
    if (!isOpen(answer) || answer.responseId === null) return;
    this.wire.send({
      type: "response.resume",
      response_id: answer.responseId,
      epoch: answer.epoch,
      starting_after: answer.lastSequence,
    });
    if (answer.cancelRequested) this.sendCancel(answer.responseId);
  }

  private leaveWhenIdle(): void {
    if (this.wire.getState().goingAway && !this.answers.some(isOpen)) this.wire.moveOn();
  }

  private changeById(responseId: string, change: (answer: Answer) => Answer): void {
    const answer = this.answers.find((one) => one.responseId === responseId);
    if (answer !== undefined) this.change(answer.key, change);
  }

  private change(key: string, change: (answer: Answer) => Answer): void {
    this.set(this.answers.map((answer) => (answer.key === key ? change(answer) : answer)));
  }

  private set(answers: readonly Answer[]): void {
    const same =
      answers.length === this.answers.length &&
      answers.every((answer, index) => answer === this.answers[index]);
    if (same) return;
    this.answers = answers;
    for (const listener of [...this.listeners]) listener();
  }
}

/** What was asked and answered about this product, oldest first, the newest kept when too much. */
export function historyFor(answers: readonly Answer[], productId: string): HistoryTurn[] {
  const encoder = new TextEncoder();
  const turns: HistoryTurn[] = [];
  let bytes = 0;
  for (const answer of [...answers].reverse()) {
    if (answer.product.id !== productId || isOpen(answer) || answer.text.trim() === "") continue;
    const pair: HistoryTurn[] = [
      { role: "user", content: firstPoints(answer.question, LONGEST_TURN_CHARS) },
      { role: "assistant", content: firstPoints(answer.text, LONGEST_TURN_CHARS) },
    ];
    bytes += pair.reduce((sum, turn) => sum + encoder.encode(JSON.stringify(turn)).length, 0);
    if (turns.length + pair.length > MOST_HISTORY_TURNS || bytes > MOST_HISTORY_BYTES) break;
    turns.unshift(...pair);
  }
  return turns;
}
