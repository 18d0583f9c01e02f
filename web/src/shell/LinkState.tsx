import { Button } from "@mantine/core";
import type { ConnectionState } from "../protocol/connection";
import { Icon } from "./icons";

const WORDS: Record<ConnectionState["link"], string> = {
  connecting: "Connecting",
  open: "Connected",
  reconnecting: "Reconnecting",
  offline: "Offline",
  held: "Waiting",
  denied: "No access",
};

/** The state of the connection in two words, for the header. */
export function LinkState({ state }: { state: ConnectionState }) {
  const words = state.goingAway ? "Moving" : WORDS[state.link];
  return (
    <span className="link-state" data-link={state.link} title={`Server: ${words.toLowerCase()}`}>
      <span className="link-dot" aria-hidden="true" />
      <span className="link-words">{words}</span>
    </span>
  );
}

/** What to know and do while there is no connection; nothing while there is one. */
export function LinkBanner({ state, retry }: { state: ConnectionState; retry: () => void }) {
  const text = bannerText(state);
  return (
    <div role="status">
      {text !== null && (
        <div className="banner" data-link={state.link}>
          <Icon name="info" />
          <p>{text}</p>
          {state.link !== "reconnecting" && state.link !== "open" && (
            <Button size="compact-sm" variant="default" onClick={retry}>
              Try now
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

function bannerText(state: ConnectionState): string | null {
  switch (state.link) {
    case "connecting":
      return null;
    case "open":
      return state.goingAway
        ? "The server is restarting. Running answers will finish; new questions wait a moment."
        : null;
    case "reconnecting":
      return "The connection was lost. Reconnecting…";
    case "offline":
      return (
        "You are offline. What you typed is kept and nothing is sent by itself; " +
        "the page goes on trying to connect."
      );
    case "held":
      return `${state.reason ?? ""} It will connect again in about a minute.`;
    case "denied":
      // While a key is asked for, the field for it says more.
      return state.signIn === null ? state.reason : null;
  }
}
