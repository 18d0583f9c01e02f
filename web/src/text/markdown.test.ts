import { describe, expect, it } from "vitest";
import { parseBlocks } from "./markdown";

const shape = (text: string) =>
  parseBlocks(text).map((block) => [
    block.kind,
    block.spans.map((span) => `${span.bold ? "b:" : ""}${span.italic ? "i:" : ""}${span.code ? "c:" : ""}${span.text}`),
  ]);

describe("blocks", () => {
  it("cuts paragraphs at blank lines and keeps single line breaks inside", () => {
    expect(shape("one\ntwo\n\n\nthree")).toEqual([
      ["paragraph", ["one\ntwo"]],
      ["paragraph", ["three"]],
    ]);
  });

  it("reads lists with their numbers and levels", () => {
    const blocks = parseBlocks("Do:\n- a\n  - b\n* c\n3. d\n4) e");
    expect(blocks.map((block) => [block.kind, block.number, block.level])).toEqual([
      ["paragraph", null, 0],
      ["item", null, 0],
      ["item", null, 1],
      ["item", null, 0],
      ["item", 3, 0],
      ["item", 4, 0],
    ]);
  });

  it("lets an item run over lines until a blank one", () => {
    expect(shape("- a\n  more\n\nafter")).toEqual([
      ["item", ["a\n  more"]],
      ["paragraph", ["after"]],
    ]);
  });

  it("reads headings", () => {
    expect(shape("## Cleaning\ntext")).toEqual([
      ["heading", ["Cleaning"]],
      ["paragraph", ["text"]],
    ]);
  });

  it("gives nothing for nothing", () => {
    expect(parseBlocks("")).toEqual([]);
    expect(parseBlocks(" \n\n ")).toEqual([]);
  });
});

describe("styles", () => {
  it("reads bold, italic and code", () => {
    expect(shape("press **Start** *twice* then `F1`")).toEqual([
      ["paragraph", ["press ", "b:Start", " ", "i:twice", " then ", "c:F1"]],
    ]);
  });

  it("leaves markers without a partner as text", () => {
    for (const text of ["5 * 3 * 2", "**open", "a ** b **", "`open", "``", "2*3", "*"]) {
      expect(parseBlocks(text).flatMap((block) => block.spans.map((span) => span.text)).join("")).toBe(text);
    }
  });

  it("keeps every character's place", () => {
    const text = "# A **b** c\n\n- x `y` z\n- *w*\n\n last";
    for (const span of parseBlocks(text).flatMap((block) => block.spans)) {
      expect(text.slice(span.start, span.end)).toBe(span.text);
    }
  });

  it("never fails, whatever prefix has arrived", () => {
    const text = "a **b *c* d** `e` \n- f\n1. *g\n***h*** ``i`` **";
    for (let length = 0; length <= text.length; length += 1) {
      for (const span of parseBlocks(text.slice(0, length)).flatMap((block) => block.spans)) {
        expect(text.slice(span.start, span.end)).toBe(span.text);
      }
    }
  });
});

describe("what is not Markdown here", () => {
  it("F101: links, images, autolinks and HTML stay the text they are", () => {
    const hostile = [
      "[x](javascript:alert(1))",
      "![x](https://canary.example/?q=secret)",
      "[x][r]",
      "[r]: https://canary.example/",
      "<https://canary.example/?q=secret>",
      "https://canary.example/?q=secret",
      "<img src=x onerror=alert(1)>",
      "<script>alert(1)</script>",
      "[x](data:text/html;base64,PHNjcmlwdD4=)",
    ];
    for (const text of hostile) {
      expect(shape(text)).toEqual([["paragraph", [text]]]);
    }
  });
});
