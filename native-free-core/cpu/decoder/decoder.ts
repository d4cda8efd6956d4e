// Turns instruction bytes into a DecodedInstruction by the compiled tables.
// Owns prefixes, ModRM, SIB, displacement and immediates (Intel SDM volume 2, chapter 2).
// Never reads guest memory itself and never asks what an instruction means.

import type { Encoding } from '../instructions/row.ts';
import { BASE_RIP, type DecodedInstruction } from './instruction.ts';
import { type DecodeEntry, type DecodeTables, decodeEntry, FORMS, MAP_SLOTS } from './tables.ts';

/** Longest instruction, in bytes; a longer one raises #GP(0). */
export const MAXIMUM_LENGTH = 15;

export const DecodeResult = {
  decoded: 0,
  /** More bytes are needed than were given. */
  truncated: 1,
  /** No instruction: #UD. */
  undefined: 2,
  /** Longer than 15 bytes: #GP(0). */
  tooLong: 3,
} as const;
export type DecodeResult = (typeof DecodeResult)[keyof typeof DecodeResult];

/** Number of GS: there are no segment registers 6 and 7. */
const LAST_SEGMENT = 5;
const SEGMENT_OF_PREFIX: Record<number, number> = { 38: 0, 46: 1, 54: 2, 62: 3, 100: 4, 101: 5 };

/** Base and index registers of the eight 16-bit addressing forms. */
const FORMS_16: readonly (readonly [number, number])[] = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
];

class Truncated extends Error {}
const truncated = new Truncated('The instruction goes on beyond the bytes at hand.');

/** Decodes with one set of tables; keeps a cursor, so one object serves one thread. */
export class Decoder {
  private readonly tables: DecodeTables;
  private readonly encodings: readonly Encoding[];
  /** What is asked of encodings, worked out when each is met. */
  private readonly entries: (DecodeEntry | undefined)[];
  private bytes: Uint8Array = new Uint8Array(0);
  private at = 0;
  private end = 0;

  /** `encodings` is the instruction table that `tables` were compiled from. */
  constructor(tables: DecodeTables, encodings: readonly Encoding[]) {
    this.tables = tables;
    this.encodings = encodings;
    this.entries = new Array(encodings.length);
  }

  /**
   * Decodes what starts at `offset`, looking at no byte from `limit` on. Fills `out`; on `undefined` and `tooLong` only
   * its length (bytes looked at) is meaningful.
   */
  decode(
    bytes: Uint8Array,
    offset: number,
    limit: number,
    codeSize: 16 | 32 | 64,
    out: DecodedInstruction,
  ): DecodeResult {
    this.bytes = bytes;
    this.at = offset;
    this.end = Math.min(limit, offset + MAXIMUM_LENGTH);
    try {
      const result = this.instruction(codeSize, out);
      out.length = this.at - offset;
      return result;
    } catch (error) {
      if (error !== truncated) throw error;
      out.length = this.at - offset;
      return offset + MAXIMUM_LENGTH <= limit ? DecodeResult.tooLong : DecodeResult.truncated;
    }
  }

  private byte(): number {
    if (this.at >= this.end) throw truncated;
    return this.bytes[this.at++];
  }

  private signedByte(): number {
    return (this.byte() << 24) >> 24;
  }

  private word(): number {
    return this.byte() | (this.byte() << 8);
  }

  private double(): number {
    return this.word() | (this.word() << 16);
  }

