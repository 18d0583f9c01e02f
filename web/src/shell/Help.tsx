import { ActionIcon, Popover } from "@mantine/core";
import { useEffect } from "react";
import { Icon } from "./icons";
import { isPlain, isTyping } from "./keys";
import { useOpen } from "./useOpen";

const KEYS: readonly [string, string][] = [
  ["Enter", "send the question"],
  ["Shift Enter", "start a new line"],
  ["A", "accept the answer or card that has the focus"],
  ["R", "reject it"],
  ["Esc", "close what is open, or stop the answer"],
  ["?", "show or hide this"],
];

/** The keys of the page, opened by its button or by `?` outside of fields. */
export function Help() {
  const [open, setOpen] = useOpen();
  useEffect(() => {
    const keyDown = (event: KeyboardEvent): void => {
      if (event.key !== "?" || !isPlain(event) || isTyping(event.target)) return;
      event.preventDefault();
      setOpen((before) => !before);
    };
    document.addEventListener("keydown", keyDown);
    return () => document.removeEventListener("keydown", keyDown);
  }, [setOpen]);
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" width={300} shadow="md" returnFocus>
      <Popover.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label="Keys"
          title="Keys (?)"
          onClick={() => setOpen((before) => !before)}
        >
          <Icon name="help" />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown aria-label="Keys">
        <dl className="keys">
          {KEYS.map(([key, does]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{does}</dd>
            </div>
          ))}
        </dl>
        <p className="popover-text">
          Click an answer or card, or move to it with Tab, to give it the focus. Letters typed into
          a field stay letters.
        </p>
      </Popover.Dropdown>
    </Popover>
  );
}
