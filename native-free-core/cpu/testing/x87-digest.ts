// Digests of x87 results: one number for what an encoding does to a few hundred generated states.
// Owns the cases of each encoding and the hash.
// Never says which result is right: the recorded numbers come from a processor.

import type { Encoding } from '../instructions/row.ts';
import { nextState, Random, type X87State } from './x87-cases.ts';
import type { X87Runner } from './x87-run.ts';

export const CASES = 256;

export interface Case {
  readonly state: X87State;
  /** Number i of ST(i), where the encoding has one. */
  readonly position: number;
}

/** The cases of an encoding. */
export function casesOf(encoding: Encoding, seed: number, count: number): Case[] {
  const random = new Random(seed);
  return Array.from({ length: count }, () => {
    const state = nextState(random, encoding.row.name);
    return { state, position: encoding.plusStack ? random.below(8) : 0 };
  });
}

/** Runs a case; the handler must not fault. */
export function runCase(runner: X87Runner, encoding: Encoding, { state, position }: Case): X87State {
  const operand = encoding.operands[0];
  const size = operand?.width === 'w' || operand?.where === 'fixed' ? 16 : operand?.width === 'q' ? 64 : 32;
  runner.write(state);
  runner.run(runner.handlerOf(encoding, operand?.where === 'M', size), [position]);
  return runner.read();
}

/** A 32-bit FNV-1a hash over everything that an instruction can have changed. */
export class Digest {
  private hash = 0x811c9dc5;

  private add(value: number): void {
    for (let shift = 0; shift < 32; shift += 8) {
      this.hash = Math.imul(this.hash ^ ((value >>> shift) & 0xff), 0x01000193);
    }
  }

  state(state: X87State): void {
    for (const value of [state.fcw, state.fsw, state.ftw, state.eflags, state.ax]) this.add(value);
    for (let i = 0; i < 8; i++) {
      this.add(Number(state.significand[i] & 0xffffffffn));
      this.add(Number(state.significand[i] >> 32n));
      this.add(state.signExponent[i]);
    }
    for (const byte of state.memory) this.add(byte);
  }

  get value(): number {
    return this.hash >>> 0;
  }
}
