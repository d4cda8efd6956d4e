// A guest's counters as people read them: a sample a second for the charts, and the report of a run.
// Owns the arithmetic from nanoseconds and counts to seconds and shares, and the history of samples.
// Never estimates: every number is a reading of the control block, or a difference of two.

import {
  type ControlBlock,
  exitReasons,
  type HypervisorPart,
  hypervisorParts,
} from '../../native-free-core/hypervisor/control-block.ts';
import type { EngineWork, GuestKind, HypervisorSeconds, ProcessorSeconds, Report, StatsSample } from '../contract.ts';
import type { ToldMemory } from './memory-pool.ts';

/** Samples kept: ten minutes at one a second. */
const HISTORY_LENGTH = 600;

const PAGE_MIB = 4096 / 2 ** 20;

/** One reading of the counters that are shown. */
export type Totals = StatsSample['totals'] & { residentMiB: number; balloonMiB: number };

/** `kind`: what is not execution of the guest is its hypervisor's; that of a guest of kind os is the shared kernel's. */
export function readTotals(control: ControlBlock, kind: GuestKind): Totals {
  const seconds = (part: HypervisorPart): number => control.get(`${part}Nanoseconds`) / 1e9;
  const hypervisorSeconds = Object.fromEntries(
    hypervisorParts.map((part) => [part, kind === 'os' ? 0 : seconds(part)]),
  ) as HypervisorSeconds;
  const kernelSeconds = kind === 'os' ? hypervisorParts.reduce((total, part) => total + seconds(part), 0) : 0;
  const exits = Object.fromEntries(exitReasons.map((reason) => [reason, control.get(`exits.${reason}`)]));
  return {
    processor: readProcessor(control),
    instructions: control.get('instructions'),
    guestSeconds: control.get('guestNanoseconds') / 1e9,
    kernelSeconds,
    hypervisorSeconds,
    exits,
    disk: {
      reads: control.get('diskReads'),
      writes: control.get('diskWrites'),
      bytesRead: control.get('diskBytesRead'),
      bytesWritten: control.get('diskBytesWritten'),
      seconds: control.get('diskNanoseconds') / 1e9,
    },
    net: {
      packetsIn: control.get('netPacketsIn'),
      packetsOut: control.get('netPacketsOut'),
      bytesIn: control.get('netBytesIn'),
      bytesOut: control.get('netBytesOut'),
    },
    residentMiB: control.get('residentPages') * PAGE_MIB,
    balloonMiB: control.get('balloonPages') * PAGE_MIB,
  };
}

function readProcessor(control: ControlBlock): ProcessorSeconds {
  return {
    executed: control.get('processorNanoseconds') / 1e9,
    stolen: control.get('stolenNanoseconds') / 1e9,
    waited: control.get('waitedNanoseconds') / 1e9,
    sharing: control.get('sharesNanoseconds') / 1e9,
  };
}

/** What a guest's balloon told last. */
export function readMemory(control: ControlBlock): ToldMemory {
  return {
    balloonPages: control.get('balloonPages'),
    tellings: control.get('memoryTellings'),
    used: control.get('memoryUsed'),
    available: control.get('memoryAvailable'),
    swappedIn: control.get('memorySwappedIn'),
    majorFaults: control.get('memoryMajorFaults'),
  };
}

function readEngineWork(control: ControlBlock): EngineWork {
  const instructions = control.get('translatedInstructions');
  const seconds = control.get('translatedNanoseconds') / 1e9;
  return {
    interpreter: {
      instructions: control.get('instructions') - instructions,
      seconds: control.get('guestNanoseconds') / 1e9 - seconds,
    },
    translations: { instructions, seconds },
    translator: {
      regions: control.get('regionsTranslated'),
      installed: control.get('regionsInstalled'),
      invalidated: control.get('regionsInvalidated'),
      flushed: control.get('regionsFlushed'),
      discarded: control.get('regionsDiscarded'),
      waiting: control.get('regionsWaiting'),
      modules: control.get('translatedModules'),
      bytes: control.get('translatedBytes'),
      installedBytes: control.get('installedBytes'),
      seconds: {
        guestThread: control.get('translatorNanoseconds') / 1e9,
        beside: control.get('besideNanoseconds') / 1e9,
      },
    },
    blocks: {
      decoded: control.get('blocksDecoded'),
      invalidated: control.get('blocksInvalidated'),
      flushes: control.get('blockFlushes'),
    },
    tlbMisses: control.get('tlbMisses'),
  };
}

