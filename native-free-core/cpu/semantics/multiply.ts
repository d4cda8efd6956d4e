// The 128-bit product of two 64-bit values, which WebAssembly has no operation for.
// Owns that one piece of arithmetic, for the instructions that need it.
// Never sets a flag.

import { add, and, c64, mul, type Node, shrU } from '../builder/nodes.ts';
import type { Meaning } from './meaning.ts';

/** Unsigned 64 x 64 -> 128 bits: [low, high], each an i64 local. */
export function multiplyWide(m: Meaning, a: Node, b: Node): [Node, Node] {
  const mask = c64(0xffffffff);
  const al = m.let(and(a, mask));
  const ah = m.let(shrU(a, c64(32)));
  const bl = m.let(and(b, mask));
  const bh = m.let(shrU(b, c64(32)));
  const low = m.let(mul(al, bl));
  const middle = m.let(add(mul(ah, bl), shrU(low, c64(32))));
  const cross = m.let(add(mul(al, bh), and(middle, mask)));
  const high = m.let(add(add(mul(ah, bh), shrU(middle, c64(32))), shrU(cross, c64(32))));
  return [m.let(mul(a, b)), high];
}
