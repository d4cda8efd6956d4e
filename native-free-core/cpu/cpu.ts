// A vCPU: the interpreter's module, its blocks and its privileged side, made into something that runs.
// Owns the loop between WebAssembly and TypeScript: faults, interrupts, single steps, cold instructions, the budget.
// Never knows a device: interrupts, ports, MMIO and time come in through interfaces.

import { Decoder } from './decoder/decoder.ts';
import { compileTables } from './decoder/tables.ts';
import { encodings } from './instructions/table.ts';
import { BlockCache } from './interpreter/blocks.ts';
import { U } from './interpreter/micro-op.ts';
import {
  buildInterpreter,
  type InterpreterExports,
  type InterpreterImports,
  type InterpreterModule,
} from './interpreter/module.ts';
import { Exit, Flag, S, Slot, Vector } from './state.ts';
import { coldInstructions } from './system/cold.ts';
import { SystemCpu } from './system/core.ts';
import { GuestFault } from './system/fault.ts';
import type { CpuHooks, PortBus } from './system/hooks.ts';
import { deliverFault, deliverInterrupt } from './system/interrupts.ts';
import type { MmioBus } from './system/physical.ts';

/** Where the vCPU's interrupts come from. */
export interface InterruptSource {
  /** Whether a maskable interrupt waits. Cheap: asked often. */
  pending(): boolean;
  /** Takes the waiting interrupt and gives its vector. */
  acknowledge(): number;
  /** Whether an NMI waits; taking it clears it. */
  takeNmi(): boolean;
}

/** Why {@link Cpu.run} came back. */
export const RunEnd = {
  /** The instructions asked for have been executed (a block more or less), or a kick asked for attention. */
  budget: 0,
  /** HLT: nothing to do until an interrupt. */
  halted: 1,
  /** Triple fault: shutdown. */
  shutdown: 2,
} as const;
export type RunEnd = (typeof RunEnd)[keyof typeof RunEnd];

/** Where the vCPU's hypervisor work is counted and timed. */
export interface WorkMeter {
  exit(
    reason: 'interrupt' | 'exception' | 'hlt' | 'cpuid' | 'msr' | 'controlRegister' | 'descriptorTable' | 'hypercall',
  ): void;
  measure<T>(part: 'exits' | 'paging' | 'translation', act: () => T): T;
}

let shared: { module: WebAssembly.Module; interpreter: InterpreterModule; decoder: Decoder } | undefined;

/** The interpreter, built once a thread. */
function interpreter(): { module: WebAssembly.Module; interpreter: InterpreterModule; decoder: Decoder } {
  if (!shared) {
    const built = buildInterpreter(65536);
    shared = {
      module: new WebAssembly.Module(built.bytes),
      interpreter: built,
      decoder: new Decoder(compileTables(encodings)),
    };
  }
  return shared;
}

export class Cpu {
  readonly system: SystemCpu;
  readonly blocks: BlockCache;
  /** Instructions executed since power-on. */
  instructions = 0;
  halted = false;

  private readonly exports: InterpreterExports;
  private readonly interrupts: InterruptSource;
  private readonly meter: WorkMeter;
  private readonly u32: Uint32Array;
  private readonly i32: Int32Array;
  /** Budget put aside by {@link kick}. */
  private held = 0;

  constructor(
    memory: WebAssembly.Memory,
    ramBytes: number,
    bus: PortBus & MmioBus,
    interrupts: InterruptSource,
    meter: WorkMeter,
    hooks: Partial<CpuHooks> = {},
  ) {
    const { module, interpreter: built, decoder } = interpreter();
    this.system = new SystemCpu(memory, ramBytes, bus, {
      ...hooks,
      arithmeticFlags: () => this.exports.flags_all(),
      onCodeWrite: (physical, bytes) => this.blocks.invalidate(physical, bytes),
    });
    this.u32 = this.system.u32;
    this.i32 = new Int32Array(memory.buffer, 0, this.u32.length);
    this.interrupts = interrupts;
    this.meter = meter;
    this.blocks = new BlockCache(this.system, built.handlers, decoder);
    const imports: InterpreterImports = {
      slowRead: (bytes) => this.meter.measure('paging', () => this.system.mmu.slowRead(bytes)),
      slowReadForWrite: (bytes) => this.meter.measure('paging', () => this.system.mmu.slowReadForWrite(bytes)),
      slowWrite: (bytes) => this.meter.measure('paging', () => this.system.mmu.slowWrite(bytes)),
      segmentSlow: (segment, access) => this.system.segmentSlow(segment, access),
      findBlock: () => this.meter.measure('translation', () => this.blocks.find()),
      cold: (pc) => this.cold(pc),
    };
    const instance = new WebAssembly.Instance(module, { env: { memory, ...imports } });
    this.exports = instance.exports as unknown as InterpreterExports;
  }

  /** Power-on state, with nothing decoded. */
  reset(): void {
    this.system.reset();
    this.blocks.flush();
    this.halted = false;
  }

  /** Makes {@link run} come back soon: an interrupt or a command waits. */
  kick(): void {
    const budget = this.i32[S.budget >>> 2];
    if (budget > 0) {
      this.held += budget;
      this.i32[S.budget >>> 2] = 0;
    }
  }

