// Builds a piece of firmware ROM: 16-bit code and tables at fixed offsets, and the traps by which the code reaches services.
// Owns the bytes, the labels, and which address traps to which function.
// Never executes anything, and knows no service.

import type { TrapHandler } from './service.ts';

/** The port whose OUT hands control to firmware services. Not used by any PC device; an OUT elsewhere than at a trap does nothing. */
export const TRAP_PORT = 0xb4;

interface Reference {
  readonly at: number;
  readonly label: string;
  readonly kind: 'relative8' | 'relative16' | 'offset16' | 'linear32';
}

/** A ROM under construction. Offsets count from the ROM's first byte. */
export class RomBuilder {
  /** Guest-physical address of the first byte. */
  readonly base: number;
  readonly bytes: Uint8Array;
  /** Handlers by the address behind their OUT instruction. */
  readonly traps = new Map<number, TrapHandler>();
  private readonly labels = new Map<string, number>();
  private readonly references: Reference[] = [];
  private readonly used: Uint8Array;
  private readonly finishers: (() => void)[] = [];
  private cursor = 0;
  private free: number;
  private unique = 0;

  /** `free` is the offset from which {@link place} allocates. */
  constructor(base: number, size: number, free = 0) {
    this.base = base;
    this.bytes = new Uint8Array(size);
    this.used = new Uint8Array(size);
    this.free = free;
  }

  /** Selector that code of this ROM runs with. */
  get segment(): number {
    return this.base >>> 4;
  }

  get here(): number {
    return this.cursor;
  }

  /** Goes on at a fixed offset. */
  at(offset: number): this {
    this.cursor = offset;
    return this;
  }

  /** Goes on where nothing is fixed; `length` bytes there stay free for what follows. */
  place(length: number, align = 1): this {
    for (let offset = Math.ceil(this.free / align) * align; offset + length <= this.bytes.length; offset += align) {
      if (this.used.subarray(offset, offset + length).includes(1)) continue;
      this.free = offset + length;
      return this.at(offset);
    }
    throw new RangeError(`a ROM of ${this.bytes.length} bytes has no room for ${length} more`);
  }

  /** Bytes as they stand. Throws a RangeError where something already is. */
  emit(...bytes: readonly number[]): this {
    for (const byte of bytes) {
      if (this.cursor >= this.bytes.length || this.used[this.cursor] !== 0)
        throw new RangeError(`ROM offset 0x${this.cursor.toString(16)} is used twice`);
      this.used[this.cursor] = 1;
      this.bytes[this.cursor++] = byte;
    }
    return this;
  }

  word(...values: readonly number[]): this {
    for (const value of values) this.emit(value & 0xff, (value >> 8) & 0xff);
    return this;
  }

  dword(value: number): this {
    return this.word(value & 0xffff, (value >>> 16) & 0xffff);
  }

  text(characters: string): this {
    return this.emit(...Array.from(characters, (character) => character.charCodeAt(0) & 0xff));
  }

  label(name: string): this {
    if (this.labels.has(name)) throw new Error(`Two places of a ROM are called ${name}.`);
    this.labels.set(name, this.cursor);
    return this;
  }

  /** A label that nobody else has. */
  fresh(name: string): string {
    return `${name}#${this.unique++}`;
  }

  /** Offset of a label that is already there. */
  offsetOf(name: string): number {
    const offset = this.labels.get(name);
    if (offset === undefined) throw new Error(`No place of the ROM is called ${name}.`);
    return offset;
  }

  /** Opcode bytes, then the distance to a label in 8 bits. */
  short(opcode: number, label: string): this {
    return this.emit(opcode).refer('relative8', label, 1);
  }

  /** Opcode bytes, then the distance to a label in 16 bits. */
  near(opcode: readonly number[], label: string): this {
    return this.emit(...opcode).refer('relative16', label, 2);
  }

  /** Opcode bytes, then a label's offset in 16 bits. */
  offset(opcode: readonly number[], label: string): this {
    return this.emit(...opcode).refer('offset16', label, 2);
  }

  /** A label's guest-physical address in 32 bits. */
  linear(label: string): this {
    return this.refer('linear32', label, 4);
  }

  /** Hands control to a function, and goes on behind with what it left. */
  trap(handler: TrapHandler): this {
    this.emit(0xe6, TRAP_PORT); // out TRAP_PORT, al
    this.traps.set(this.base + this.cursor, handler);
    return this;
  }

  private refer(kind: Reference['kind'], label: string, bytes: number): this {
    this.references.push({ at: this.cursor, label, kind });
    return this.emit(...new Array<number>(bytes).fill(0));
  }

  /** Resolves every reference. Throws where a label is missing or too far away. */
  finish(): this {
    const view = new DataView(this.bytes.buffer);
    for (const { at, label, kind } of this.references.splice(0)) {
      const target = this.offsetOf(label);
      switch (kind) {
        case 'relative8': {
          const distance = target - (at + 1);
          if (distance < -128 || distance > 127) throw new RangeError(`${label} is too far for a short jump`);
          view.setInt8(at, distance);
          break;
        }
        case 'relative16':
          view.setInt16(at, target - (at + 2), true);
          break;
        case 'offset16':
          view.setUint16(at, target, true);
          break;
        case 'linear32':
          view.setUint32(at, this.base + target, true);
      }
    }
    for (const act of this.finishers.splice(0)) act();
    return this;
  }

  /** Runs when every reference is resolved: for checksums. */
  onFinish(act: () => void): void {
    this.finishers.push(act);
  }
}

/** Sets the byte at `at` so that bytes `from` to `to - 1` add up to a multiple of 256. */
export function setChecksum(bytes: Uint8Array, at: number, from: number, to: number): void {
  bytes[at] = 0;
  let sum = 0;
  for (let i = from; i < to; i++) sum += bytes[i];
  bytes[at] = -sum & 0xff;
}
