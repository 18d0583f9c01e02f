import { Button, Progress } from "@mantine/core";
import { memo, useEffect, useId, useMemo, useRef, useState } from "react";
import type { KeyboardEvent } from "react";
import { JudgedPlace, useOutbox } from "../feedback/judging";
import type { Judged } from "../feedback/judging";
import { editable } from "../feedback/judgement";
import { AnswerVerdict } from "../feedback/Verdict";
import { isOpen } from "../protocol/answer";
import type { Answer } from "../protocol/answer";
import { Icon } from "../shell/icons";
import { isPlain, isTyping } from "../shell/keys";
import { layOut, plainText } from "../text/layout";
import { AnswerText } from "./AnswerText";
import type { CardActions } from "./Card";
import { copyText } from "./clipboard";
import { Facts } from "./Facts";
import { Margin } from "./Notes";
import type { OpenNote } from "./Notes";
import {
  errorWords,
  fallbackWords,
  fraction,
  fullName,
  guidanceWords,
  manualProblem,
  stateWords,
} from "./wording";

/** The state line stays at least this long, so that it can be read and does not flash. */
export const STATE_AT_LEAST_MS = 800;
const COPIED_FOR_MS = 2000;

interface AnswerViewProps {
  answer: Answer;
  connected: boolean;
  beside: boolean;
  actions: CardActions;
  onCancel: (key: string) => void;
  onAgain: ((answer: Answer) => void) | null;
}

/** One question and its answer, with the margin beside it. */
export const AnswerView = memo(function AnswerView(props: AnswerViewProps) {
  const { answer, connected, beside } = props;
  const id = useId();
  const text = useRef<HTMLDivElement>(null);
  const layout = useMemo(() => layOut(answer.text, answer.items), [answer.text, answer.items]);
  const [openNumber, setOpenNumber] = useState<number | null>(null);
  const open: OpenNote = {
    number: openNumber,
    toggle: (number) => setOpenNumber((before) => (before === number ? null : number)),
    idFor: (number) => `${id}-note-${number}`,
    beside,
  };
  const running = isOpen(answer);
  const judged = useJudged(answer);
  const judgeByKey = useJudgeKeys(judged);
  return (
    <JudgedPlace value={judged}>
      <article
        className="answer"
        aria-labelledby={`${id}-question`}
        aria-busy={running}
        data-phase={answer.phase}
        tabIndex={judged === null ? -1 : 0}
        onKeyDown={(event) => {
          if (event.key === "Escape") setOpenNumber(null);
          else judgeByKey(event);
        }}
      >
        <header className="question">
          <p className="question-about">{fullName(answer.product)}</p>
          <h2 id={`${id}-question`}>{answer.question}</h2>
        </header>
        <div className="answer-column" ref={text}>
          <StateLine answer={answer} connected={connected} onCancel={props.onCancel} />
          <Notices answer={answer} />
          <AnswerText layout={layout} actions={props.actions} open={open} />
          {!running && (
            <Ending
              answer={answer}
              judged={judged}
              onAgain={props.onAgain}
              text={plainText(layout)}
            />
          )}
        </div>
        {beside && <Margin notes={layout.notes} open={open} textRef={text} />}
      </article>
    </JudgedPlace>
  );
});

/** What can be judged of an answer: all of it once it has ended and said something. */
function useJudged({ final, text }: Answer): Judged | null {
  const ready = final !== null && text.trim() !== "";
  const responseId = final?.id ?? "";
  const receipt = final?.receipt ?? "";
  return useMemo(
    () => (ready ? { responseId, receipt } : null),
    [ready, responseId, receipt],
  );
}

const KEY_ACTIONS: Record<string, "accept" | "reject"> = { a: "accept", r: "reject" };

/** `a` and `r` judge the card or quotation that holds the focus, else the answer. */
function useJudgeKeys(judged: Judged | null): (event: KeyboardEvent<HTMLElement>) => void {
  const outbox = useOutbox();
  return (event) => {
    const action = KEY_ACTIONS[event.key.toLowerCase()];
    if (judged === null || action === undefined || event.repeat) return;
    if (!isPlain(event.nativeEvent) || isTyping(event.target)) return;
    const part = (event.target as HTMLElement).closest("[data-judge]");
    const itemId = part?.getAttribute("data-judge") ?? null;
    const { responseId, receipt } = judged;
    if (outbox.markOf(responseId, itemId, "verdict")?.action === action) return;
    event.preventDefault();
    void outbox.judge({ responseId, itemId, receipt }, { action });
  };
}

