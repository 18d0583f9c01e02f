import { useContext, useId, useRef, useState } from "react";
import type { ReactNode } from "react";
import type { Category } from "../protocol/events";
import { Icon } from "../shell/icons";
import type { IconName } from "../shell/icons";
import { ALL_REASONS, EMPTY_DRAFT } from "./judgement";
import type { Draft, Opinion, Target } from "./judgement";
import { JudgedPlace, useMark, useOutbox } from "./judging";
import type { Judged } from "./judging";
import type { Mark } from "./marks";
import { Panel } from "./Panel";

interface VerdictProps {
  judged: Judged;
  /** The item that is judged, or null for the answer itself. */
  itemId: string | null;
  /** What it is, for labels: "answer", "tip". */
  noun: string;
  /** The text that may be edited, or null when it may not. */
  original: string | null;
  /** What may be wrong with it; anything when not given. */
  reasons?: readonly Category[];
  /** The id of the element that says which one it is, for screen readers. */
  describedBy?: string;
  children?: ReactNode;
}

/** Thumbs on an answer, with the panel that says why, rates and edits. */
export function AnswerVerdict(props: Omit<VerdictProps, "itemId" | "noun">) {
  const face = useVerdict({ ...props, itemId: null, noun: "answer" });
  return (
    <div className="verdict" data-of="answer">
      <div className="verdict-row">
        <Choice face={face} action="accept" icon="thumb_up" label="Good answer" />
        <PanelButton face={face} icon="thumb_down" label="Bad answer: say why" rejecting />
        <PanelButton face={face} icon="edit" label="Rate or edit the answer" />
        {props.children}
        <Said marks={[face.verdict, face.rate]} />
      </div>
      {face.panel}
    </div>
  );
}

/** Two small buttons on a card or quotation; nothing until its answer has ended. */
export function ItemVerdict(props: Omit<VerdictProps, "judged" | "children"> & { itemId: string }) {
  const judged = useContext(JudgedPlace);
  return judged === null ? null : <ReadyItemVerdict {...props} judged={judged} />;
}

function ReadyItemVerdict(props: VerdictProps) {
  const face = useVerdict(props);
  const { noun } = props;
  const against = face.verdict?.action === "dismiss" || face.verdict?.action === "reject";
  return (
    <div className="verdict" data-of="item" data-said={face.verdict !== null}>
      <div className="verdict-row">
        <span className="verdict-said">
          <Said marks={[face.verdict]} />
          {against && (
            <PanelButton face={face} label={`Say why, about this ${noun}`} words="Say why" rejecting />
          )}
        </span>
        <span className="verdict-choices">
          <Choice face={face} action="accept" icon="thumb_up" label={`Useful ${noun}`} />
          <Choice face={face} action="dismiss" icon="close" label={`Dismiss this ${noun}`} />
        </span>
      </div>
      {face.panel}
    </div>
  );
}

interface Face {
  verdict: Mark | null;
  rate: Mark | null;
  say: (opinion: Opinion) => void;
  open: "rejecting" | "plain" | null;
  toggle: (rejecting: boolean, opener: HTMLElement) => void;
  panelId: string;
  describedBy: string | undefined;
  panel: ReactNode;
}

/** What the controls of one target share: its marks, its draft, its panel. */
function useVerdict(props: VerdictProps): Face {
  const { judged, itemId, noun, original, reasons = ALL_REASONS, describedBy } = props;
  const outbox = useOutbox();
  const panelId = useId();
  const opener = useRef<HTMLElement | null>(null);
  const [open, setOpen] = useState<Face["open"]>(null);
  const [draft, setDraft] = useState<Draft>(EMPTY_DRAFT);
  const target: Target = { responseId: judged.responseId, itemId, receipt: judged.receipt };
  const close = (): void => {
    setOpen(null);
    opener.current?.focus();
  };
  const send = (opinions: readonly Opinion[]): void => {
    // What the outbox does not take stays in the panel.
    if (opinions.some((opinion) => outbox.judge(target, opinion) === null)) return;
    close();
    setDraft(EMPTY_DRAFT);
  };
  const toggle = (rejecting: boolean, button: HTMLElement): void => {
    const next = rejecting ? "rejecting" : "plain";
    opener.current = button;
    setDraft((before) => ({ ...before, rejecting }));
    setOpen((before) => (before === next ? null : next));
  };
  return {
    verdict: useMark(judged, itemId, "verdict"),
    rate: useMark(judged, itemId, "rate"),
    say: (opinion) => void outbox.judge(target, opinion),
    open,
    toggle,
    panelId,
    describedBy,
    panel: open !== null && (
      <Panel
        key={open}
        id={panelId}
        noun={noun}
        original={original}
        stars={itemId === null}
        reasons={reasons}
        draft={draft}
        onDraft={setDraft}
        onSend={send}
        onClose={close}
      />
    ),
  };
}

interface ChoiceProps {
  face: Face;
  action: "accept" | "dismiss";
  icon: IconName;
  label: string;
}

function Choice({ face, action, icon, label }: ChoiceProps) {
  const chosen = face.verdict?.action === action;
  return (
    <button
      type="button"
      className="verdict-button"
      data-action={action}
      aria-pressed={chosen}
      aria-label={label}
      aria-describedby={face.describedBy}
      title={label}
      onClick={(event) => {
        event.stopPropagation();
        if (!chosen) face.say({ action });
      }}
    >
      <Icon name={icon} size={16} />
    </button>
  );
}

interface PanelButtonProps {
  face: Face;
  icon?: IconName;
  words?: string;
  label: string;
  rejecting?: boolean;
}

function PanelButton({ face, icon, words, label, rejecting = false }: PanelButtonProps) {
  const expanded = face.open === (rejecting ? "rejecting" : "plain");
  const said = rejecting ? face.verdict?.action === "reject" : face.verdict?.action === "modify";
  return (
    <button
      type="button"
      className="verdict-button"
      data-action={rejecting ? "reject" : "more"}
      data-chosen={icon !== undefined && said}
      aria-expanded={expanded}
      aria-controls={expanded ? face.panelId : undefined}
      aria-label={label}
      aria-describedby={face.describedBy}
      title={label}
      onClick={(event) => {
        event.stopPropagation();
        face.toggle(rejecting, event.currentTarget);
      }}
    >
      {icon !== undefined && <Icon name={icon} size={16} />}
      {words !== undefined && <span className="verdict-words">{words}</span>}
    </button>
  );
}

const SAID: Record<Mark["action"], string> = {
  accept: "Accepted",
  reject: "Rejected",
  modify: "Edited",
  rate: "Rated",
  dismiss: "Dismissed",
};

/** What was said, and whether the server has it. */
function Said({ marks }: { marks: readonly (Mark | null)[] }) {
  const made = marks.filter((mark) => mark !== null);
  return (
    <span className="said" role="status">
      {made.map((mark) => (
        <span
          key={mark.id}
          data-state={mark.state}
          data-level={mark.level ?? undefined}
          title={mark.problem ?? undefined}
        >
          {SAID[mark.action]}
          {mark.score !== null && ` ${mark.score} of 5`}, {stateWords(mark)}
        </span>
      ))}
    </span>
  );
}

function stateWords(mark: Mark): string {
  switch (mark.state) {
    case "saving":
      return "saving…";
    case "waiting":
      return "waiting to be saved";
    case "saved":
      return mark.level === "logged" ? "saved in the journal" : "saved";
    case "refused":
      return "not saved";
  }
}
