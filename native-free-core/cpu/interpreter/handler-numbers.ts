// Which handler of the interpreter serves an instruction, and what is known of it: what building the module leaves behind.
// Owns the plain data of that and the look-ups over it.
// Never builds a handler: see handlers.ts.

import type { Encoding } from '../instructions/row.ts';
import type { HandlerTraits } from './interpreter-meaning.ts';

/** Variants of an encoding: operand size, form, flatness, address size and repetition ({@link variantIndex}). */
export const VARIANTS = 144;

/** Index of a variant among those of one encoding. */
export function variantIndex(size: number, memory: boolean, flat: boolean, addressSize: number, rep: number): number {
  const s = size === 8 ? 0 : size === 16 ? 1 : size === 32 ? 2 : 3;
  const a = addressSize === 16 ? 0 : addressSize === 32 ? 1 : 2;
  const r = rep === 0 ? 0 : rep === 0xf3 ? 1 : 2;
  return (((s * 2 + (memory ? 1 : 0)) * 2 + (flat ? 1 : 0)) * 3 + a) * 3 + r;
}

/** Handler numbers of one encoding by {@link variantIndex}; -1 where there is no such variant. */
export type EncodingHandlers = Int16Array;

/** Plain data, which survives structured cloning. */
export interface HandlerNumbers {
  /** {@link VARIANTS} numbers for each encoding, in the order of the instruction table. */
  readonly byEncoding: Int16Array;
  /** What handlers can be like, and for each handler which of these it is. */
  readonly kinds: readonly HandlerTraits[];
  readonly kindOf: Uint16Array;
  /** Address micro-ops by address size: linear addresses, bare offsets, and bit offsets by address and operand size. */
  readonly addressLinear: ReadonlyMap<number, number>;
  readonly addressOffset: ReadonlyMap<number, number>;
  readonly addressBits: ReadonlyMap<string, number>;
}

export class Handlers {
  readonly numbers: HandlerNumbers;
  private readonly places: ReadonlyMap<Encoding, number>;

  /** `encodings` is the instruction table that the numbers are of. Throws an Error where it is another one. */
  constructor(numbers: HandlerNumbers, encodings: readonly Encoding[]) {
    if (numbers.byEncoding.length !== encodings.length * VARIANTS)
      throw new Error('The handlers were built from another instruction table.');
    this.numbers = numbers;
    this.places = new Map(encodings.map((encoding, place) => [encoding, place]));
  }

  get count(): number {
    return this.numbers.kindOf.length;
  }

  of(encoding: Encoding): EncodingHandlers {
    const place = this.places.get(encoding)! * VARIANTS;
    return this.numbers.byEncoding.subarray(place, place + VARIANTS);
  }

  traits(handler: number): HandlerTraits {
    return this.numbers.kinds[this.numbers.kindOf[handler]];
  }
}
