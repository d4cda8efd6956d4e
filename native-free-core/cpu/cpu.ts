// The processor engine, one vCPU's turn at a time: interpreter, blocks and privileged side, made into something that runs.
// Owns the loop between WebAssembly and TypeScript: faults, interrupts, single steps, cold instructions, the budget.
// Never knows a device: interrupts, ports, MMIO and time come in through interfaces.

import type { TranslationTime } from '../hypervisor/guest.ts';
import { SAVED_STATE, STATE_BASE } from '../memory/layout.ts';
import { BlockCache } from './interpreter/blocks.ts';
import { builtInterpreter, interpreterModule } from './interpreter/built.ts';
import { U } from './interpreter/micro-op.ts';
import { BY_INTERPRETER, type InterpreterExports, type InterpreterImports } from './interpreter/module.ts';
import { Exit, Flag, S, Seg, Slot, VCPU_STATE_BYTES, Vector } from './state.ts';
import { SystemCpu } from './system/core.ts';
import { afterInstruction, codeBreakpoint, stepping } from './system/debug.ts';
import { executeCold } from './system/dispatch.ts';
import type { CpuHooks, PortBus } from './system/hooks.ts';
import { deliverException, deliverInterrupt, deliverNmi } from './system/interrupts.ts';
import type { MmioBus } from './system/physical.ts';
import { segmentLinear } from './system/segments.ts';
import { OwnThread } from './translator/own-thread.ts';
import type { TranslationThread } from './translator/translation.ts';
import { Translator } from './translator/translator.ts';

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
    times?: number,
  ): void;
  measure<T>(part: 'exits' | 'paging' | 'translation', act: () => T): T;
  /** Does what is rare and takes long: unlike what is measured, each is timed. */
  time<T>(part: 'translation', act: () => T): T;
  /** Executes translations until the interpreter's loop has its turn again, and times them. */
  timeTranslated<T>(act: () => T): T;
}

/** Exits by the row of the instruction that made them. Port I/O and MMIO are counted where the bus is. */
const exitReasons = new Map<string, Parameters<WorkMeter['exit']>[0]>([
  ['CPUID', 'cpuid'],
  ['HLT', 'hlt'],
  ['RDMSR', 'msr'],
  ['WRMSR', 'msr'],
  ['VMCALL', 'hypercall'],
  ['VMMCALL', 'hypercall'],
  ...['MOV_TO_CR', 'MOV_TO_DR', 'CLTS', 'LMSW'].map((name) => [name, 'controlRegister'] as const),
  ...['LGDT', 'LIDT', 'LLDT', 'LTR'].map((name) => [name, 'descriptorTable'] as const),
]);

/** INTO is one only if it is taken: TF tells. */
const softwareInterrupts: ReadonlySet<string> = new Set(['INT', 'INT1', 'INT3', 'INTO']);

/** Numbers of links after which link keys could repeat, with room for those of one burst. */
const LINK_KEY_EPOCH = 2 ** 26;

/** The loop's way through translations is timed once in so many times; a prime, to fall in step with no guest's loop. */
const TIMED_EVERY = 127;

export interface TranslationOptions {
  /** Entries of a block after which its region is translated; 0: never, 1: at once. */
  readonly hotness: number;
  /** Where blocks are translated at once: without code that has not been executed. Systems have too much of that. */
  readonly onlyExecuted?: boolean;
  /** Who translates, where that is another thread. What the guest sees is then no longer the same in every run. */
  readonly background?: TranslationThread;
}

export const TRANSLATION_DEFAULTS: TranslationOptions = { hotness: 2000 };

/** The options that a guest's configuration names. */
export function translationOptions(when: TranslationTime, background?: TranslationThread): TranslationOptions {
  if (when !== 'hot') return { hotness: when === 'eager' ? 1 : 0, onlyExecuted: true };
  return background ? { ...TRANSLATION_DEFAULTS, background } : TRANSLATION_DEFAULTS;
}

export class Cpu {
  readonly system: SystemCpu;
  readonly blocks: BlockCache;
  readonly translator: Translator;
  /** Instructions executed since power-on, as far as {@link run} has accounted for them. */
  instructions = 0;
  /** Of {@link translatedInstructions}, those whose execution was timed. */
  timedInstructions = 0;

