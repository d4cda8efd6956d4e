// One differential vector: a processor state, a few bytes of code, and what a real processor made of them.
// Owns the background state that a vector's seed stands for (part of the vector format) and the derivation of addresses.
// Never encodes files (vector-file.ts) and never executes anything.
import {
  interestingDouble,
  interestingExtended,
  interestingInteger,
  interestingSingle,
  LAYOUT,
  MODES,
} from './environments.ts';
import { fieldIndex, GPR_NAMES, type ProcessorState } from './processor-state.ts';
import { Random } from './random.ts';

/** How a vector ended: at the INT3 behind it, or with an exception (1 + its vector number). */
export const STOPPED = 0;

/** Where else a vector may run: what touches selectors, privileges or gates nowhere, VEX not with real-mode segments. */
export const PORTABLE = { nowhere: 0, protected: 1, everywhere: 2 } as const;

/** The outcome of an exception. */
export function exceptionOutcome(vector: number): number {
  return 1 + vector;
}

export interface MemorySpan {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** What a vector starts from: everything else follows from the mode and the seed. */
export interface VectorInput {
  readonly mode: number;
  readonly seed: number;
  readonly code: Uint8Array;
  /** Field number to value; what differs from the background. */
  readonly overrides: ReadonlyMap<number, bigint>;
  readonly patches: readonly MemorySpan[];
  /** RFLAGS bits that the architecture leaves undefined here. */
  readonly undefinedFlags: number;
  /** Field numbers and memory (offset and length) whose final values are not compared: undefined, or different between makers. */
  readonly ignoredFields: readonly number[];
  readonly ignoredMemory: readonly { readonly at: number; readonly length: number }[];
  /** Which of the modes that stand in for the recorded one it ends the same in (PORTABLE). */
  readonly portable: number;
}

/**
 * What the real processor did with it. `changes` are the fields that ended with another value than they began with:
 * of an exception, those of the state that its handler would return to (RFLAGS as pushed, CR2 for a page fault).
 */
export interface VectorResult {
  readonly outcome: number;
  readonly errorCode: number;
  readonly changes: ReadonlyMap<number, bigint>;
  readonly memory: readonly MemorySpan[];
}

export interface Vector extends VectorInput, VectorResult {}

/** Where code starts, counted from the code segment's base, unless RIP is overridden. */
export const CODE_OFFSET = 0x800;

const MASK32 = 0xffffffffn;
const ST_FIELD = fieldIndex('st0');
const XMM_FIELD = fieldIndex('xmm0');

/** The background state of `mode` and `seed`, before a vector's overrides. */
export function backgroundState(modeNumber: number, seed: number): ProcessorState {
  const mode = MODES[modeNumber];
  const random = new Random(seed);
  const state = mode.state.clone();
  GPR_NAMES.forEach((name, index) => {
    const value = interestingInteger(random);
    if (name === 'rsp') return;
    if (mode.bits === 64) state.setAt(index, value);
    else if (index < 8) state.setAt(index, value & MASK32);
  });
  // CF, PF, AF, ZF, SF and OF.
  const arithmetic = random.u32() & 0x8d5;
  state.set('rflags', state.get('rflags') | BigInt(arithmetic));
  state.set('rip', mode.state.get('cs.base') === 0n ? LAYOUT.code + CODE_OFFSET : CODE_OFFSET);

  const top = random.below(8);
  state.set('fsw', (top << 11) | (random.u32() & 0x4700));
  state.set('ftw', random.chance(75) ? 0xff : random.below(256));
  for (let i = 0; i < 8; i++) {
    const [significand, exponent] = interestingExtended(random);
    state.setAt(ST_FIELD + i * 2, significand);
    state.setAt(ST_FIELD + i * 2 + 1, BigInt(exponent));
  }
  const lanes = random.below(3);
  for (let i = 0; i < 32; i++) {
    let value: bigint;
    if (lanes === 0) value = interestingInteger(random);
    else if (lanes === 1) value = (BigInt(interestingSingle(random)) << 32n) | BigInt(interestingSingle(random));
    else value = interestingDouble(random);
    if (mode.bits === 64 || i < 16) state.setAt(XMM_FIELD + i, value);
  }
  return state;
}

/** The state a vector starts from. */
export function initialState(vector: VectorInput): ProcessorState {
  const state = backgroundState(vector.mode, vector.seed);
  for (const [field, value] of vector.overrides) state.setAt(field, value);
  return state;
}

/** Linear address of the first code byte of a vector that starts in `state`. */
export function codeAddress(state: ProcessorState): number {
  return Number(BigInt.asUintN(32, state.get('cs.base') + state.get('rip')));
}

/** What is written over the image before the vector runs: its patches, then its code. */
export function initialMemory(vector: VectorInput, state: ProcessorState): MemorySpan[] {
  return [...vector.patches, { at: codeAddress(state), bytes: vector.code }];
}
