// The registers, frames and tables of an AHCI controller, by the names of Serial ATA AHCI 1.3.1.
// Owns their bits and layouts, and the walk through a command's table of physical regions.
// Never keeps a port's state.

import type { DmaMemory } from '../dma.ts';

/** Generic host control (3.1). */
export const Hba = { cap: 0x00, ghc: 0x04, is: 0x08, pi: 0x0c, vs: 0x10, end: 0x2c } as const;
export const Ghc = { reset: 1, interruptEnable: 2, ahciEnable: 0x8000_0000 } as const;
export const AHCI_VERSION = 0x0001_0300;

/** Port registers begin here, so many bytes a port (3.3). */
export const PORTS_AT = 0x100;
export const PORT_BYTES = 0x80;

export const Px = {
  clb: 0x00,
  clbu: 0x04,
  fb: 0x08,
  fbu: 0x0c,
  is: 0x10,
  ie: 0x14,
  cmd: 0x18,
  tfd: 0x20,
  sig: 0x24,
  ssts: 0x28,
  sctl: 0x2c,
  serr: 0x30,
  sact: 0x34,
  ci: 0x38,
} as const;

/** PxIS and PxIE. */
export const PortInterrupt = {
  deviceToHost: 1 << 0,
  pioSetup: 1 << 1,
  dmaSetup: 1 << 2,
  setDeviceBits: 1 << 3,
  connectChange: 1 << 6,
  phyReady: 1 << 22,
  overflow: 1 << 24,
  hostBusData: 1 << 28,
  taskFileError: 1 << 30,
} as const;
/** Those that are cleared by writing ones; connect change and PhyRdy follow PxSERR. */
export const PORT_INTERRUPT_CLEARABLE = 0x7d80_00af;
export const PORT_INTERRUPT_ENABLES = 0x7dc0_00ff;

/** PxCMD. */
export const PortCommand = {
  start: 1,
  spinUp: 2,
  powerOn: 4,
  override: 8,
  receive: 0x10,
  receiving: 0x4000,
  running: 0x8000,
  atapi: 0x0100_0000,
} as const;

/** PxSERR.DIAG: the device was exchanged; PhyRdy changed. */
export const SataError = { exchanged: 1 << 26, phyReady: 1 << 16 } as const;
/** PxSSTS of a port whose device answers: 3 Gbit/s, active. */
export const LINK_UP = 0x123;
/** PxTFD and PxSIG before a device has said anything. */
export const TASK_FILE_EMPTY = 0x7f;
export const SIGNATURE_EMPTY = 0xffff_ffff;

/** Frame information structures: their types, and where a received one is put (4.2.1). */
export const Fis = {
  hostToDevice: 0x27,
  deviceToHost: 0x34,
  dmaSetup: 0x41,
  pioSetup: 0x5f,
  setDeviceBits: 0xa1,
} as const;
export const FisPlace = { dmaSetup: 0x00, pioSetup: 0x20, deviceToHost: 0x40, setDeviceBits: 0x58 } as const;
/** Bits of a frame's second byte. */
export const FisFlag = { command: 0x80, interrupt: 0x40, toHost: 0x20 } as const;

/** A command list entry (4.2.2) and a command table (4.2.3). */
export const HEADER_BYTES = 32;
export const Header = { fisDwords: 0x1f, atapi: 0x20, clearBusy: 0x400 } as const;
export const COMMAND_FIS_BYTES = 20;
export const PACKET_AT = 0x40;
export const REGIONS_AT = 0x80;
const REGION_BYTES = 16;
const REGION_COUNT = 0x3f_ffff;
/** Physical addresses end here, below where numbers are inexact: nothing of a guest is beyond. */
const ADDRESS_LIMIT = 2 ** 52;

export const dword = (bytes: Uint8Array, at: number): number =>
  (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;

export function setDword(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = (value >>> (8 * i)) & 0xff;
}

/** How moving data came out: `short` where the regions ended first, `error` where there is no memory. */
export type RegionResult = 'done' | 'short' | 'error';

/** The regions of one command, walked once from the first to the last. */
export class Regions {
  private readonly memory: DmaMemory;
  private readonly table: number;
  private readonly count: number;
  private readonly entry = new Uint8Array(REGION_BYTES);
  private next = 0;
  private address = 0;
  private left = 0;
  /** Bytes that were moved. */
  moved = 0;

  /** `count` entries at the physical address `table`. */
  constructor(memory: DmaMemory, table: number, count: number) {
    this.memory = memory;
    this.table = table;
    this.count = count;
  }

  toMemory(bytes: Uint8Array): RegionResult {
    return this.walk(bytes, (address, part) => this.memory.write(address, part));
  }

  fromMemory(into: Uint8Array): RegionResult {
    return this.walk(into, (address, part) => this.memory.read(address, part));
  }

  /** Every entry has a byte at least, and there are 65,535 at most: a table keeps nobody here for ever. */
  private walk(bytes: Uint8Array, move: (address: number, part: Uint8Array) => boolean): RegionResult {
    for (let done = 0; done < bytes.length; ) {
      if (this.left === 0) {
        if (this.next >= this.count) return 'short';
        if (!this.memory.read(this.table + REGION_BYTES * this.next, this.entry)) return 'error';
        this.next++;
        this.address = (dword(this.entry, 0) & ~1) >>> 0;
        this.address += dword(this.entry, 4) * 2 ** 32;
        this.left = (dword(this.entry, 12) & REGION_COUNT) + 1;
      }
      const length = Math.min(this.left, bytes.length - done);
      if (this.address + length > ADDRESS_LIMIT || !move(this.address, bytes.subarray(done, done + length)))
        return 'error';
      this.address += length;
      this.left -= length;
      this.moved += length;
      done += length;
    }
    return 'done';
  }
}