  private readonly exports: InterpreterExports;
  /** Where its interrupts come from. */
  readonly interrupts: InterruptSource;
  private readonly meter: WorkMeter;
  private readonly u32: Uint32Array;
  private readonly i32: Int32Array;
  /** Budget of the burst under way, and the part of it put aside by {@link kick}. */
  private burst = 0;
  private held = 0;
  private running = false;
  private singleStepping = false;
  private leaving = false;
  private linkEpoch = 0;
  /** Number of the vCPU whose state is the present one. */
  private vcpu = 0;
  private deliveries = 0;
  /** Instructions that translations had executed before the burst under way. */
  private translatedBefore = 0;

  constructor(
    memory: WebAssembly.Memory,
    ramBytes: number,
    bus: PortBus & MmioBus,
    interrupts: InterruptSource,
    meter: WorkMeter,
    hooks: Partial<CpuHooks> = {},
    translation: TranslationOptions = TRANSLATION_DEFAULTS,
  ) {
    const { interpreter: built, decoder } = builtInterpreter();
    this.interrupts = interrupts;
    this.meter = meter;
    this.system = new SystemCpu(memory, ramBytes, bus, {
      ...hooks,
      arithmeticFlags: () => this.exports.flags_all(),
      onCodeWrite: (host, bytes) => {
        // A region that lost its own code (a device wrote there, on behalf of an access of it) leaves at its next loop.
        const { liveRegions } = this.translator;
        this.blocks.invalidate(host, bytes);
        if (this.translator.liveRegions < liveRegions) this.kick();
      },
      isCode: (host, bytes) => this.blocks.holdsCode(host, bytes),
    });
    const { system } = this;
    this.u32 = system.u32;
    this.i32 = new Int32Array(memory.buffer, 0, this.u32.length);
    this.blocks = new BlockCache(system, built.handlers, decoder);
    const imports: InterpreterImports = {
      slowRead: (bytes) => this.slow(() => system.mmu.slowRead(bytes)),
      slowReadForWrite: (bytes) => this.slow(() => system.mmu.slowReadForWrite(bytes)),
      slowWrite: (bytes) => this.slow(() => system.mmu.slowWrite(bytes)),
      segmentSlow: (segment, access) => {
        system.set64(S.slowAddress, segmentLinear(system, segment, system.get64(S.slowAddress), access));
      },
      guardedWrite: (bytes) => (this.hitsCode(bytes) ? 1 : imports.slowWrite(bytes)),
      guardedReadForWrite: (bytes) => (this.hitsCode(bytes) ? 1 : imports.slowReadForWrite(bytes)),
      hot: (pc) => this.translator.hot(pc),
      findBlock: () => meter.measure('translation', () => this.blocks.find()),
      ticks: () => system.hooks.timestamp(),
      cold: (pc) => this.cold(pc),
      timed: (region) => this.timed(region),
    };
    const instance = new WebAssembly.Instance(interpreterModule(), { env: { memory, ...imports } });
    this.exports = instance.exports as unknown as InterpreterExports;
    this.translator = new Translator(
      system,
      this.blocks,
      built.handlers.count,
      this.exports,
      memory,
      translation.background ?? new OwnThread(memory),
      (act) => meter.time('translation', act),
    );
    this.blocks.hotness = translation.hotness;
    this.translator.onlyExecuted = translation.onlyExecuted === true;
    this.blocks.executed = () => this.executed;
  }

  /** Power-on state, with nothing decoded. */
  reset(): void {
    this.system.reset();
    this.blocks.flush();
  }

  /**
   * Another vCPU executes from now on, with its own state and TLBs; what is decoded and translated serves all. Between two
   * runs only. The interrupt source already speaks for it. Numbers are below the `processors` of the hooks.
   */
  switchTo(vcpu: number): void {
    if (vcpu === this.vcpu) return;
    const { u8, mmu } = this.system;
    u8.copyWithin(mmu.bankOf(this.vcpu) + SAVED_STATE, STATE_BASE, STATE_BASE + VCPU_STATE_BYTES);
    const from = mmu.bankOf(vcpu) + SAVED_STATE;
    u8.copyWithin(STATE_BASE, from, from + VCPU_STATE_BYTES);
    this.vcpu = vcpu;
    mmu.use(vcpu);
    // What the others may have changed of it meanwhile.
    this.system.updateTlb();
    this.u32[S.interruptsQuiet >>> 2] = this.interrupts.pending() ? 0 : 1;
  }

  /** Keeps the executing vCPU's whole state, VCPU_STATE_BYTES of it, for {@link restoreState}. Between two instructions only. */
  saveState(into: Uint8Array): void {
    into.set(this.system.u8.subarray(STATE_BASE, STATE_BASE + VCPU_STATE_BYTES));
  }

