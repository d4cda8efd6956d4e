// The high precision event timers of a PC: one counter of 64 bits and three comparators.
// Owns their registers and when each comparator matches; nothing ticks, a timer is armed for the next match.
// Never knows what the interval timer and the clock do while it stands in for them: the board holds their lines.

import type { Clock } from '../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, MmioHandler, SavedState, Timer, Timers } from './device.ts';
import type { MessageSink } from './message-signalled.ts';
import { openState, type StateReader } from './saved-state.ts';

export const HPET_BASE = 0xfed00000;
const SIZE = 0x400;
export const HPET_COMPARATORS = 3;
/** One count takes 10 ns: 10,000,000 femtoseconds. */
const TICK_NS = 10;
const PERIOD_FS = 10_000_000;
/** Low half of the capabilities, which the ACPI table repeats: revision 1, three comparators, 64 bits, legacy routing, Intel. */
export const HPET_BLOCK_ID = (0x80860000 | 0x8000 | 0x2000 | ((HPET_COMPARATORS - 1) << 8) | 0x01) >>> 0;
/** The I/O APIC's inputs a comparator may be routed to: nothing else is wired to them. */
const FIRST_ROUTE = 20;
const ROUTES = 4;
const ROUTE_MASK = ((1 << ROUTES) - 1) << FIRST_ROUTE;

/** Offsets (IA-PC HPET 1.0a, 2.3). */
const Register = { capabilities: 0x000, config: 0x010, status: 0x020, counter: 0x0f0, comparators: 0x100 } as const;
const COMPARATOR_STRIDE = 0x20;

const CONFIG_ENABLE = 0x1;
const CONFIG_LEGACY = 0x2;
const LEVEL = 0x0002;
const INTERRUPT_ENABLE = 0x0004;
const PERIODIC = 0x0008;
const PERIODIC_CAPABLE = 0x0010;
const SIZE_64 = 0x0020;
const VALUE_SET = 0x0040;
const MODE_32 = 0x0100;
const ROUTE_SHIFT = 9;
const ROUTE_FIELD = 0x3e00;
const MESSAGE_ENABLE = 0x4000;
const MESSAGE_CAPABLE = 0x8000;
const COMPARATOR_WRITABLE = LEVEL | INTERRUPT_ENABLE | PERIODIC | VALUE_SET | MODE_32 | ROUTE_FIELD | MESSAGE_ENABLE;
const COMPARATOR_FIXED = PERIODIC_CAPABLE | SIZE_64 | MESSAGE_CAPABLE;
/** A read of the counter's high half belongs to the read of the low half before it for this long. */
const LATCH_NS = 1e6;
/**
 * Interrupts that a busy host let pass are made up for, this long one after the other, so that systems that count ticks keep
 * time; at most so many.
 */
const MAKE_UP_NS = 50_000;
const OWED_MAX = 100;
/** Counts further off than this, about four months, are not waited for. */
const FARTHEST = 2 ** 50;

const bits = (value: bigint, size: number) => BigInt.asUintN(size, value);
const withLow = (value: bigint, low: number) => (value & ~0xffffffffn) | BigInt(low);
const withHigh = (value: bigint, high: number) => (value & 0xffffffffn) | (BigInt(high) << 32n);
const half = (value: bigint, offset: number) =>
  Number((offset & 4) === 0 ? value & 0xffffffffn : (value >> 32n) & 0xffffffffn);

export interface HpetWiring {
  clock: Clock;
  timers: Timers;
  /** Inputs 20 to 23 of the I/O APIC. */
  lines: readonly InterruptLine[];
  /** IRQ 0 and IRQ 8, which comparators 0 and 1 drive under legacy replacement. */
  legacyLines: readonly [InterruptLine, InterruptLine];
  messages: MessageSink;
  /** Whether comparators 0 and 1 stand in for the interval timer and the real-time clock. */
  onLegacy(replaced: boolean): void;
}

class Comparator {
  config = COMPARATOR_FIXED;
  value = 0n;
  period = 0n;
  message = 0n;
  /** The last write was a low half under VAL_SET: a high half that follows belongs to it. */
  settingHigh = false;
  /** Interrupts of periods that passed unseen. */
  owed = 0;
  readonly timer: Timer;

  constructor(timer: Timer) {
    this.timer = timer;
  }

  get width(): 32 | 64 {
    return (this.config & MODE_32) !== 0 ? 32 : 64;
  }

  get periodic(): boolean {
    return (this.config & PERIODIC) !== 0;
  }