function sum(values: object): number {
  return Object.values(values).reduce((total: number, value: number) => total + value, 0);
}

/**
 * Which part of the time that a guest's thread had its turn the host's processors executed it. Guest and hypervisor time are
 * measured by the clock: the rest of it is not theirs.
 */
export function givenPart(before: ProcessorSeconds, after: ProcessorSeconds): number {
  const executed = after.executed - before.executed;
  const whole = executed + after.stolen - before.stolen;
  return whole > 0 ? executed / whole : 1;
}

/** Seconds in which the guest had something to do and others had the processor. */
export function stealSeconds(before: ProcessorSeconds, after: ProcessorSeconds): number {
  return after.stolen - before.stolen + after.waited - before.waited;
}

/** Samples of one run, made at whatever pace `sample` is called. */
export class History {
  readonly #control: ControlBlock;
  readonly #kind: GuestKind;
  readonly #samples: StatsSample[] = [];
  #before: Totals;
  #beforeAt: number;

  constructor(control: ControlBlock, kind: GuestKind) {
    this.#control = control;
    this.#kind = kind;
    this.#before = readTotals(control, kind);
    this.#beforeAt = performance.now();
  }

  get samples(): readonly StatsSample[] {
    return this.#samples;
  }

  /** Takes a sample over the time since the last one. */
  sample(): StatsSample {
    const now = performance.now();
    const seconds = Math.max((now - this.#beforeAt) / 1000, 1e-3);
    const { residentMiB, balloonMiB, ...totals } = readTotals(this.#control, this.#kind);
    const before = this.#before;
    // Readings are not taken in one instant, so a share may come out a hair outside 0 to 100.
    const percent = (spent: number): number => Math.min(100, Math.max(0, (100 * spent) / seconds));
    const given = givenPart(before.processor, totals.processor);
    const guestPercent = percent(given * (totals.guestSeconds - before.guestSeconds));
    const hypervisorPercent = percent(given * (sum(totals.hypervisorSeconds) - sum(before.hypervisorSeconds)));
    const kernelPercent = percent(given * (totals.kernelSeconds - before.kernelSeconds));
    const stealPercent = percent(stealSeconds(before.processor, totals.processor));
    const sample: StatsSample = {
      at: Date.now(),
      seconds,
      guestPercent,
      hypervisorPercent,
      kernelPercent,
      stealPercent,
      idlePercent: Math.max(0, 100 - guestPercent - hypervisorPercent - kernelPercent - stealPercent),
      instructionsPerSecond: Math.max(0, totals.instructions - before.instructions) / seconds,
      exitsPerSecond: Math.max(0, sum(totals.exits) - sum(before.exits)) / seconds,
      residentMiB,
      balloonMiB,
      totals,
    };
    this.#before = { ...totals, residentMiB, balloonMiB };
    this.#beforeAt = now;
    this.#samples.push(sample);
    if (this.#samples.length > HISTORY_LENGTH) this.#samples.shift();
    return sample;
  }
}

export interface RunFacts {
  kind: Report['kind'];
  memoryMiB: number;
  wallSeconds: number;
  marks: Report['marks'];
  unimplemented?: Report['unimplemented'];
  end: Report['end'];
}

/** The report of a run, from its control block and what main knows of it. */
export function makeReport(control: ControlBlock, facts: RunFacts): Report {
  const { residentMiB, balloonMiB, ...totals } = readTotals(control, facts.kind);
  const hypervisor = sum(totals.hypervisorSeconds);
  const busy = totals.guestSeconds + totals.kernelSeconds + hypervisor;
  return {
    kind: facts.kind,
    wallSeconds: facts.wallSeconds,
    marks: facts.marks,
    ...totals,
    hypervisorShare: busy > 0 ? hypervisor / busy : 0,
    engine: readEngineWork(control),
    memory: { configuredMiB: facts.memoryMiB, residentMiB, balloonMiB },
    unimplemented: facts.unimplemented ?? {},
    end: facts.end,
  };
}
