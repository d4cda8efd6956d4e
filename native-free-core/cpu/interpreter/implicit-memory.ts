// Whether an instruction's implicit stack and string accesses need a segment's base and limit.
// Owns that one question, which interpreter and translator ask alike.
// Never looks at the CPU's state beyond the mode's bits.

import type { DecodedInstruction } from '../decoder/instruction.ts';
import { ModeBit, Seg } from '../state.ts';

/** True where every segment an instruction reaches without a ModRM operand is flat. */
export function implicitlyFlat(instruction: DecodedInstruction, mode: number): boolean {
  if ((mode & ModeBit.flat) === 0) return false;
  const { segmentOverride } = instruction;
  return segmentOverride < Seg.fs && segmentOverride !== Seg.cs;
}
