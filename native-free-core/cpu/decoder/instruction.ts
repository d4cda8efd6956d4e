// A decoded instruction: what the bytes said, before anybody asks what it means.
// Owns the flat record that the decoder fills and that micro-op builders, translators and system/ read.
// Never reads memory or CPU state: the same bytes in the same mode give the same record at any address.

import type { Encoding } from '../instructions/row.ts';

/** Value of {@link DecodedInstruction.base}: the address is relative to the next instruction. */
export const BASE_RIP = 16;

/**
 * One instruction. Every field is a plain number, so a decoder may reuse one record for many instructions; whoever
 * keeps it takes a {@link DecodedInstruction.copy}.
 */
export class DecodedInstruction {
  /** The table's encoding that matched; its row says what the instruction means. */
  encoding!: Encoding;
  /** Bytes of the whole instruction: 1 to 15. */
  length = 0;
  /** Operand size in bits after prefixes, REX.W, `d64`, `f64` and byte opcodes. */
  operandSize: 8 | 16 | 32 | 64 = 32;
  /** Address size in bits. */
  addressSize: 16 | 32 | 64 = 32;
  /** Bits of the code's default: 16, 32 or 64 (64-bit code). */
  codeSize: 16 | 32 | 64 = 32;
  /** The last of F2 and F3, or 0. Also set where it was a mandatory prefix. */
  rep: 0 | 0xf2 | 0xf3 = 0;
  /** F0 was there, and allowed. */
  lock = false;
  /** 66 was there. */
  operandPrefix = false;
  /** Segment override as written (a number of `Seg`), or -1; CS, DS, ES and SS are dropped in 64-bit code. */
  segmentOverride = -1;
  /** REX byte, or 0 where there was none: with any REX, byte registers 4 to 7 are SPL, BPL, SIL, DIL. */
  rex = 0;
  /** VEX.vvvv, not inverted any more; 0 without VEX. */
  vvvv = 0;

  /** ModRM byte, or -1 where the instruction has none. */
  modrm = -1;
  /** reg field with REX.R. */
  reg = 0;
  /** rm field of the register form with REX.B, or the opcode's register with REX.B (`+r`). */
  rm = 0;
  /** Whether ModRM (or an absolute offset) names memory. */
  isMemory = false;
  /** Segment the memory operand uses: the override, or SS for a base of rSP or rBP, or DS. */
  segment = 3;
  /** Base register 0 to 15, {@link BASE_RIP}, or -1. */
  base = -1;
  /** Index register 0 to 15, or -1. */
  index = -1;
  /** Shift of the index: 0 to 3. */
  scale = 0;
  /** Displacement or absolute offset: bits 0 to 31, signed where `displacementHigh` is its sign. */
  displacement = 0;
  /** Bits 32 to 63 of the displacement: its sign, or the upper half of a 64-bit absolute offset. */
  displacementHigh = 0;

  /** First immediate or relative displacement, sign-extended from its size: bits 0 to 31 as a signed number. */
  immediate = 0;
  /** Bits 32 to 63 of the first immediate. */
  immediateHigh = 0;
  /** Second immediate, zero-extended: the selector of a far pointer, the level of ENTER. */
  immediate2 = 0;

  /** Name of the row. */
  get name(): string {
    return this.encoding.row.name;
  }

  /** A record of its own with the same contents. */
  copy(): DecodedInstruction {
    return Object.assign(new DecodedInstruction(), this);
  }
}
