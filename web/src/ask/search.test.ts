import { expect, it } from "vitest";
import type { ServerEvent } from "../protocol/events";
import { NO_SEARCH, searchReceived, searchSent } from "./search";

const results = (event_id: string, ...ids: string[]): ServerEvent => ({
  type: "catalog.results",
  event_id,
  products: ids.map((id) => ({
    id,
    name: id,
    brand: "",
    category: "",
    score: 1,
    manual: { available: true, cached: false },
  })),
});

it("takes the results of the latest search only", () => {
  const second = searchSent(searchSent(NO_SEARCH, "a"), "b");
  const stale = searchReceived(second, results("a", "old"));
  expect(stale).toBe(second);
  const fresh = searchReceived(stale, results("b", "new"));
  expect([fresh.waiting, fresh.products.map((product) => product.id)]).toEqual([false, ["new"]]);
  expect(searchReceived(fresh, results("a", "old"))).toBe(fresh);
});

it("ends a search that failed", () => {
  const failed = searchReceived(searchSent(NO_SEARCH, "a"), {
    type: "error",
    error: { code: "rate_limited", message: "Wait.", retryable: true, event_id: "a" },
  });
  expect(failed).toMatchObject({ waiting: false, products: [] });
});
