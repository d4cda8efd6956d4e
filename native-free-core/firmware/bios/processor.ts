// What firmware services see of the processor that called them, and of the machine around it.
// Owns the interfaces alone; the machine implements them.
// Never knows an engine.

import type { AccessSize, Timers } from '../../devices/device.ts';
import type { Clock, WallTime } from '../../host.ts';
import type { MemoryMapEntry } from '../memory-map.ts';
import type { BiosDrive } from './drives.ts';

/** Numbers of registers as instructions encode them. */
export const Register = { ax: 0, cx: 1, dx: 2, bx: 3, sp: 4, bp: 5, si: 6, di: 7 } as const;
export const Segment = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5 } as const;

export const EFlag = { carry: 0x0001, zero: 0x0040, interrupt: 0x0200 } as const;

/** The processor while it stands behind a trap. Values are unsigned. */
export interface BiosProcessor {
  reg32(register: number): number;
  setReg32(register: number, value: number): void;
  selector(segment: number): number;
  /** Linear address of a segment's first byte. */
  segmentBase(segment: number): number;
  /** Loads a segment register as real and virtual-8086 mode do: the limit stays. */
  setSelector(segment: number, selector: number): void;
  /** Offset of the next instruction. */
  ip: number;
  /** EFLAGS. */
  flags: number;
  /** CR0.PE and EFLAGS.VM: HLT is not for such code to use. */
  readonly isVirtual8086: boolean;
  readonly isProtected: boolean;
  /** Mask of the stack pointer: 16 or 32 bits. */
  readonly stackMask: number;
  /** HLT waits for an interrupt. Clearing it lets the processor go on behind it. */
  halted: boolean;
  /** Memory by linear address, as an instruction would reach it: what is not there raises the guest's page fault. */
  read(linear: number, into: Uint8Array): void;
  write(linear: number, bytes: Uint8Array): void;
}

/** Guest-physical memory. */
export interface BiosMemory {
  /** Fills `into`; what is no memory reads as FFh. */
  read(physical: number, into: Uint8Array): void;
  /** Writes what is RAM. */
  write(physical: number, bytes: Uint8Array): void;
  /** Makes whole pages below 1 MiB writable or not. */
  protect(physical: number, length: number, isReadOnly: boolean): void;
}

export interface BiosPorts {
  readPort(port: number, size: Exclude<AccessSize, 8>): number;
  writePort(port: number, size: Exclude<AccessSize, 8>, value: number): void;
}

/** One letter of `--boot`: a floppy, c disk, d CD, n network. */
export type BootLetter = 'a' | 'c' | 'd' | 'n';

/** The machine as its firmware finds it. */
export interface BiosMachine {
  /** The processor that has the turn. */
  readonly processor: BiosProcessor;
  /** Its number. */
  readonly turn: number;
  /** Does something with another processor in {@link processor}'s place. Only while none executes. */
  onTurn(id: number, act: () => void): void;
  readonly memory: BiosMemory;
  readonly ports: BiosPorts;
  readonly memoryMap: readonly MemoryMapEntry[];
  readonly clock: Clock;
  /** Instructions that the guest has executed. */
  executed(): number;
  readonly timers: Timers;
  readonly wallTime: WallTime;
  /** The drives that there are, floppies first, then disks, then CDs. */
  readonly drives: readonly BiosDrive[];
  readonly bootOrder: readonly BootLetter[];
  /** Tables for E0000h to EFFFFh: ACPI and its kin, each with its address. */
  readonly tables: readonly { address: number; bytes: Uint8Array }[];
  /** Programs what is this board's own: the chipset's fixed functions, interrupt routes, addresses of PCI functions. */
  programBoard(): void;
  /** Says that a drive is at work until `work` has settled: a deterministic guest's time stands still so long. */
  follow(work: Promise<unknown>): void;
  /** Starts the machine anew. */
  reset(): void;
  powerOff(): void;
}
