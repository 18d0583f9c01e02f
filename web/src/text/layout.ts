/** Where the items of an answer stand in its text. */

import type { Card, Citation, Item } from "../protocol/events";
import { parseBlocks } from "./markdown";
import type { Block, Span } from "./markdown";
import { utf16Indexes } from "./offsets";

export type Inline =
  | { kind: "text"; text: string; bold: boolean; italic: boolean; code: boolean }
  | { kind: "note"; note: Note };

/** A quoted passage with its number in this answer. A passage cited twice has one number. */
export interface Note {
  number: number;
  citation: Citation;
}
export interface TextPart {
  kind: Block["kind"];
  number: number | null;
  level: number;
  inlines: Inline[];
}
export type Part = TextPart | { kind: "card"; card: Card };
export interface Layout {
  parts: Part[];
  notes: Note[];
}

interface Placed<T> {
  at: number;
  item: T;
}

/**
 * Put the items into the text. A citation stands at its offset, or after the last word before it
 * when that is between two blocks. A card stands before the block at whose start it is, else
 * after the block that holds it. An item whose type is unknown is left out.
 */
export function layOut(text: string, items: readonly Item[]): Layout {
  const indexes = utf16Indexes(
    text,
    items.map((item) => item.offset),
  );
  const citations: Placed<Note>[] = [];
  const cards: Placed<Card>[] = [];
  const notes = numberNotes(items, indexes);
  items.forEach((item, position) => {
    const at = indexes[position]!;
    if (item.type === "citation") citations.push({ at, item: notes.get(passage(item))! });
    else if (CARD_TYPES.has(item.type)) cards.push({ at, item });
  });
  citations.sort((a, b) => a.at - b.at);
  cards.sort((a, b) => a.at - b.at);
  const blocks = parseBlocks(text);
  if (blocks.length === 0 && citations.length > 0) blocks.push(emptyBlock());
  return { parts: assemble(blocks, citations, cards), notes: [...notes.values()] };
}

const CARD_TYPES = new Set(["suggestion", "pro_tip", "warning", "follow_up"]);

function passage(citation: Citation): string {
  return `${citation.page} ${citation.start_char} ${citation.end_char} ${citation.cited_text}`;
}

function numberNotes(items: readonly Item[], indexes: readonly number[]): Map<string, Note> {
  const cited = items
    .map((item, position) => ({ item, at: indexes[position]! }))
    .filter((placed): placed is Placed<Citation> => placed.item.type === "citation")
    .sort((a, b) => a.at - b.at);
  const notes = new Map<string, Note>();
  for (const { item } of cited) {
    const key = passage(item);
    if (!notes.has(key)) notes.set(key, { number: notes.size + 1, citation: item });
  }
  return notes;
}

function assemble(blocks: Block[], citations: Placed<Note>[], cards: Placed<Card>[]): Part[] {
  const parts: Part[] = [];
  const waitingCards = [...cards];
  const takeCards = (upTo: (at: number) => boolean): void => {
    while (waitingCards.length > 0 && upTo(waitingCards[0]!.at)) {
      parts.push({ kind: "card", card: waitingCards.shift()!.item });
    }
  };
  blocks.forEach((block, position) => {
    const nextStart = blocks[position + 1]?.start ?? Infinity;
    takeCards((at) => at <= block.start);
    const own = citations.filter(
      ({ at }) => (at >= block.start || position === 0) && (at < nextStart || nextStart === Infinity),
    );
    parts.push({
      kind: block.kind,
      number: block.number,
      level: block.level,
      inlines: weave(block.spans, own),
    });
    takeCards((at) => at <= block.end || at < nextStart);
  });
  takeCards(() => true);
  return parts;
}

/** Cut the runs of one block at its citations and put these between. */
function weave(spans: readonly Span[], citations: readonly Placed<Note>[]): Inline[] {
  const inlines: Inline[] = [];
  const waiting = [...citations];
  const takeNotes = (upTo: number): void => {
    while (waiting.length > 0 && waiting[0]!.at <= upTo) {
      inlines.push({ kind: "note", note: waiting.shift()!.item });
    }
  };
  for (const span of spans) {
    let from = span.start;
    takeNotes(from);
    while (waiting.length > 0 && waiting[0]!.at < span.end) {
      const at = waiting[0]!.at;
      inlines.push(run(span, from, at));
      takeNotes(at);
      from = at;
    }
    inlines.push(run(span, from, span.end));
  }
  takeNotes(Infinity);
  return closeUp(inlines);
}

function run(span: Span, from: number, to: number): Inline {
  const source = span.text.slice(from - span.start, to - span.start);
  const text = source.replace(/[^\S\n]+/g, " ").replace(/ ?\n ?/g, "\n");
  return { kind: "text", text, bold: span.bold, italic: span.italic, code: span.code };
}

/**
 * Set each number against the word before it: "filter ¹ ." becomes "filter¹.". The marker stood
 * in the model's text with a space before it, and the space is not part of the sentence.
 */
function closeUp(inlines: Inline[]): Inline[] {
  return inlines
    .map((inline, position): Inline => {
      if (inline.kind === "note") return inline;
      let text = inline.text;
      if (inlines[position + 1]?.kind === "note") text = text.trimEnd();
      if (inlines[position - 1]?.kind === "note") {
        text = text.replace(/^\s+(?=[.,;:!?)\]])/, "");
        if (/^\w/.test(text) && position > 0 && spaceBefore(inlines, position)) text = ` ${text}`;
      }
      return { ...inline, text };
    })
    .filter((inline) => inline.kind === "note" || inline.text !== "");
}

/** Whether the text before the notes that precede `position` ended in a space. */
function spaceBefore(inlines: readonly Inline[], position: number): boolean {
  for (let before = position - 1; before >= 0; before -= 1) {
    const inline = inlines[before]!;
    if (inline.kind === "text") return /\s$/.test(inline.text);
  }
  return false;
}

function emptyBlock(): Block {
  return { kind: "paragraph", number: null, level: 0, start: 0, end: 0, spans: [] };
}

/** The answer as plain text for the clipboard, with its pages and cards. */
export function plainText(layout: Layout): string {
  return layout.parts
    .map((part) => {
      if (part.kind === "card") return `${CARD_LABELS[part.card.type]}: ${part.card.text}`;
      const body = part.inlines
        .map((inline) =>
          inline.kind === "text" ? inline.text : ` (p. ${inline.note.citation.page})`,
        )
        .join("");
      if (part.kind !== "item") return body.trim();
      const indent = "  ".repeat(part.level);
      return `${indent}${part.number === null ? "-" : `${part.number}.`} ${body.trim()}`;
    })
    .join("\n\n");
}

export const CARD_LABELS: Record<Card["type"], string> = {
  suggestion: "Suggestion",
  pro_tip: "Pro tip",
  warning: "Warning",
  follow_up: "Ask next",
};
