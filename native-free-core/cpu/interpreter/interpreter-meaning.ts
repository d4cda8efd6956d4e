// Meanings with their operands taken from a micro-op at run time: what the interpreter's handlers are built from.
// Owns how a handler finds its operands and how it hands over to the next micro-op.
// Never contains the meaning of an instruction.

import type { FunctionReference } from '../../wasm/module.ts';
import { loadOp, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call, type Label } from '../builder/function.ts';
import {
  add,
  and,
  asSize,
  c32,
  c64,
  cSize,
  extendU,
  field,
  load,
  type Node,
  not,
  type Size,
  shl,
  shrS,
  sub,
  zeroExtend,
} from '../builder/nodes.ts';
import {
  Meaning,
  type MemorySize,
  type OperandShape,
  type SharedFunctions,
  type UnitCheck,
  type WriteTarget,
} from '../semantics/meaning.ts';
import { Exit, S, Slot, xmmAddress } from '../state.ts';
import { MICRO_OP_BYTES, U } from './micro-op.ts';

const { i32 } = ValueType;

/** What distinguishes one handler from another. */
export interface HandlerShape {
  readonly size: Size;
  readonly addressSize: 16 | 32 | 64;
  readonly operands: readonly OperandShape[];
  readonly flat: boolean;
  readonly rep: 0 | 0xf2 | 0xf3;
}

/** What building a handler showed about its instruction. */
export interface HandlerTraits {
  /** Asks for the linear address of its memory operand. */
  usesAddress: boolean;
  /** Asks for the bare offset (LEA). */
  usesOffset: boolean;
  /** Addresses memory by a bit offset in a register (BT and its kin). */
  usesBitOffset: boolean;
  writesMemory: boolean;
  /** Largest single access in bytes. */
  memoryBytes: number;
  /** May raise an exception or leave for TypeScript. */
  mayLeave: boolean;
  /** May hand the instruction to TypeScript, though it is not always cold. */
  mayBeCold: boolean;
  /** What it checks before it looks at its operands, in this order. */
  checks: UnitCheck[];
}

/** Functions of the interpreter's module beyond those that every execution shares. */
export interface InterpreterFunctions extends SharedFunctions {
  /** () -> i32: micro-op at S.ip, or 0 when execution has to leave. */
  readonly enter: FunctionReference;
  /** (pc i32, target i64) -> i32: goes on at a relative jump's target and links it if it lies in the same page. */
  readonly follow: FunctionReference;
  /** (pc i32) -> i32: hands an instruction to TypeScript. */
  readonly cold: FunctionReference;
  /** (ip i64) -> i32: 1 when a near transfer may not go there. */
  readonly badTarget: FunctionReference;
}

/** Address of a byte register by the number it has without REX: 4 to 7 are the second bytes of 0 to 3. */
const byteAddress = (register: number): number =>
  register < 4 ? S.regs + register * 8 : S.regs + (register - 4) * 8 + 1;

const IP_MASK: Record<Size, bigint> = { 8: 0xffn, 16: 0xffffn, 32: 0xffffffffn, 64: -1n };

const noTraits = (): HandlerTraits => ({
  usesAddress: false,
  usesOffset: false,
  usesBitOffset: false,
  writesMemory: false,
  memoryBytes: 0,
  mayLeave: false,
  mayBeCold: false,
  checks: [],
});

export class InterpreterMeaning extends Meaning {
  readonly shared: InterpreterFunctions;
  size!: Size;
  operands!: readonly OperandShape[];
  flat!: boolean;
  addressSize!: 16 | 32 | 64;
  rep!: 0 | 0xf2 | 0xf3;
  traits!: HandlerTraits;
  /** Address of the micro-op. */
  readonly pc: Node & { kind: 'local' };

  constructor(shared: InterpreterFunctions, shape: HandlerShape) {
    super([i32]);
    this.shared = shared;
    this.pc = this.parameter(0, i32);
    this.become(shape);
  }