  reset(): void {
    this.config = COMPARATOR_FIXED;
    this.value = 2n ** 64n - 1n;
    this.period = 0n;
    this.message = 0n;
    this.settingHigh = false;
    this.owed = 0;
    this.timer.cancel();
  }

  save(): Record<string, unknown> {
    const { config, value, period, message, settingHigh, owed } = this;
    return { config, value, period, message, settingHigh, owed };
  }

  restore(state: StateReader): void {
    this.config = (state.word('config') & COMPARATOR_WRITABLE) | COMPARATOR_FIXED;
    this.value = state.bigint('value');
    this.period = state.bigint('period');
    this.message = state.bigint('message');
    this.settingHigh = state.boolean('settingHigh');
    this.owed = state.integer('owed', 0, OWED_MAX);
  }
}

/** The event timer block. */
export class Hpet implements Device, MmioHandler {
  private readonly wiring: HpetWiring;
  private readonly comparators: readonly Comparator[];
  private config = 0;
  private status = 0;
  /** The counter while it stands; while it runs, what it was at `startedAt` nanoseconds since power-on. */
  private base = 0n;
  private startedAt = 0;
  private latchedHigh = -1;
  private latchedAt = 0;

  constructor(wiring: HpetWiring) {
    this.wiring = wiring;
    this.comparators = Array.from(
      { length: HPET_COMPARATORS },
      (_, index) => new Comparator(wiring.timers.create(() => this.match(index))),
    );
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimMmio(HPET_BASE, SIZE, this);
  }

  private get isRunning(): boolean {
    return (this.config & CONFIG_ENABLE) !== 0;
  }

  private get isLegacy(): boolean {
    return (this.config & CONFIG_LEGACY) !== 0;
  }

  private counter(): bigint {
    if (!this.isRunning) return this.base;
    const counts = Math.floor((this.wiring.clock.now() - this.startedAt) / TICK_NS);
    return bits(this.base + BigInt(counts), 64);
  }

  /** Counts from now to the next match: 0 where it is now. */
  private distance(comparator: Comparator, counter: bigint): bigint {
    return bits(comparator.value - counter, comparator.width);
  }

  /** Moves a periodic comparator behind the counter forward by whole periods, and gives how many. */
  private advance(comparator: Comparator, counter: bigint): number {
    const { period, width } = comparator;
    if (period === 0n) return 0;
    const behind = bits(counter - comparator.value, width);
    // More than half the range behind is ahead.
    if (behind >= 1n << BigInt(width - 1)) return 0;
    const periods = behind / period + 1n;
    comparator.value = bits(comparator.value + periods * period, width);
    return Number(periods);
  }

  private arm(index: number): void {
    const comparator = this.comparators[index];
    const { config } = comparator;
    // A level-triggered one sets its status bit even where it may not interrupt (2.3.8, INT_ENB_CNF).
    if (!this.isRunning || (config & (INTERRUPT_ENABLE | LEVEL)) === 0) {
      comparator.timer.cancel();
      return;
    }
    const counter = this.counter();
    // The host's time goes on between two looks at the counter: a period that ended meanwhile is due now, rather than when
    // the counter comes round again.
    const distance = this.isDue(comparator, counter) ? 0 : Number(this.distance(comparator, counter));
    if (distance > FARTHEST) {
      comparator.timer.cancel();
      return;
    }
    const counted = Number(bits(counter - this.base, 64));
    // Half a count later than its first moment, so that rounding cannot make it early.
    const deadline = this.startedAt + (counted + distance + 0.5) * TICK_NS;
    const makeUp = comparator.owed > 0 ? this.wiring.clock.now() + MAKE_UP_NS : Infinity;
    comparator.timer.arm(Math.min(deadline, makeUp));
  }

  /** Whether the counter has passed the end of a periodic comparator's period. */
  private isDue({ periodic, period, value, width }: Comparator, counter: bigint): boolean {
    return periodic && period > 0n && bits(counter - value, width) < 1n << BigInt(width - 1);
  }

  private armAll(): void {
    for (let index = 0; index < HPET_COMPARATORS; index++) this.arm(index);
  }

