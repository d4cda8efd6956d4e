// A stack under construction or being read: values pushed and popped with the pointer kept aside.
// Owns the checks of pushes and pops for transfers; the stack pointer changes only when the transfer is certain.
// Never writes RSP or SS: `commit` of the transfer does, by taking `pointer`.

import { S, Seg } from '../state.ts';
import { Attribute } from './architecture.ts';
import type { Bytes, SystemCpu } from './core.ts';
import { stackFault } from './fault.ts';
import { withinLimit } from './segments.ts';

export class StackCursor {
  /** The stack pointer as it is now; the caller stores it when nothing can fault any more. */
  pointer: bigint;
  private readonly cpu: SystemCpu;
  private readonly base: bigint;
  private readonly limit: number;
  private readonly attributes: number;
  private readonly mask: bigint;
  private readonly long: boolean;
  private readonly user: boolean;
  private readonly code: number;

  constructor(
    cpu: SystemCpu,
    stack: { base: bigint; limit: number; attributes: number; pointer: bigint; long: boolean },
    user: boolean,
    code: number,
  ) {
    this.cpu = cpu;
    this.base = stack.base;
    this.limit = stack.limit;
    this.attributes = stack.attributes;
    this.pointer = stack.pointer;
    this.long = stack.long;
    this.mask = stack.long ? 0xffff_ffff_ffff_ffffn : stack.attributes & Attribute.big ? 0xffff_ffffn : 0xffffn;
    this.user = user;
    this.code = code;
  }

  /** The current stack. Limit faults have an error code of 0. */
  static current(cpu: SystemCpu): StackCursor {
    const stack = {
      base: cpu.base(Seg.ss),
      limit: cpu.limit(Seg.ss),
      attributes: cpu.attributes(Seg.ss),
      pointer: cpu.reg(4),
      long: cpu.code64,
    };
    return new StackCursor(cpu, stack, cpu.cpl === 3, 0);
  }

  push(bytes: Bytes, value: bigint): void {
    const to = (this.pointer - BigInt(bytes)) & this.mask;
    this.cpu.store(this.linear(to, bytes), bytes, BigInt.asUintN(bytes * 8, value), this.user);
    this.move(to);
  }

  pop(bytes: Bytes): bigint {
    const from = this.pointer & this.mask;
    const value = this.cpu.load(this.linear(from, bytes), bytes, this.user);
    this.move((from + BigInt(bytes)) & this.mask);
    return value;
  }

  /** The value `skip` bytes above the pointer. */
  peek(bytes: Bytes, skip: number): bigint {
    const from = (this.pointer + BigInt(skip)) & this.mask;
    return this.cpu.load(this.linear(from, bytes), bytes, this.user);
  }

  /** Discards bytes. */
  skip(bytes: number): void {
    this.move((this.pointer + BigInt(bytes)) & this.mask);
  }

  /** Makes the pointer the CPU's own. */
  commit(): void {
    this.cpu.setReg(4, this.pointer);
  }

  private move(to: bigint): void {
    this.pointer = (this.pointer & ~this.mask & 0xffff_ffff_ffff_ffffn) | to;
  }

  private linear(offset: bigint, bytes: number): bigint {
    if (this.long) {
      if (!this.cpu.canonical(offset) || !this.cpu.canonical(BigInt.asUintN(64, offset + BigInt(bytes - 1))))
        throw stackFault(this.code);
      return offset;
    }
    const attributes = this.attributes;
    const usable = (attributes & (Attribute.present | Attribute.segment)) === (Attribute.present | Attribute.segment);
    if (!usable || !withinLimit(attributes, this.limit, Number(offset), bytes)) throw stackFault(this.code);
    return BigInt.asUintN(32, this.base + offset);
  }
}

/** Pointer mask of the stack segment now in SS. */
export const stackMask = (cpu: SystemCpu): bigint => cpu.get64(S.stackMask);
