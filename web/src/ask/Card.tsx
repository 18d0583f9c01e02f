import { useId } from "react";
import { ItemVerdict } from "../feedback/Verdict";
import type { Card as CardItem } from "../protocol/events";
import { Icon } from "../shell/icons";
import { CARD_LABELS } from "../text/layout";

export interface CardActions {
  /** Ask the text of a follow-up; null while nothing can be sent. */
  ask: ((question: string) => void) | null;
  /** Choose the product that a suggestion names. */
  chooseProduct: (productId: string) => void;
}

/** What a card is called in a sentence. */
const NOUNS: Record<CardItem["type"], string> = {
  suggestion: "suggestion",
  pro_tip: "tip",
  warning: "warning",
  follow_up: "question",
};

/** A suggestion, tip, warning or next question: told apart by icon and label, not by colour alone. */
export function Card({ card, actions }: { card: CardItem; actions: CardActions }) {
  const label = CARD_LABELS[card.type];
  const textId = useId();
  const verdict = (
    <ItemVerdict
      itemId={card.id}
      noun={NOUNS[card.type]}
      original={card.text}
      describedBy={textId}
    />
  );
  const body = <CardBody card={card} label={label} textId={textId} />;
  if (card.type === "follow_up") {
    return (
      <div className="card" data-card={card.type} data-judge={card.id} tabIndex={-1}>
        <button
          type="button"
          className="card-ask"
          disabled={actions.ask === null}
          onClick={() => actions.ask?.(card.text)}
        >
          {body}
        </button>
        {verdict}
      </div>
    );
  }
  const productId = card.type === "suggestion" ? card.product_id : undefined;
  return (
    <div
      className="card"
      data-card={card.type}
      data-judge={card.id}
      role="note"
      aria-label={label}
      tabIndex={-1}
    >
      {body}
      {productId !== undefined && (
        <button
          type="button"
          className="card-action"
          onClick={() => actions.chooseProduct(productId)}
        >
          Ask about this product
        </button>
      )}
      {verdict}
    </div>
  );
}

function CardBody({ card, label, textId }: { card: CardItem; label: string; textId: string }) {
  return (
    <>
      <span className="card-icon">
        <Icon name={card.type} />
      </span>
      <span className="card-body">
        <span className="card-label">{label}</span>
        <span className="card-text" id={textId}>{card.text}</span>
      </span>
    </>
  );
}
