import { useLayoutEffect, useRef } from "react";
import type { RefObject } from "react";
import { QUOTATION_REASONS } from "../feedback/judgement";
import { ItemVerdict } from "../feedback/Verdict";
import { Icon } from "../shell/icons";
import { Mark } from "../shell/Mark";
import type { Note } from "../text/layout";

/** Which note is open, by number, and how to change it; the ids tie buttons to their notes. */
export interface OpenNote {
  number: number | null;
  toggle: (number: number) => void;
  idFor: (number: number) => string;
  /** Notes stand beside the text; else they open below the line that cites them. */
  beside: boolean;
}

const GAP_PX = 14;

/** The number in the text that opens its quotation. */
export function NoteButton({ note, open }: { note: Note; open: OpenNote }) {
  const { number, citation } = note;
  const expanded = open.number === number;
  const checked = citation.verified ? "checked" : "not checked";
  return (
    <>
      <sup className="note-anchor">
        <button
          type="button"
          className="note-button"
          data-note={number}
          aria-expanded={expanded}
          aria-controls={open.idFor(number)}
          aria-label={`Quotation ${number}: page ${citation.page}, ${checked}`}
          onClick={() => open.toggle(number)}
        >
          {number}
        </button>
      </sup>
      {!open.beside && expanded && (
        <div
          className="note-inline"
          id={open.idFor(number)}
          role="note"
          data-judge={citation.id}
          tabIndex={-1}
        >
          <NoteBody note={note} />
        </div>
      )}
    </>
  );
}

interface MarginProps {
  notes: readonly Note[];
  open: OpenNote;
  textRef: RefObject<HTMLElement | null>;
}

/** The margin column: each quotation beside the line that cites it, moved down where it must be. */
export function Margin({ notes, open, textRef }: MarginProps) {
  const column = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    const text = textRef.current;
    const margin = column.current;
    if (text === null || margin === null) return;
    const place = (): void => placeNotes(margin, text);
    place();
    const watcher = new ResizeObserver(place);
    watcher.observe(text);
    for (const note of margin.children) watcher.observe(note);
    return () => watcher.disconnect();
  });
  return (
    <aside className="margin" ref={column} aria-label="Quotations from the manual">
      {notes.map((note) => (
        <div
          key={note.number}
          id={open.idFor(note.number)}
          className="note"
          role="note"
          data-note={note.number}
          data-judge={note.citation.id}
          tabIndex={-1}
          data-open={open.number === note.number}
          onClick={() => {
            if (open.number !== note.number) open.toggle(note.number);
          }}
        >
          <NoteBody note={note} />
        </div>
      ))}
    </aside>
  );
}

function placeNotes(margin: HTMLElement, text: HTMLElement): void {
  const top = margin.getBoundingClientRect().top;
  let free = 0;
  for (const note of margin.children) {
    if (!(note instanceof HTMLElement)) continue;
    const anchor = text.querySelector(`.note-button[data-note="${note.dataset["note"]}"]`);
    const wanted = anchor === null ? 0 : anchor.getBoundingClientRect().top - top - 4;
    const at = Math.max(free, wanted);
    note.style.top = `${at}px`;
    free = at + note.offsetHeight + GAP_PX;
  }
  margin.style.minHeight = `${free}px`;
}

function NoteBody({ note: { number, citation } }: { note: Note }) {
  return (
    <>
      <span className="note-head">
        <span className="note-hand">
          <Mark size={17} flipped />
        </span>
        <span className="note-number">{number}</span>
        <span className="note-page">page {citation.page}</span>
        <span className="note-check" data-verified={citation.verified}>
          {citation.verified && <Icon name="done" size={13} />}
          {citation.verified ? "verified" : "not verified"}
        </span>
      </span>
      <q className="note-quote">{citation.cited_text.replace(/\s+/g, " ").trim()}</q>
      <ItemVerdict
        itemId={citation.id}
        noun="quotation"
        original={null}
        reasons={QUOTATION_REASONS}
      />
    </>
  );
}