  /** Another program's state becomes the executing vCPU's. Between two runs only; the TLBs are the caller's to flush. */
  restoreState(from: Uint8Array): void {
    this.system.u8.set(from, STATE_BASE);
    this.system.updateTlb();
    this.u32[S.interruptsQuiet >>> 2] = this.interrupts.pending() ? 0 : 1;
  }

  /** A field of 64 bits of a vCPU's state, whoever has the turn. */
  stateOf(vcpu: number, field: number): bigint {
    const { system } = this;
    if (vcpu === this.vcpu) return system.get64(field);
    return system.get64(system.mmu.bankOf(vcpu) + SAVED_STATE + field - STATE_BASE);
  }

  /** Sets a field of 64 bits that nothing is derived from, whoever has the turn. */
  setStateOf(vcpu: number, field: number, value: bigint): void {
    const { system } = this;
    system.set64(vcpu === this.vcpu ? field : system.mmu.bankOf(vcpu) + SAVED_STATE + field - STATE_BASE, value);
  }

  /** After an error of ours in the midst of {@link run}: the burst is over, and the state is the caller's to restore. */
  abandon(): void {
    this.running = this.singleStepping = this.leaving = false;
    this.burst = this.held = 0;
    this.u32[S.translating >>> 2] = 0;
    this.translatedBefore += this.i32[S.translatedInstructions >>> 2];
    this.i32[S.translatedInstructions >>> 2] = 0;
    // Whatever was under way may have been half done.
    this.blocks.flush();
  }

  get halted(): boolean {
    return this.u32[S.halted >>> 2] !== 0;
  }

  /** Instructions executed so far, also while executing: what deterministic time is made of. */
  get executed(): number {
    if (!this.running) return this.instructions;
    const pc = this.u32[S.exitPc >>> 2];
    const inBlock = pc === 0 ? 0 : Math.max(0, this.system.u8[pc + U.ordinal] - 1);
    return this.instructions + this.burst - (this.i32[S.budget >>> 2] + this.held) + inBlock;
  }

  /**
   * A slow memory access. The interpreter has left the micro-op that makes it in S.exitPc, where regions leave nothing: they
   * bring the budget up to date.
   */
  private slow<T>(access: () => T): T {
    const result = this.meter.measure('paging', access);
    this.u32[S.exitPc >>> 2] = 0;
    return result;
  }

  /** Instructions of {@link executed} that translations have executed, those included that TypeScript carried out for them. */
  get translatedInstructions(): number {
    const { i32 } = this;
    const left = i32[S.translating >>> 2] === 0 ? 0 : i32[S.budget >>> 2];
    return this.translatedBefore + i32[S.translatedInstructions >>> 2] - left;
  }

  /** Makes the vCPU look at its interrupts before it goes on with the burst. */
  kick(): void {
    const { i32 } = this;
    const budget = i32[S.budget >>> 2];
    if (!this.running || budget <= 0) return;
    this.held += budget;
    i32[S.budget >>> 2] = 0;
    // What is taken away has not been executed.
    if (i32[S.translating >>> 2] !== 0) i32[S.translatedInstructions >>> 2] -= budget;
  }

  /** The machine tells that what its interrupt source has to say has changed. */
  interruptChanged(): void {
    this.u32[S.interruptsQuiet >>> 2] = this.interrupts.pending() ? 0 : 1;
    this.kick();
  }

  /** Asks {@link run} to come back to its caller at the next opportunity. */
  leave(): void {
    this.leaving = true;
    this.kick();
  }

  /** Executes about `instructions` guest instructions, fewer when something comes up. */
  run(instructions: number): RunEnd {
    const { i32, system } = this;
    const until = this.instructions + instructions;
    // Links and shortcuts are told apart by a count of flushes that comes round: before it does, all are forgotten.
    const epoch = Math.floor(system.mmu.linkNumbersTaken / LINK_KEY_EPOCH);
    if (epoch !== this.linkEpoch) {
      this.linkEpoch = epoch;
      this.blocks.flush();
      system.mmu.renumberLinks();
    }
    this.leaving = false;
    this.translator.collect();
    const lastDelivery = this.deliveries + instructions;
    while (this.instructions < until && this.deliveries < lastDelivery) {
      this.takeInterrupt();
      if (system.shutdown) return RunEnd.shutdown;
      if (this.halted) return RunEnd.halted;
      this.singleStepping = this.mustStep();
      this.burst = this.singleStepping ? 0 : until - this.instructions;
      this.held = 0;
      i32[S.budget >>> 2] = this.burst;
      this.u32[S.exitPc >>> 2] = 0;
      this.running = true;
      if (this.singleStepping) this.step();
      // What stops a program is its supervisor's to hear of, at once.
      else this.execute(system.hooks.supervisor ? 0 : lastDelivery - this.deliveries);
      this.running = false;
      this.instructions += this.burst - (i32[S.budget >>> 2] + this.held);
      const exit = i32[S.exit >>> 2];
      this.afterExit(exit);
      if (system.shutdown) return RunEnd.shutdown;
      if (this.leaving) break;
    }
    return RunEnd.budget;
  }

