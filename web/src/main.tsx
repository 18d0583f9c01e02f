import "@mantine/core/styles.css";
import "./shell/shell.css";
import "./ask/ask.css";
import "./feedback/feedback.css";
import { localStorageColorSchemeManager, MantineProvider } from "@mantine/core";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { Conversation } from "./ask/conversation";
import { pageOutbox } from "./feedback/pageOutbox";
import { newId } from "./protocol/ids";
import { pageConnection } from "./protocol/pageConnection";
import { COLOR_SCHEME_KEY } from "./shell/ColorScheme";
import { theme, variables } from "./shell/theme";

const connection = pageConnection(window.location);
const conversation = new Conversation(connection, newId, () => Date.now());
const outbox = pageOutbox(connection);
const colorSchemes = localStorageColorSchemeManager({ key: COLOR_SCHEME_KEY });

connection.start();
// After sleep or a change of network the socket may be dead without having said so.
window.addEventListener("online", () => connection.probe());
window.addEventListener("offline", () => connection.probe());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") connection.probe();
});
// Where the browser keeps nothing, closing the page would lose what waits: it asks first.
window.addEventListener("beforeunload", (event) => {
  const { durable, waiting } = outbox.getState();
  if (!durable && waiting > 0) event.preventDefault();
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      colorSchemeManager={colorSchemes}
      defaultColorScheme="auto"
    >
      <App connection={connection} conversation={conversation} outbox={outbox} />
    </MantineProvider>
  </StrictMode>,
);
