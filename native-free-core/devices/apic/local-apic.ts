// A local APIC in xAPIC mode: the interrupt controller inside a processor.
// Owns the register file (IRR, ISR, TMR, TPR, LVT, ICR), the APIC base MSR and the choice of the next interrupt.
// Never executes anything: the processor asks for the pending vector and is told of NMI, INIT and start-up.

import type { Clock } from '../../host.ts';
import type { AccessSize, Device, InterruptLine, MmioHandler, SavedState, Timers } from '../device.ts';
import { openState } from '../saved-state.ts';
import { type ApicMessage, type ApicMessages, type ApicTarget, DeliveryMode, Shorthand } from './apic-bus.ts';
import { ApicTimer, TimerMode, type TimeStampCounter } from './apic-timer.ts';

export const LOCAL_APIC_BASE = 0xfee00000;
export const LOCAL_APIC_SIZE = 0x1000;

/** Six LVT entries, version 14h: an xAPIC (SDM vol. 3, 11.4.8). */
const VERSION = 0x00050014;
const SPURIOUS_ENABLE = 0x100;
const LVT_MASKED = 0x10000;
const LVT_LEVEL = 0x8000;
const LVT_REMOTE_IRR = 0x4000;
const BASE_BOOTSTRAP = 0x100;
const BASE_X2APIC = 0x400;
const BASE_ENABLE = 0x800;
const ERROR_SEND_ILLEGAL_VECTOR = 0x20;
const ERROR_RECEIVED_ILLEGAL_VECTOR = 0x40;
const ERROR_ILLEGAL_REGISTER = 0x80;

const Lvt = { timer: 0, thermal: 1, performance: 2, lint0: 3, lint1: 4, error: 5 } as const;
/** Bits of each LVT entry that can be written. */
const LVT_WRITABLE = [0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff];

/** What a local APIC tells its processor. Each may come at any time between instructions. */
export interface ApicProcessor {
  /** {@link LocalApic.pending} may have changed. */
  interruptChanged(): void;
  nmi(): void;
  smi(): void;
  init(): void;
  /** Start-up IPI: execution begins in real mode at `vector << 12`. */
  startup(vector: number): void;
}

/** Where the vector of an external (8259A) interrupt comes from. */
export interface ExternalInterrupts {
  acknowledge(): number;
}

export interface LocalApicWiring {
  /** The APIC id, 0 to 254. */
  id: number;
  bootstrap: boolean;
  bus: ApicMessages;
  processor: ApicProcessor;
  external: ExternalInterrupts;
  clock: Clock;
  timers: Timers;
  tsc: TimeStampCounter;
  /** Frequency of the timer in Hz; 1 GHz where left out. */
  timerHertz?: number;
  /** How a guest may end interrupts without writing the register; no guest can where it is left out. */
  silentEnd?: SilentEnd;
  /** The APIC base MSR was written: the register page is at `base`, or nowhere if not `enabled`. */
  onBase?(base: number, enabled: boolean): void;
}

/**
 * An agreement with the guest's kernel: it marks the end of an interrupt in memory, where nobody sees that at once. It holds
 * for an edge-triggered interrupt that is the only one in service while no other waits, because then nothing follows from
 * its end.
 */
export interface SilentEnd {
  /** Offers it for the interrupt that is being taken; false where the guest does not want to. */
  offer(): boolean;
  /** Whether the guest has ended the interrupt since. */
  isTaken(): boolean;
  /** From now on the guest writes the register. */
  withdraw(): void;
}

/** What {@link LocalApic.highestPending} gives for an external interrupt, whose vector only acknowledging tells. */
export const EXTERNAL_INTERRUPT = 0x100;

/** A set of 256 vectors that knows its highest. */
class VectorSet {
  readonly words = new Uint32Array(8);

  has(vector: number): boolean {
    return (this.words[vector >> 5] & (1 << (vector & 31))) !== 0;
  }

  add(vector: number): void {
    this.words[vector >> 5] |= 1 << (vector & 31);
  }