  /** What is built from here on is a handler of this shape. */
  become(shape: HandlerShape): void {
    this.size = shape.size;
    this.operands = shape.operands;
    this.flat = shape.flat;
    this.addressSize = shape.addressSize;
    this.rep = shape.rep;
    this.traits = noTraits();
  }

  // ---- where operands are

  private registerByte(operand: number): Node {
    return load(loadOp.i32_load8_u, this.pc, U.registers + operand);
  }

  protected readRegister(operand: number, size: Size): Node {
    const at = this.registerByte(operand);
    switch (size) {
      case 8:
        return load(loadOp.i32_load8_u, at, S.regs);
      case 16:
        return load(loadOp.i32_load16_u, at, S.regs);
      case 32:
        return load(loadOp.i32_load, at, S.regs);
      case 64:
        return load(loadOp.i64_load, at, S.regs);
    }
  }

  protected writeRegister(operand: number, size: Size, value: Node): void {
    const at = this.registerByte(operand);
    switch (size) {
      case 8:
        this.store(storeOp.i32_store8, at, value, S.regs);
        return;
      case 16:
        this.store(storeOp.i32_store16, at, value, S.regs);
        return;
      case 32:
        this.store(storeOp.i64_store, at, extendU(value), S.regs);
        return;
      case 64:
        this.store(storeOp.i64_store, at, value, S.regs);
        return;
    }
  }

  private vectorAddress(operand: number): Node {
    return shl(this.registerByte(operand), c32(4));
  }

  protected readVectorRegister(operand: number): Node {
    return load(loadOp.v128_load, this.vectorAddress(operand), S.xmm);
  }

  protected writeVectorRegister(operand: number, value: Node): void {
    this.store(storeOp.v128_store, this.vectorAddress(operand), value, S.xmm);
  }

  protected readVectorLow(operand: number, size: Size): Node {
    return load(size === 64 ? loadOp.i64_load : loadOp.i32_load, this.vectorAddress(operand), S.xmm);
  }

  protected writeVectorLow(operand: number, size: Size, value: Node): void {
    this.store(size === 64 ? storeOp.i64_store : storeOp.i32_store, this.vectorAddress(operand), value, S.xmm);
  }

  getXmm(register: number): Node {
    return field(loadOp.v128_load, xmmAddress(register));
  }

  setXmm(register: number, value: Node): void {
    this.storeField(storeOp.v128_store, xmmAddress(register), value);
  }

  immediate(operand: number, size: Size = this.operands[operand].size as Size): Node {
    const first = this.operands.findIndex((shape) => shape.kind === 'imm');
    if (this.operands[operand].fixed !== undefined) return cSize(size, this.operands[operand].fixed);
    if (first !== operand) {
      const second = load(loadOp.i32_load, this.pc, U.target);
      return size === 64 ? extendU(second) : second;
    }
    return load(size === 64 ? loadOp.i64_load : loadOp.i32_load, this.pc, U.immediate);
  }

  registerNumber(operand: number): Node {
    const fixed = this.operands[operand].fixed;
    return fixed !== undefined ? c32(fixed) : this.registerByte(operand);
  }

  /** Base + (index << scale) + displacement, under the mode's default address mask. */
  private computedOffset(): Node {
    const base = load(loadOp.i64_load, load(loadOp.i32_load8_u, this.pc, U.base), S.regs);
    const index = load(loadOp.i64_load, load(loadOp.i32_load8_u, this.pc, U.index), S.regs);
    const scale = extendU(load(loadOp.i32_load8_u, this.pc, U.scale));
    const displacement = load(loadOp.i64_load32_s, this.pc, U.displacement);
    return and(add(add(base, shl(index, scale)), displacement), field(loadOp.i64_load, S.addressMask));
  }

  effectiveAddress(_operand: number): Node {
    this.traits.usesOffset = true;
    return this.computedOffset();
  }

