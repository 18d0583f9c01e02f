/** How components reach the outbox, and which answer the ones below an answer are about. */

import { createContext, useCallback, useContext, useSyncExternalStore } from "react";
import type { Kind, Mark } from "./marks";
import type { Outbox } from "./outbox";

/** The answer that is judged, once it has ended; null before that, when nothing can be judged. */
export interface Judged {
  responseId: string;
  receipt: string;
}

export const OutboxPlace = createContext<Outbox | null>(null);
export const JudgedPlace = createContext<Judged | null>(null);

export function useOutbox(): Outbox {
  const outbox = useContext(OutboxPlace);
  if (outbox === null) throw new Error("no outbox above this component");
  return outbox;
}

export function useMark(judged: Judged, itemId: string | null, kind: Kind): Mark | null {
  const outbox = useOutbox();
  const look = useCallback(
    () => outbox.markOf(judged.responseId, itemId, kind),
    [outbox, judged.responseId, itemId, kind],
  );
  return useSyncExternalStore(outbox.onChange, look);
}