  /** Executes in WebAssembly, which delivers at most so many exceptions itself. */
  private execute(deliveries: number): void {
    const { i32 } = this;
    i32[S.deliveriesLeft >>> 2] = deliveries;
    this.exports.run();
    this.translatedBefore += i32[S.translatedInstructions >>> 2];
    i32[S.translatedInstructions >>> 2] = 0;
    const delivered = deliveries - i32[S.deliveriesLeft >>> 2];
    if (delivered === 0) return;
    this.deliveries += delivered;
    this.meter.exit('exception', delivered);
  }

  /**
   * Executes one instruction (of a repeated string instruction, one repetition) or delivers the exception it raises.
   * External interrupts wait. For tests and debuggers: {@link run} is what drives a guest.
   */
  executeOne(): RunEnd {
    const { i32, system } = this;
    if (system.shutdown) return RunEnd.shutdown;
    if (this.halted) return RunEnd.halted;
    this.singleStepping = true;
    this.burst = 0;
    this.held = 0;
    i32[S.budget >>> 2] = 0;
    this.u32[S.exitPc >>> 2] = 0;
    this.running = true;
    this.step();
    this.running = false;
    this.instructions -= i32[S.budget >>> 2];
    const exit = i32[S.exit >>> 2];
    this.afterExit(exit);
    return system.shutdown ? RunEnd.shutdown : this.halted ? RunEnd.halted : RunEnd.budget;
  }

  /** The instruction being stepped has faulted, and its exception is delivered: no trap follows it. */
  private delivered = false;

  private get flags(): number {
    return this.u32[S.eflags >>> 2];
  }

  /** Delivers a waiting interrupt if the vCPU takes one now. {@link run} does so itself; for tests that place interrupts. */
  takeInterrupt(): void {
    const { u32, interrupts, meter, system } = this;
    if (this.shadowed) return;
    if (u32[S.nmiBlocked >>> 2] === 0 && interrupts.takeNmi()) {
      meter.exit('interrupt');
      meter.measure('exits', () => deliverNmi(system));
      return;
    }
    if ((this.flags & Flag.if) === 0 || !interrupts.pending()) return;
    meter.exit('interrupt');
    meter.measure('exits', () => deliverInterrupt(system, interrupts.acknowledge()));
  }

  /**
   * The instruction at S.ip is the one behind STI, MOV SS or POP SS. Most often execution has long gone on when anybody
   * asks: the shadow costs nothing unless an interrupt waits right there.
   */
  private get shadowed(): boolean {
    const { u32, system } = this;
    if (u32[S.interruptShadow >>> 2] === 0) return false;
    if (system.ip === system.get64(S.shadowIp)) return true;
    u32[S.interruptShadow >>> 2] = 0;
    return false;
  }

  private mustStep(): boolean {
    return this.shadowed || stepping(this.system);
  }

  /** Something has to happen before the next instruction that WebAssembly does not do. */
  private mustLeave(): boolean {
    if (this.halted || this.leaving || this.system.shutdown || stepping(this.system)) return true;
    return (this.flags & Flag.if) !== 0 && this.interrupts.pending();
  }

  /** Executes one instruction, with what breakpoints and single steps add before and after it. */
  private step(): void {
    const { system, u32 } = this;
    const linear = system.code64 ? system.ip : BigInt.asUintN(32, system.ip + system.base(Seg.cs));
    if (codeBreakpoint(system, linear)) {
      u32[S.exit >>> 2] = Exit.done;
      deliverException(system, Vector.debug, -1);
      return;
    }
    const shadow = u32[S.interruptShadow >>> 2];
    const trap = (this.flags & Flag.tf) !== 0;
    this.delivered = false;
    const pc = this.blocks.single();
    if (pc !== 0) this.exports.run_from(pc);
    if (shadow !== 0 && u32[S.interruptShadow >>> 2] === shadow) u32[S.interruptShadow >>> 2] = 0;
    const exit = u32[S.exit >>> 2];
    const left = exit === Exit.fault || exit === Exit.stale || exit === Exit.nextPage;
    if (left || this.delivered) return;
    if (afterInstruction(system, trap)) deliverException(system, Vector.debug, -1);
  }