  address(operand: number): Node & { kind: 'local' } {
    this.traits.usesAddress = true;
    // An operand of 80 bits is accessed in two parts and checked as one.
    this.traits.memoryBytes = Math.max(this.traits.memoryBytes, this.operands[operand].size >> 3);
    return this.let(this.computedOffset());
  }

  bitAddress(operand: number, _bitOffset: Node): Node & { kind: 'local' } {
    // An address micro-op before this one has added the bit offset.
    this.traits.usesBitOffset = true;
    return this.address(operand);
  }

  sourceSegment(): Node {
    return load(loadOp.i32_load8_u, this.pc, U.segment);
  }

  translateAddress(): Node & { kind: 'local' } {
    const width = this.addressSize;
    const sum = add(this.getReg(3, width), asSize(width, this.getReg(0, 8)));
    const offset = width === 64 ? sum : extendU(zeroExtend(width, sum));
    return this.linear(this.sourceSegment(), this.let(offset), 1, false);
  }

  getReg(register: number, size: Size): Node {
    const address = S.regs + register * 8;
    switch (size) {
      case 8:
        return field(loadOp.i32_load8_u, byteAddress(register));
      case 16:
        return field(loadOp.i32_load16_u, address);
      case 32:
        return field(loadOp.i32_load, address);
      case 64:
        return field(loadOp.i64_load, address);
    }
  }

  setReg(register: number, size: Size, value: Node): void {
    const address = S.regs + register * 8;
    switch (size) {
      case 8:
        this.storeField(storeOp.i32_store8, byteAddress(register), value);
        return;
      case 16:
        this.storeField(storeOp.i32_store16, address, value);
        return;
      case 32:
        this.storeField(storeOp.i64_store, address, extendU(value));
        return;
      case 64:
        this.storeField(storeOp.i64_store, address, value);
        return;
    }
  }

  private codeBase(): Node {
    return field(loadOp.i64_load, S.regs + Slot.codeBase * 8);
  }

  nextIp(): Node {
    return and(add(this.codeBase(), extendU(load(loadOp.i32_load16_u, this.pc, U.next))), c64(IP_MASK[this.ipSize()]));
  }

  instructionIp(): Node {
    return add(this.codeBase(), extendU(load(loadOp.i32_load16_u, this.pc, U.offset)));
  }

  /** Width of the instruction pointer that a jump of this operand size leaves. */
  private ipSize(): Size {
    return this.size === 8 ? 64 : this.size;
  }

  protected tlbBase(): Node {
    return field(loadOp.i32_load, S.tlb);
  }

  // ---- memory: the same, noting what kind of access it was

  override readMemory(linear: Node & { kind: 'local' }, size: MemorySize): Node & { kind: 'local' } {
    this.note(size, false);
    return super.readMemory(linear, size);
  }

  override writeMemory(linear: Node & { kind: 'local' }, size: MemorySize, value: Node): void {
    this.note(size, true);
    super.writeMemory(linear, size, value);
  }

  override beginWrite(
    linear: Node & { kind: 'local' },
    size: MemorySize,
  ): { target: WriteTarget; value: Node & { kind: 'local' } } {
    this.note(size, true);
    return super.beginWrite(linear, size);
  }

  /** The stack is not the memory operand: what is pushed says nothing about how that is accessed. */
  override push(value: Node, size: Size): void {
    const { writesMemory, memoryBytes } = this.traits;
    super.push(value, size);
    this.traits.writesMemory = writesMemory;
    this.traits.memoryBytes = memoryBytes;
  }

  override beginsWith(check: UnitCheck): void {
    if (!this.traits.checks.includes(check)) this.traits.checks.push(check);
  }

  protected override aroundSlow(access: () => void): void {
    // The device that is asked may look at the time: the instructions of the block so far are part of it.
    this.storeField(storeOp.i32_store, S.exitPc, this.pc);
    access();
  }

  private note(size: MemorySize, writes: boolean): void {
    this.traits.memoryBytes = Math.max(this.traits.memoryBytes, size >> 3);
    if (writes) this.traits.writesMemory = true;
  }

