// Digests of SSE results: one number for what an encoding does, in all its forms, to some generated states.
// Owns the hash, and what is left out of it.
// Never says which result is right: the recorded numbers come from a processor.

import type { Encoding } from '../instructions/row.ts';
import { casesOf, formsOf, type SseCase, type SseForm } from './sse-cases.ts';
import type { SseResult } from './sse-run.ts';

/** States an encoding and form is run on. */
export const CASES = 48;

const DE = 2;
const PE = 0x20;

/**
 * Flags that are compared: all, but for DE where MXCSR is ordinary and PE was set before, because then it is seen only on
 * results that are not ordinary (see instructions/sse/arithmetic.ts).
 */
export const comparedMxcsr = (before: number, after: number): number =>
  before & PE && (before & 0xffc0) === 0x1f80 ? after & ~DE : after;

/** A 32-bit FNV-1a hash over everything that an SSE instruction can have changed. */
function addResult(hash: number, before: number, { vector, state }: SseResult): number {
  let sum = hash;
  const byte = (value: number): void => {
    sum = Math.imul(sum ^ (value & 0xff), 0x01000193);
  };
  const dword = (value: number): void => {
    for (let shift = 0; shift < 32; shift += 8) byte(value >>> shift);
  };
  dword(vector);
  dword(comparedMxcsr(before, state.mxcsr));
  // After a fault the rest is as it was; that is asserted apart.
  if (vector !== 0) return sum;
  dword(state.flags);
  for (const value of [...state.general, ...state.mmx]) {
    dword(Number(value & 0xffffffffn));
    dword(Number(value >> 32n));
  }
  for (const value of state.vectors) byte(value);
  for (const value of state.memory) byte(value);
  return sum;
}

/** The digest of an encoding; `run` carries out one case. */
export function digestOf(
  encoding: Encoding,
  run: (encoding: Encoding, form: SseForm, one: SseCase) => SseResult,
): number {
  let hash = 0x811c9dc5;
  formsOf(encoding).forEach((form, index) => {
    for (const one of casesOf(encoding, 1 + index, CASES)) {
      hash = addResult(hash, one.state.mxcsr, run(encoding, form, one));
    }
  });
  return hash >>> 0;
}
