import type { ReactNode } from "react";
import type { Answer } from "../protocol/answer";
import type { FinalResponse, Source } from "../protocol/events";
import {
  answerCacheWords,
  checkedWords,
  dollars,
  manualWords,
  seconds,
  tokens,
} from "./wording";

/** How an answer was made: one line, and the rest on demand. */
export function Facts({ answer, final }: { answer: Answer; final: FinalResponse }) {
  const citations = final.items.filter((item) => item.type === "citation");
  const verified = citations.filter((item) => item.verified).length;
  return (
    <details className="facts">
      <summary>
        <span className="facts-line">
          {checkedWords(verified, citations.length)}
          {final.confidence !== null && <> · confidence {percent(final.confidence)}</>}
          {final.model !== null && <> · {final.model}</>}
          {final.cache.answer === "hit" && <> · from the answer cache</>}
          {" · "}
          {seconds(final.timing_ms.total)}
        </span>
      </summary>
      <dl className="facts-table">
        <Row name="Confidence">
          {final.confidence === null ? "not known for this answer" : percent(final.confidence)}
        </Row>
        <Row name="Model">{final.model ?? "none"}</Row>
        <Row name="Prompt">
          {final.prompt.name}, version {final.prompt.version}, scenario {answer.scenario}
        </Row>
        <Row name="Manual">{manualWords(final.cache.manual, answer.manual)}</Row>
        <Row name="Answer">{answerCacheWords(final.cache.answer)}</Row>
        <Row name="Time">{timing(final)}</Row>
        <Row name="Tokens">{tokens(final.usage)}</Row>
        <Row name="Cost">{final.cost_usd === null ? "not known" : dollars(final.cost_usd)}</Row>
        {answer.sources.length > 0 && (
          <Row name="Read">
            <Sources sources={answer.sources} />
          </Row>
        )}
      </dl>
    </details>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="facts-row">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Sources({ sources }: { sources: readonly Source[] }) {
  return (
    <ol className="sources">
      {sources.map((source, index) => (
        <li key={index}>
          <span className="source-page">page {source.page}</span>
          <span className="source-heading">{source.heading}</span>
          <span className="source-score" title="share of the best possible match">
            {percent(source.score)}
          </span>
        </li>
      ))}
    </ol>
  );
}

function timing({ timing_ms: timing }: FinalResponse): string {
  const parts: [string, number | null][] = [
    ["manual", timing.manual],
    ["search", timing.retrieval],
    ["first words", timing.first_token],
    ["in all", timing.total],
  ];
  return parts
    .filter((part): part is [string, number] => part[1] !== null)
    .map(([name, ms]) => `${name} ${seconds(ms)}`)
    .join(", ");
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