  private instruction(codeSize: 16 | 32 | 64, out: DecodedInstruction): DecodeResult {
    out.codeSize = codeSize;
    out.rep = 0;
    out.lock = false;
    out.operandPrefix = false;
    out.segmentOverride = -1;
    out.rex = 0;
    out.vvvv = 0;
    out.modrm = -1;
    out.reg = 0;
    out.rm = 0;
    out.isMemory = false;
    out.segment = 3;
    out.base = -1;
    out.index = -1;
    out.scale = 0;
    out.displacement = 0;
    out.displacementHigh = 0;
    out.immediate = 0;
    out.immediateHigh = 0;
    out.immediate2 = 0;
    const long = codeSize === 64;
    let addressPrefix = false;
    let opcode: number;
    for (;;) {
      opcode = this.byte();
      if (opcode === 0x66) out.operandPrefix = true;
      else if (opcode === 0x67) addressPrefix = true;
      else if (opcode === 0xf0) out.lock = true;
      else if (opcode === 0xf2 || opcode === 0xf3) out.rep = opcode;
      else if (opcode in SEGMENT_OF_PREFIX) {
        const segment = SEGMENT_OF_PREFIX[opcode];
        if (!long || segment >= 4) out.segmentOverride = segment;
      } else if (long && (opcode & 0xf0) === 0x40) {
        out.rex = opcode;
        continue;
      } else break;
      // A REX that is not right before the opcode does not count.
      out.rex = 0;
    }
    out.addressSize = long ? (addressPrefix ? 32 : 64) : (codeSize === 16) !== addressPrefix ? 16 : 32;

    let map = 0;
    let prefixClass = out.rep === 0xf3 ? 2 : out.rep === 0xf2 ? 3 : out.operandPrefix ? 1 : 0;
    if ((opcode === 0xc4 || opcode === 0xc5) && (long || (this.peek() & 0xc0) === 0xc0)) {
      if (out.operandPrefix || out.rep !== 0 || out.lock || out.rex !== 0) return 2;
      const first = this.byte();
      const inverted = ~first;
      let last = first;
      map = 1;
      let rex = 0x40 | ((inverted >> 5) & 4);
      if (opcode === 0xc4) {
        map = first & 0x1f;
        rex |= (inverted >> 5) & 3;
        last = this.byte();
        if (last & 0x80) rex |= 8;
      }
      if (last & 4) return 2;
      out.rex = long ? rex : rex & 0x40;
      out.vvvv = (~last >> 3) & (long ? 15 : 7);
      prefixClass = [0, 1, 2, 3][last & 3];
      if (map < 1 || map > 3) return 2;
      map += 4;
      opcode = this.byte();
    } else if (opcode === 0x0f) {
      opcode = this.byte();
      map = 1;
      if (opcode === 0x38) {
        map = 2;
        opcode = this.byte();
      } else if (opcode === 0x3a) {
        map = 3;
        opcode = this.byte();
      }
    }

    // 90 is NOP, which XCHG of eAX with itself is not in 64-bit code; with REX.B it is an XCHG like 91 to 97.
    const key = opcode === 0x90 && map === 0 && (out.rex & 1) !== 0 ? 0x91 : opcode;
    const { slots, forms } = long ? this.tables.long : this.tables.legacy;
    let place = slots[map * MAP_SLOTS + ((prefixClass << 8) | key)];
    if (place < 0) {
      const modrm = this.peek();
      const form = modrm >= 0xc0 ? 8 + (modrm & 0x3f) : (modrm >> 3) & 7;
      place = forms[(-1 - place) * FORMS + form];
    }
    if (place === 0) return DecodeResult.undefined;
    this.entries[place - 1] ??= decodeEntry(this.encodings[place - 1]);
    const entry = this.entries[place - 1]!;
    out.encoding = entry.encoding;
    this.operandSize(entry, codeSize, out);
    if (entry.needsModrm) {
      this.modrm(entry.anyMod, out);
      if (entry.segmentRegister && (out.reg &= 7) > LAST_SEGMENT) return DecodeResult.undefined;
    } else if (entry.encoding.plusRegister) out.rm = (opcode & 7) | ((out.rex & 1) << 3);
    if (entry.immediates.length > 0) this.immediates(entry, out);
    if (out.lock && !(entry.lockable && out.isMemory)) return DecodeResult.undefined;
    if (map > 4 && !entry.usesVvvv && out.vvvv !== 0) return DecodeResult.undefined;
    return DecodeResult.decoded;
  }

  private peek(): number {
    if (this.at >= this.end) throw truncated;
    return this.bytes[this.at];
  }

