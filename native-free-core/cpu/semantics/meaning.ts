// The interface that every instruction's meaning is written against.
// Owns what interpreter and translator share: operands by number, memory through the TLB, flags, exceptions, jumps.
// Never knows whether operands are known now (translator) or read from a micro-op (interpreter): subclasses do.
//
// Order within a meaning: first everything that may fault (reads; writes that are probed), then changes of state.
// A register read is evaluated where its node is emitted: `let` it if the register may change before that.

import { TLB_ENTRIES, TlbKind } from '../../memory/layout.ts';
import type { FunctionReference } from '../../wasm/module.ts';
import { type LoadOperation, type StoreOperation, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call, FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  extendU,
  field,
  load,
  loadOp,
  type Node,
  not,
  or,
  type Size,
  select,
  shl,
  shrU,
  signExtendTo64,
  wrap,
} from '../builder/nodes.ts';
import { Flag, S } from '../state.ts';
import { CARRY_OVERFLOW_APART, ccOpOf, ccOpSelect, type FlagFunctions, FlagKind } from './flags.ts';
import { X87Stack } from './x87-stack.ts';

const { i32, i64, v128 } = ValueType;

/** Widths of a memory access in bits. */
export type MemorySize = Size | 128;

/** What operand codes of the opcode map become. */
export type OperandKind = 'reg' | 'mem' | 'imm' | 'xmm' | 'mmx' | 'segment' | 'control' | 'debug' | 'relative' | 'st';

/** Whether a floating-point unit may be used at all; see instructions/x87/common.ts and instructions/sse/common.ts. */
export type UnitCheck = 'x87Available' | 'x87Waiting' | 'mmx' | 'sse';

/** What is known of an operand when its handler or translation is built. */
export interface OperandShape {
  readonly kind: OperandKind;
  /** Width in bits; 0 where it has none (LEA's memory operand). */
  readonly size: number;
  /** The register, where the opcode fixes it (AL, CL, DX …); undefined where the encoding names it. */
  readonly fixed?: number;
}

/** WebAssembly functions that meanings may call, in the interpreter's module; translations import them. */
export interface SharedFunctions {
  readonly flags: FlagFunctions;
  /** (linear i64, bytes i32) -> i32: 1 when it raised an exception, else the value is in S.slowValue. */
  readonly slowRead: FunctionReference;
  /** The same with the intent to write: checks that the write will succeed. */
  readonly slowReadForWrite: FunctionReference;
  /** (linear i64, bytes i32) -> i32: writes S.slowValue; 1 when it raised an exception. */
  readonly slowWrite: FunctionReference;
  /** (linear i64, bytes i32) -> i32: writes S.slowValue where {@link slowReadForWrite} said that it will succeed. */
  readonly finishSlowWrite: FunctionReference;
  /**
   * (segment i32, offset i64, bytes | write << 8 as i32) -> i64: linear address after the segment's checks, base added.
   * S.faulted is 1 when it raised an exception.
   */
  readonly segmentLinear: FunctionReference;
  /** () -> i64: the time-stamp counter, by the instruction count in S.budget where time is made of that. */
  readonly timestamp: FunctionReference;
  /** Named helper functions of instruction families (x87 arithmetic and the like); see instructions/helpers.ts. */
  readonly named: { get(name: string): FunctionReference | undefined };
}

/** The operations of memory accesses by size. */
export const LOADS: Record<MemorySize, LoadOperation> = {
  8: loadOp.i32_load8_u,
  16: loadOp.i32_load16_u,
  32: loadOp.i32_load,
  64: loadOp.i64_load,
  128: loadOp.v128_load,
};
export const STORES: Record<MemorySize, StoreOperation> = {
  8: storeOp.i32_store8,
  16: storeOp.i32_store16,
  32: storeOp.i32_store,
  64: storeOp.i64_store,
  128: storeOp.v128_store,
};
export const typeOfMemory = (size: MemorySize): ValueType => (size === 128 ? v128 : size === 64 ? i64 : i32);

/** The functions that make accesses which the TLB does not have. */
export type SlowAccess = 'slowRead' | 'slowReadForWrite' | 'slowWrite' | 'finishSlowWrite';
const PAGE_MASK = c64(~0xfffn);
/** What selects an entry's address of a linear address shifted by 8. */
const TLB_INDEX = c32((TLB_ENTRIES - 1) << 4);

