// Builds one WebAssembly function: locals, statements, structured control flow.
// Owns the body's bytes and the depth of its labels.
// Never knows x86: meanings sit above, the binary encoding below.

import { ByteWriter } from '../../wasm/bytes.ts';
import type { BranchHint, FunctionBody, FunctionReference } from '../../wasm/module.ts';
import { Code, type StoreOperation, ValueType } from '../../wasm/opcodes.ts';
import { c32, type Node } from './nodes.ts';

const VOID = 0x40;
const { i32, i64, f32, f64 } = ValueType;
/** Their codes follow each other downwards from i32's. */
const VALUE_TYPES = Object.values(ValueType);

/** A block that can be branched to: forward to its end, or back to the start of a loop. */
export interface Label {
  readonly depth: number;
}

export class FunctionBuilder {
  private code: ByteWriter;
  private readonly locals: ValueType[] = [];
  private readonly parameterCount: number;
  /** Released locals by type: each has its list, at the distance of the type's code from the highest. */
  private free: number[][] = VALUE_TYPES.map(() => []);
  private depth = 0;
  /** Where the last local.set begins and ends, and of which local it is; the end is -1 where nothing may become of it. */
  private lastSet = -1;
  private lastSetEnd = -1;
  private lastSetLocal = -1;
  private readonly hints: BranchHint[] = [];
  private readonly gaps: { readonly at: number; readonly build: () => void }[] = [];

  /** `code` is where the body goes: a writer of the caller's, where functions are built often. */
  constructor(parameters: readonly ValueType[] = [], code: ByteWriter = new ByteWriter(256)) {
    this.code = code;
    this.parameterCount = parameters.length;
  }

  /** Leaves a place for code that is known only at the function's end, when {@link prologue} builds it. It holds no label. */
  gap(build: () => void): void {
    this.lastSetEnd = -1;
    this.gaps.push({ at: this.code.length, build });
  }

  /**
   * Puts code in front of everything so far: what a function needs at its start is known only at its end. So are the gaps,
   * which are filled.
   */
  prologue(build: () => void, into: ByteWriter = new ByteWriter(256)): void {
    const body = this.code;
    this.lastSetEnd = -1;
    const moved = this.hints.splice(0);
    const gaps = this.gaps.splice(0);
    this.code = into;
    build();
    let from = 0;
    let hint = 0;
    const copy = (to: number): void => {
      const shift = this.code.length - from;
      for (; hint < moved.length && moved[hint].at < to; hint++)
        this.hints.push({ at: moved[hint].at + shift, likely: moved[hint].likely });
      this.code.appendPart(body, from, to);
      from = to;
    };
    // What is free at the end may be in use at a gap.
    const { free } = this;
    this.free = VALUE_TYPES.map(() => []);
    for (const gap of gaps) {
      copy(gap.at);
      this.scope(gap.build);
    }
    this.free = free;
    copy(body.length);
  }

  /** Bytes of code so far. */
  get byteLength(): number {
    return this.code.length;
  }

  finish(): FunctionBody {
    if (this.depth !== 0) throw new Error(`A function ends with ${this.depth} open blocks.`);
    return { locals: this.locals, code: this.code, hints: this.hints };
  }

  // ---- locals

  /** A fresh (or released) local; its content is whatever it was. */
  local(type: ValueType): Node & { kind: 'local' } {
    const released = this.free[i32 - type].pop();
    if (released !== undefined) return { kind: 'local', type, index: released };
    this.locals.push(type);
    return { kind: 'local', type, index: this.parameterCount + this.locals.length - 1 };
  }

  /** Gives a local back for reuse. Its node must not be used any more. */
  release(local: Node & { kind: 'local' }): void {
    this.free[i32 - local.type].push(local.index);
  }

  /** Runs `body`; the locals it took are free again afterwards, whether it released them or not. */
  scope(body: () => void): void {
    const { free } = this;
    this.free = free.map((list) => list.slice());
    const count = this.locals.length;
    body();
    this.free = free;
    for (let i = count; i < this.locals.length; i++) free[i32 - this.locals[i]].push(this.parameterCount + i);
  }

  parameter(index: number, type: ValueType): Node & { kind: 'local' } {
    return { kind: 'local', type, index };
  }

