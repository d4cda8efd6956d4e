// Where a guest's host time goes: guest execution by interpreter and translations, and the hypervisor's parts by reason.
// Owns the measurement by sampling, and the counters it is published in.
// Never decides anything by what it measures.

import type { PortBus } from '../cpu/system/hooks.ts';
import type { MmioBus, MmioSize } from '../cpu/system/physical.ts';
import {
  type ControlBlock,
  type ExitReason,
  type HypervisorPart,
  hypervisorParts,
} from '../hypervisor/control-block.ts';
import type { EngineCounts, EngineState } from './engine-counts.ts';

/** One act in this many is timed; a prime, so that it does not fall in step with a guest's loop. */
const SAMPLE_EVERY = 17;
/**
 * Nanoseconds that no act takes of which only some are timed: behind them the host's scheduler gave the processor to others in the
 * midst of it, which says nothing of the acts that this one stands for.
 */
const LONGEST_SAMPLE = 3_000_000;

/** One kind of hypervisor work: how often, and how long by extrapolation from the samples. */
class Account {
  count = 0;
  /** Nanoseconds of acts that are all timed. */
  timed = 0;
  private samples = 0;
  private sampled = 0;

  /** Whether this act is one to time. */
  enter(): boolean {
    return this.count++ % SAMPLE_EVERY === 0;
  }

  add(nanoseconds: number): void {
    if (nanoseconds > LONGEST_SAMPLE) return;
    this.samples++;
    this.sampled += nanoseconds;
  }

  get nanoseconds(): number {
    return this.timed + (this.samples === 0 ? 0 : (this.sampled / this.samples) * this.count);
  }
}

export class HypervisorTime {
  readonly exits = new Map<ExitReason, number>();
  private readonly now: () => number;
  private readonly accounts: Record<HypervisorPart, Account>;
  private executing = 0;
  /** Of translations, as far as it was timed. */
  private translated = 0;
  /** Acts under way that are timed, and how long acts took that were part of the innermost: each is counted once. */
  private depth = 0;
  private nested = 0;
  /** Cost of reading the clock, taken off every sample. */
  private readonly overhead: number;

  constructor(monotonicNanoseconds: () => number) {
    this.now = monotonicNanoseconds;
    this.accounts = Object.fromEntries(hypervisorParts.map((part) => [part, new Account()])) as Record<
      HypervisorPart,
      Account
    >;
    const before = this.now();
    for (let i = 0; i < 64; i++) this.now();
    this.overhead = (this.now() - before) / 65;
  }

  /** Counts an exit, or some of a kind. */
  exit(reason: ExitReason, times = 1): void {
    this.exits.set(reason, (this.exits.get(reason) ?? 0) + times);
  }

  /** Does an act of the hypervisor's, timing a sample of them. */
  measure<T>(part: HypervisorPart, act: () => T): T {
    const account = this.accounts[part];
    const isSample = account.enter();
    // What is part of an act that is timed is timed too, to be taken off it.
    if (!isSample && this.depth === 0) return act();
    return this.timing(act, (nanoseconds) => {
      if (isSample) account.add(nanoseconds);
    });
  }

  /** Does an act of the hypervisor's that is rare and takes long: each is timed. */
  time<T>(part: HypervisorPart, act: () => T): T {
    const account = this.accounts[part];
    return this.timing(act, (nanoseconds) => {
      account.timed += nanoseconds;
    });
  }

  /** Lets the vCPU execute translations, and times that. */
  timeTranslated<T>(act: () => T): T {
    return this.timing(act, (nanoseconds) => {
      this.translated += nanoseconds;
    });
  }

  private timing<T>(act: () => T, add: (nanoseconds: number) => void): T {
    const { nested } = this;
    this.nested = 0;
    this.depth++;
    const before = this.now();
    try {
      return act();
    } finally {
      const whole = this.now() - before;
      add(Math.max(0, whole - this.overhead - this.nested));
      this.depth--;
      this.nested = nested + whole + this.overhead;
    }
  }

  /** Host time spent in the vCPU, hypervisor included. */
  ran(nanoseconds: number): void {
    this.executing += nanoseconds;
  }

  /** A machine's bus, counted and measured. */
  bus(bus: PortBus & MmioBus): PortBus & MmioBus {
    return {
      readPort: (port: number, size: 1 | 2 | 4) => {
        this.exit('portIo');
        return this.measure('devices', () => bus.readPort(port, size));
      },
      writePort: (port: number, size: 1 | 2 | 4, value: number) => {
        this.exit('portIo');
        this.measure('devices', () => bus.writePort(port, size, value));
      },
      readMmio: (address: number, size: MmioSize) => {
        this.exit('mmio');
        return this.measure('devices', () => bus.readMmio(address, size));
      },
      writeMmio: (address: number, size: MmioSize, value: number) => {
        this.exit('mmio');
        this.measure('devices', () => bus.writeMmio(address, size, value));
      },
    };
  }

  /** Writes the counters. */
  publish(control: ControlBlock, counts: EngineCounts, state: EngineState): void {
    let hypervisor = 0;
    for (const part of hypervisorParts) {
      const { nanoseconds } = this.accounts[part];
      hypervisor += nanoseconds;
      control.set(`${part}Nanoseconds`, nanoseconds);
    }
    const guest = Math.max(0, this.executing - hypervisor);
    control.set('guestNanoseconds', guest);
    // By instructions and not by how often: some ways through translations take a thousand times as long as others.
    const { translatedInstructions, timedInstructions } = counts;
    const pace = timedInstructions === 0 ? 0 : this.translated / timedInstructions;
    control.set('translatedNanoseconds', Math.min(guest, translatedInstructions * pace));
    control.set('instructions', counts.instructions);
    control.set('translatedInstructions', translatedInstructions);
    control.set('tlbMisses', counts.tlbMisses);
    control.set('blocksDecoded', counts.blocksDecoded);
    control.set('blocksInvalidated', counts.blocksInvalidated);
    control.set('blockFlushes', counts.blockFlushes);
    control.set('residentPages', state.touchedPages);
    control.set('regionsTranslated', counts.regionsTranslated);
    control.set('regionsInstalled', state.regionsInstalled);
    control.set('regionsInvalidated', counts.regionsInvalidated);
    control.set('regionsFlushed', counts.regionsFlushed);
    control.set('regionsDiscarded', counts.regionsDiscarded);
    control.set('regionsWaiting', state.regionsWaiting);
    control.set('translatedModules', counts.translatedModules);
    control.set('translatedBytes', counts.translatedBytes);
    control.set('installedBytes', state.installedBytes);
    control.set('translatorNanoseconds', this.accounts.translation.timed);
    control.set('besideNanoseconds', counts.besideNanoseconds);
    for (const [reason, count] of this.exits) control.set(`exits.${reason}`, count);
  }
}
