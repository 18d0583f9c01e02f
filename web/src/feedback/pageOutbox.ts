/** The outbox of this page, with the browser's database, clock and tabs. */

import { timedIds } from "../protocol/ids";
import { Outbox } from "./outbox";
import type { Wire, Word } from "./outbox";
import { openShelf } from "./shelf";

const CHANNEL = "manicule.outbox";

export function pageOutbox(wire: Wire): Outbox {
  const tabs = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel(CHANNEL);
  return new Outbox(wire, {
    openShelf,
    now: () => Date.now(),
    newId: timedIds(),
    setTimer: (act, ms) => window.setTimeout(act, ms),
    clearTimer: (timer) => window.clearTimeout(timer),
    tell: (word) => tabs?.postMessage(word),
    hear: (listener) => {
      if (tabs !== null) tabs.onmessage = (event: MessageEvent<Word>) => listener(event.data);
    },
  });
}
