// Memory that a region finds once for several accesses: by the registers that their addresses are made of.
// Owns which accesses those are, and of which memory it is known at a place of the region that it has been found.
// Never emits code.
//
// Accesses by the same registers lie within a few bytes of each other: all those of a structure, by a pointer to it. The
// first of them looks for the whole window in the TLB and keeps its host address in a local, 0 where it is not there. As long
// as none of the registers changes, the others look at that local alone. The stack pointer may change by what is known.

import { BASE_RIP, type DecodedInstruction } from '../decoder/instruction.ts';
import type { HandlerTraits } from '../interpreter/interpreter-meaning.ts';
import { Reg } from '../state.ts';

/** Bytes that are looked for at once: a longer window more often reaches into another page, and is then never found. */
const WINDOW_BYTES = 256;
/** Windows of a region at most: each is a local that lives long. */
const WINDOWS = 5;

export interface Window {
  readonly key: number;
  /** Displacement of its first byte from what the registers give, and its length. */
  readonly from: number;
  readonly bytes: number;
}

/** What is known of a window at a place, whichever way led there. */
export interface Found {
  /** By the TLB's entry for writes, which serves reads too. */
  readonly writable: boolean;
  /** By how much the registers now give more than when it was found: the stack pointer's way since. */
  readonly moved: number;
}
/** By key. */
export type FoundWindows = ReadonlyMap<number, Found>;
export const nothingFound: FoundWindows = new Map();

/** Address forms without displacement as numbers: base, index and scale. */
const keyOf = ({ base, index, scale }: DecodedInstruction): number => base | ((index + 1) << 4) | (scale << 9);
/** Whether an address form uses a register. */
export const isWindowMadeOf = (key: number, register: number): boolean =>
  (key & 0xf) === register || ((key >> 4) & 0x1f) === register + 1;

/** The form [rSP], which PUSH, POP, CALL and RET use as well. */
export const STACK_WINDOW = Reg.rsp;
/** Furthest from where the stack pointer stood that is looked for. */
const STACK_REACH = 128;

/** The form of an instruction's memory operand if its accesses can share a window; else -1. */
export function windowKey(instruction: DecodedInstruction): number {
  const { isMemory, base, addressSize, codeSize } = instruction;
  return isMemory && base >= 0 && base !== BASE_RIP && addressSize === codeSize && codeSize !== 16
    ? keyOf(instruction)
    : -1;
}

/** The windows that save most of the accesses of these instructions. */
export function windowsOf(
  instructions: Iterable<{ readonly instruction: DecodedInstruction; readonly traits: HandlerTraits }>,
): Window[] {
  const accesses = new Map<number, { from: number; to: number }[]>();
  for (const { instruction, traits } of instructions) {
    const key = windowKey(instruction);
    if (key === STACK_WINDOW || key < 0 || !traits.usesAddress || traits.usesBitOffset || traits.memoryBytes === 0)
      continue;
    const { displacement: from } = instruction;
    const known = accesses.get(key);
    const access = { from, to: from + traits.memoryBytes };
    if (known) known.push(access);
    else accesses.set(key, [access]);
  }
  const windows: { window: Window; saved: number }[] = [];
  for (const [key, found] of accesses) {
    if (found.length < 2) continue;
    found.sort((a, b) => a.from - b.from);
    let best = { saved: 0, from: 0, to: 0 };
    for (let first = 0; first < found.length; first++) {
      const { from } = found[first];
      let to = from;
      let last = first;
      while (last < found.length && Math.max(to, found[last].to) - from <= WINDOW_BYTES)
        to = Math.max(to, found[last++].to);
      if (last - first - 1 > best.saved) best = { saved: last - first - 1, from, to };
    }
    const { saved, from, to } = best;
    if (saved > 0) windows.push({ window: { key, from, bytes: to - from }, saved });
  }
  return windows
    .sort((a, b) => b.saved - a.saved)
    .slice(0, WINDOWS)
    .map(({ window }) => window);
}

/** By how much an instruction moves the stack pointer; undefined where that is not known. */
export function stackMove(instruction: DecodedInstruction): number | undefined {
  const { encoding, operandSize, immediate, rm, modrm, isMemory, codeSize } = instruction;
  const bytes = operandSize >> 3;
  switch (encoding.row.name) {
    case 'PUSH':
    case 'CALL':
    case 'CALL_INDIRECT':
      return -bytes;
    case 'POP':
    case 'RET':
      return bytes;
    case 'ADD':
    case 'SUB': {
      const isImmediate = encoding.operands[1]?.where === 'I';
      if (modrm < 0 || isMemory || rm !== Reg.rsp || !isImmediate || operandSize !== codeSize) return undefined;
      return encoding.row.name === 'ADD' ? immediate : -immediate;
    }
    default:
      return undefined;
  }
}

/** The stack's window for blocks of instructions, from where the stack pointer stands at the first access of each; if any. */
export function stackWindow(blocks: readonly (readonly DecodedInstruction[])[]): Window | undefined {
  let from = 0;
  let to = 0;
  let accesses = 0;
  for (const instructions of blocks) {
    let moved = 0;
    let first: number | undefined;
    for (const instruction of instructions) {
      const move = stackMove(instruction);
      const bytes = instruction.operandSize >> 3;
      const isExplicit = windowKey(instruction) === STACK_WINDOW;
      const isImplicit = move !== undefined && Math.abs(move) === bytes;
      if (isExplicit || isImplicit) {
        first ??= moved;
        const at = moved - first + (isExplicit ? instruction.displacement : Math.min(move!, 0));
        if (at >= -STACK_REACH && at + bytes <= STACK_REACH) {
          accesses++;
          from = Math.min(from, at);
          to = Math.max(to, at + bytes);
        }
      }
      moved += move ?? 0;
    }
  }
  return accesses < 2 ? undefined : { key: STACK_WINDOW, from, bytes: to - from };
}

/** What is known where two ways meet. */
export function foundOnBoth(a: FoundWindows, b: FoundWindows): FoundWindows {
  if (a === b) return a;
  const both = new Map<number, Found>();
  for (const [key, found] of a) {
    const other = b.get(key);
    if (other?.moved === found.moved) both.set(key, found.writable ? other : found);
  }
  return both;
}

/** What has been known before and has been neither lost nor found anew since: so it is known at any place between. */
export function stillFound(before: FoundWindows, after: FoundWindows): FoundWindows {
  if (before === after) return before;
  const kept = new Map<number, Found>();
  for (const [key, found] of before) if (after.get(key) === found) kept.set(key, found);
  return kept;
}

export function withFound(known: FoundWindows, key: number, found: Found): FoundWindows {
  return new Map(known).set(key, found);
}

/** The stack pointer, which has just changed from where `before` was known, has been moved by so many bytes. */
export function withStackMoved(known: FoundWindows, before: FoundWindows, bytes: number): FoundWindows {
  const found = before.get(STACK_WINDOW);
  if (!found || Math.abs(found.moved + bytes) > 2 * STACK_REACH) return known;
  return new Map(known).set(STACK_WINDOW, { ...found, moved: found.moved + bytes });
}

/** What is left when a register changes. */
export function withoutRegister(known: FoundWindows, register: number): FoundWindows {
  let left: Map<number, Found> | undefined;
  for (const key of known.keys()) {
    if (!isWindowMadeOf(key, register)) continue;
    left ??= new Map(known);
    left.delete(key);
  }
  return left ?? known;
}