/** A memory operand that has been probed for writing: `finishWrite` cannot fault. */
export interface WriteTarget {
  readonly host: Node & { kind: 'local' };
  readonly linear: Node & { kind: 'local' };
  readonly size: MemorySize;
}

export abstract class Meaning extends FunctionBuilder {
  abstract readonly shared: SharedFunctions;
  /** The x87's register stack. */
  readonly x87: X87Stack = new X87Stack(this);

  // ---- what is known of the instruction being built

  /** Operand size in bits: 8, 16, 32 or 64. */
  abstract readonly size: Size;
  /** The operands in the order of the encoding text. */
  abstract readonly operands: readonly OperandShape[];
  /** Stack and string accesses need no base and no limit check (flat segments, or 64-bit code). */
  abstract readonly flat: boolean;

  /** Address size in bits: 16, 32 or 64. */
  abstract readonly addressSize: 16 | 32 | 64;
  /** REP prefix of a string instruction: 0, 0xF3 or 0xF2. */
  abstract readonly rep: 0 | 0xf2 | 0xf3;

  // ---- operands: subclasses say where they are

  /** Value of a register operand whose number the encoding gives; zero-extended in its i32 or i64. */
  protected abstract readRegister(operand: number, size: Size): Node;
  protected abstract writeRegister(operand: number, size: Size, value: Node): void;
  /** A vector operand's 16 bytes. */
  protected abstract readVectorRegister(operand: number): Node;
  protected abstract writeVectorRegister(operand: number, value: Node): void;
  /** The lowest 64 or fewer bits of a vector operand, in an i32 up to 32 bits, else an i64. */
  protected abstract readVectorLow(operand: number, size: Size): Node;
  /** Writes the lowest 32 or 64 bits and keeps the others. */
  protected abstract writeVectorLow(operand: number, size: Size, value: Node): void;
  /** A vector register by number. */
  abstract getXmm(register: number): Node;
  abstract setXmm(register: number, value: Node): void;
  /** An immediate, sign-extended to the width asked for. */
  abstract immediate(operand: number, size?: Size): Node;
  /** Number (i32) of a register operand as encoded: segment, control, debug, MMX, x87 stack position. */
  abstract registerNumber(operand: number): Node;
  /** Offset part of a memory operand, masked to the address size, no segment base (what LEA gives), as i64. */
  abstract effectiveAddress(operand: number): Node;
  /** Linear address of a memory operand, evaluated now, as an i64 local. Segment checks have been made. */
  abstract address(operand: number): Node & { kind: 'local' };
  /** Segment register (i32) that string instructions read through: DS or the override. */
  abstract sourceSegment(): Node;
  /** General register by number. Value zero-extended in its i32 or i64. */
  abstract getReg(register: number, size: Size): Node;
  /** Writes a general register; a 32-bit write clears the upper half, 8- and 16-bit ones keep the rest. */
  abstract setReg(register: number, size: Size, value: Node): void;
  /** Instruction pointer after this instruction, i64, not masked to the operand size. */
  abstract nextIp(): Node;
  /** Instruction pointer of this instruction's first byte, i64, not masked. */
  abstract instructionIp(): Node;
  /** Base address (i32) of the current privilege's TLB tables. */
  protected abstract tlbBase(): Node;

  // ---- leaving: subclasses say how

  /** Leaves with the exception that is in S.faultVector; no state of this instruction may have changed. */
  abstract leaveFault(): void;
  /** Hands the whole instruction to TypeScript (system/); nothing of it may have happened yet. */
  abstract cold(): void;
  /** Goes on at an instruction pointer (i64; masked here to the operand size). Ends the instruction. */
  abstract jump(target: Node): void;
  /** Goes on at the relative operand's target. Ends the instruction. */
  abstract jumpRelative(): void;
  /** Goes on at the relative operand's target if the i32 condition is not 0, else at the next instruction. */
  abstract jumpRelativeIf(condition: Node): void;
  /** Linear address of the `size` bits that a signed bit offset (of the operand size) reaches from a memory operand. */
  abstract bitAddress(operand: number, bitOffset: Node): Node & { kind: 'local' };
  /** #GP(0) unless a near transfer may go to this instruction pointer (canonical, within the code segment). */
  abstract checkTarget(target: Node & { kind: 'local' }): void;
  /** Linear address of XLAT's byte: rBX + AL in DS or the override. Segment checks have been made. */
  abstract translateAddress(): Node & { kind: 'local' };
  /** Goes on at the next instruction, which is looked up anew: the mode may have changed. Ends the instruction. */
  abstract goOnAnew(): void;
  /** The time-stamp counter (i64, evaluated now), this instruction having been executed. */
  abstract timestamp(): Node & { kind: 'local' };
  /** Starts this same instruction over (a string instruction with iterations left), letting interrupts in. */
  abstract repeat(): void;
  /** Instruction pointer that the relative operand names, masked to the operand size, i64. */
  abstract relativeTarget(): Node;

