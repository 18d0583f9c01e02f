/** Product search while typing: one question is current, and only its answer counts. */

import { useCallback, useEffect, useRef, useState } from "react";
import type { Connection } from "../protocol/connection";
import type { FoundProduct, ServerEvent } from "../protocol/events";
import { newId } from "../protocol/ids";
import { firstPoints } from "../text/offsets";

export const DEBOUNCE_MS = 80;
const LONGEST_QUERY = 200;

export interface Search {
  /** The `event_id` of the latest search, whose results are awaited or shown. */
  currentId: string | null;
  waiting: boolean;
  products: FoundProduct[];
}

export const NO_SEARCH: Search = { currentId: null, waiting: false, products: [] };

/** A search was sent: what is shown stays until its results come. */
export function searchSent(search: Search, id: string): Search {
  return { ...search, currentId: id, waiting: true };
}

/** Results or an error came. What belongs to an earlier search changes nothing. */
export function searchReceived(search: Search, event: ServerEvent): Search {
  if (event.type === "catalog.results" && event.event_id === search.currentId) {
    return { ...search, waiting: false, products: event.products };
  }
  if (event.type === "error" && event.error.event_id === search.currentId) {
    return { ...search, waiting: false, products: [] };
  }
  return search;
}

export interface ProductSearch extends Search {
  /** Search for `query` a moment after the last call; an empty one clears the results. */
  type: (query: string) => void;
}

export function useProductSearch(connection: Connection): ProductSearch {
  const [search, setSearch] = useState(NO_SEARCH);
  const timer = useRef<number | undefined>(undefined);

  useEffect(
    () =>
      connection.onEvent((event) => {
        if (event.type === "catalog.results" || event.type === "error") {
          setSearch((before) => searchReceived(before, event));
        }
      }),
    [connection],
  );
  useEffect(() => () => window.clearTimeout(timer.current), []);

  const type = useCallback(
    (typed: string) => {
      window.clearTimeout(timer.current);
      const query = firstPoints(typed.trim(), LONGEST_QUERY);
      if (query === "") {
        setSearch(NO_SEARCH);
        return;
      }
      timer.current = window.setTimeout(() => {
        const id = newId();
        const sent = connection.send({ type: "catalog.search", event_id: id, query });
        if (sent) setSearch((before) => searchSent(before, id));
      }, DEBOUNCE_MS);
    },
    [connection],
  );
  return { ...search, type };
}

/** Find the product with this id, for a link that names one; null until the server knows it. */
export function useProductById(
  connection: Connection,
  productId: string | null,
  connected: boolean,
): FoundProduct | null {
  const [found, setFound] = useState<FoundProduct | null>(null);
  useEffect(() => {
    if (productId === null || !connected) return;
    const id = newId();
    const leave = connection.onEvent((event) => {
      if (event.type !== "catalog.results" || event.event_id !== id) return;
      setFound(event.products.find((product) => product.id === productId) ?? null);
    });
    connection.send({
      type: "catalog.search",
      event_id: id,
      query: firstPoints(productId, LONGEST_QUERY),
      limit: 50,
    });
    return leave;
  }, [connection, productId, connected]);
  return found;
}
