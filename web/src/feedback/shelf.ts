/** Where judgements are kept until the server has them: IndexedDB, or memory where there is none. */

import type { Entry } from "./queue";

const DATABASE = "manicule";
const TABLE = "outbox";

/** Every promise is settled only when the change is on disk, or rejected. */
export interface Shelf {
  all: () => Promise<Entry[]>;
  put: (entry: Entry) => Promise<void>;
  remove: (id: string) => Promise<void>;
}

/** Open the browser's database. Rejects where there is none, or none that may be used. */
export async function openShelf(): Promise<Shelf> {
  const database = await settled(openDatabase());
  // Another tab with a later version of the page may change the database; this one lets go.
  database.onversionchange = () => database.close();
  const change = (act: (table: IDBObjectStore) => void): Promise<void> =>
    new Promise((done, failed) => {
      const transaction = database.transaction(TABLE, "readwrite", { durability: "strict" });
      transaction.oncomplete = () => done();
      transaction.onabort = () => failed(transaction.error);
      act(transaction.objectStore(TABLE));
    });
  return {
    all: async () => {
      const table = database.transaction(TABLE).objectStore(TABLE);
      return (await settled<unknown[]>(table.getAll())).filter(isEntry);
    },
    put: (entry) => change((table) => table.put(entry)),
    remove: (id) => change((table) => table.delete(id)),
  };
}

function openDatabase(): IDBOpenDBRequest {
  const request = window.indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: "id" });
  return request;
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const { id, event, storedAt } = value as Record<string, unknown>;
  return (
    typeof id === "string" &&
    typeof storedAt === "number" &&
    typeof event === "object" &&
    event !== null &&
    (event as Record<string, unknown>)["event_id"] === id
  );
}
