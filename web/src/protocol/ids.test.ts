import { describe, expect, it } from "vitest";
import { newId, timedIds } from "./ids";

const AT = 1_763_726_400_000;
const timeOf = (id: string): number => parseInt(id.replaceAll("-", "").slice(0, 12), 16);

describe("ids", () => {
  it("are UUIDs of version 4 and 7", () => {
    expect(newId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(timedIds()(AT)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it("hold their time", () => {
    expect(timeOf(timedIds()(AT))).toBe(AT);
  });

  it("sort by when they were made, also within a millisecond and when the clock jitters", () => {
    const make = timedIds();
    const ids = Array.from({ length: 9000 }, (_, index) => make(AT - (index % 3)));
    expect([...ids].sort()).toEqual(ids);
    expect(new Set(ids).size).toBe(9000);
  });

  it("follow a clock that is set back", () => {
    const make = timedIds();
    make(AT + 3_600_000);
    expect(timeOf(make(AT))).toBe(AT);
  });
});
