/** What the page shows of the judgements that were made on it. */

import type { FeedbackAction, FeedbackLevel } from "../protocol/events";
import type { Opinion, Target } from "./judgement";

/** `saving`: on its way. `waiting`: for a connection, or for the next attempt. */
export type MarkState = "saving" | "waiting" | "saved" | "refused";

/** The latest judgement of one target that was made on this page. */
export interface Mark {
  id: string;
  action: FeedbackAction;
  score: number | null;
  state: MarkState;
  level: FeedbackLevel | null;
  problem: string | null;
}
/** A verdict and stars are shown side by side, so each has a mark of its own. */
export type Kind = "verdict" | "rate";

/** The latest mark of each target and kind. A mark stays the same object until it changes. */
export class Marks {
  private readonly latest = new Map<string, Mark>();
  private readonly keys = new Map<string, string>();

  of(responseId: string, itemId: string | null, kind: Kind): Mark | null {
    return this.latest.get(markKey(responseId, itemId, kind)) ?? null;
  }

  add(id: string, target: Target, { action, score }: Opinion): void {
    const key = markKey(target.responseId, target.itemId, action === "rate" ? "rate" : "verdict");
    this.keys.set(id, key);
    const fresh = { state: "saving", level: null, problem: null } as const;
    this.latest.set(key, { id, action, score: score ?? null, ...fresh });
  }

  /** Change the mark of this event, unless a later one has taken its place. */
  change(id: string, change: Partial<Mark>): void {
    const key = this.keys.get(id);
    const mark = key === undefined ? undefined : this.latest.get(key);
    if (key === undefined || mark?.id !== id) return;
    const names = Object.keys(change) as (keyof Mark)[];
    if (names.some((name) => mark[name] !== change[name])) {
      this.latest.set(key, { ...mark, ...change });
    }
  }

  /** Nothing more will become of this event. */
  settle(id: string, level: FeedbackLevel | null, problem: string | null): void {
    this.change(id, { state: level === null ? "refused" : "saved", level, problem });
    this.keys.delete(id);
  }
}

function markKey(responseId: string, itemId: string | null, kind: Kind): string {
  return `${kind} ${responseId} ${itemId ?? ""}`;
}
