// Tables for people.
// Owns how cells are aligned.
// Never knows what is in them.

/** Rows of cells in columns of fixed width: the first to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  return rows.map(([first, ...rest]) => (first.padEnd(15) + rest.map((cell) => cell.padStart(10)).join('')).trimEnd());
}