  // ---- operands by number

  /** Reads operand `index` at its own width (or `size`): zero-extended, in an i32 up to 32 bits, else an i64. */
  read(index: number, size?: Size): Node {
    const shape = this.operands[index];
    const width = (size ?? shape.size) as Size;
    switch (shape.kind) {
      case 'reg':
        return shape.fixed !== undefined ? this.getReg(shape.fixed, width) : this.readRegister(index, width);
      case 'mem':
        return this.readMemory(this.address(index), width);
      case 'imm':
        return this.immediate(index, width);
      case 'xmm':
        return this.readVectorLow(index, width);
      case 'mmx':
        return load(width === 64 ? loadOp.i64_load : loadOp.i32_load, this.mmxAddress(index));
      default:
        throw new Error(`Operand ${index} of kind ${shape.kind} has no value.`);
    }
  }

  /** Writes operand `index`. Memory may fault: write it before any other state changes. */
  write(index: number, value: Node, size?: Size): void {
    const shape = this.operands[index];
    const width = (size ?? shape.size) as Size;
    switch (shape.kind) {
      case 'reg':
        if (shape.fixed !== undefined) this.setReg(shape.fixed, width, value);
        else this.writeRegister(index, width, value);
        return;
      case 'mem':
        this.writeMemory(this.address(index), width, value);
        return;
      case 'xmm':
        this.writeVectorLow(index, width, value);
        return;
      case 'mmx':
        this.store(storeOp.i64_store, this.mmxAddress(index), value);
        return;
      default:
        throw new Error(`Operand ${index} of kind ${shape.kind} cannot be written.`);
    }
  }

  /** Reads operand `index`, passes its value (evaluated once) to `change`, writes what that gives. */
  modify(index: number, change: (old: Node) => Node): void {
    const shape = this.operands[index];
    if (shape.kind !== 'mem') {
      this.write(index, this.let(change(this.let(this.read(index)))));
      return;
    }
    const { target, value } = this.beginWrite(this.address(index), shape.size as MemorySize);
    this.finishWrite(target, this.let(change(value)));
  }

  /** A vector operand's 16 bytes, from register or memory (aligned: #GP where the address is not). */
  readVector(index: number, aligned = false): Node {
    if (this.operands[index].kind === 'xmm') return this.readVectorRegister(index);
    const linear = this.address(index);
    if (aligned) this.requireAlignment(linear, 16);
    return this.readMemory(linear, 128);
  }

  writeVector(index: number, value: Node, aligned = false): void {
    if (this.operands[index].kind === 'xmm') {
      this.writeVectorRegister(index, value);
      return;
    }
    const linear = this.address(index);
    if (aligned) this.requireAlignment(linear, 16);
    this.writeMemory(linear, 128, value);
  }

  /** Address (i32) of the significand of an MMX operand's x87 register. */
  mmxAddress(index: number): Node {
    return add(shl(this.registerNumber(index), c32(4)), c32(S.fpu));
  }

  /** #GP(0) unless the linear address is a multiple of `bytes`. */
  requireAlignment(linear: Node, bytes: number): void {
    this.raiseIf(and(wrap(linear), c32(bytes - 1)), 13, 0);
  }

  // ---- memory

  /** Address of a linear address's entry in the first of the TLB's tables; it is at the same place in each. */
  protected tlbEntry(linear: Node): Node & { kind: 'local' } {
    return this.let(add(and(shrU(wrap(linear), c32(8)), TLB_INDEX), this.tlbBase()));
  }

