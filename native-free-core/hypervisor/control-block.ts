// The block of shared memory through which main and a guest's worker see each other without messages.
// Owns its layout: commands one way, counters the other. One definition for both sides.
// Never holds guest memory, and nothing in it is trusted as an address.

/** 32-bit slots (indexes into an Int32Array), accessed with Atomics. */
export const ControlSlot = {
  /** What main wants: one of {@link Command}. Changing it is followed by `Atomics.notify`. */
  command: 0,
  /** What the guest is: one of {@link GuestState}. */
  state: 1,
  /** Bumped (and notified) whenever the worker should look: new input, new command, frames for its cards. */
  doorbell: 2,
  /** Bumped by main before the doorbell when it has sent a message: only those need a turn of the event loop. */
  letters: 3,
} as const;

export const Command = { run: 0, pause: 1, stop: 2 } as const;
export type Command = (typeof Command)[keyof typeof Command];

export const GuestState = { starting: 0, running: 1, halted: 2, paused: 3, off: 4, dead: 5 } as const;
export type GuestState = (typeof GuestState)[keyof typeof GuestState];

/** Why a guest left guest execution. The order is the counters' order; append, never reorder. */
export const exitReasons = [
  'portIo',
  'mmio',
  'hypercall',
  'msr',
  'cpuid',
  'controlRegister',
  'descriptorTable',
  'hlt',
  'interrupt',
  'exception',
] as const;
export type ExitReason = (typeof exitReasons)[number];

/** Where hypervisor time goes. `exits` covers every exit reason outside `devices`. */
export const hypervisorParts = ['exits', 'devices', 'paging', 'translation', 'scheduling'] as const;
export type HypervisorPart = (typeof hypervisorParts)[number];

const plainCounters = [
  // Executed, and those of them that translations executed: the interpreter did the rest. The same for the time.
  'instructions',
  'translatedInstructions',
  'guestNanoseconds',
  'translatedNanoseconds',
  'idleNanoseconds',
  // The guest had something to do, and waited for a processor that others had, or rested for its cap or the host's reserve.
  'waitedNanoseconds',
  // While the guest executed: processor time that the host gave its thread, and what the host gave others instead; deciding who
  // has a processor took so much of the guest's thread.
  'processorNanoseconds',
  'stolenNanoseconds',
  'sharesNanoseconds',
  'tlbMisses',
  'blocksDecoded',
  'blocksInvalidated',
  // How often everything decoded and translated was dropped.
  'blockFlushes',
  // Regions whose translations were installed, and what became of them: each is still installed, or dropped because its
  // code was written to, or dropped with everything else. Discarded: out of date before it could be installed.
  'regionsTranslated',
  'regionsInstalled',
  'regionsInvalidated',
  'regionsFlushed',
  'regionsDiscarded',
  'regionsWaiting',
  'translatedModules',
  // Bytes of modules: of all, and of those with regions that are installed.
  'translatedBytes',
  'installedBytes',
  // Translating and installing in the guest's own thread, a part of the hypervisor's time; translating in another thread.
  'translatorNanoseconds',
  'besideNanoseconds',
  'residentPages',
  'balloonPages',
  // What a guest's balloon tells of its memory: how often it has told; bytes it used then, and could have had; bytes it has
  // fetched from swap, and faults that had to read a disk, since its start.
  'memoryTellings',
  'memoryUsed',
  'memoryAvailable',
  'memorySwappedIn',
  'memoryMajorFaults',
  'diskReads',
  'diskWrites',
  'diskBytesRead',
  'diskBytesWritten',
  // From each read's and write's request to its answer, added up.
  'diskNanoseconds',
  'netPacketsIn',
  'netPacketsOut',
  'netBytesIn',
  'netBytesOut',
] as const;

/** Every counter's name, in the order of the counters area. */
export const counterNames: readonly string[] = [
  ...plainCounters,
  ...hypervisorParts.map((part) => `${part}Nanoseconds`),
  ...exitReasons.map((reason) => `exits.${reason}`),
];

export type CounterName = (typeof plainCounters)[number] | `${HypervisorPart}Nanoseconds` | `exits.${ExitReason}`;

const CONTROL_BYTES = 64;

/** Views of one control block. Both sides build one over the same buffer. */
export class ControlBlock {
  static readonly byteLength = CONTROL_BYTES + counterNames.length * 8;
  readonly slots: Int32Array;
  /** Doubles: written by the worker alone, read by main at any time. A torn read is harmless for a chart. */
  readonly counters: Float64Array;

  readonly buffer: SharedArrayBuffer;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(ControlBlock.byteLength)) {
    this.buffer = buffer;
    this.slots = new Int32Array(buffer, 0, CONTROL_BYTES / 4);
    this.counters = new Float64Array(buffer, CONTROL_BYTES, counterNames.length);
  }

  get(name: CounterName): number {
    return this.counters[counterIndex(name)];
  }

  set(name: CounterName, value: number): void {
    this.counters[counterIndex(name)] = value;
  }
}

const indexes = new Map(counterNames.map((name, index) => [name, index]));

/** Index of a counter in {@link ControlBlock.counters}. */
export function counterIndex(name: CounterName): number {
  return indexes.get(name)!;
}
