import { describe, expect, it } from "vitest";
import type { Citation, Item } from "../protocol/events";
import { layOut, plainText } from "./layout";
import type { Part } from "./layout";

const cite = (offset: number, page: number, quote = `quote ${page}`): Citation => ({
  type: "citation",
  id: `c${offset}-${page}`,
  offset,
  page,
  cited_text: quote,
  start_char: page * 1000,
  end_char: page * 1000 + quote.length,
  verified: true,
});
const warn = (offset: number, text: string): Item => ({ type: "warning", id: `w${offset}`, offset, text });
const show = (part: Part): string =>
  part.kind === "card"
    ? `<${part.card.text}>`
    : part.inlines.map((inline) => (inline.kind === "text" ? inline.text : `{${inline.note.number}}`)).join("");
const render = (text: string, items: Item[]): string[] => layOut(text, items).parts.map(show);

describe("citations", () => {
  it("stand at their offset, counted in code points", () => {
    expect(render("🙂🙂 ab cd", [cite(5, 1)])).toEqual(["🙂🙂 ab{1} cd"]);
  });

  it("stand against the word before and let no space before a full stop", () => {
    expect(render("Open the lid . Then close.", [cite(13, 1)])).toEqual(["Open the lid{1}. Then close."]);
    expect(render("one  two", [cite(4, 1)])).toEqual(["one{1} two"]);
    expect(render("one two", [cite(4, 1)])).toEqual(["one{1} two"]);
  });

  it("stay inside bold text and lists", () => {
    expect(render("- a **bold word** b\n- c", [cite(10, 1), cite(23, 2)])).toEqual(["a bold{1} word b", "c{2}"]);
  });

  it("belong to the block before when they stand between two", () => {
    expect(render("one.\n\n\ntwo.", [cite(5, 1)])).toEqual(["one.{1}", "two."]);
    expect(render("one.\n\n", [cite(6, 1)])).toEqual(["one.{1}"]);
  });

  it("are numbered in the order of the text, a repeated passage once", () => {
    const { notes } = layOut("aaa bbb ccc", [cite(11, 9), cite(3, 4), cite(7, 9)]);
    expect(notes.map((note) => [note.number, note.citation.page])).toEqual([
      [1, 4],
      [2, 9],
    ]);
  });

  it("show without any text", () => {
    expect(render("", [cite(0, 1)])).toEqual(["{1}"]);
  });
});

describe("line breaks", () => {
  it("stay where the answer has them", () => {
    expect(render("7.3  Title \n  Look at the display\nthen.", [])).toEqual(["7.3 Title\nLook at the display\nthen."]);
  });
});

describe("cards", () => {
  it("stand before the block they open, else after the block that holds them", () => {
    expect(render("one\n\ntwo", [warn(0, "first")])).toEqual(["<first>", "one", "two"]);
    expect(render("one\n\ntwo", [warn(2, "in")])).toEqual(["one", "<in>", "two"]);
    expect(render("one\n\n\n\ntwo", [warn(5, "gap")])).toEqual(["one", "<gap>", "two"]);
    expect(render("one\n\ntwo", [warn(5, "start")])).toEqual(["one", "<start>", "two"]);
    expect(render("one\n\ntwo", [warn(8, "end")])).toEqual(["one", "two", "<end>"]);
  });

  it("show without any text", () => {
    expect(render("", [warn(0, "alone")])).toEqual(["<alone>"]);
  });

  it("of a type that is not known yet are left out", () => {
    const odd = { type: "diagram", id: "d", offset: 0, text: "?" } as unknown as Item;
    expect(render("one", [odd])).toEqual(["one"]);
  });
});

describe("plainText", () => {
  it("keeps pages, lists and cards", () => {
    const layout = layOut("Do this.\n\n1. a\n2. b", [cite(7, 12), warn(19, "hot")]);
    expect(plainText(layout)).toBe("Do this (p. 12).\n\n1. a\n\n2. b\n\nWarning: hot");
  });
});