  remove(vector: number): void {
    this.words[vector >> 5] &= ~(1 << (vector & 31));
  }

  /** The highest vector, or -1. */
  highest(): number {
    for (let i = 7; i >= 0; i--) {
      if (this.words[i] !== 0) return i * 32 + 31 - Math.clz32(this.words[i]);
    }
    return -1;
  }
}

export class LocalApic implements Device, MmioHandler, ApicTarget {
  private readonly wiring: LocalApicWiring;
  private readonly timer: ApicTimer;
  private readonly irr = new VectorSet();
  private readonly isr = new VectorSet();
  private readonly tmr = new VectorSet();
  private readonly lvt = new Uint32Array(6);
  private baseMsr = 0;
  private apicId = 0;
  private tpr = 0;
  private ldr = 0;
  private dfr = 0xffffffff;
  private spurious = 0xff;
  private icrLow = 0;
  private icrHigh = 0;
  private divide = 0;
  private errors = 0;
  private errorsShown = 0;
  private lint0 = false;
  private lint1 = false;
  /** An ExtINT message arrived over the bus. */
  private externalMessage = false;
  private pendingVector = -1;
  /** The interrupt in service may end silently. */
  private mayEndSilently = false;

  constructor(wiring: LocalApicWiring) {
    this.wiring = wiring;
    this.timer = new ApicTimer({
      clock: wiring.clock,
      timers: wiring.timers,
      tsc: wiring.tsc,
      hertz: wiring.timerHertz ?? 1e9,
      expire: () => this.raiseLocal(Lvt.timer),
    });
    this.reset();
  }

  get id(): number {
    return this.apicId;
  }

  private get softwareEnabled(): boolean {
    return (this.spurious & SPURIOUS_ENABLE) !== 0;
  }

  private get hardwareEnabled(): boolean {
    return (this.baseMsr & BASE_ENABLE) !== 0;
  }

  get acceptsInterrupts(): boolean {
    return this.softwareEnabled && this.hardwareEnabled;
  }

  /** Processor priority (SDM vol. 3, 11.8.3.1). */
  private ppr(): number {
    const inService = Math.max(this.isr.highest(), 0) & 0xf0;
    return (this.tpr & 0xf0) >= inService ? this.tpr : inService;
  }

  get arbitrationPriority(): number {
    this.settle();
    return this.ppr();
  }

  matchesLogical(destination: number): boolean {
    if (destination === 0xff) return true;
    const id = this.ldr >>> 24;
    if (this.dfr >>> 28 === 0xf) return (id & destination) !== 0;
    // Cluster model: the high nibble names the cluster, the low one its members.
    return id >> 4 === destination >> 4 && (id & destination & 0x0f) !== 0;
  }

  accept(message: ApicMessage): void {
    switch (message.mode) {
      case DeliveryMode.fixed:
      case DeliveryMode.lowestPriority:
        this.request(message.vector, message.level);
        break;
      case DeliveryMode.smi:
        this.wiring.processor.smi();
        break;
      case DeliveryMode.nmi:
        this.wiring.processor.nmi();
        break;
      case DeliveryMode.init:
        this.initialize();
        this.wiring.processor.init();
        break;
      case DeliveryMode.startup:
        this.wiring.processor.startup(message.vector);
        break;
      case DeliveryMode.external:
        this.externalMessage = true;
        this.update();
        break;
      default: // mode 3 is reserved and goes nowhere
    }
  }

  private request(vector: number, level: boolean): void {
    if (vector < 16) {
      this.error(ERROR_RECEIVED_ILLEGAL_VECTOR);
      return;
    }
    this.withdrawSilentEnd();
    this.irr.add(vector);
    if (level) this.tmr.add(vector);
    else this.tmr.remove(vector);
    this.update();
  }

  private error(bit: number): void {
    this.errors |= bit;
    const entry = this.lvt[Lvt.error];
    // An error entry with an illegal vector of its own must not report itself for ever.
    if ((entry & LVT_MASKED) === 0 && (entry & 0xff) >= 16) this.request(entry & 0xff, false);
  }

