// A real PC that calls interrupts of its firmware for tests: a boot sector does what it is told, one call after another.
// Owns that sector and the block in guest memory by which it is told.
// Never used outside tests.

import type { BlockDevice } from '../../disk/block.ts';
import { ControlBlock } from '../../hypervisor/control-block.ts';
import type { GuestConfig, GuestEnd, GuestHost } from '../../hypervisor/guest.ts';
import { Pc } from '../../machines/pc.ts';
import { RomBuilder } from './rom-builder.ts';

/** Registers by their names in {@link FIELDS}; a call gets 0 for those that it does not name. */
export interface Registers {
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
  esi: number;
  edi: number;
  ebp: number;
  ds: number;
  es: number;
  flags: number;
}

/** The block at 600h: whether there is a call, its vector, its registers, and from 640h on what it left. */
const REQUEST = 0x600;
const RESULT = 0x640;
const FIELDS: readonly (readonly [keyof Registers, offset: number, bytes: 2 | 4])[] = [
  ['eax', 0x04, 4],
  ['ebx', 0x08, 4],
  ['ecx', 0x0c, 4],
  ['edx', 0x10, 4],
  ['esi', 0x14, 4],
  ['edi', 0x18, 4],
  ['ebp', 0x1c, 4],
  ['ds', 0x20, 2],
  ['es', 0x22, 2],
  ['flags', 0x24, 2],
];
const INTERRUPTS_ON = 0x0202;
export const CARRY = 0x0001;
export const ZERO = 0x0040;
/** Where tests may put data: above the boot sector, below the EBDA. */
export const BUFFER = 0x10000;
const SLICES_MAX = 20_000;
/** Host time that passes between two looks at the clock, so that a slice of a millisecond has some ten bursts. */
const LOOK_NS = 50_000;
const TURNS = 32;

/** The boot sector: waits for a call in the block, makes it, and writes down what came of it. */
export function callingSector(): Uint8Array {
  const code = new RomBuilder(0, 0x8000);
  const at = (offset: number) => [offset & 0xff, offset >> 8];
  code
    .at(0x7c00)
    .emit(0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c) // cli; xor ax, ax; segments, stack
    .emit(0x88, 0x16, 0x80, 0x06, 0xfb) // mov [680h], dl: the drive that was booted from
    .label('loop')
    .emit(0xa0, ...at(REQUEST), 0x84, 0xc0) // mov al, [600h]; test al, al
    .short(0x75, 'call')
    .emit(0xfb, 0xf4) // sti; hlt
    .short(0xeb, 'loop')
    .label('call')
    .emit(0xa0, ...at(REQUEST + 1))
    .offset([0xa2], 'vector') // the INT's own second byte
    .emit(0x66, 0x8b, 0x1e, ...at(REQUEST + 0x08), 0x66, 0x8b, 0x0e, ...at(REQUEST + 0x0c))
    .emit(0x66, 0x8b, 0x16, ...at(REQUEST + 0x10), 0x66, 0x8b, 0x36, ...at(REQUEST + 0x14))
    .emit(0x66, 0x8b, 0x3e, ...at(REQUEST + 0x18), 0x66, 0x8b, 0x2e, ...at(REQUEST + 0x1c))
    .emit(0x8e, 0x06, ...at(REQUEST + 0x22), 0xff, 0x36, ...at(REQUEST + 0x24), 0x9d) // es; flags
    .emit(0x66, 0xa1, ...at(REQUEST + 0x04), 0x8e, 0x1e, ...at(REQUEST + 0x20)) // eax; ds
    .emit(0xcd)
    .label('vector')
    .emit(0)
    .emit(0x9c, 0x2e, 0x8f, 0x06, ...at(RESULT + 0x24)) // pushf; pop cs:[…]
    .emit(0x2e, 0x66, 0xa3, ...at(RESULT + 0x04), 0x2e, 0x66, 0x89, 0x1e, ...at(RESULT + 0x08))
    .emit(0x2e, 0x66, 0x89, 0x0e, ...at(RESULT + 0x0c), 0x2e, 0x66, 0x89, 0x16, ...at(RESULT + 0x10))
    .emit(0x2e, 0x66, 0x89, 0x36, ...at(RESULT + 0x14), 0x2e, 0x66, 0x89, 0x3e, ...at(RESULT + 0x18))
    .emit(0x2e, 0x66, 0x89, 0x2e, ...at(RESULT + 0x1c))
    .emit(0x2e, 0x8c, 0x1e, ...at(RESULT + 0x20), 0x2e, 0x8c, 0x06, ...at(RESULT + 0x22))
    .emit(0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0xc6, 0x06, ...at(REQUEST), 0x00)
    .near([0xe9], 'loop')
    .at(0x7dfe)
    .word(0xaa55)
    .finish();
  return code.bytes.slice(0x7c00, 0x7e00);
}

/** A disk in memory. */
export class MemoryDisk implements BlockDevice {
  readonly bytes: Uint8Array;
  isReadOnly = false;
  /** Fails every request from now on. */
  isBroken = false;
  flushes = 0;

  constructor(size: number, first: Uint8Array = new Uint8Array(0)) {
    this.bytes = new Uint8Array(size);
    this.bytes.set(first);
  }