  /** The counter reached a comparator, or an interrupt of it is made up for. */
  private match(index: number): void {
    const comparator = this.comparators[index];
    const { config } = comparator;
    const isPeriodic = comparator.periodic && comparator.period > 0n;
    if (isPeriodic) {
      const missed = this.advance(comparator, this.counter()) - 1;
      comparator.owed = (config & LEVEL) !== 0 ? 0 : Math.min(Math.max(comparator.owed + missed, 0), OWED_MAX);
    }
    const interrupts = (config & INTERRUPT_ENABLE) !== 0;
    if ((config & LEVEL) !== 0 && (config & MESSAGE_ENABLE) === 0) {
      this.status |= 1 << index;
      this.updateLine(index);
    } else if (interrupts) {
      if ((config & MESSAGE_ENABLE) !== 0) {
        this.wiring.messages.write(half(comparator.message, 4), half(comparator.message, 0));
      } else {
        const line = this.line(index);
        line?.set(true);
        line?.set(false);
      }
    }
    if (isPeriodic) this.arm(index);
    // It matches again each time the low half comes round.
    else if (comparator.width === 32) comparator.timer.arm(this.wiring.clock.now() + 2 ** 32 * TICK_NS);
  }

  private line(index: number): InterruptLine | undefined {
    if (this.isLegacy && index < 2) return this.wiring.legacyLines[index];
    const route = (this.comparators[index].config & ROUTE_FIELD) >> ROUTE_SHIFT;
    return this.wiring.lines[route - FIRST_ROUTE];
  }

  private updateLine(index: number): void {
    const { config } = this.comparators[index];
    const asserted = (this.status & (1 << index)) !== 0 && (config & INTERRUPT_ENABLE) !== 0;
    this.line(index)?.set(asserted);
  }

  readMmio(offset: number, size: AccessSize): number {
    const value = this.readHalf(offset & ~3);
    if (size >= 4) return value;
    return (value >>> ((offset & 3) * 8)) & (size === 1 ? 0xff : 0xffff);
  }

  private readHalf(offset: number): number {
    if (offset >= Register.comparators) return this.readComparator(offset - Register.comparators);
    switch (offset) {
      case Register.capabilities:
        return HPET_BLOCK_ID;
      case Register.capabilities + 4:
        return PERIOD_FS;
      case Register.config:
        return this.config;
      case Register.status:
        return this.status;
      case Register.counter: {
        // A 64-bit read comes as two: the high half must be that of the same moment.
        const counter = this.counter();
        this.latchedHigh = half(counter, 4);
        this.latchedAt = this.wiring.clock.now();
        return half(counter, 0);
      }
      case Register.counter + 4: {
        const latched = this.latchedHigh;
        this.latchedHigh = -1;
        if (latched >= 0 && this.wiring.clock.now() - this.latchedAt < LATCH_NS) return latched;
        return half(this.counter(), 4);
      }
      default:
        return 0;
    }
  }

  private readComparator(offset: number): number {
    const comparator = this.comparators[Math.floor(offset / COMPARATOR_STRIDE)];
    if (comparator === undefined) return 0;
    switch (offset % COMPARATOR_STRIDE) {
      case 0x00:
        return comparator.config;
      case 0x04:
        return ROUTE_MASK;
      case 0x08:
      case 0x0c:
        return half(comparator.value, offset);
      case 0x10:
      case 0x14:
        return half(comparator.message, offset);
      default:
        return 0;
    }
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    const at = offset & ~3;
    if (size >= 4) {
      this.writeHalf(at, value >>> 0);
      return;
    }
    // Registers are to be written whole (2.3.2); a narrower write is taken as a change of those bytes.
    const shift = (offset & 3) * 8;
    const mask = ((size === 1 ? 0xff : 0xffff) << shift) >>> 0;
    const kept = at === Register.status ? 0 : this.readHalf(at) & ~mask;
    this.writeHalf(at, (kept | ((value << shift) & mask)) >>> 0);
  }

  private writeHalf(offset: number, value: number): void {
    if (offset >= Register.comparators) {
      this.writeComparator(offset - Register.comparators, value);
      return;
    }
    switch (offset) {
      case Register.config:
        this.writeConfig(value & (CONFIG_ENABLE | CONFIG_LEGACY));
        break;
      case Register.status:
        this.status &= ~value;
        for (let index = 0; index < HPET_COMPARATORS; index++) {
          if ((value & (1 << index)) !== 0) this.updateLine(index);
        }
        break;
      case Register.counter:
      case Register.counter + 4: {
        const counter = this.counter();
        this.base = offset === Register.counter ? withLow(counter, value) : withHigh(counter, value);
        this.startedAt = this.wiring.clock.now();
        this.latchedHigh = -1;
        this.armAll();
        break;
      }
      default: // capabilities and reserved bytes are read-only
    }
  }