  /** A local source of interrupts became active. */
  private raiseLocal(index: number): void {
    const entry = this.lvt[index];
    if ((entry & LVT_MASKED) !== 0) return;
    const mode = index === Lvt.timer || index === Lvt.error ? DeliveryMode.fixed : (entry >> 8) & 7;
    switch (mode) {
      case DeliveryMode.fixed: {
        const level = (index === Lvt.lint0 || index === Lvt.lint1) && (entry & LVT_LEVEL) !== 0;
        if (level) this.lvt[index] |= LVT_REMOTE_IRR;
        this.request(entry & 0xff, level);
        break;
      }
      case DeliveryMode.smi:
        this.wiring.processor.smi();
        break;
      case DeliveryMode.nmi:
        this.wiring.processor.nmi();
        break;
      case DeliveryMode.init:
        this.initialize();
        this.wiring.processor.init();
        break;
      default: // ExtINT is the level of LINT0, looked at in `update`; the others are reserved
    }
  }

  /** The input pins. LINT0 is the 8259As' INTR on a PC, LINT1 the NMI. */
  readonly lint0Line: InterruptLine = {
    set: (asserted) => {
      const rose = asserted && !this.lint0;
      this.lint0 = asserted;
      if (rose && this.hardwareEnabled) this.raiseLocal(Lvt.lint0);
      this.update();
    },
  };

  readonly lint1Line: InterruptLine = {
    set: (asserted) => {
      const rose = asserted && !this.lint1;
      this.lint1 = asserted;
      // With the APIC off, LINT1 is the processor's NMI pin.
      if (rose && !this.hardwareEnabled) this.wiring.processor.nmi();
      else if (rose) this.raiseLocal(Lvt.lint1);
    },
  };

  private externalPending(): boolean {
    if (this.externalMessage) return true;
    if (!this.lint0) return false;
    // With the APIC off, LINT0 is the processor's INTR pin.
    if (!this.hardwareEnabled) return true;
    const entry = this.lvt[Lvt.lint0];
    return (entry & LVT_MASKED) === 0 && ((entry >> 8) & 7) === DeliveryMode.external;
  }

  private update(): void {
    let pending = -1;
    if (this.externalPending()) pending = EXTERNAL_INTERRUPT;
    else if (this.acceptsInterrupts) {
      const requested = this.irr.highest();
      if (requested >= 0 && requested >> 4 > this.ppr() >> 4) pending = requested;
    }
    if (pending === this.pendingVector) return;
    this.pendingVector = pending;
    this.wiring.processor.interruptChanged();
  }

  /** Whether an interrupt waits that the processor's priority lets through (RFLAGS.IF is the processor's business). */
  get pending(): boolean {
    return this.pendingVector >= 0;
  }

  /** The vector {@link acknowledge} would give, {@link EXTERNAL_INTERRUPT}, or -1. */
  highestPending(): number {
    return this.pendingVector;
  }

  /** Takes the pending interrupt: its vector. Without one, the spurious vector. */
  acknowledge(): number {
    const vector = this.pendingVector;
    if (vector === EXTERNAL_INTERRUPT) {
      this.externalMessage = false;
      const external = this.wiring.external.acknowledge();
      this.update();
      return external;
    }
    if (vector < 0) return this.spurious & 0xff;
    this.withdrawSilentEnd();
    const isAlone = this.isr.highest() < 0;
    this.irr.remove(vector);
    this.isr.add(vector);
    if (isAlone && this.irr.highest() < 0 && !this.tmr.has(vector))
      this.mayEndSilently = this.wiring.silentEnd?.offer() === true;
    this.update();
    return vector;
  }

  /** Sees an end of the interrupt in service that the guest did not tell. */
  private settle(): void {
    if (!this.mayEndSilently || !this.wiring.silentEnd?.isTaken()) return;
    this.mayEndSilently = false;
    this.endOfInterrupt();
  }