  // ---- going on and leaving

  /** Continues with the micro-op at an address (0: leaves). */
  goTo(pc: Node): void {
    this.return(pc);
  }

  /** Falls through to the micro-op behind this one. */
  goOn(): void {
    this.goTo(add(this.pc, c32(MICRO_OP_BYTES)));
  }

  leaveFault(): void {
    this.traits.mayLeave = true;
    this.storeField(storeOp.i32_store, S.exitPc, this.pc);
    this.storeField(storeOp.i32_store, S.exit, c32(Exit.fault));
    this.goTo(c32(0));
  }

  cold(): void {
    this.traits.mayLeave = true;
    this.traits.mayBeCold = true;
    this.goTo(call(this.shared.cold, this.pc));
  }

  /** Takes the block's instructions so far off the budget; the result is what is left, an i32. */
  private spend(): Node & { kind: 'local' } {
    const left = this.let(sub(field(loadOp.i32_load, S.budget), load(loadOp.i32_load8_u, this.pc, U.ordinal)));
    this.storeField(storeOp.i32_store, S.budget, left);
    return left;
  }

  jump(target: Node): void {
    this.storeField(storeOp.i64_store, S.ip, and(target, c64(IP_MASK[this.ipSize()])));
    this.spend();
    this.goTo(call(this.shared.enter));
  }

  relativeTarget(): Node {
    const target = add(this.codeBase(), load(loadOp.i64_load32_s, this.pc, U.target));
    return and(target, c64(IP_MASK[this.ipSize()]));
  }

  jumpRelative(): void {
    const left = this.spend();
    const link = this.let(load(loadOp.i32_load, this.pc, U.link));
    // One test for both rarities: the mask is 0 for a spent budget, the link is 0 while unknown.
    this.if(and(link, not(shrS(left, c32(31)))), () => this.goTo(link));
    this.goTo(call(this.shared.follow, this.pc, this.relativeTarget()));
  }

  jumpRelativeIf(condition: Node): void {
    this.if(condition, () => this.jumpRelative());
    this.goOn();
  }

  goOnAnew(): void {
    const next = add(this.codeBase(), extendU(load(loadOp.i32_load16_u, this.pc, U.next)));
    this.storeField(storeOp.i64_store, S.ip, and(next, field(loadOp.i64_load, S.addressMask)));
    this.spend();
    this.goTo(call(this.shared.enter));
  }

  timestamp(): Node & { kind: 'local' } {
    const executed = this.let(load(loadOp.i32_load8_u, this.pc, U.ordinal));
    this.storeField(storeOp.i32_store, S.budget, sub(field(loadOp.i32_load, S.budget), executed));
    const ticks = this.callResult(this.shared.timestamp);
    this.storeField(storeOp.i32_store, S.budget, add(field(loadOp.i32_load, S.budget), executed));
    return ticks;
  }

  repeat(): void {
    // As a block of its own, so that each start of the instruction counts once.
    this.spend();
    this.storeField(storeOp.i64_store, S.ip, this.instructionIp());
    this.goTo(call(this.shared.enter));
  }

  checkTarget(target: Node & { kind: 'local' }): void {
    const masked = this.let(and(target, c64(IP_MASK[this.ipSize()])));
    this.raiseIf(call(this.shared.badTarget, masked), 13, 0);
  }
}

/** Builds handlers into the dispatch loop itself: going on is a branch instead of a return. */
export class InlineMeaning extends InterpreterMeaning {
  private again: Label | undefined;

  /** Builds one handler at this place; every way out of it branches to `again`, the start of the loop. */
  inline(shape: HandlerShape, again: Label, meaning: (m: InterpreterMeaning) => void): void {
    this.again = again;
    this.become(shape);
    this.scope(() => {
      meaning(this);
      this.goOn();
    });
  }

  override goTo(pc: Node): void {
    if (!this.again) throw new Error('A handler is built outside of the dispatch loop.');
    this.set(this.pc, pc);
    this.br(this.again);
  }
}