  private operandSize(entry: DecodeEntry, codeSize: 16 | 32 | 64, out: DecodedInstruction): void {
    const wide = (out.rex & 8) !== 0;
    const rule = entry.sizeRule;
    if (rule === 'v') {
      if (codeSize === 64) {
        out.operandSize = wide || entry.force64 ? 64 : out.operandPrefix ? 16 : entry.default64 ? 64 : 32;
      } else out.operandSize = (codeSize === 16) !== out.operandPrefix ? 16 : 32;
    } else if (rule === 'y')
      out.operandSize = wide || (codeSize === 64 && (entry.force64 || entry.default64)) ? 64 : 32;
    else out.operandSize = rule;
  }

  private modrm(anyMod: boolean, out: DecodedInstruction): void {
    const modrm = this.byte();
    out.modrm = modrm;
    out.reg = ((modrm >> 3) & 7) | ((out.rex & 4) << 1);
    const mod = modrm >> 6;
    if (mod === 3 || anyMod) {
      out.rm = (modrm & 7) | ((out.rex & 1) << 3);
      return;
    }
    out.isMemory = true;
    if (out.addressSize === 16) this.memory16(mod, modrm & 7, out);
    else this.memory32(mod, modrm & 7, out);
    if (out.segmentOverride >= 0) out.segment = out.segmentOverride;
    out.displacementHigh = out.displacement >> 31;
  }

  private memory16(mod: number, rm: number, out: DecodedInstruction): void {
    if (mod === 0 && rm === 6) {
      out.displacement = this.word();
      return;
    }
    const [base, index] = FORMS_16[rm];
    out.base = base;
    out.index = index;
    if (base === 5) out.segment = 2;
    if (mod === 1) out.displacement = this.signedByte();
    else if (mod === 2) out.displacement = (this.word() << 16) >> 16;
  }

  private memory32(mod: number, rm: number, out: DecodedInstruction): void {
    if (rm === 4) {
      const sib = this.byte();
      const index = ((sib >> 3) & 7) | ((out.rex & 2) << 2);
      if (index !== 4) {
        out.index = index;
        out.scale = sib >> 6;
      }
      if ((sib & 7) === 5 && mod === 0) {
        out.displacement = this.double();
        return;
      }
      out.base = (sib & 7) | ((out.rex & 1) << 3);
    } else if (rm === 5 && mod === 0) {
      if (out.codeSize === 64) out.base = BASE_RIP;
      out.displacement = this.double();
      return;
    } else out.base = rm | ((out.rex & 1) << 3);
    if (out.base === 4 || out.base === 5) out.segment = 2;
    if (mod === 1) out.displacement = this.signedByte();
    else if (mod === 2) out.displacement = this.double();
  }

  private immediates(entry: DecodeEntry, out: DecodedInstruction): void {
    let first = true;
    for (const code of entry.immediates) {
      if (code === 'o') {
        this.absoluteOffset(out);
        continue;
      }
      const value = this.immediate(code, out);
      if (first) {
        out.immediate = value;
        out.immediateHigh = code === 'v' && out.operandSize === 64 ? this.double() : value >> 31;
        first = false;
      } else out.immediate2 = code === 'w' ? value & 0xffff : value & 0xff;
    }
  }

  private immediate(code: string, out: DecodedInstruction): number {
    switch (code) {
      case 'b':
      case 'bs':
      case 'jb':
        return this.signedByte();
      case 'w':
        return (this.word() << 16) >> 16;
      case 'd':
        return this.double();
      default:
        return out.operandSize === 16 ? (this.word() << 16) >> 16 : this.double();
    }
  }

  private absoluteOffset(out: DecodedInstruction): void {
    out.isMemory = true;
    out.segment = out.segmentOverride >= 0 ? out.segmentOverride : 3;
    if (out.addressSize === 16) out.displacement = this.word();
    else out.displacement = this.double();
    out.displacementHigh = out.addressSize === 64 ? this.double() : 0;
  }
}