  /** 1 when the entry maps the page of every byte of the access. */
  protected tlbHit(kind: TlbKind, entry: Node, linear: Node, bytes: number): Node {
    // An access that crosses a page compares the next page's address with this page's tag, and so misses.
    return eq(load(loadOp.i64_load, entry, kind), and(add(linear, c64(bytes - 1)), PAGE_MASK));
  }

  protected tlbHost(kind: TlbKind, entry: Node, linear: Node): Node {
    return add(wrap(linear), load(loadOp.i32_load, entry, kind + 8));
  }

  /** An access that the TLB does not have; the value travels through S.slowValue. Leaves where it raises an exception. */
  protected slow(access: SlowAccess, linear: Node, size: MemorySize): void {
    if (access === 'finishSlowWrite') {
      this.aroundSlow(() => this.call(this.shared.finishSlowWrite, linear, c32(size >> 3)));
      return;
    }
    const failed = this.local(i32);
    this.aroundSlow(() => this.set(failed, call(this.shared[access], linear, c32(size >> 3))));
    this.if(failed, () => this.leaveFault(), undefined, false);
    this.release(failed);
  }

  /** Surrounds a call that may reach a device, which may ask for the time or interrupt. Subclasses bring both up to date. */
  protected aroundSlow(access: () => void): void {
    access();
  }

  /** Reads memory at a linear address (an i64 that may be emitted repeatedly: a local). */
  readMemory(linear: Node & { kind: 'local' }, size: MemorySize): Node & { kind: 'local' } {
    const value = this.local(typeOfMemory(size));
    const entry = this.tlbEntry(linear);
    this.if(
      this.tlbHit(TlbKind.read, entry, linear, size >> 3),
      () => this.set(value, load(LOADS[size], this.tlbHost(TlbKind.read, entry, linear))),
      () => {
        this.slow('slowRead', linear, size);
        this.set(value, field(LOADS[size], S.slowValue));
      },
      true,
    );
    this.release(entry);
    return value;
  }

  writeMemory(linear: Node & { kind: 'local' }, size: MemorySize, value: Node): void {
    const kept = value.kind === 'const' || value.kind === 'local' ? value : this.let(value);
    const entry = this.tlbEntry(linear);
    this.if(
      this.tlbHit(TlbKind.write, entry, linear, size >> 3),
      () => this.store(STORES[size], this.tlbHost(TlbKind.write, entry, linear), kept),
      () => {
        this.storeField(STORES[size], S.slowValue, kept);
        this.slow('slowWrite', linear, size);
      },
      true,
    );
    this.release(entry);
  }

  /** Reads memory and makes sure that writing the same bytes will not fault. */
  beginWrite(
    linear: Node & { kind: 'local' },
    size: MemorySize,
  ): { target: WriteTarget; value: Node & { kind: 'local' } } {
    const host = this.local(i32);
    const value = this.local(typeOfMemory(size));
    const entry = this.tlbEntry(linear);
    this.if(
      this.tlbHit(TlbKind.write, entry, linear, size >> 3),
      () => {
        this.set(host, this.tlbHost(TlbKind.write, entry, linear));
        this.set(value, load(LOADS[size], host));
      },
      () => {
        this.slow('slowReadForWrite', linear, size);
        this.set(value, field(LOADS[size], S.slowValue));
        this.set(host, c32(0));
      },
      true,
    );
    this.release(entry);
    return { target: { host, linear, size }, value };
  }

  /** Host address (i32 local) of a readable linear address whose page is in the TLB, else 0. */
  hostForRead(linear: Node & { kind: 'local' }): Node & { kind: 'local' } {
    return this.hostOf(TlbKind.read, linear);
  }

  /** The same for writing. */
  hostForWrite(linear: Node & { kind: 'local' }): Node & { kind: 'local' } {
    return this.hostOf(TlbKind.write, linear);
  }

  private hostOf(kind: TlbKind, linear: Node & { kind: 'local' }): Node & { kind: 'local' } {
    const entry = this.tlbEntry(linear);
    const host = this.let(select(this.tlbHit(kind, entry, linear, 1), this.tlbHost(kind, entry, linear), c32(0)));
    this.release(entry);
    return host;
  }

