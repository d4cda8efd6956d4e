// MMX registers as MMX's own instructions, and those that SSE and SSSE3 added to it, use them.
// Owns the checks before, and the change of the x87 state after, an instruction with an MMX operand.
// Never computes: see ../mmx.ts and the files beside this one.

import { loadOp, storeOp } from '../../../wasm/opcodes.ts';
import { c32, load, type Node, op, pure } from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { S } from '../../state.ts';
import type { MeaningFunction } from '../row.ts';
import { checkMmx } from '../x87/common.ts';

export { checkMmx };

/** What every MMX instruction but EMMS does to the x87: TOP is 0 and no register is empty. Call it after the last fault. */
export function touchMmx(m: Meaning): void {
  m.setState32(S.ftop, c32(0));
  m.setState32(S.ftw, c32(0xff));
}

/** The 64 bits of an MMX register or memory operand. */
export const readMmx = (m: Meaning, index: number): Node =>
  m.operands[index].kind === 'mmx' ? load(loadOp.i64_load, m.mmxAddress(index)) : m.read(index, 64);

/** The same as the lower half of a vector; the upper half is zero, or a copy. */
export const mmxVector = (m: Meaning, index: number): Node => pure(op.i64x2_splat, readMmx(m, index));

/** Writes an MMX register: sign and exponent of its x87 register become ones. */
export function writeMmx(m: Meaning, index: number, value: Node): void {
  const address = m.let(m.mmxAddress(index));
  m.store(storeOp.i64_store, address, value);
  m.store(storeOp.i32_store, address, c32(0xffff), 8);
  m.release(address);
  touchMmx(m);
}

/** A meaning that starts with {@link checkMmx}. */
export const mmx =
  (body: (m: Meaning) => void): MeaningFunction =>
  (m) => {
    checkMmx(m);
    body(m);
  };
