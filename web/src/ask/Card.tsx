import type { Card as CardItem } from "../protocol/events";
import { Icon } from "../shell/icons";
import { CARD_LABELS } from "../text/layout";

export interface CardActions {
  /** Ask the text of a follow-up; null while nothing can be sent. */
  ask: ((question: string) => void) | null;
  /** Choose the product that a suggestion names. */
  chooseProduct: (productId: string) => void;
}

/** A suggestion, tip, warning or next question: told apart by icon and label, not by colour alone. */
export function Card({ card, actions }: { card: CardItem; actions: CardActions }) {
  const label = CARD_LABELS[card.type];
  if (card.type === "follow_up") {
    return (
      <button
        type="button"
        className="card"
        data-card={card.type}
        disabled={actions.ask === null}
        onClick={() => actions.ask?.(card.text)}
      >
        <CardBody card={card} label={label} />
      </button>
    );
  }
  const productId = card.type === "suggestion" ? card.product_id : undefined;
  return (
    <div className="card" data-card={card.type} role="note" aria-label={label}>
      <CardBody card={card} label={label} />
      {productId !== undefined && (
        <button
          type="button"
          className="card-action"
          onClick={() => actions.chooseProduct(productId)}
        >
          Ask about this product
        </button>
      )}
    </div>
  );
}

function CardBody({ card, label }: { card: CardItem; label: string }) {
  return (
    <>
      <span className="card-icon">
        <Icon name={card.type} />
      </span>
      <span className="card-body">
        <span className="card-label">{label}</span>
        <span className="card-text">{card.text}</span>
      </span>
    </>
  );
}