  set(local: Node & { kind: 'local' }, value: Node): void {
    if (value.type !== local.type) throw new Error(`A local of type ${local.type} is set to a value of ${value.type}.`);
    this.emit(value);
    this.lastSet = this.code.length;
    this.opcode(Code.localSet);
    this.code.unsigned(local.index);
    this.lastSetEnd = this.code.length;
    this.lastSetLocal = local.index;
  }

  /** Evaluates now and keeps the value: for what is used twice or must be read before something changes. */
  let(value: Node): Node & { kind: 'local' } {
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  // ---- statements

  store(operation: StoreOperation, address: Node, value: Node, offset = 0): void {
    this.emit(address);
    this.emit(value);
    this.opcode(operation.code);
    this.memarg(offset);
  }

  /** Stores to a fixed address, such as a field of the CPU state. */
  storeField(operation: StoreOperation, address: number, value: Node): void {
    this.store(operation, c32(0), value, address);
  }

  /** Calls for effect; a result is dropped. */
  call(target: FunctionReference, ...args: Node[]): void {
    for (const argument of args) this.emit(argument);
    this.opcode(Code.call);
    this.code.unsigned(target.index);
    if (target.result !== undefined) this.opcode(Code.drop);
  }

  /** Calls now and keeps the result. */
  callResult(target: FunctionReference, ...args: Node[]): Node & { kind: 'local' } {
    return this.let(call(target, ...args));
  }

  callIndirect(typeIndex: number, target: Node, args: readonly Node[], result: ValueType): Node & { kind: 'local' } {
    for (const argument of args) this.emit(argument);
    this.emit(target);
    this.opcode(Code.callIndirect);
    this.code.unsigned(typeIndex);
    this.code.unsigned(0);
    const local = this.local(result);
    this.opcode(Code.localSet);
    this.code.unsigned(local.index);
    return local;
  }

  /** Leaves the function by a tail call. */
  returnCall(target: FunctionReference, ...args: Node[]): void {
    for (const argument of args) this.emit(argument);
    this.opcode(Code.returnCall);
    this.code.unsigned(target.index);
  }

  /** Leaves the function by a tail call through the table. */
  returnCallIndirect(typeIndex: number, target: Node): void {
    this.emit(target);
    this.opcode(Code.returnCallIndirect);
    this.code.unsigned(typeIndex);
    this.code.unsigned(0);
  }

  return(value?: Node): void {
    if (value) this.emit(value);
    this.opcode(Code.return);
  }

  unreachable(): void {
    this.opcode(Code.unreachable);
  }

  memoryCopy(to: Node, from: Node, bytes: Node): void {
    this.emit(to);
    this.emit(from);
    this.emit(bytes);
    this.opcode(Code.memoryCopy);
    this.code.byte(0);
    this.code.byte(0);
  }

  memoryFill(to: Node, value: Node, bytes: Node): void {
    this.emit(to);
    this.emit(value);
    this.emit(bytes);
    this.opcode(Code.memoryFill);
    this.code.byte(0);
  }

  // ---- control flow

  /** `likely` tells the engine which side to keep out of the way: true, the else side; false, this one. */
  if(condition: Node, yes: () => void, no?: () => void, likely?: boolean): void {
    if (condition.kind === 'const') {
      // A condition known now leaves only the side that runs, still in a block so that depths agree.
      const taken = condition.value !== 0 ? yes : no;
      if (taken) this.block(taken);
      return;
    }
    this.emit(condition);
    if (likely !== undefined) this.hints.push({ at: this.code.length, likely });
    this.open(Code.if);
    yes();
    if (no) {
      this.opcode(Code.else);
      no();
    }
    this.close();
  }

  /** An if that yields a value: each side ends with an expression. */
  ifValue(type: ValueType, condition: Node, yes: () => Node, no: () => Node): Node & { kind: 'local' } {
    const result = this.local(type);
    this.if(
      condition,
      () => this.set(result, yes()),
      () => this.set(result, no()),
    );
    return result;
  }

  /** A block; branching to its label leaves it. */
  block(body: (label: Label) => void): void {
    const label = this.open(Code.block);
    body(label);
    this.close();
  }

  /** A loop; branching to its label starts it over, falling through leaves it. */
  loop(body: (label: Label) => void): void {
    const label = this.open(Code.loop);
    body(label);
    this.close();
  }

  open(code: typeof Code.block | typeof Code.loop | typeof Code.if): Label {
    this.opcode(code);
    this.code.byte(VOID);
    this.depth++;
    return { depth: this.depth };
  }

  close(): void {
    this.opcode(Code.end);
    this.depth--;
  }

  br(label: Label): void {
    this.opcode(Code.br);
    this.code.unsigned(this.depth - label.depth);
  }

  /** `likely`: whether it mostly branches. */
  brIf(label: Label, condition: Node, likely?: boolean): void {
    this.emit(condition);
    if (likely !== undefined) this.hints.push({ at: this.code.length, likely });
    this.opcode(Code.brIf);
    this.code.unsigned(this.depth - label.depth);
  }

  brTable(index: Node, labels: readonly Label[], otherwise: Label): void {
    this.emit(index);
    this.opcode(Code.brTable);
    this.code.unsigned(labels.length);
    for (const label of labels) this.code.unsigned(this.depth - label.depth);
    this.code.unsigned(this.depth - otherwise.depth);
  }

  // ---- expressions

  /** Evaluates for effect only. */
  drop(node: Node): void {
    this.emit(node);
    this.opcode(Code.drop);
  }

  /** Writes an expression's code: its value is then on WebAssembly's stack. */
  emit(node: Node): void {
    switch (node.kind) {
      case 'const':
        this.constant(node.type, node.value);
        return;
      case 'v128':
        this.opcode(Code.v128Const);
        this.code.bytes(node.bytes);
        return;
      case 'local':
        if (this.code.length === this.lastSetEnd && node.index === this.lastSetLocal) {
          // Set and looked at: one instruction does both.
          this.code.replace(this.lastSet, Code.localTee);
          this.lastSetEnd = -1;
          return;
        }
        this.opcode(Code.localGet);
        this.code.unsigned(node.index);
        return;
      case 'op':
        for (const argument of node.args) this.emit(argument);
        this.opcode(node.op.code);
        return;
      case 'lane':
        for (const argument of node.args) this.emit(argument);
        this.opcode(node.op.code);
        this.code.byte(node.lane);
        return;
      case 'shuffle':
        for (const argument of node.args) this.emit(argument);
        this.opcode(Code.i8x16Shuffle);
        for (const index of node.lanes) this.code.byte(index);
        return;
      case 'load':
        this.emit(node.address);
        this.opcode(node.op.code);
        this.memarg(node.offset);
        return;
      case 'select':
        for (const argument of node.args) this.emit(argument);
        this.opcode(Code.select);
        return;
      case 'call':
        for (const argument of node.args) this.emit(argument);
        this.opcode(Code.call);
        this.code.unsigned(node.index);
        return;
    }
  }

  private constant(type: ValueType, value: number | bigint): void {
    if (type === i32) {
      this.opcode(Code.i32Const);
      this.code.signed32(value as number);
    } else if (type === i64) {
      this.opcode(Code.i64Const);
      if (typeof value === 'number') this.code.signed32(value);
      else this.code.signed64(value);
    } else if (type === f64) {
      this.opcode(Code.f64Const);
      this.code.float64(Number(value));
    } else if (type === f32) {
      this.opcode(Code.f32Const);
      this.code.float32(Number(value));
    } else {
      throw new Error(`No scalar constant of type ${type}.`);
    }
  }

  private opcode(code: number): void {
    if (code > 0xff) {
      this.code.byte(code >>> 8);
      this.code.unsigned(code & 0xff);
    } else {
      this.code.byte(code);
    }
  }

  /** Alignment is only a hint; guests access memory at any address, so the hint is always 1. */
  private memarg(offset: number): void {
    this.code.byte(0);
    this.code.unsigned(offset);
  }
}

/** A call as an expression. It has effects: let it, or make sure it is emitted exactly once and in order. */
export function call(target: FunctionReference, ...args: Node[]): Node {
  if (target.result === undefined) throw new Error(`${target.name} has no result.`);
  return { kind: 'call', type: target.result, index: target.index, args };
}
