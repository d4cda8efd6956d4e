// What a firmware service is: the interrupts it answers, what it puts into the ROM, what it does at power-on.
// Owns the types and the stub that every interrupt service shares.
// Never implements a service.

import type { SavedState } from '../../devices/device.ts';
import type { BiosCall } from './call.ts';
import type { BiosMachine, BiosProcessor } from './processor.ts';
import type { RomBuilder } from './rom-builder.ts';

/** Done, or what has to be waited for. */
// biome-ignore lint/suspicious/noConfusingVoidType: a service that is done returns nothing
export type Outcome = void | Wait;

/**
 * Something that takes time. The caller's interrupts are on meanwhile, and the processor is halted; whenever it is woken
 * `isReady` is asked, and then `resume` goes on with the service, with the caller's registers as they were.
 */
export interface Wait {
  isReady(): boolean;
  resume(call: BiosCall): Outcome;
}

/** Waits until an interrupt has happened, and then asks again. */
export function afterInterrupt(resume: (call: BiosCall) => Outcome): Wait {
  return { isReady: () => true, resume };
}

/** What a trap in ROM code does; the processor goes on behind the trap unless its `ip` is changed. */
export type TrapHandler = (processor: BiosProcessor) => void;

/** An interrupt that firmware answers with a function alone. */
export interface InterruptService {
  vector: number;
  /** Fixed offset of its entry in the F0000h ROM, where software expects one. */
  at?: number;
  handle(call: BiosCall): Outcome;
}

/** What services are given. */
export interface BiosContext {
  readonly machine: BiosMachine;
  /** The F0000h ROM. */
  readonly rom: RomBuilder;
  /** Emits the entry of an interrupt service at the builder's place: traps until it is done, then IRET. */
  interruptEntry(rom: RomBuilder, handle: (call: BiosCall) => Outcome): void;
  /** Which code an interrupt vector leads to after POST: an offset of the F0000h ROM. */
  setVector(vector: number, offset: number): void;
  /** Another ROM of ours, such as that of the display, whose traps are heard too. */
  addRom(rom: RomBuilder): void;
  /** A trap whose handler sees the registers but no frame of an interrupt: its carry is the processor's own. */
  plainTrap(rom: RomBuilder, handle: (call: BiosCall) => void): void;
  /** A {@link Wait} for work outside of the guest. `resume` hears of a failure by its second argument. */
  until<T>(work: Promise<T>, resume: (call: BiosCall, result: T | undefined, failure: unknown) => Outcome): Wait;
  /** Waits for so many nanoseconds of guest time, interrupts or none, and then goes on. */
  after(nanoseconds: number, resume: (call: BiosCall) => Outcome): Wait;
  /** Waits for an interrupt, but no longer than so many nanoseconds of guest time, and then goes on. */
  pause(nanoseconds: number, resume: (call: BiosCall) => Outcome): Wait;
  /** Registers as a call to services without a caller: for POST. */
  readonly registers: BiosCall;
}

/** One family of services. */
export interface BiosModule {
  interrupts?: readonly InterruptService[];
  /** Puts code and tables into the ROM. Called once, before the interrupts' entries are placed. */
  place?(context: BiosContext): void;
  /** Prepares the services' data and devices; called at every POST, interrupt vectors and BDA being fresh. */
  powerOn?(context: BiosContext): void;
  /** What it knows that is not in guest memory. */
  save?(): SavedState;
  restore?(state: SavedState): void;
}
