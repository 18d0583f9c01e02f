/**
 * The little Markdown that answers use: paragraphs, headings, lists, bold, italic, code.
 *
 * Everything else stays the text that it is. There are no links, no images and no HTML, so
 * nothing a model writes can become an address. Every piece keeps its place in the source, in
 * UTF-16 units, so that items can be put where they belong.
 */

export interface Span {
  text: string;
  start: number;
  end: number;
  bold: boolean;
  italic: boolean;
  code: boolean;
}
export interface Block {
  kind: "paragraph" | "heading" | "item";
  /** For a list item: its number when the list is numbered. */
  number: number | null;
  /** For a list item: how deep it stands, from 0. */
  level: number;
  start: number;
  end: number;
  spans: Span[];
}

const ITEM = /^(\s*)(?:[-*+•]|(\d{1,4})[.)])\s+(?=\S)/;
const HEADING = /^\s{0,3}#{1,6}\s+(?=\S)/;
const DEEPEST_LEVEL = 3;

interface Line {
  start: number;
  end: number;
}

/** Cut `text` into blocks, in order. Never fails; text that fits nothing is a paragraph. */
export function parseBlocks(text: string): Block[] {
  const blocks: Block[] = [];
  let open: Block | null = null;
  for (const line of lines(text)) {
    const content = text.slice(line.start, line.end);
    if (content.trim() === "") {
      open = null;
      continue;
    }
    const block = blockStart(content, line);
    if (block !== null) {
      blocks.push(block);
      open = block.kind === "heading" ? null : block;
    } else if (open !== null) {
      open.end = line.end;
    } else {
      open = paragraph(content, line);
      blocks.push(open);
    }
  }
  for (const block of blocks) block.spans = parseSpans(text, block.start, block.end);
  return blocks;
}

function* lines(text: string): Generator<Line> {
  let start = 0;
  while (start <= text.length) {
    const found = text.indexOf("\n", start);
    const end = found === -1 ? text.length : found;
    yield { start, end };
    start = end + 1;
  }
}

function blockStart(content: string, line: Line): Block | null {
  const item = ITEM.exec(content);
  if (item !== null) {
    const indent = item[1]!.replaceAll("\t", "    ").length;
    return {
      kind: "item",
      number: item[2] === undefined ? null : Number(item[2]),
      level: Math.min(Math.floor(indent / 2), DEEPEST_LEVEL),
      start: line.start + item[0].length,
      end: line.end,
      spans: [],
    };
  }
  const heading = HEADING.exec(content);
  if (heading === null) return null;
  return { ...paragraph(content, line), kind: "heading", start: line.start + heading[0].length };
}

function paragraph(content: string, line: Line): Block {
  const start = line.start + (content.length - content.trimStart().length);
  return { kind: "paragraph", number: null, level: 0, start, end: line.end, spans: [] };
}

/** Cut one block into runs of the same style; a marker without its partner stays as text. */
function parseSpans(text: string, start: number, end: number): Span[] {
  const spans: Span[] = [];
  let from = start;
  let bold = false;
  let italic = false;
  const push = (upTo: number, code = false): void => {
    if (upTo <= from) return;
    spans.push({ text: text.slice(from, upTo), start: from, end: upTo, bold, italic, code });
  };
  let at = start;
  while (at < end) {
    const marker = text[at] === "`" ? "`" : text.startsWith("**", at) ? "**" : text[at] === "*" ? "*" : "";
    if (marker === "") {
      at += 1;
      continue;
    }
    if (marker === "`") {
      const close = text.indexOf("`", at + 1);
      if (close === -1 || close >= end || close === at + 1) {
        at += 1;
        continue;
      }
      push(at);
      from = at + 1;
      push(close, true);
      from = at = close + 1;
      continue;
    }
    const active = marker === "**" ? bold : italic;
    const turns = active ? closes(text, at, start) : opens(text, at + marker.length, end, marker);
    if (turns) {
      push(at);
      from = at + marker.length;
      if (marker === "**") bold = !bold;
      else italic = !italic;
    }
    at += marker.length;
  }
  push(end);
  return spans;
}

const isSpace = (character: string | undefined): boolean =>
  character === undefined || /\s/.test(character);

/** A marker closes after something that is not a space. */
function closes(text: string, at: number, start: number): boolean {
  return at > start && !isSpace(text[at - 1]);
}

/** A marker opens before something that is not a space, when its partner follows in the block. */
function opens(text: string, after: number, end: number, marker: "*" | "**"): boolean {
  if (after >= end || isSpace(text[after]) || text[after] === "*") return false;
  for (let at = text.indexOf(marker, after); at !== -1 && at < end; at = text.indexOf(marker, at + 1)) {
    const double = text[at + 1] === "*" || text[at - 1] === "*";
    if (!isSpace(text[at - 1]) && (marker === "**" || !double)) return at + marker.length <= end;
  }
  return false;
}
