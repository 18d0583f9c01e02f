import { Button, NativeSelect, Textarea } from "@mantine/core";
import type { FormEvent, KeyboardEvent, RefObject } from "react";
import type { Product } from "../protocol/events";
import { Icon } from "../shell/icons";
import { codePoints } from "../text/offsets";
import { ProductField } from "./ProductField";
import type { ProductSearch } from "./search";

/** From this share of the longest question on, the number of characters left is shown. */
const COUNT_FROM = 0.8;

interface ComposerProps {
  search: ProductSearch;
  product: Product | null;
  scenario: string;
  scenarios: readonly string[];
  question: string;
  longestQuestion: number;
  /** Why a question cannot be sent now, or null when it can. */
  hindrance: string | null;
  connected: boolean;
  /** It stands at the bottom of the window, below the conversation. */
  docked: boolean;
  inputRef: RefObject<HTMLTextAreaElement | null>;
  onProduct: (product: Product) => void;
  onScenario: (scenario: string) => void;
  onQuestion: (question: string) => void;
  onAsk: () => void;
}

/** Everything that asking takes: the product, the scenario, the question. */
export function Composer(props: ComposerProps) {
  const length = codePoints(props.question);
  const tooLong = length > props.longestQuestion;
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    props.onAsk();
  };
  const keyDown = (event: KeyboardEvent): void => {
    // While an input method composes a character, Enter belongs to it.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    props.onAsk();
  };
  return (
    <form className="composer" aria-label="Ask a question" onSubmit={submit}>
      <div className="composer-choices">
        <ProductField
          search={props.search}
          chosen={props.product}
          connected={props.connected}
          opens={props.docked ? "above" : "below"}
          onChoose={props.onProduct}
        />
        <NativeSelect
          label="Scenario"
          className="scenario-field"
          value={props.scenario}
          data={props.scenarios.map((name) => ({ value: name, label: titled(name) }))}
          onChange={(event) => props.onScenario(event.currentTarget.value)}
        />
      </div>
      <div className="composer-question">
        <Textarea
          ref={props.inputRef}
          label="Question"
          className="question-field"
          placeholder="Your question"
          autosize
          minRows={1}
          maxRows={6}
          value={props.question}
          error={tooLong ? `${length - props.longestQuestion} characters too many` : undefined}
          onChange={(event) => props.onQuestion(event.currentTarget.value)}
          onKeyDown={keyDown}
        />
        <Button
          type="submit"
          className="ask-button"
          leftSection={<Icon name="send" />}
          disabled={props.hindrance !== null || tooLong}
        >
          Ask
        </Button>
      </div>
      <p className="composer-hint" data-idle={props.hindrance === null || props.question === ""}>
        {!tooLong && length > props.longestQuestion * COUNT_FROM
          ? `${props.longestQuestion - length} characters left`
          : (props.hindrance ?? "Enter sends, Shift+Enter starts a new line.")}
      </p>
    </form>
  );
}

function titled(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1).replaceAll(/[_-]/g, " ");
}