  /** S.ip becomes the instruction pointer of the micro-op at which execution left; those before it are accounted for. */
  private returnToMicroOp(): void {
    const { u32, system } = this;
    const pc = u32[S.exitPc >>> 2];
    if (pc === 0) return;
    const offset = system.u16[(pc + U.offset) >>> 1];
    system.ip = (system.get64(S.regs + Slot.codeBase * 8) + BigInt(offset)) & system.ipMask;
    this.instructions += Math.max(0, system.u8[pc + U.ordinal] - 1);
  }

  /** What WebAssembly left for TypeScript to do, by the way it left. */
  private afterExit(exit: number): void {
    if (exit === Exit.fault) this.fault();
    else if (exit === Exit.stale) this.returnToMicroOp();
    else if (exit === Exit.nextPage) this.nextPage();
  }

  private nextPage(): void {
    this.returnToMicroOp();
    if (this.blocks.recheckNextPage(this.u32[S.exitPc >>> 2])) {
      this.u32[S.faulted >>> 2] = 0;
      this.raise();
    }
  }

  /** A region is about to write to decoded code: the fault that is none, by which the interpreter takes over. */
  private hitsCode(bytes: number): boolean {
    if (!this.system.mmu.writeHitsCode(bytes)) return false;
    this.u32[S.faultVector >>> 2] = BY_INTERPRETER;
    return true;
  }

  private fault(): void {
    this.returnToMicroOp();
    if (this.u32[S.faultVector >>> 2] === BY_INTERPRETER) {
      this.executeOne();
      return;
    }
    const { u32, system } = this;
    u32[S.faulted >>> 2] = 0;
    // The slow path knew no segment: in 64-bit code a non-canonical address in SS (a base of rSP or rBP) is #SS.
    // A region leaves no micro-op behind: then the instruction at S.ip is decoded for it (none where the fetch faulted).
    const nonCanonical = system.mmu.takeNonCanonical();
    if (nonCanonical !== undefined) {
      const pc = u32[S.exitPc >>> 2] || this.blocks.single();
      const inStack = (pc !== 0 && system.u8[pc + U.segment] === Seg.ss) || system.mmu.nearStack(nonCanonical);
      u32[S.faultVector >>> 2] = inStack ? Vector.stackFault : Vector.generalProtection;
    }
    this.raise();
  }

  /** Deliveries are counted, so that a guest that does nothing but fault still comes to its burst's end. */
  private raise(): void {
    this.deliveries++;
    const { u32, i32, system, meter } = this;
    // Of an exception that another instruction has raised.
    system.mmu.takeNonCanonical();
    meter.exit('exception');
    meter.measure('exits', () => deliverException(system, u32[S.faultVector >>> 2], i32[S.faultCode >>> 2]));
  }

  private timed(region: number): number {
    this.i32[S.untilTimed >>> 2] = TIMED_EVERY - 1;
    const execute = this.exports.table.get(region) as () => number;
    const before = this.translatedInstructions;
    const next = this.meter.timeTranslated(execute);
    this.timedInstructions += this.translatedInstructions - before;
    return next;
  }

  /** Carries out the instruction of a cold micro-op. 1: go on at S.ip. 0: leave. */
  private cold(pc: number): number {
    const { system, u32, meter } = this;
    const instruction = this.blocks.coldInstructions[u32[(pc + U.immediate) >>> 2]];
    const base = system.get64(S.regs + Slot.codeBase * 8);
    system.ip = (base + BigInt(system.u16[(pc + U.offset) >>> 1])) & system.ipMask;
    u32[S.exit >>> 2] = Exit.done;
    if (meter.measure('exits', () => executeCold(system, instruction))) {
      u32[S.faulted >>> 2] = 0;
      this.delivered = true;
      this.raise();
      return 0;
    }
    // The handler's first instruction comes before a trap of the software interrupt that led to it; delivery cleared TF.
    if (softwareInterrupts.has(instruction.name) && (this.flags & Flag.tf) === 0) this.delivered = true;
    const reason = exitReasons.get(instruction.name);
    if (reason) meter.exit(reason);
    return this.singleStepping || this.mustLeave() ? 0 : 1;
  }
}
