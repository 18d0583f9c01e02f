import { Button, Textarea } from "@mantine/core";
import { useEffect, useId, useRef } from "react";
import type { FormEvent } from "react";
import type { Category } from "../protocol/events";
import { Icon } from "../shell/icons";
import { draftProblem, opinionsOf, REASONS } from "./judgement";
import type { Draft, Opinion } from "./judgement";

interface PanelProps {
  id: string;
  noun: string;
  original: string | null;
  stars: boolean;
  reasons: readonly Category[];
  draft: Draft;
  onDraft: (draft: Draft) => void;
  onSend: (opinions: readonly Opinion[]) => void;
  onClose: () => void;
}

/** Why, how good, how better: everything optional, one button to send it. */
export function Panel(props: PanelProps) {
  const { id, noun, original, draft, onDraft } = props;
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    form.current?.querySelector("input")?.focus();
    form.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const editing = draft.text !== null;
  const begun = useRef(editing);
  useEffect(() => {
    if (!editing || begun.current) return;
    begun.current = true;
    const fields = form.current?.querySelectorAll("textarea:not([aria-hidden])");
    if (fields?.[1] instanceof HTMLElement) fields[1].focus();
    form.current?.scrollIntoView({ block: "nearest" });
  }, [editing]);
  const opinions = opinionsOf(draft, original ?? "");
  const problem = draftProblem(draft);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (opinions.length > 0 && problem === null) props.onSend(opinions);
  };
  return (
    <form
      ref={form}
      id={id}
      className="panel"
      aria-label={`Your view of this ${noun}`}
      onSubmit={submit}
      onClick={(event) => event.stopPropagation()}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        props.onClose();
      }}
    >
      {draft.rejecting ? (
        <Reasons noun={noun} reasons={props.reasons} draft={draft} onDraft={onDraft} />
      ) : (
        props.stars && <Stars draft={draft} onDraft={onDraft} />
      )}
      <Textarea
        label="Comment"
        autosize
        minRows={1}
        maxRows={6}
        value={draft.comment}
        onChange={(event) => onDraft({ ...draft, comment: event.currentTarget.value })}
      />
      {original !== null && (
        <Edit noun={noun} original={original} draft={draft} onDraft={onDraft} />
      )}
      <div className="panel-actions">
        <p className="panel-problem" role="status">
          {problem}
        </p>
        <Button size="compact-sm" variant="subtle" color="gray" onClick={props.onClose}>
          Cancel
        </Button>
        <Button size="compact-sm" type="submit" disabled={opinions.length === 0 || problem !== null}>
          Send
        </Button>
      </div>
    </form>
  );
}

type PartProps = Pick<PanelProps, "draft" | "onDraft">;

type ReasonsProps = Pick<PanelProps, "noun" | "reasons" | "draft" | "onDraft">;

function Reasons({ noun, reasons, draft, onDraft }: ReasonsProps) {
  const turn = (reason: Category): void => {
    const tags = draft.tags.includes(reason)
      ? draft.tags.filter((one) => one !== reason)
      : [...draft.tags, reason];
    onDraft({ ...draft, tags });
  };
  return (
    <fieldset className="reasons">
      <legend>What is wrong with this {noun}?</legend>
      {reasons.map((reason) => (
        <label key={reason} className="reason">
          <input
            type="checkbox"
            className="off-screen"
            checked={draft.tags.includes(reason)}
            onChange={() => turn(reason)}
          />
          {REASONS[reason]}
        </label>
      ))}
    </fieldset>
  );
}

const STARS = ["Poor", "Weak", "Fair", "Good", "Excellent"];

function Stars({ draft, onDraft }: PartProps) {
  const name = useId();
  return (
    <fieldset className="stars">
      <legend>How good is it?</legend>
      {STARS.map((words, index) => {
        const score = index + 1;
        return (
          <label key={words} data-lit={draft.score !== null && score <= draft.score} title={words}>
            <input
              type="radio"
              className="off-screen"
              name={name}
              checked={draft.score === score}
              aria-label={`${score} of 5: ${words}`}
              onChange={() => onDraft({ ...draft, score })}
            />
            <Icon name="star" size={22} />
          </label>
        );
      })}
      <span className="stars-words" aria-hidden="true">
        {draft.score !== null && STARS[draft.score - 1]}
      </span>
    </fieldset>
  );
}

function Edit({ noun, original, draft, onDraft }: PartProps & { noun: string; original: string }) {
  if (draft.text === null) {
    return (
      <button
        type="button"
        className="text-button"
        onClick={() => onDraft({ ...draft, text: original })}
      >
        <Icon name="edit" size={15} /> Edit the {noun}
      </button>
    );
  }
  return (
    <Textarea
      label={`The ${noun} as it should be`}
      autosize
      minRows={2}
      maxRows={14}
      value={draft.text}
      onChange={(event) => onDraft({ ...draft, text: event.currentTarget.value })}
    />
  );
}
