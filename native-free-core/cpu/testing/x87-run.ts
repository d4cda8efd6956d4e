// Runs single x87 and MMX handlers of the interpreter on a given state, without a machine around them.
// Owns the memory, a TLB that maps one page, and the exchange of states.
// Never decodes: the caller names the encoding.

import { memoryPages, RAM_BASE, TLB_BASE, TLB_ENTRIES, TLB_TABLES, TlbKind } from '../../memory/layout.ts';
import type { Encoding } from '../instructions/row.ts';
import { variantIndex } from '../interpreter/handler-numbers.ts';
import { U } from '../interpreter/micro-op.ts';
import { buildInterpreter } from '../interpreter/module.ts';
import { Flag, S, Slot } from '../state.ts';
import { instantiateIsolated } from './isolated.ts';
import type { X87State } from './x87-cases.ts';

/** Linear address of the memory operand, and where it is in the memory. */
const OPERAND_LINEAR = 0x5000n;
export const OPERAND_HOST = RAM_BASE + 0x1000;
const MICRO_OP = 0x200000;
const PAGES = memoryPages(1 << 20);

export class X87Runner {
  readonly memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
  readonly view = new DataView(this.memory.buffer);
  private readonly table: WebAssembly.Table;
  private readonly flags: () => number;
  /** Set when a handler has left its instruction to TypeScript; the handler's caller clears it. */
  wentCold = false;
  private readonly handlers: ReturnType<typeof buildInterpreter>['handlers'];

  constructor() {
    const { bytes, handlers } = buildInterpreter(PAGES);
    this.handlers = handlers;
    const instance = instantiateIsolated(bytes, this.memory, {
      cold: () => {
        this.wentCold = true;
        return 0;
      },
    });
    this.table = instance.exports.table;
    this.flags = instance.exports.flags_all;
    const { view } = this;
    for (let entry = 0; entry < TLB_TABLES * TLB_ENTRIES; entry++) {
      view.setBigUint64(TLB_BASE + entry * 16, 1n, true);
    }
    for (const kind of [TlbKind.read, TlbKind.write]) {
      const entry = TLB_BASE + kind + Number(OPERAND_LINEAR >> 12n) * 16;
      view.setBigUint64(entry, OPERAND_LINEAR, true);
      view.setInt32(entry + 8, OPERAND_HOST - Number(OPERAND_LINEAR), true);
    }
    view.setInt32(S.tlb, TLB_BASE, true);
    view.setBigInt64(S.addressMask, -1n, true);
  }

  /** Handler number of an encoding; size in bits. */
  handlerOf(encoding: Encoding, memory: boolean, size = 32): number {
    const number = this.handlers.of(encoding)[variantIndex(size, memory, true, 64, 0)];
    if (number < 0) throw new Error(`No handler for ${encoding.text}.`);
    return number;
  }

  write(state: X87State): void {
    const { view } = this;
    const top = (state.fsw >> 11) & 7;
    view.setInt32(S.fcw, state.fcw, true);
    view.setInt32(S.fsw, state.fsw & ~0x3800, true);
    view.setInt32(S.ftop, top, true);
    view.setInt32(S.ftw, state.ftw, true);
    view.setInt32(S.fpuTrap, 0, true);
    view.setInt32(S.ccOp, 0, true);
    view.setBigInt64(S.ccA, BigInt(state.eflags & 0x8d5), true);
    for (let i = 0; i < 8; i++) {
      const at = S.fpu + ((top + i) & 7) * 16;
      view.setBigUint64(at, state.significand[i], true);
      view.setInt32(at + 8, state.signExponent[i], true);
    }
    new Uint8Array(this.memory.buffer).set(state.memory, OPERAND_HOST);
    view.setBigInt64(S.regs, BigInt(state.ax), true);
  }

  read(): X87State {
    const { view } = this;
    const top = view.getInt32(S.ftop, true);
    const registers = Array.from({ length: 8 }, (_, i) => S.fpu + ((top + i) & 7) * 16);
    return {
      fcw: view.getInt32(S.fcw, true),
      fsw: view.getInt32(S.fsw, true) | (top << 11),
      ftw: view.getInt32(S.ftw, true),
      eflags: 2 | (this.flags() & (Flag.cf | Flag.pf | Flag.af | Flag.zf | Flag.sf | Flag.of)),
      significand: registers.map((at) => view.getBigUint64(at, true)),
      signExponent: registers.map((at) => view.getInt32(at + 8, true)),
      memory: new Uint8Array(this.memory.buffer).slice(OPERAND_HOST, OPERAND_HOST + 16),
      ax: view.getUint16(S.regs, true),
    };
  }

  /** Runs a handler on the state that was written. `registers` are those of its operands. Throws if it faults. */
  run(handler: number, registers: readonly number[] = []): void {
    const vector = this.attempt(handler, registers);
    if (this.wentCold) throw new Error('The handler went to TypeScript.');
    if (vector !== undefined) throw new Error(`The handler faulted with vector ${vector}.`);
  }

  /** The same; gives the vector of the exception that it raised, if any (without a meaning where it went to TypeScript). */
  attempt(handler: number, registers: readonly number[] = []): number | undefined {
    const { view } = this;
    for (let i = 0; i < 3; i++) view.setUint8(MICRO_OP + U.registers + i, registers[i] ?? 0);
    view.setUint8(MICRO_OP + U.base, Slot.zero * 8);
    view.setUint8(MICRO_OP + U.index, Slot.zero * 8);
    view.setInt32(MICRO_OP + U.displacement, Number(OPERAND_LINEAR), true);
    const next = this.table.get(handler)(MICRO_OP);
    return next === MICRO_OP + 32 ? undefined : view.getInt32(S.faultVector, true);
  }
}
