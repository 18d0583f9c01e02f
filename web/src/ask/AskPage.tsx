import { useMediaQuery } from "@mantine/hooks";
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { RefObject } from "react";
import { isOpen } from "../protocol/answer";
import type { Answer } from "../protocol/answer";
import { isReady } from "../protocol/connection";
import type { Connection, ConnectionState } from "../protocol/connection";
import type { Product } from "../protocol/events";
import { Contained } from "../shell/Contained";
import { Mark } from "../shell/Mark";
import { SignIn } from "../shell/SignIn";
import { AnswerView } from "./AnswerView";
import type { CardActions } from "./Card";
import { Composer } from "./Composer";
import type { Conversation } from "./conversation";
import {
  readAddress,
  rememberedProduct,
  rememberedScenario,
  rememberProduct,
  rememberScenario,
  writeAddress,
} from "./memory";
import { useProductById, useProductSearch } from "./search";
import { spokenState } from "./wording";

const DEFAULT_SCENARIO = "general";
const LONGEST_QUESTION = 4000;

interface AskPageProps {
  connection: Connection;
  conversation: Conversation;
  state: ConnectionState;
}

/** The room where a person asks about a product and reads the answers. */
export function AskPage({ connection, conversation, state }: AskPageProps) {
  const answers = useSyncExternalStore(conversation.onChange, conversation.getAnswers);
  const [address] = useState(() => readAddress(window.location.search));
  const [question, setQuestion] = useState(address.question);
  const input = useRef<HTMLTextAreaElement>(null);
  const search = useProductSearch(connection);
  const connected = isReady(state);
  const { product, choose, chooseById } = useProduct(connection, connected, address.productId);
  const { scenario, scenarios, setScenario } = useScenario(state);
  const longestQuestion = state.session?.limits.max_input_chars ?? LONGEST_QUESTION;
  const hindrance = hindranceWords(state, product, question);
  const ready = connected && !state.goingAway;
  const beside = useMediaQuery("(min-width: 68em)", undefined, { getInitialValueInEffect: false });

  useEscape(answers, conversation);
  useFocusAfterSignIn(state.signIn !== null, input);
  useScrollToNewest(answers);

  const send = useCallback(
    (text: string, about: Product) => conversation.ask(text, about, scenario),
    [conversation, scenario],
  );
  const ask = (): void => {
    if (hindrance !== null || product === null) return;
    if (send(question.trim(), product)) setQuestion("");
  };
  const chooseAndWrite = (chosen: Product): void => {
    choose(chosen);
    input.current?.focus();
  };
  const actions = useMemo(
    () => ({
      chooseProduct: (id: string) => {
        chooseById(id);
        input.current?.focus();
      },
    }),
    [chooseById],
  );
  const composer = (
    <Composer
      search={search}
      product={product}
      scenario={scenario}
      scenarios={scenarios}
      question={question}
      longestQuestion={longestQuestion}
      hindrance={hindrance}
      connected={connected}
      docked={answers.length > 0}
      inputRef={input}
      onProduct={chooseAndWrite}
      onScenario={setScenario}
      onQuestion={setQuestion}
      onAsk={ask}
    />
  );
  return (
    <div className="ask-page" data-empty={answers.length === 0}>
      <h1 className={answers.length === 0 ? "ask-title" : "off-screen"}>
        {answers.length === 0 && (
          <span className="ask-mark">
            <Mark size={88} />
          </span>
        )}
        Ask the manual
      </h1>
      {answers.length === 0 && (
        <p className="ask-intro">
          Choose a product and ask. The answer comes with the passages it rests on, each compared
          with the manual, word for word, before you see it.
        </p>
      )}
      <div className="conversation">
        {answers.map((answer) => (
          <Contained key={answer.key} instead={`The answer to "${answer.question}"`}>
            <OneAnswer
              answer={answer}
              connected={connected}
              beside={beside}
              ready={ready}
              chooseProduct={actions.chooseProduct}
              send={send}
              conversation={conversation}
            />
          </Contained>
        ))}
      </div>
      <div className="composer-place">
        {state.signIn === null ? (
          composer
        ) : (
          <SignIn refused={state.signIn === "refused"} onKey={(key) => connection.signIn(key)} />
        )}
      </div>
      <p className="off-screen" role="status" aria-live="polite">
        {answers.length > 0 && spokenState(answers.at(-1)!, connected)}
      </p>
    </div>
  );
}