  private writeConfig(value: number): void {
    const wasLegacy = this.isLegacy;
    const counter = this.counter();
    const started = (value & CONFIG_ENABLE) !== (this.config & CONFIG_ENABLE);
    if (wasLegacy !== ((value & CONFIG_LEGACY) !== 0)) {
      // Level requests move to the other line.
      for (let index = 0; index < 2; index++) this.line(index)?.set(false);
      this.config = (this.config & ~CONFIG_LEGACY) | (value & CONFIG_LEGACY);
      this.wiring.onLegacy(this.isLegacy);
      for (let index = 0; index < 2; index++) this.updateLine(index);
    }
    this.config = value;
    if (!started) return;
    this.base = counter;
    this.startedAt = this.wiring.clock.now();
    for (const comparator of this.comparators) comparator.owed = 0;
    this.armAll();
  }

  private writeComparator(offset: number, value: number): void {
    const index = Math.floor(offset / COMPARATOR_STRIDE);
    const comparator = this.comparators[index];
    if (comparator === undefined) return;
    comparator.owed = 0;
    const register = offset % COMPARATOR_STRIDE;
    switch (register) {
      case 0x00:
        this.writeComparatorConfig(index, value);
        break;
      case 0x08:
      case 0x0c:
        this.writeValue(comparator, register === 0x0c, value);
        this.arm(index);
        break;
      case 0x10:
        comparator.message = withLow(comparator.message, value);
        break;
      case 0x14:
        comparator.message = withHigh(comparator.message, value);
        break;
      default: // capabilities
    }
    if (register !== 0x08) comparator.settingHigh = false;
  }

  private writeComparatorConfig(index: number, value: number): void {
    const comparator = this.comparators[index];
    const before = comparator.config;
    const config = (value & COMPARATOR_WRITABLE) | COMPARATOR_FIXED;
    if (((before ^ config) & (ROUTE_FIELD | LEVEL | MESSAGE_ENABLE)) !== 0) {
      this.line(index)?.set(false);
      this.status &= ~(1 << index);
    }
    comparator.config = config;
    if (comparator.width === 32) {
      comparator.value = bits(comparator.value, 32);
      comparator.period = bits(comparator.period, 32);
    }
    // While it was not armed a periodic comparator went on.
    if (comparator.periodic && this.isRunning) this.advance(comparator, this.counter());
    this.updateLine(index);
    this.arm(index);
  }

  /**
   * A periodic comparator's register takes the period; with VAL_SET the match as well, which that bit allows for one write
   * (2.3.9.2.2). Intel's chips set both, and systems rely on that.
   */
  private writeValue(comparator: Comparator, isHigh: boolean, value: number): void {
    const into = (old: bigint) => bits(isHigh ? withHigh(old, value) : withLow(old, value), comparator.width);
    const sets = (comparator.config & VALUE_SET) !== 0 || (isHigh && comparator.settingHigh);
    if (!comparator.periodic || sets) comparator.value = into(comparator.value);
    if (comparator.periodic) comparator.period = into(comparator.period);
    if (!isHigh) comparator.settingHigh = (comparator.config & VALUE_SET) !== 0;
    comparator.config &= ~VALUE_SET;
    if (comparator.periodic && !sets && this.isRunning) this.advance(comparator, this.counter());
  }

  reset(): void {
    if (this.isLegacy) this.wiring.onLegacy(false);
    for (const line of [...this.wiring.lines, ...this.wiring.legacyLines]) line.set(false);
    for (const comparator of this.comparators) comparator.reset();
    this.config = 0;
    this.status = 0;
    this.base = 0n;
    this.startedAt = 0;
    this.latchedHigh = -1;
  }

  save(): SavedState {
    return {
      version: 1,
      config: this.config,
      status: this.status,
      counter: this.counter(),
      comparators: this.comparators.map((comparator) => comparator.save()),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('HPET', 1, state);
    const wasLegacy = this.isLegacy;
    for (const line of [...this.wiring.lines, ...this.wiring.legacyLines]) line.set(false);
    this.config = reader.integer('config', 0, 3);
    this.status = reader.integer('status', 0, 2 ** HPET_COMPARATORS - 1);
    this.base = reader.bigint('counter');
    this.startedAt = this.wiring.clock.now();
    this.latchedHigh = -1;
    reader.records('comparators', HPET_COMPARATORS).forEach((record, index) => {
      this.comparators[index].restore(record);
    });
    if (this.isLegacy !== wasLegacy) this.wiring.onLegacy(this.isLegacy);
    for (let index = 0; index < HPET_COMPARATORS; index++) this.updateLine(index);
    this.armAll();
  }
}
