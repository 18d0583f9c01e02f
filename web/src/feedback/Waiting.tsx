import { ActionIcon, Popover } from "@mantine/core";
import { useSyncExternalStore } from "react";
import { Icon } from "../shell/icons";
import { useOpen } from "../shell/useOpen";
import type { Outbox } from "./outbox";

/** How many judgements wait, for the header; nothing when none does. */
export function WaitingBadge({ outbox }: { outbox: Outbox }) {
  const { waiting, durable } = useSyncExternalStore(outbox.onChange, outbox.getState);
  const [open, setOpen] = useOpen();
  if (waiting === 0) return null;
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" width={280} shadow="md" withArrow>
      <Popover.Target>
        <button
          type="button"
          className="waiting-badge"
          onClick={() => setOpen((before) => !before)}
        >
          <Icon name="clock" size={15} />
          <span>
            <b>{waiting.toLocaleString("en")}</b>
            <span className="waiting-words"> waiting to be saved</span>
          </span>
        </button>
      </Popover.Target>
      <Popover.Dropdown>
        <p className="popover-text">
          What you said of answers is not all on the server yet. It will be sent as soon as the
          server answers.{" "}
          {durable
            ? "It is kept in this browser, also when you close the page."
            : "This browser does not let the page keep it: leave it open until it is saved."}
        </p>
      </Popover.Dropdown>
    </Popover>
  );
}

/** What could not be saved, and that the browser keeps nothing while something waits. */
export function OutboxNotes({ outbox }: { outbox: Outbox }) {
  const { waiting, durable, problems } = useSyncExternalStore(outbox.onChange, outbox.getState);
  const notes = durable || waiting === 0 ? [] : [NOT_KEPT];
  return (
    <div role="status" className="outbox-notes">
      {[...notes, ...problems].map((note) => (
        <p key={note} className="outbox-note">
          <Icon name="warning" size={16} />
          <span>{note}</span>
        </p>
      ))}
      {problems.length > 0 && (
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label="Close these messages"
          onClick={() => outbox.dismissProblems()}
        >
          <Icon name="close" size={16} />
        </ActionIcon>
      )}
    </div>
  );
}

const NOT_KEPT =
  "This browser does not let the page keep what waits to be saved. Leave the page open until it is.";
