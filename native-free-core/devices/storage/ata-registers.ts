// The registers of an ATA drive: the bits of status, error and device, and the file of registers a command is told in.
// Owns their names and the two bytes behind each register that 48-bit commands use (ATA/ATAPI-6, 6.20).
// Never knows a command.

import type { StateReader } from '../saved-state.ts';

/** Status register (ATA/ATAPI-6, 7.15). */
export const AtaStatus = { busy: 0x80, ready: 0x40, fault: 0x20, seekDone: 0x10, request: 0x08, error: 0x01 } as const;

/** Error register (ATA/ATAPI-6, 7.9). */
export const AtaError = { uncorrectable: 0x40, notFound: 0x10, aborted: 0x04 } as const;

/** Device register. */
export const AtaDevice = { lba: 0x40, second: 0x10, head: 0x0f } as const;

/** Device control register. */
export const AtaControl = { highOrder: 0x80, softReset: 0x04, noInterrupt: 0x02 } as const;

/** Interrupt reason, which is what the sector count says of a packet command (ATA/ATAPI-6, 7.11). */
export const PacketReason = { command: 0x01, toHost: 0x02 } as const;

/** Number of a command block register; its offset from the first port. */
export const AtaRegister = {
  data: 0,
  features: 1,
  count: 2,
  lbaLow: 3,
  lbaMid: 4,
  lbaHigh: 5,
  device: 6,
  command: 7,
} as const;

/** Registers 1 to 6 of one drive as the host sees them; of 1 to 5 also what was written before ("previous content"). */
export class TaskFile {
  private readonly current = new Uint8Array(8);
  private readonly previous = new Uint8Array(8);

  /** The host writes a register. */
  write(register: number, value: number): void {
    if (register !== AtaRegister.device) this.previous[register] = this.current[register];
    this.current[register] = value;
  }

  /** What the host reads; `highOrder` asks for the previous content. */
  read(register: number, highOrder: boolean): number {
    return highOrder && register !== AtaRegister.device ? this.previous[register] : this.current[register];
  }

  get features(): number {
    return this.current[AtaRegister.features];
  }

  /** The drive sets a register, previous content zero. */
  set(register: number, value: number): void {
    this.previous[register] = 0;
    this.current[register] = value;
  }

  get count(): number {
    return this.current[AtaRegister.count];
  }

  get device(): number {
    return this.current[AtaRegister.device];
  }

  set device(value: number) {
    this.current[AtaRegister.device] = value;
  }

  /** The features of a queued command, which are its sector count. */
  get features16(): number {
    return (this.previous[AtaRegister.features] << 8) | this.features;
  }

  /** The sector count of a 48-bit command. */
  get count16(): number {
    return (this.previous[AtaRegister.count] << 8) | this.count;
  }

  /** Low, mid and high as a 24-bit number. */
  get address24(): number {
    const { current } = this;
    return current[AtaRegister.lbaLow] | (current[AtaRegister.lbaMid] << 8) | (current[AtaRegister.lbaHigh] << 16);
  }

  /** The sector address of a 48-bit command. */
  get address48(): number {
    const { previous } = this;
    const high =
      previous[AtaRegister.lbaLow] | (previous[AtaRegister.lbaMid] << 8) | (previous[AtaRegister.lbaHigh] << 16);
    return high * 2 ** 24 + this.address24;
  }

  /** Tells the host a sector address: 24 bits, with `extended` 48. */
  setAddress(sector: number, extended: boolean): void {
    for (let i = 0; i < 3; i++) {
      this.current[AtaRegister.lbaLow + i] = Math.floor(sector / 2 ** (8 * i)) & 0xff;
      if (extended) this.previous[AtaRegister.lbaLow + i] = Math.floor(sector / 2 ** (24 + 8 * i)) & 0xff;
    }
  }

  save(): { current: Uint8Array; previous: Uint8Array } {
    return { current: this.current.slice(), previous: this.previous.slice() };
  }

  restore(reader: StateReader): void {
    this.current.set(reader.bytes('current', 8));
    this.previous.set(reader.bytes('previous', 8));
  }
}
