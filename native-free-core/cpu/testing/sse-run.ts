// Runs single SSE handlers of the interpreter on a given state, without a machine around them.
// Owns the memory, a TLB that maps one page, and the exchange of states.
// Never decodes: the caller names the encoding and its form.

import { memoryPages, RAM_BASE, TLB_BASE, TLB_ENTRIES, TLB_TABLES, TlbKind } from '../../memory/layout.ts';
import { decodeEntry } from '../decoder/tables.ts';
import type { Encoding } from '../instructions/row.ts';
import { variantIndex } from '../interpreter/handler-numbers.ts';
import { MICRO_OP_BYTES, U } from '../interpreter/micro-op.ts';
import { buildInterpreter } from '../interpreter/module.ts';
import { updateSseSlow, updateSseTrap } from '../semantics/sse-control.ts';
import { Reg, S, Slot, xmmAddress } from '../state.ts';
import { instantiateIsolated } from './isolated.ts';
import type { SseCase, SseForm, SseState } from './sse-cases.ts';

/** Linear address of the memory operand, and where it is in the memory. */
const OPERAND_LINEAR = 0x7000001000n;
const OPERAND_HOST = RAM_BASE;
const MICRO_OP = 0x200000;
const GENERAL = [Reg.rax, Reg.rcx, Reg.rdx];
const CR4_OSFXSR_OSXMMEXCPT = 0x600;

/** Vector of the exception raised, or 0; the state is what the instruction left. */
export interface SseResult {
  readonly vector: number;
  readonly state: SseState;
}

export class SseRunner {
  readonly pages = memoryPages(0x10000);
  readonly memory: WebAssembly.Memory;
  readonly view: DataView;
  private readonly bytes: Uint8Array;
  private readonly table: WebAssembly.Table;
  private readonly flags: () => number;
  private readonly handlers: ReturnType<typeof buildInterpreter>['handlers'];

  constructor() {
    const { pages } = this;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    const { bytes, handlers } = buildInterpreter(pages);
    this.handlers = handlers;
    const instance = instantiateIsolated(bytes, this.memory);
    this.table = instance.exports.table;
    this.flags = instance.exports.flags_all;
    const { view } = this;
    for (let entry = 0; entry < TLB_TABLES * TLB_ENTRIES; entry++) view.setBigUint64(TLB_BASE + entry * 16, 1n, true);
    for (const kind of [TlbKind.read, TlbKind.write]) {
      const entry = TLB_BASE + kind + Number((OPERAND_LINEAR >> 12n) & BigInt(TLB_ENTRIES - 1)) * 16;
      view.setBigUint64(entry, OPERAND_LINEAR, true);
      view.setInt32(entry + 8, Number(BigInt.asIntN(32, BigInt(OPERAND_HOST) - OPERAND_LINEAR)), true);
    }
    view.setInt32(S.tlb, TLB_BASE, true);
    view.setBigInt64(S.addressMask, -1n, true);
    this.control(1, CR4_OSFXSR_OSXMMEXCPT);
  }

  /** Sets CR0 and CR4 as far as SSE looks at them. */
  control(cr0: number, cr4: number): void {
    this.view.setBigInt64(S.cr0, BigInt(cr0), true);
    this.view.setBigInt64(S.cr4, BigInt(cr4), true);
    updateSseTrap(this.view);
  }

  private write(state: SseState): void {
    const { view } = this;
    view.setInt32(S.mxcsr, state.mxcsr, true);
    updateSseSlow(view);
    state.general.forEach((value, i) => {
      view.setBigUint64(S.regs + GENERAL[i] * 8, value, true);
    });
    view.setBigUint64(S.regs + Reg.rdi * 8, OPERAND_LINEAR, true);
    view.setInt32(S.ccOp, 0, true);
    view.setBigInt64(S.ccA, BigInt(state.flags), true);
    this.bytes.set(state.vectors, xmmAddress(0));
    state.mmx.forEach((value, i) => {
      view.setBigUint64(S.fpu + i * 16, value, true);
      view.setInt32(S.fpu + i * 16 + 8, 0xffff, true);
    });
    this.bytes.set(state.memory, OPERAND_HOST);
  }

  private read(): SseState {
    const { view } = this;
    return {
      mxcsr: view.getUint32(S.mxcsr, true),
      general: GENERAL.map((register) => view.getBigUint64(S.regs + register * 8, true)),
      flags: this.flags() & 0x8d5,
      vectors: this.bytes.slice(xmmAddress(0), xmmAddress(3)),
      mmx: [0, 1, 2].map((i) => view.getBigUint64(S.fpu + i * 16, true)),
      memory: this.bytes.slice(OPERAND_HOST, OPERAND_HOST + 32),
    };
  }

  private handlerOf(encoding: Encoding, form: SseForm): (pc: number) => number {
    const rule = decodeEntry(encoding).sizeRule;
    const size = typeof rule === 'number' ? rule : form.size;
    const number = this.handlers.of(encoding)[variantIndex(size, form.memory, true, 64, 0)];
    if (number < 0) throw new Error(`No handler for ${encoding.text}.`);
    return this.table.get(number);
  }

  /**
   * Runs one case. Register operands are XMM1 or MM1 and RAX where ModRM's reg field names them, XMM2 or MM2 and RCX
   * where its rm field does. `misalign` moves the memory operand off its alignment, in bytes;
   * `handler` stands in for the interpreter's own.
   */
  run(
    encoding: Encoding,
    form: SseForm,
    { state, immediate }: SseCase,
    misalign = 0,
    handler = this.handlerOf(encoding, form),
  ): SseResult {
    const { view } = this;
    this.write(state);
    this.bytes.fill(0, MICRO_OP, MICRO_OP + MICRO_OP_BYTES);
    encoding.operands.forEach(({ where }, i) => {
      const register = 'VP'.includes(where) ? 1 : 'WQUN'.includes(where) ? 2 : 'ER'.includes(where) ? Reg.rcx * 8 : 0;
      view.setUint8(MICRO_OP + U.registers + i, register);
    });
    view.setUint8(MICRO_OP + U.base, Slot.address * 8);
    view.setUint8(MICRO_OP + U.index, Slot.zero * 8);
    view.setBigInt64(S.regs + Slot.address * 8, OPERAND_LINEAR + BigInt(misalign), true);
    view.setBigInt64(MICRO_OP + U.immediate, BigInt((immediate << 24) >> 24), true);
    const next = handler(MICRO_OP);
    return { vector: next === 0 ? view.getInt32(S.faultVector, true) : 0, state: this.read() };
  }
}
