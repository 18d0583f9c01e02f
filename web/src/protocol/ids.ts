/** A random UUID (version 4). `crypto.randomUUID` is missing on pages served over plain http. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return uuid(bytes, 4);
}

/** A clock set back by more than this is believed; less is taken for jitter. */
const JITTER_MS = 10_000;

/**
 * A source of UUIDs of version 7, called with Unix milliseconds. Later ones sort after earlier
 * ones, also within one millisecond: the 12 bits after the time count there.
 */
export function timedIds(): (nowMs: number) => string {
  let last = -Infinity;
  let counter = 0;
  return (nowMs) => {
    const back = last - nowMs;
    if (back >= 0 && back <= JITTER_MS) counter += 1;
    else [last, counter] = [nowMs, 0];
    if (counter > 0xfff) [last, counter] = [last + 1, 0];
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    const fields = new DataView(bytes.buffer);
    fields.setUint16(0, Math.floor(last / 2 ** 32));
    fields.setUint32(2, last >>> 0);
    fields.setUint16(6, counter);
    return uuid(bytes, 7);
  };
}

function uuid(bytes: Uint8Array, version: number): string {
  bytes[6] = (bytes[6]! & 0x0f) | (version << 4);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