  /** Executes about `instructions` guest instructions, fewer when something comes up. */
  run(instructions: number): RunEnd {
    const { i32 } = this;
    let left = instructions;
    while (left > 0) {
      if (this.takeInterrupt()) {
        if (this.system.shutdown) return RunEnd.shutdown;
      }
      if (this.halted) return RunEnd.halted;
      const stepping = this.mustStep();
      this.held = 0;
      i32[S.budget >>> 2] = stepping ? 0 : left;
      this.stepping = stepping;
      if (stepping) this.step();
      else this.exports.run();
      const spent = (stepping ? 0 : left) - (i32[S.budget >>> 2] + this.held);
      this.held = 0;
      this.instructions += spent;
      left -= spent;
      if (i32[S.exit >>> 2] === Exit.fault) this.fault();
      else if (i32[S.exit >>> 2] === Exit.stale) this.returnToMicroOp();
      if (this.system.shutdown) return RunEnd.shutdown;
      if (this.kicked) {
        this.kicked = false;
        return RunEnd.budget;
      }
    }
    return RunEnd.budget;
  }

  private kicked = false;
  private stepping = false;

  /** Asks {@link run} to come back to its caller at the next opportunity. */
  leave(): void {
    this.kicked = true;
    this.kick();
  }

  /** Instructions executed so far, also while executing: what deterministic time is made of. */
  get executed(): number {
    return this.instructions + (this.running ? this.burst - (this.i32[S.budget >>> 2] + this.held) : 0);
  }

  private get flags(): number {
    return this.u32[S.eflags >>> 2];
  }

  /** Delivers a waiting interrupt if the vCPU takes one now. */
  private takeInterrupt(): boolean {
    const { u32, interrupts } = this;
    if (u32[S.interruptShadow >>> 2] !== 0) return false;
    if (interrupts.takeNmi()) {
      this.halted = false;
      deliverInterrupt(this.system, Vector.nonMaskable);
      return true;
    }
    if ((this.flags & Flag.if) === 0 || !interrupts.pending()) return false;
    this.halted = false;
    this.meter.exit('interrupt');
    this.meter.measure('exits', () => deliverInterrupt(this.system, interrupts.acknowledge()));
    return true;
  }

  private mustStep(): boolean {
    return (this.flags & Flag.tf) !== 0 || this.u32[S.interruptShadow >>> 2] !== 0 || this.system.codeBreakpoints;
  }

  /** Executes one instruction, with what single steps and breakpoints add before and after it. */
  private step(): void {
    const { system, u32 } = this;
    const shadow = u32[S.interruptShadow >>> 2];
    if (system.beforeInstruction()) {
      u32[S.exit >>> 2] = Exit.done;
      return;
    }
    const trap = (this.flags & Flag.tf) !== 0;
    this.singleStep();
    if (shadow !== 0 && u32[S.interruptShadow >>> 2] === shadow) u32[S.interruptShadow >>> 2] = 0;
    if (u32[S.exit >>> 2] !== Exit.fault && u32[S.exit >>> 2] !== Exit.stale) system.afterInstruction(trap);
  }

  private singleStep(): void {
    const pc = this.blocks.single();
    if (pc === 0) return;
    this.exports.run_from(pc);
  }

  /** S.ip becomes the instruction pointer of the micro-op at which execution left. */
  private returnToMicroOp(): void {
    const { u32, system } = this;
    const pc = u32[S.exitPc >>> 2];
    if (pc === 0) return;
    const offset = system.u16[(pc + U.offset) >>> 1];
    const ordinal = system.u8[pc + U.ordinal];
    system.ip = (system.get64(S.regs + Slot.codeBase * 8) + BigInt(offset)) & system.ipMask;
    // The instructions of the block before this one were executed, and only now are counted.
    const done = Math.max(0, ordinal - 1);
    this.instructions += done;
  }

  private fault(): void {
    this.returnToMicroOp();
    const { u32, i32 } = this;
    u32[S.faulted >>> 2] = 0;
    this.meter.exit('exception');
    this.meter.measure('exits', () =>
      deliverFault(this.system, new GuestFault(u32[S.faultVector >>> 2], i32[S.faultCode >>> 2])),
    );
  }

  /** Carries out the instruction of a cold micro-op. 1: go on at S.ip. 0: leave. */
  private cold(pc: number): number {
    const { system, u32 } = this;
    const instruction = this.blocks.coldInstructions[u32[(pc + U.immediate) >>> 2]];
    const offset = system.u16[(pc + U.offset) >>> 1];
    const base = system.get64(S.regs + Slot.codeBase * 8);
    system.ip = (base + BigInt(offset)) & system.ipMask;
    system.nextIp = (base + BigInt(offset + instruction.length)) & system.ipMask;
    u32[S.exit >>> 2] = Exit.done;
    try {
      this.meter.measure('exits', () => coldInstructions(system, instruction));
    } catch (error) {
      if (!(error instanceof GuestFault)) throw error;
      this.meter.exit('exception');
      deliverFault(system, error);
      return 0;
    }
    return this.stepping || this.mustLeave() ? 0 : 1;
  }

  /** Something has to happen before the next instruction that WebAssembly cannot do. */
  private mustLeave(): boolean {
    if (this.halted || this.kicked || this.system.shutdown || this.mustStep()) return true;
    return (this.flags & Flag.if) !== 0 && this.interrupts.pending();
  }
}
