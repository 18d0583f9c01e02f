/**
 * The server counts characters as Python does, in Unicode code points; a JavaScript string is
 * UTF-16, where a character beyond U+FFFF takes two units.
 */

/**
 * Turn code point offsets into UTF-16 indexes of `text`, in the order they were given.
 * An offset past the end becomes the end.
 */
export function utf16Indexes(text: string, offsets: readonly number[]): number[] {
  const order = offsets.map((_, index) => index).sort((a, b) => offsets[a]! - offsets[b]!);
  const indexes = new Array<number>(offsets.length).fill(text.length);
  let points = 0;
  let units = 0;
  for (const position of order) {
    const offset = offsets[position]!;
    while (points < offset && units < text.length) {
      units += text.codePointAt(units)! > 0xffff ? 2 : 1;
      points += 1;
    }
    indexes[position] = units;
  }
  return indexes;
}

/** The length of `text` in Unicode code points, as the server counts it. */
export function codePoints(text: string): number {
  let points = 0;
  for (let units = 0; units < text.length; points += 1) {
    units += text.codePointAt(units)! > 0xffff ? 2 : 1;
  }
  return points;
}

/** The first `limit` code points of `text`; never half a character. */
export function firstPoints(text: string, limit: number): string {
  return text.slice(0, utf16Indexes(text, [limit])[0]);
}