  /** From now on the end of the interrupt in service is told: something depends on it, or the guest's memory is not to be used. */
  withdrawSilentEnd(): void {
    this.settle();
    if (!this.mayEndSilently) return;
    this.mayEndSilently = false;
    this.wiring.silentEnd?.withdraw();
  }

  private endOfInterrupt(): void {
    const vector = this.isr.highest();
    if (vector < 0) return;
    this.isr.remove(vector);
    if (this.tmr.has(vector)) {
      for (const index of [Lvt.lint0, Lvt.lint1]) {
        if ((this.lvt[index] & LVT_REMOTE_IRR) === 0 || (this.lvt[index] & 0xff) !== vector) continue;
        this.lvt[index] &= ~LVT_REMOTE_IRR;
        if (index === Lvt.lint0 ? this.lint0 : this.lint1) this.raiseLocal(index);
      }
      this.wiring.bus.endOfInterrupt(vector);
    }
    this.update();
  }

  /** CR8: the class of the task priority, 0 to 15. */
  get taskPriorityClass(): number {
    return this.tpr >> 4;
  }

  set taskPriorityClass(value: number) {
    this.settle();
    this.tpr = (value & 0x0f) << 4;
    this.update();
  }

  readMmio(offset: number, size: AccessSize): number {
    const register = offset & ~3 & 0xfff;
    const value = (register & 0x0f) === 0 ? this.readRegister(register >> 4) : 0;
    if (size >= 4) return value;
    return (value >>> ((offset & 3) * 8)) & (size === 1 ? 0xff : 0xffff);
  }

  private readRegister(index: number): number {
    this.settle();
    if (index >= 0x10 && index < 0x18) return this.isr.words[index - 0x10];
    if (index >= 0x18 && index < 0x20) return this.tmr.words[index - 0x18];
    if (index >= 0x20 && index < 0x28) return this.irr.words[index - 0x20];
    if (index >= 0x32 && index <= 0x37) return this.lvt[index - 0x32];
    switch (index) {
      case 0x02:
        return (this.apicId << 24) >>> 0;
      case 0x03:
        return VERSION;
      case 0x08:
        return this.tpr;
      case 0x09: // arbitration priority: not there in xAPICs, zero
      case 0x0b: // EOI is for writing
        return 0;
      case 0x0a:
        return this.ppr();
      case 0x0d:
        return this.ldr;
      case 0x0e:
        return this.dfr;
      case 0x0f:
        return this.spurious;
      case 0x28:
        return this.errorsShown;
      case 0x30:
        return this.icrLow;
      case 0x31:
        return this.icrHigh;
      case 0x38:
        return this.timer.initialCount;
      case 0x39:
        return this.timer.current();
      case 0x3e:
        return this.divide;
      default:
        this.error(ERROR_ILLEGAL_REGISTER);
        return 0;
    }
  }

