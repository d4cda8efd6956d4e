// Options of the verbs that measure: lists of names, and numbers within bounds.
// Owns the sentences for text that is neither.
// Never knows what is measured.

import { InvalidArgumentError } from 'commander';

/** A comma-separated list of names out of `known`. */
export function listOf<Name extends string>(known: readonly Name[]): (text: string) => Name[] {
  return (text) => {
    const names = text.split(',').filter((name) => name !== '');
    const unknown = names.find((name) => !(known as readonly string[]).includes(name));
    if (unknown !== undefined) throw new InvalidArgumentError(`${unknown} is none of ${known.join(', ')}.`);
    return [...new Set(names)] as Name[];
  };
}

/** A whole number within bounds. */
export function wholeNumber(from: number, to: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < from || value > to) {
      throw new InvalidArgumentError(`It is a whole number from ${from} to ${to}.`);
    }
    return value;
  };
}
