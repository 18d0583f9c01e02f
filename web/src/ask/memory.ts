/** What the page remembers between visits, and what its address says. */

import type { Product } from "../protocol/events";

const PRODUCT_KEY = "manicule.product";
const SCENARIO_KEY = "manicule.scenario";

function isProduct(value: unknown): value is Product {
  if (typeof value !== "object" || value === null) return false;
  const fields = value as Record<string, unknown>;
  return ["id", "name", "brand", "category"].every((name) => typeof fields[name] === "string");
}

/** The last chosen product, or null when there is none or storage is blocked. */
export function rememberedProduct(): Product | null {
  try {
    const value: unknown = JSON.parse(window.localStorage.getItem(PRODUCT_KEY) ?? "null");
    return isProduct(value) ? value : null;
  } catch {
    return null;
  }
}

export function rememberProduct({ id, name, brand, category }: Product): void {
  remember(PRODUCT_KEY, JSON.stringify({ id, name, brand, category }));
}

export function rememberedScenario(): string | null {
  try {
    return window.localStorage.getItem(SCENARIO_KEY);
  } catch {
    return null;
  }
}

export function rememberScenario(scenario: string): void {
  remember(SCENARIO_KEY, scenario);
}

function remember(key: string, value: string): void {
  try {
    window.localStorage.setItem(key, value);
  } catch {
    // Storage may be blocked or full; the choice then lasts as long as the page.
  }
}

/** What a link to this page asks for: `?product=ID&q=QUESTION`. The question is only filled in. */
export function readAddress(search: string): { productId: string | null; question: string } {
  const fields = new URLSearchParams(search);
  return { productId: fields.get("product") || null, question: fields.get("q") ?? "" };
}

/** Make the address of the page a link to this product. */
export function writeAddress(productId: string): void {
  const fields = new URLSearchParams({ product: productId });
  window.history.replaceState(null, "", `?${fields.toString()}`);
}
