// Columns of figures over time, as charts need them: fresh ones added to what is there, and no more than can be seen.
// Owns that arithmetic.
// Never asks for figures, and never draws.

/** The part of the contract's answers that this needs: columns as long as `at`. */
export interface Columns {
  step: number;
  span: number;
  now: number;
  at: number[];
  seconds: number[];
  values: Record<string, number[]>;
}

/** What was there, with what has come since: points that are in both are the fresh ones, and what is too old is gone. */
export function merged<Usage extends Columns>(before: Usage | null, fresh: Usage): Usage {
  if (!before || before.step !== fresh.step) return fresh;
  const oldest = fresh.now - fresh.span * 1000;
  const begin = fresh.at[0] ?? Infinity;
  // Points in the future are of a clock that has gone back since.
  const kept = before.at.flatMap((at, index) => (at >= oldest && at < begin && at <= fresh.now ? [index] : []));
  const column = (old: readonly number[], added: readonly number[]): number[] => [
    ...kept.map((index) => old[index]!),
    ...added,
  ];
  const values = Object.fromEntries(
    Object.entries(fresh.values).map(([name, added]) => [name, column(before.values[name] ?? [], added)]),
  );
  return { ...fresh, at: column(before.at, fresh.at), seconds: column(before.seconds, fresh.seconds), values };
}

/** Moments and the lines over them; a gap is NaN in every line. */
export interface Lines {
  at: number[];
  lines: number[][];
}

/**
 * Lines of at most about `most` points: means of those that lie in the same stretch of time. Stretches begin at multiples of their
 * length, so that a point that is shown stays where it is while others come.
 */
export function thinned({ step, span, at }: Columns, lines: readonly (readonly number[])[], most: number): Lines {
  const group = Math.max(1, Math.ceil(span / step / most)) * step * 1000;
  const thin: Lines = { at: [], lines: lines.map(() => []) };
  let last = Number.NaN;
  for (let index = 0; index < at.length; ) {
    const begin = Math.floor(at[index]! / group) * group;
    let end = index + 1;
    while (end < at.length && at[end]! < begin + group) end++;
    // A late sample is no gap; where nothing was measured for longer, no line is drawn.
    if (begin - last > 3 * group) {
      thin.at.push(last + group);
      for (const line of thin.lines) line.push(Number.NaN);
    }
    thin.at.push(begin + group / 2);
    for (const [number, line] of lines.entries()) {
      let sum = 0;
      for (let each = index; each < end; each++) sum += line[each]!;
      thin.lines[number]!.push(sum / (end - index));
    }
    last = begin;
    index = end;
  }
  return thin;
}
