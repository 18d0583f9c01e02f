import type { ReactNode } from "react";
import type { Layout, Part, TextPart } from "../text/layout";
import { Card } from "./Card";
import type { CardActions } from "./Card";
import { NoteButton } from "./Notes";
import type { OpenNote } from "./Notes";

interface AnswerTextProps {
  layout: Layout;
  actions: CardActions;
  open: OpenNote;
}

/**
 * The text of an answer with its items in place. Model text only ever becomes text nodes; no
 * element here takes an address or markup from it.
 */
export function AnswerText({ layout, actions, open }: AnswerTextProps) {
  return <div className="answer-text">{groups(layout.parts).map(renderGroup)}</div>;

  function renderGroup(group: Part[], key: number): ReactNode {
    const first = group[0]!;
    if (first.kind === "card") return <Card key={key} card={first.card} actions={actions} />;
    if (first.kind !== "item") {
      if (first.kind === "heading") return <h3 key={key}>{renderInlines(first)}</h3>;
      // A quotation that opens within the text holds controls, which a <p> may not.
      const opensWithin = !open.beside && first.inlines.some((inline) => inline.kind === "note");
      const Tag = opensWithin ? "div" : "p";
      return (
        <Tag key={key} className="paragraph">
          {renderInlines(first)}
        </Tag>
      );
    }
    const items = (group as TextPart[]).map((item, index) => (
      <li key={index} value={item.number ?? undefined} data-level={item.level}>
        {renderInlines(item)}
      </li>
    ));
    return first.number === null ? <ul key={key}>{items}</ul> : <ol key={key}>{items}</ol>;
  }

  function renderInlines(part: TextPart): ReactNode {
    return part.inlines.map((inline, index) => {
      if (inline.kind === "note") return <NoteButton key={index} note={inline.note} open={open} />;
      if (inline.code) return <code key={index}>{inline.text}</code>;
      if (inline.bold) {
        return <strong key={index}>{inline.italic ? <em>{inline.text}</em> : inline.text}</strong>;
      }
      return inline.italic ? <em key={index}>{inline.text}</em> : inline.text;
    });
  }
}

/** Put list items that follow each other and are numbered alike into one list. */
function groups(parts: readonly Part[]): Part[][] {
  const grouped: Part[][] = [];
  for (const part of parts) {
    const last = grouped.at(-1)?.[0];
    const joins =
      part.kind === "item" &&
      last?.kind === "item" &&
      (part.number === null) === (last.number === null);
    if (joins) grouped.at(-1)!.push(part);
    else grouped.push([part]);
  }
  return grouped;
}
