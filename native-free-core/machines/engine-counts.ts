// What the engine has done, as counters tell it: of one machine, or of one guest among several that share an engine.
// Owns which of the engine's numbers are counts and which are states of the whole.
// Never measures time: see hypervisor-time.ts.

import type { Cpu } from '../cpu/cpu.ts';

/** Counts since power-on; what a guest has of them is what was added while it executed. */
export interface EngineCounts {
  instructions: number;
  translatedInstructions: number;
  timedInstructions: number;
  tlbMisses: number;
  blocksDecoded: number;
  blocksInvalidated: number;
  blockFlushes: number;
  regionsTranslated: number;
  regionsInvalidated: number;
  regionsFlushed: number;
  regionsDiscarded: number;
  translatedModules: number;
  translatedBytes: number;
  besideNanoseconds: number;
}

/** States of the engine, which all of its guests have in common. */
export interface EngineState {
  regionsInstalled: number;
  regionsWaiting: number;
  installedBytes: number;
  touchedPages: number;
}

export function engineCounts(cpu: Cpu): EngineCounts {
  const { translator, blocks, system } = cpu;
  return {
    // Also in the middle of a burst, where the line that a run waits for is written.
    instructions: cpu.executed,
    translatedInstructions: cpu.translatedInstructions,
    timedInstructions: cpu.timedInstructions,
    tlbMisses: system.mmu.misses,
    blocksDecoded: blocks.decoded,
    blocksInvalidated: blocks.invalidated,
    blockFlushes: blocks.flushes,
    regionsTranslated: translator.regions,
    regionsInvalidated: translator.invalidated,
    regionsFlushed: translator.flushed,
    regionsDiscarded: translator.discarded,
    translatedModules: translator.modules,
    translatedBytes: translator.bytes,
    besideNanoseconds: translator.besideNanoseconds,
  };
}

export function engineState({ translator, system }: Cpu): EngineState {
  return {
    regionsInstalled: translator.liveRegions,
    regionsWaiting: translator.waiting,
    installedBytes: translator.liveBytes,
    touchedPages: system.mmu.touchedPages,
  };
}

/** What one guest among several has of an engine's counts. */
export class EngineShare {
  readonly counts: EngineCounts;
  private readonly cpu: Cpu;
  private before: EngineCounts;

  constructor(cpu: Cpu) {
    this.cpu = cpu;
    this.before = engineCounts(cpu);
    this.counts = { ...this.before };
    for (const name of Object.keys(this.counts) as (keyof EngineCounts)[]) this.counts[name] = 0;
  }

  /** The guest executes from here on. */
  begin(): void {
    this.before = engineCounts(this.cpu);
  }

  /** It has executed, or is still at it: what came since the last look is its own. */
  take(): void {
    const now = engineCounts(this.cpu);
    for (const name of Object.keys(now) as (keyof EngineCounts)[]) this.counts[name] += now[name] - this.before[name];
    this.before = now;
  }
}
