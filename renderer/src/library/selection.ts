// Which guests are selected, and which row the keyboard is at: what clicks and keys make of it.
// Owns the rules, which are those of file managers: Ctrl adds, Shift extends from where one began.
// Never knows a guest; rows are their keys, of which only some can be selected.

export interface Selection {
  /** Keys of selected rows. */
  readonly chosen: ReadonlySet<string>;
  /** Where a range begins. */
  readonly anchor: string | null;
  /** The row that keys act on. */
  readonly at: string | null;
}

export interface Modifiers {
  /** Adds to what is selected, or takes from it. */
  add: boolean;
  /** Extends to here from the anchor. */
  extend: boolean;
}

export const nothingSelected: Selection = { chosen: new Set(), anchor: null, at: null };

/** Just this one. */
export const only = (key: string): Selection => ({ chosen: new Set([key]), anchor: key, at: key });

/** A click on a row that can be selected, or a key that leads to it. `order`: those that can be, from the top. */
export function chosenWith(
  selection: Selection,
  key: string,
  order: readonly string[],
  { add, extend }: Modifiers,
): Selection {
  if (extend && selection.anchor !== null && order.includes(selection.anchor)) {
    const ends = [order.indexOf(selection.anchor), order.indexOf(key)];
    const range = order.slice(Math.min(...ends), Math.max(...ends) + 1);
    return { chosen: new Set(add ? [...selection.chosen, ...range] : range), anchor: selection.anchor, at: key };
  }
  if (!add) return only(key);
  const chosen = new Set(selection.chosen);
  if (!chosen.delete(key)) chosen.add(key);
  return { chosen, anchor: key, at: key };
}

/** The same without what is there no more. Answers the very selection where all of it still is. */
export function kept(selection: Selection, keys: ReadonlySet<string>): Selection {
  const { chosen, anchor, at } = selection;
  const has = (key: string | null): boolean => key === null || keys.has(key);
  if (has(anchor) && has(at) && [...chosen].every(has)) return selection;
  return {
    chosen: new Set([...chosen].filter(has)),
    anchor: has(anchor) ? anchor : null,
    at: has(at) ? at : null,
  };
}