  /** The write that {@link beginWrite} prepared. `value` is a local or a constant. */
  finishWrite(target: WriteTarget, value: Node): void {
    this.if(
      target.host,
      () => this.store(STORES[target.size], target.host, value),
      () => {
        this.storeField(STORES[target.size], S.slowValue, value);
        this.slow('finishSlowWrite', target.linear, target.size);
      },
      true,
    );
  }

  /**
   * Linear address of `offset` (i64, already masked to the address size) in a segment, with the checks that an access
   * of `bytes` needs. Evaluated now.
   */
  linear(segment: Node, offset: Node, bytes: number, write: boolean): Node & { kind: 'local' } {
    if (this.flat) return this.let(offset);
    return this.linearOf(segment, offset, c32(bytes | (write ? 0x100 : 0)));
  }

  /** The same with the access (bytes | write << 8) as an i32, and never taken to be flat. */
  linearOf(segment: Node, offset: Node, access: Node): Node & { kind: 'local' } {
    const result = this.callResult(this.shared.segmentLinear, segment, offset, access);
    this.if(field(loadOp.i32_load, S.faulted), () => this.leaveFault(), undefined, false);
    return result;
  }

  // ---- stack

  /** Stack pointer moved by `delta` bytes: i64, masked to the stack's size. */
  private stackOffset(delta: number): Node {
    return and(add(this.getReg(4, 64), c64(delta)), this.stackMask());
  }

  /** Moves the stack pointer by `delta` bytes (i64); only the bits of the stack's size change. */
  moveStack(delta: Node): void {
    this.setStackTo(add(this.getReg(4, 64), delta));
  }

  /** Mask of the stack pointer by the stack segment's size, as an i64. */
  stackMask(): Node {
    return field(loadOp.i64_load, S.stackMask);
  }

  /** Sets the stack pointer's bits of the stack's size, keeping the others. */
  setStackTo(value: Node): void {
    const mask = this.let(this.stackMask());
    const kept = this.let(and(this.getReg(4, 64), not(mask)));
    this.setReg(4, 64, or(and(value, mask), kept));
    this.release(mask);
    this.release(kept);
  }

  /** Pushes a value of `size` bits. Faults before anything changes. */
  push(value: Node, size: Size): void {
    const kept = value.kind === 'const' ? value : this.let(value);
    const linear = this.linear(c32(2), this.stackOffset(-(size >> 3)), size >> 3, true);
    this.writeMemory(linear, size, kept);
    this.moveStack(c64(-(size >> 3)));
  }

  /** Reads the value of `size` bits that is `skip` bytes above the top of the stack; the stack pointer stays. */
  peek(size: Size, skip = 0): Node & { kind: 'local' } {
    return this.readMemory(this.linear(c32(2), this.stackOffset(skip), size >> 3, false), size);
  }

  // ---- flags

  /** Sets the lazy flags: ccOp (i32), a and b (i64, sign-extended from the operand size). */
  setLazyFlags(ccOp: Node, a: Node, b: Node): void {
    this.storeField(storeOp.i64_store, S.ccA, a);
    this.storeField(storeOp.i64_store, S.ccB, b);
    this.storeField(storeOp.i32_store, S.ccOp, ccOp);
  }

  /** Flags of an operation on operands of `size` bits (any upper bits). */
  setFlags(kind: FlagKind, a: Node, b: Node, size: Size = this.size): void {
    this.setLazyFlags(c32(ccOpOf(kind, size)), signExtendTo64(size, a), signExtendTo64(size, b));
  }

  /** Flags of a + b + carry, or of a - b - carry. `carry` is an i32, 0 or 1. */
  setFlagsWithCarry(kind: typeof FlagKind.add | typeof FlagKind.sub, a: Node, b: Node, carry: Node): void {
    const other = kind === FlagKind.add ? FlagKind.addCarry : FlagKind.subBorrow;
    this.setLazyFlags(
      ccOpSelect(carry, kind, other, this.size),
      signExtendTo64(this.size, a),
      signExtendTo64(this.size, b),
    );
  }

  /** Flags of a logical result: CF and OF clear, SF, ZF and PF by the result. */
  setFlagsLogic(result: Node, size: Size = this.size): void {
    this.setLazyFlags(c32(ccOpOf(FlagKind.logic, size)), signExtendTo64(size, result), c64(0));
  }

