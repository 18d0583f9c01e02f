/** The connection of this page, with the browser's socket, timers and storage. */

import { Connection } from "./connection";
import type { SocketLike, Surroundings } from "./surroundings";

/** A connection of the page's own server: `/ws` on the host that served the page. */
export function pageConnection(location: Location): Connection {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new Connection(`${scheme}//${location.host}/ws`, {
    connect: (address, subprotocol) => new WebSocket(address, subprotocol) as SocketLike,
    setTimer: (act, ms) => window.setTimeout(act, ms),
    clearTimer: (timer) => window.clearTimeout(timer),
    random: () => Math.random(),
    token: sessionToken(),
  });
}

const TOKEN_KEY = "manicule.key";

/** The API key in `sessionStorage`: gone with the tab. Where that is blocked, gone with the page. */
function sessionToken(): Surroundings["token"] {
  let held: string | null = null;
  try {
    held = window.sessionStorage.getItem(TOKEN_KEY);
  } catch {
    // Blocked; the key then lasts as long as the page.
  }
  return {
    get: () => held,
    set: (token) => {
      held = token;
      try {
        if (token === null) window.sessionStorage.removeItem(TOKEN_KEY);
        else window.sessionStorage.setItem(TOKEN_KEY, token);
      } catch {
        // Blocked, as above.
      }
    },
  };
}
