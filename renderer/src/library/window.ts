// Which rows of a long list are in sight: only those are drawn.
// Owns the heights of rows and where each begins.
// Never draws anything.

import type { Row } from './arrange.ts';

/** Pixels of a row, by what it is. */
export const rowHeights = { group: 32, guest: 58 } as const;
/** Rows drawn above and below those in sight, so that a quick scroll meets no gap. */
const BESIDE = 6;

/** Where each row begins, and at the end where the last one does. */
export function offsetsOf(rows: readonly Row[]): number[] {
  const offsets = [0];
  for (const { type } of rows) offsets.push(offsets[offsets.length - 1] + rowHeights[type]);
  return offsets;
}

/** The first row in sight and the one behind the last, some beside them included. */
export function inSight(offsets: readonly number[], top: number, height: number): { from: number; to: number } {
  const count = offsets.length - 1;
  const from = Math.max(0, rowAt(offsets, top) - BESIDE);
  const to = Math.min(count, rowAt(offsets, top + height) + 1 + BESIDE);
  return { from, to };
}

/** The row that a place is in: the last one that begins at it or before. */
function rowAt(offsets: readonly number[], place: number): number {
  let low = 0;
  let high = offsets.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (offsets[middle] <= place) low = middle;
    else high = middle - 1;
  }
  return low;
}