  get size(): number {
    return this.bytes.length;
  }

  async read(offset: number, buffer: Uint8Array): Promise<void> {
    // As a file would: later, not at once.
    await Promise.resolve();
    if (this.isBroken) throw new Error('The medium is broken.');
    buffer.set(this.bytes.subarray(offset, offset + buffer.length));
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    await Promise.resolve();
    if (this.isBroken) throw new Error('The medium is broken.');
    this.bytes.set(data, offset);
  }

  async flush(): Promise<void> {
    this.flushes++;
  }

  async discard(): Promise<void> {}
  async writeZeros(offset: number, length: number): Promise<void> {
    this.bytes.fill(0, offset, offset + length);
  }
  async zerosFrom(): Promise<number> {
    return 0;
  }
  async close(): Promise<void> {}
}

/** A 1.44 MB floppy that makes calls. */
export function callingFloppy(): MemoryDisk {
  return new MemoryDisk(1440 * 1024, callingSector());
}

export class BiosTestMachine {
  readonly pc: Pc;
  end: GuestEnd | undefined;
  private host = 0;

  constructor(config: Partial<GuestConfig> = {}, host: Partial<GuestHost> = {}) {
    this.pc = new Pc(
      {
        kind: 'full',
        memoryMiB: 32,
        cpus: 1,
        deterministic: true,
        noReboot: true,
        translation: 'off',
        boot: { append: '' },
        floppies: [callingFloppy()],
        bootOrder: 'acd',
        ...config,
      },
      {
        control: new ControlBlock(),
        // A slice is the same number of bursts in every run.
        monotonicNanoseconds: () => (this.host += LOOK_NS),
        wallMilliseconds: () => 0,
        randomness: () => {},
        serialOutput: (bytes) => this.serial.push(...bytes),
        ...host,
      },
    );
  }

  /** What the guest sent by its first serial port. */
  readonly serial: number[] = [];

  /** Runs until `isOver`. Throws where the guest ends or never comes there. */
  async until(isOver: () => boolean, what = 'what was awaited', slices = SLICES_MAX): Promise<void> {
    for (let slice = 0; slice < slices; slice++) {
      if (isOver()) return;
      const result = this.pc.run(1);
      if (result.state === 'ended') {
        this.end = result.end;
        if (isOver()) return;
        throw new Error(`the guest ended: ${result.end.detail}`);
      }
      // A memory disk answers within a few turns.
      for (let turn = 0; turn < TURNS; turn++) await Promise.resolve();
    }
    throw new Error(`${what} never came; the screen shows:\n${this.pc.screen?.text()}`);
  }

  /** Runs until the boot sector waits for calls. */
  async boot(): Promise<this> {
    this.fill(REQUEST + 0x80, Uint8Array.of(0xee));
    await this.until(() => this.bytes(REQUEST + 0x80, 1)[0] !== 0xee, 'the boot sector');
    return this;
  }

  /** The drive number that the boot sector was given. */
  get bootDrive(): number {
    return this.bytes(REQUEST + 0x80, 1)[0];
  }

  /** Begins an interrupt; {@link finished} tells what it left. */
  begin(vector: number, registers: Partial<Registers> = {}): void {
    const block = new Uint8Array(0x40);
    const view = new DataView(block.buffer);
    block[0] = 1;
    block[1] = vector;
    for (const [name, offset, bytes] of FIELDS) {
      const value = registers[name] ?? (name === 'flags' ? INTERRUPTS_ON : 0);
      if (bytes === 4) view.setUint32(offset, value, true);
      else view.setUint16(offset, value, true);
    }
    this.fill(REQUEST, block);
  }

  get isFinished(): boolean {
    return this.bytes(REQUEST, 1)[0] === 0;
  }

  async finished(): Promise<Registers & { carry: boolean; zero: boolean; ah: number; al: number }> {
    await this.until(() => this.isFinished, 'the end of the call');
    const view = new DataView(this.bytes(RESULT, 0x40).buffer);
    const result = Object.fromEntries(
      FIELDS.map(([name, offset, bytes]) => [
        name,
        bytes === 4 ? view.getUint32(offset, true) : view.getUint16(offset, true),
      ]),
    ) as unknown as Registers;
    const { flags, eax } = result;
    return {
      ...result,
      carry: (flags & CARRY) !== 0,
      zero: (flags & ZERO) !== 0,
      ah: (eax >>> 8) & 0xff,
      al: eax & 0xff,
    };
  }

  /** Calls an interrupt. */
  async int(vector: number, registers: Partial<Registers> = {}) {
    this.begin(vector, registers);
    return this.finished();
  }

  // ---- guest memory

  bytes(physical: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.pc.cpu.system.physical.read(physical, bytes);
    return bytes;
  }

  u16(physical: number): number {
    const [low, high] = this.bytes(physical, 2);
    return low | (high << 8);
  }

  u32(physical: number): number {
    return (this.u16(physical) | (this.u16(physical + 2) << 16)) >>> 0;
  }

  fill(physical: number, bytes: Uint8Array): void {
    this.pc.cpu.system.physical.write(physical, bytes);
  }
}