interface StateLineProps {
  answer: Answer;
  connected: boolean;
  onCancel: (key: string) => void;
}

function StateLine({ answer, connected, onCancel }: StateLineProps) {
  const running = isOpen(answer);
  const shown = useAtLeast(running, answer.askedAt);
  if (!shown) return null;
  const done = fraction(answer.progress);
  const retried = answer.attempts.length > 1 ? answer.attempts.at(-1) : undefined;
  return (
    <div className="state-line" data-stage={answer.stage ?? answer.phase}>
      <div className="state-words">
        <span className="state-dots" aria-hidden="true" data-still={!running} />
        <span>{stateWords(answer, connected)}</span>
        {retried !== undefined && (
          <span className="state-attempt">
            {retried.reason}: {retried.model}
          </span>
        )}
        {running && (
          <Button
            size="compact-sm"
            variant="default"
            leftSection={<Icon name="stop" size={14} />}
            disabled={answer.cancelRequested}
            onClick={() => onCancel(answer.key)}
          >
            Stop
          </Button>
        )}
      </div>
      {running && done !== null && (
        <Progress
          value={done * 100}
          size="xs"
          aria-label={stateWords(answer, connected)}
          className="state-progress"
        />
      )}
    </div>
  );
}

/** True while `active`, and until 800 ms have passed since `since` (the page's clock). */
function useAtLeast(active: boolean, since: number): boolean {
  const [held, setHeld] = useState(() => Date.now() - since < STATE_AT_LEAST_MS);
  useEffect(() => {
    if (!held) return;
    const left = Math.max(0, since + STATE_AT_LEAST_MS - Date.now());
    const timer = window.setTimeout(() => setHeld(false), left);
    return () => window.clearTimeout(timer);
  }, [held, since]);
  return active || held;
}

/** What to know before reading: about the manual, the model that stood in, how sure it is. */
function Notices({ answer }: { answer: Answer }) {
  const { final } = answer;
  const failed = answer.phase === "failed";
  const notices = [
    { kind: "manual", words: manualProblem(answer.manual) },
    { kind: "fallback", words: fallbackWords(final?.fallback ?? null) },
    {
      kind: final?.guidance ?? "answer",
      words: final === null || failed ? null : guidanceWords(final.guidance),
    },
  ];
  return notices.map(({ kind, words }) =>
    words === null ? null : (
      <p key={kind} className="notice" data-notice={kind}>
        <Icon name="info" size={16} />
        <span>{words}</span>
      </p>
    ),
  );
}

interface EndingProps {
  answer: Answer;
  judged: Judged | null;
  text: string;
  onAgain: ((answer: Answer) => void) | null;
}

/** How it ended, what can be done with it, and how it was made. */
function Ending({ answer, judged, text, onAgain }: EndingProps) {
  const completed = answer.phase === "completed";
  const actions = (
    <>
      {text !== "" && <CopyButton text={text} />}
      {!completed && (
        <Button
          size="compact-sm"
          variant="default"
          leftSection={<Icon name="again" size={15} />}
          disabled={onAgain === null}
          onClick={() => onAgain?.(answer)}
        >
          Ask again
        </Button>
      )}
    </>
  );
  return (
    <footer className="ending">
      {!completed && (
        <p className="end-state" data-phase={answer.phase}>
          <Icon name="warning" size={16} />
          <span>
            {stateWords(answer, true)}.{answer.error !== null && ` ${errorWords(answer.error)}`}
          </span>
        </p>
      )}
      {judged === null ? (
        <div className="ending-actions">{actions}</div>
      ) : (
        <AnswerVerdict judged={judged} original={editable(answer.text)}>
          {actions}
        </AnswerVerdict>
      )}
      {answer.final !== null && <Facts answer={answer} final={answer.final} />}
    </footer>
  );
}

function CopyButton({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = window.setTimeout(() => setCopied(false), COPIED_FOR_MS);
    return () => window.clearTimeout(timer);
  }, [copied]);
  return (
    <Button
      size="compact-sm"
      variant="default"
      leftSection={<Icon name={copied ? "done" : "copy"} size={15} />}
      onClick={() => {
        void copyText(text).then(setCopied);
      }}
    >
      {copied ? "Copied" : "Copy"}
    </Button>
  );
}
