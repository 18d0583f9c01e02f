import { useSyncExternalStore } from "react";
import { AskPage } from "./ask/AskPage";
import type { Conversation } from "./ask/conversation";
import type { Connection } from "./protocol/connection";
import { Shell } from "./shell/Shell";

interface AppProps {
  connection: Connection;
  conversation: Conversation;
}

export function App({ connection, conversation }: AppProps) {
  const state = useSyncExternalStore(connection.onState, connection.getState);
  return (
    <Shell state={state} retry={() => connection.retryNow()}>
      <AskPage connection={connection} conversation={conversation} state={state} />
    </Shell>
  );
}