  /** Registers take aligned 32-bit writes only; what others do is undefined (SDM vol. 3, 11.4.1), here nothing. */
  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (size < 4 || (offset & 0x0f) !== 0) return;
    this.writeRegister((offset & 0xfff) >> 4, value >>> 0);
  }

  private writeRegister(index: number, value: number): void {
    this.withdrawSilentEnd();
    if (index >= 0x32 && index <= 0x37) {
      this.writeLvt(index - 0x32, value);
      return;
    }
    switch (index) {
      case 0x02:
        this.apicId = value >>> 24;
        break;
      case 0x08:
        this.tpr = value & 0xff;
        this.update();
        break;
      case 0x0b:
        this.endOfInterrupt();
        break;
      case 0x0d:
        this.ldr = (value & 0xff000000) >>> 0;
        break;
      case 0x0e:
        this.dfr = (value | 0x0fffffff) >>> 0;
        break;
      case 0x0f:
        this.writeSpurious(value);
        break;
      case 0x28:
        // A write shows what happened since the last one.
        this.errorsShown = this.errors;
        this.errors = 0;
        break;
      case 0x30:
        this.icrLow = value & 0x000ccfff;
        this.send();
        break;
      case 0x31:
        this.icrHigh = (value & 0xff000000) >>> 0;
        break;
      case 0x38:
        this.timer.setInitial(value);
        break;
      case 0x3e:
        this.divide = value & 0x0b;
        this.timer.setDivide(value);
        break;
      case 0x03: // read-only registers
      case 0x09:
      case 0x0a:
      case 0x39:
        break;
      default:
        if (index < 0x10 || index >= 0x28) this.error(ERROR_ILLEGAL_REGISTER);
    }
  }

  private writeLvt(index: number, value: number): void {
    const kept = this.lvt[index] & LVT_REMOTE_IRR;
    let entry = (value & LVT_WRITABLE[index]) | kept;
    if (!this.softwareEnabled) entry |= LVT_MASKED;
    this.lvt[index] = entry;
    if (index === Lvt.timer) this.configureTimer();
    // A level that is there when its entry is unmasked interrupts now.
    else if (index === Lvt.lint0 && this.lint0 && (entry & (LVT_LEVEL | LVT_REMOTE_IRR)) === LVT_LEVEL) {
      this.raiseLocal(index);
    }
    this.update();
  }

  private configureTimer(): void {
    const entry = this.lvt[Lvt.timer];
    const mode = (entry >> 17) & 3;
    this.timer.configure(mode > TimerMode.tscDeadline ? TimerMode.oneShot : mode, (entry & LVT_MASKED) !== 0);
  }

  private writeSpurious(value: number): void {
    // Bit 12, suppression of EOI broadcasts, is not announced in the version register and stays clear.
    this.spurious = value & 0x3ff;
    if (!this.softwareEnabled) {
      for (let i = 0; i < this.lvt.length; i++) this.lvt[i] |= LVT_MASKED;
      this.configureTimer();
    }
    this.update();
  }

  private send(): void {
    const mode = (this.icrLow >> 8) & 7;
    const assert = (this.icrLow & 0x4000) !== 0;
    const level = (this.icrLow & 0x8000) !== 0;
    // INIT level de-assert only synchronized the arbitration ids of old APICs.
    if (mode === DeliveryMode.init && level && !assert) return;
    const vector = this.icrLow & 0xff;
    const shorthand = (this.icrLow >> 18) & 3;
    if ((mode === DeliveryMode.fixed || mode === DeliveryMode.lowestPriority) && vector < 16) {
      this.error(ERROR_SEND_ILLEGAL_VECTOR);
      return;
    }
    const message: ApicMessage = {
      mode,
      vector,
      // IPIs are edge-triggered whatever the trigger mode says, except for INIT (SDM vol. 3, 11.6.1).
      level: false,
      destination: this.icrHigh >>> 24,
      logical: (this.icrLow & 0x800) !== 0,
    };
    if (shorthand === Shorthand.none) this.wiring.bus.deliver(message);
    else this.wiring.bus.deliverShorthand(message, shorthand, this);
  }

  /** IA32_APIC_BASE as a 64-bit value. */
  get base(): bigint {
    return BigInt(this.baseMsr);
  }

  /** Writes IA32_APIC_BASE; false means the write is a general protection fault (reserved bits, or x2APIC). */
  writeBase(value: bigint): boolean {
    if (value >= 1n << 36n || (value & 0x2ffn) !== 0n || (value & BigInt(BASE_X2APIC)) !== 0n) return false;
    const wasEnabled = this.hardwareEnabled;
    // The bootstrap flag is what the hardware says.
    const bootstrap = this.wiring.bootstrap ? BASE_BOOTSTRAP : 0;
    this.baseMsr = Number(value & ~BigInt(BASE_BOOTSTRAP)) + bootstrap;
    if (wasEnabled && !this.hardwareEnabled) this.initialize();
    this.wiring.onBase?.(this.baseMsr - (this.baseMsr % LOCAL_APIC_SIZE), this.hardwareEnabled);
    this.update();
    return true;
  }

  /** Whether the timer goes by IA32_TSC_DEADLINE. */
  get hasDeadlineTimer(): boolean {
    return this.timer.hasDeadline;
  }

  /** IA32_TSC_DEADLINE. */
  get tscDeadline(): bigint {
    return this.timer.deadline;
  }

  set tscDeadline(value: bigint) {
    this.timer.deadline = value;
  }

  /**
   * Programs the virtual wire mode that firmware leaves on the boot processor: the APIC enabled, LINT0 passing the
   * 8259As' interrupts through, LINT1 the NMI (MultiProcessor Specification 1.4, 3.6.2.2).
   */
  programVirtualWire(): void {
    this.writeSpurious(SPURIOUS_ENABLE | 0xff);
    this.writeLvt(Lvt.lint0, DeliveryMode.external << 8);
    this.writeLvt(Lvt.lint1, DeliveryMode.nmi << 8);
  }

  /** State after INIT: everything but the id and the base (SDM vol. 3, 11.4.7.3). */
  private initialize(): void {
    this.mayEndSilently = false;
    for (const set of [this.irr, this.isr, this.tmr]) set.words.fill(0);
    this.lvt.fill(LVT_MASKED);
    this.tpr = 0;
    this.ldr = 0;
    this.dfr = 0xffffffff;
    this.spurious = 0xff;
    this.icrLow = 0;
    this.icrHigh = 0;
    this.divide = 0;
    this.errors = 0;
    this.errorsShown = 0;
    this.externalMessage = false;
    this.timer.reset();
    this.update();
  }

  reset(): void {
    this.apicId = this.wiring.id;
    this.baseMsr = LOCAL_APIC_BASE + BASE_ENABLE + (this.wiring.bootstrap ? BASE_BOOTSTRAP : 0);
    this.initialize();
    this.wiring.onBase?.(LOCAL_APIC_BASE, true);
  }

  save(): SavedState {
    this.withdrawSilentEnd();
    return {
      version: 1,
      irr: [...this.irr.words],
      isr: [...this.isr.words],
      tmr: [...this.tmr.words],
      lvt: [...this.lvt],
      baseMsr: this.baseMsr,
      apicId: this.apicId,
      tpr: this.tpr,
      ldr: this.ldr,
      dfr: this.dfr,
      spurious: this.spurious,
      icrLow: this.icrLow,
      icrHigh: this.icrHigh,
      divide: this.divide,
      errors: this.errors,
      errorsShown: this.errorsShown,
      lint0: this.lint0,
      lint1: this.lint1,
      externalMessage: this.externalMessage,
      timer: this.timer.save(),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('local APIC', 1, state);
    const most = 0xffffffff;
    this.irr.words.set(reader.integers('irr', 0, most, 8));
    this.isr.words.set(reader.integers('isr', 0, most, 8));
    this.tmr.words.set(reader.integers('tmr', 0, most, 8));
    this.lvt.set(reader.integers('lvt', 0, most, 6));
    this.baseMsr = reader.integer('baseMsr', 0, 2 ** 36 - 1);
    this.apicId = reader.byte('apicId');
    this.tpr = reader.byte('tpr');
    this.ldr = reader.dword('ldr');
    this.dfr = reader.dword('dfr');
    this.spurious = reader.integer('spurious', 0, 0x3ff);
    this.icrLow = reader.dword('icrLow');
    this.icrHigh = reader.dword('icrHigh');
    this.divide = reader.byte('divide');
    this.errors = reader.byte('errors');
    this.errorsShown = reader.byte('errorsShown');
    this.lint0 = reader.boolean('lint0');
    this.lint1 = reader.boolean('lint1');
    this.externalMessage = reader.boolean('externalMessage');
    this.timer.restore(reader.record('timer'));
    this.wiring.onBase?.(this.baseMsr - (this.baseMsr % LOCAL_APIC_SIZE), this.hardwareEnabled);
    this.update();
  }
}
