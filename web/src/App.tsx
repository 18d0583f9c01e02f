import { useSyncExternalStore } from "react";
import { AskPage } from "./ask/AskPage";
import type { Conversation } from "./ask/conversation";
import { OutboxPlace } from "./feedback/judging";
import type { Outbox } from "./feedback/outbox";
import { OutboxNotes, WaitingBadge } from "./feedback/Waiting";
import type { Connection } from "./protocol/connection";
import { Shell } from "./shell/Shell";

interface AppProps {
  connection: Connection;
  conversation: Conversation;
  outbox: Outbox;
}

export function App({ connection, conversation, outbox }: AppProps) {
  const state = useSyncExternalStore(connection.onState, connection.getState);
  return (
    <OutboxPlace value={outbox}>
      <Shell
        state={state}
        retry={() => connection.retryNow()}
        badge={<WaitingBadge outbox={outbox} />}
        notes={<OutboxNotes outbox={outbox} />}
      >
        <AskPage connection={connection} conversation={conversation} state={state} />
      </Shell>
    </OutboxPlace>
  );
}
