// One channel's bus master: its three registers and the walk through the table of physical regions (PRDs).
// Owns where the walk stands and the status bits (Programming Interface for Bus Master IDE Controller, revision 1.0).
// Never knows a drive: it is told that one asks for data, and asks it to go on.

import type { SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { openState } from '../saved-state.ts';

export const BusMasterCommand = { start: 0x01, toMemory: 0x08 } as const;
export const BusMasterStatus = { active: 0x01, error: 0x02, interrupt: 0x04, capable: 0x60 } as const;

/** Bytes of a region whose count reads as zero. */
const WHOLE_REGION = 0x10000;
const END_OF_TABLE = 0x80;

/** How a transfer came out: `short` when the table ended first, `error` where there is no memory. */
export type DmaResult = 'done' | 'short' | 'error';

export interface BusMasterWiring {
  memory: DmaMemory;
  /** Whether the PCI function may master the bus. */
  enabled(): boolean;
  /** The host started or stopped the bus master. */
  onStart(): void;
  onStop(): void;
}

export class BusMaster {
  private readonly wiring: BusMasterWiring;
  private command = 0;
  private status = 0;
  private table = 0;
  /** Where the next descriptor is, and what is left of the present one. */
  private next = 0;
  private address = 0;
  private left = 0;
  private last = false;
  private readonly descriptor = new Uint8Array(8);

  constructor(wiring: BusMasterWiring) {
    this.wiring = wiring;
  }

  /** Whether data may move now. */
  get running(): boolean {
    return (this.status & BusMasterStatus.active) !== 0 && this.wiring.enabled();
  }

  /** Reads one of the eight bytes of the register block. */
  read(offset: number): number {
    switch (offset) {
      case 0:
        return this.command;
      case 2:
        return this.status;
      case 4:
      case 5:
      case 6:
      case 7:
        return (this.table >>> (8 * (offset - 4))) & 0xff;
      default:
        return 0;
    }
  }

  write(offset: number, value: number): void {
    switch (offset) {
      case 0:
        this.writeCommand(value);
        return;
      case 2:
        this.status =
          (this.status & ~(value & (BusMasterStatus.error | BusMasterStatus.interrupt)) & ~BusMasterStatus.capable) |
          (value & BusMasterStatus.capable);
        return;
      case 4:
      case 5:
      case 6:
      case 7: {
        const shift = 8 * (offset - 4);
        this.table = (((this.table & ~(0xff << shift)) | (value << shift)) & ~3) >>> 0;
      }
    }
  }

  private writeCommand(value: number): void {
    const started = (value & ~this.command & BusMasterCommand.start) !== 0;
    const stopped = (this.command & ~value & BusMasterCommand.start) !== 0;
    // The direction is not to be changed while a transfer is under way.
    const direction = (this.status & BusMasterStatus.active) !== 0 ? this.command : value;
    this.command = (value & BusMasterCommand.start) | (direction & BusMasterCommand.toMemory);
    if (stopped) {
      this.status &= ~BusMasterStatus.active;
      this.wiring.onStop();
    }
    if (started) {
      this.next = this.table;
      this.left = 0;
      this.last = false;
      this.status |= BusMasterStatus.active;
      this.wiring.onStart();
    }
  }

  /** The drive's interrupt line rose. */
  interrupted(): void {
    this.status |= BusMasterStatus.interrupt;
  }

  /** The drive has no more data: the master stays active where regions are left over. */
  finished(): void {
    if (this.left === 0 && this.last) this.status &= ~BusMasterStatus.active;
  }

  /** Data of the drive for memory, wherever the table says. */
  toMemory(bytes: Uint8Array): DmaResult {
    return this.walk(bytes, true);
  }

  /** Fills `into` with data for the drive. */
  fromMemory(into: Uint8Array): DmaResult {
    return this.walk(into, false);
  }

  private walk(bytes: Uint8Array, toMemory: boolean): DmaResult {
    const { memory } = this.wiring;
    // A transfer against the programmed direction would write where the guest meant to be read.
    if (((this.command & BusMasterCommand.toMemory) !== 0) !== toMemory) return this.fail();
    for (let done = 0; done < bytes.length; ) {
      if (this.left === 0) {
        if (this.last) {
          this.status &= ~BusMasterStatus.active;
          return 'short';
        }
        if (!this.fetch()) return this.fail();
      }
      const length = Math.min(this.left, bytes.length - done);
      const part = bytes.subarray(done, done + length);
      if (!(toMemory ? memory.write(this.address, part) : memory.read(this.address, part))) return this.fail();
      this.address += length;
      this.left -= length;
      done += length;
    }
    return 'done';
  }

  private fail(): DmaResult {
    this.status = (this.status & ~BusMasterStatus.active) | BusMasterStatus.error;
    return 'error';
  }

  /** Reads the next descriptor. Each is at least two bytes long, so a table can keep nobody here for ever. */
  private fetch(): boolean {
    const { descriptor } = this;
    if (!this.wiring.memory.read(this.next, descriptor)) return false;
    this.next = (this.next + 8) % 2 ** 32;
    this.address =
      ((descriptor[0] & 0xfe) | (descriptor[1] << 8) | (descriptor[2] << 16) | (descriptor[3] << 24)) >>> 0;
    this.left = (descriptor[4] & 0xfe) | (descriptor[5] << 8) || WHOLE_REGION;
    this.last = (descriptor[7] & END_OF_TABLE) !== 0;
    return true;
  }

  reset(): void {
    this.command = 0;
    this.status = 0;
    this.table = 0;
    this.next = 0;
    this.address = 0;
    this.left = 0;
    this.last = false;
  }

  save(): SavedState {
    const { command, status, table, next, address, left, last } = this;
    return { version: 1, command, status, table, next, address, left, last };
  }

  restore(state: SavedState): void {
    const reader = openState('bus master', 1, state);
    const command = reader.integer('command', 0, 9) & (BusMasterCommand.start | BusMasterCommand.toMemory);
    const status = reader.integer('status', 0, 0x67);
    const table = reader.dword('table') & ~3;
    const next = reader.dword('next');
    const address = reader.integer('address', 0, 2 ** 32 + WHOLE_REGION);
    const left = reader.integer('left', 0, WHOLE_REGION);
    this.last = reader.boolean('last');
    Object.assign(this, { command, status, table: table >>> 0, next, address, left });
  }
}
