import { describe, expect, it } from "vitest";
import { codePoints, firstPoints, utf16Indexes } from "./offsets";

describe("utf16Indexes", () => {
  it("counts a character beyond U+FFFF once", () => {
    const text = "a🙂b𝄞c";
    expect(utf16Indexes(text, [0, 1, 2, 3, 4, 5])).toEqual([0, 1, 3, 4, 6, 7]);
  });

  it("keeps the order of the offsets it was given", () => {
    expect(utf16Indexes("🙂🙂🙂", [3, 1, 2, 1])).toEqual([6, 2, 4, 2]);
  });

  it("puts what lies past the end at the end", () => {
    expect(utf16Indexes("ab", [2, 3, 99])).toEqual([2, 2, 2]);
    expect(utf16Indexes("", [0, 4])).toEqual([0, 0]);
  });

  it("counts a lone surrogate as one, as Python does", () => {
    expect(utf16Indexes("\ud83dx", [1, 2])).toEqual([1, 2]);
  });
});

describe("lengths", () => {
  it("are in code points", () => {
    expect(codePoints("naïve 🙂")).toBe(7);
    expect(firstPoints("🙂🙂🙂", 2)).toBe("🙂🙂");
  });
});