interface OneAnswerProps {
  answer: Answer;
  connected: boolean;
  beside: boolean;
  ready: boolean;
  chooseProduct: (productId: string) => void;
  send: (question: string, product: Product) => boolean;
  conversation: Conversation;
}

/** Gives one answer callbacks that stay the same, so that it is drawn again only when it changes. */
function OneAnswer({ answer, ready, send, conversation, ...rest }: OneAnswerProps) {
  const { product } = answer;
  const { chooseProduct } = rest;
  const actions = useMemo<CardActions>(
    () => ({ ask: ready ? (question) => void send(question, product) : null, chooseProduct }),
    [ready, send, product, chooseProduct],
  );
  const again = useCallback((one: Answer) => void send(one.question, one.product), [send]);
  const cancel = useCallback((key: string) => conversation.cancel(key), [conversation]);
  return (
    <AnswerView
      answer={answer}
      connected={rest.connected}
      beside={rest.beside}
      actions={actions}
      onCancel={cancel}
      onAgain={ready ? again : null}
    />
  );
}

/** Why nothing can be sent now, in words for the person, or null. */
function hindranceWords(
  state: ConnectionState,
  product: Product | null,
  question: string,
): string | null {
  if (state.link !== "open") return "No connection to the server; your question is kept here.";
  if (state.goingAway) return "The server is restarting; your question is kept here.";
  if (product === null) return "Choose a product first.";
  return question.trim() === "" ? "Type a question." : null;
}

/** The chosen product: from the address, else the last one; known by more than its id once found. */
function useProduct(connection: Connection, connected: boolean, linkedId: string | null) {
  const [chosen, setChosen] = useState<Product | null>(() => {
    const last = rememberedProduct();
    if (linkedId === null || last?.id === linkedId) return last;
    return { id: linkedId, name: linkedId, brand: "", category: "" };
  });
  const unnamed = chosen !== null && chosen.name === chosen.id ? chosen.id : null;
  const found = useProductById(connection, unnamed, connected);
  const product = found !== null && found.id === chosen?.id ? found : chosen;
  const choose = useCallback((next: Product) => {
    setChosen(next);
    rememberProduct(next);
    writeAddress(next.id);
  }, []);
  const chooseById = useCallback(
    (id: string) => choose({ id, name: id, brand: "", category: "" }),
    [choose],
  );
  return { product, choose, chooseById };
}

function useScenario(state: ConnectionState) {
  const [wanted, setWanted] = useState(() => rememberedScenario() ?? DEFAULT_SCENARIO);
  const scenarios = state.session?.scenarios ?? [wanted];
  const scenario = scenarios.includes(wanted) ? wanted : (scenarios[0] ?? DEFAULT_SCENARIO);
  const setScenario = (next: string): void => {
    setWanted(next);
    rememberScenario(next);
  };
  return { scenario, scenarios, setScenario };
}

/** Escape stops the newest running answer, unless it has something open to close. */
function useEscape(answers: readonly Answer[], conversation: Conversation): void {
  useEffect(() => {
    const keyDown = (event: KeyboardEvent): void => {
      if (event.key !== "Escape" || event.isComposing) return;
      if (document.querySelector('[aria-expanded="true"]') !== null) return;
      const running = answers.findLast(isOpen);
      if (running !== undefined) conversation.cancel(running.key);
    };
    // Captured, to see what is open before others close it.
    document.addEventListener("keydown", keyDown, { capture: true });
    return () => document.removeEventListener("keydown", keyDown, { capture: true });
  }, [answers, conversation]);
}

/** The field for the key stood in the composer's place and had the focus; hand it on. */
function useFocusAfterSignIn(asked: boolean, input: RefObject<HTMLTextAreaElement | null>): void {
  const wasAsked = useRef(false);
  useEffect(() => {
    if (wasAsked.current && !asked) input.current?.focus();
    wasAsked.current = asked;
  }, [asked, input]);
}

/** Bring a new question to the top; while it is answered the page stands still for its reader. */
function useScrollToNewest(answers: readonly Answer[]): void {
  const count = answers.length;
  useEffect(() => {
    if (count === 0) return;
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const articles = document.querySelectorAll(".conversation > article");
    articles[articles.length - 1]?.scrollIntoView({
      block: "start",
      behavior: calm ? "auto" : "smooth",
    });
  }, [count]);
}