  /** Replaces the second operand of flags just set: the carry of INC and DEC, the overflow of multiplications (i64). */
  setFlagsOperandB(b: Node): void {
    this.storeField(storeOp.i64_store, S.ccB, b);
  }

  /** Flags given outright: an i32 with OF SF ZF AF PF CF at their places in EFLAGS; other bits are ignored. */
  setFlagsExplicit(bits: Node): void {
    const mask = Flag.of | Flag.sf | Flag.zf | Flag.af | Flag.pf | Flag.cf;
    this.setLazyFlags(c32(0), extendU(and(bits, c32(mask))), c64(0));
  }

  /** Sets CF and OF (an i32 with both at their places in EFLAGS) and keeps the others. Cheaper than {@link updateFlags}. */
  setCarryOverflow(bits: Node): void {
    this.storeField(storeOp.i32_store, S.ccC, bits);
    this.storeField(storeOp.i32_store, S.ccOp, or(field(loadOp.i32_load, S.ccOp), c32(CARRY_OVERFLOW_APART)));
  }

  /** Sets CF (an i32, 0 or 1) and keeps all others. */
  setCarry(carry: Node): void {
    this.setCarryOverflow(this.let(or(carry, shl(this.flag('of'), c32(11)))));
  }

  /** Changes some flags and keeps the others: `bits` is an i32, `mask` which of its bits count. */
  updateFlags(mask: number, bits: Node): void {
    const kept = this.let(or(and(this.flagsAll(), c32(~mask)), and(bits, c32(mask))));
    this.setFlagsExplicit(kept);
    this.release(kept);
  }

  /** One flag, 0 or 1, as an i32. */
  flag(name: 'cf' | 'pf' | 'af' | 'zf' | 'sf' | 'of'): Node {
    return call(this.shared.flags[name]);
  }

  /** The six arithmetic flags at their places in EFLAGS. */
  flagsAll(): Node {
    return call(this.shared.flags.all);
  }

  /** Condition number 0 to 15 as in Jcc: 0 or 1. */
  condition(code: number): Node {
    return call(this.shared.flags.condition(code));
  }

  /** EFLAGS bits that are not lazy (DF, IF …), as an i32. */
  systemFlags(): Node {
    return field(loadOp.i32_load, S.eflags);
  }

  // ---- exceptions

  /** Raises an exception; nothing of this instruction may have changed state. `code` is -1 where there is none. */
  raise(vector: number, code = -1): void {
    this.storeField(storeOp.i32_store, S.faultVector, c32(vector));
    this.storeField(storeOp.i32_store, S.faultCode, c32(code));
    this.leaveFault();
  }

  raiseIf(condition: Node, vector: number, code = -1): void {
    this.if(condition, () => this.raise(vector, code), undefined, false);
  }

  /**
   * Builds a check whose outcome no instruction within a basic block changes; where it is known to have been made before,
   * it may be left out. `name` tells one check from another.
   */
  oncePerBlock(_name: string, check: () => void): void {
    check();
  }

  /**
   * Says that the meaning begins with a check, by name: it comes before the memory operand's segment is looked at, which
   * not every execution leaves to the meaning.
   */
  beginsWith(_check: UnitCheck): void {}

  /** Hands the instruction to TypeScript if the i32 condition is not 0; nothing of it may have happened yet. */
  coldIf(condition: Node): void {
    this.if(condition, () => this.cold(), undefined, false);
  }

  /** A named helper function's result, evaluated now. */
  helper(name: string, ...args: Node[]): Node & { kind: 'local' } {
    return this.callResult(this.namedFunction(name), ...args);
  }

  /** Calls a named helper function that has no result. */
  helperCall(name: string, ...args: Node[]): void {
    this.call(this.namedFunction(name), ...args);
  }

  private namedFunction(name: string): FunctionReference {
    const reference = this.shared.named.get(name);
    if (!reference) throw new Error(`There is no helper function named ${name}.`);
    return reference;
  }

  /** A field of the CPU state by its address: i32. */
  state32(address: number): Node {
    return field(loadOp.i32_load, address);
  }

  state64(address: number): Node {
    return field(loadOp.i64_load, address);
  }

  setState32(address: number, value: Node): void {
    this.storeField(storeOp.i32_store, address, value);
  }

  setState64(address: number, value: Node): void {
    this.storeField(storeOp.i64_store, address, value);
  }
}
