// Builds instruction bytes from an encoding of the instruction table, and memory operands that lead where a case wants them.
// Owns prefixes, ModRM, SIB, displacements, VEX and immediates: an encoder independent of the decoder it helps to test.
// Never chooses what is interesting: case-builder.ts does.
import type { Encoding, OperandCode } from '../../native-free-core/cpu/instructions/row.ts';
import type { Mode } from './environments.ts';
import type { Random } from './random.ts';

/** Prefixes and sizes chosen for one instruction. */
export interface Shape {
  readonly operandPrefix: boolean;
  readonly addressPrefix: boolean;
  /** REX byte, or 0. Only in 64-bit code. */
  readonly rex: number;
  /** Segment override: es cs ss ds fs gs as 0 to 5, or -1. */
  readonly segment: number;
  /** F0, F2 or F3 beyond a mandatory prefix, or 0. */
  readonly extra: number;
}

/** A memory operand: the registers it needs set, and its bytes. */
export interface MemoryForm {
  readonly modrm: number;
  readonly sib: number;
  readonly displacement: bigint;
  readonly displacementBytes: 0 | 1 | 2 | 4;
  readonly ripRelative: boolean;
  /** REX.X and REX.B. */
  readonly rex: number;
  /** General register number to value. */
  readonly registers: ReadonlyMap<number, bigint>;
  /** Default segment: ss (2) or ds (3). */
  readonly segment: 2 | 3;
}

const SEGMENT_PREFIXES = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

export function addressBits(mode: Mode, shape: Shape): 16 | 32 | 64 {
  if (mode.bits === 64) return shape.addressPrefix ? 32 : 64;
  return (mode.bits === 16) === shape.addressPrefix ? 32 : 16;
}

/** The operand size that prefixes and mode give an encoding, in bits. */
export function operandBits(encoding: Encoding, mode: Mode, shape: Shape): 16 | 32 | 64 {
  const prefixed =
    shape.operandPrefix &&
    (encoding.prefix === 'any' || encoding.prefix === 'np' || encoding.prefix === 'f2' || encoding.prefix === 'f3');
  if (mode.bits === 64) {
    if (encoding.attributes.has('f64') || shape.rex & 8) return 64;
    if (encoding.attributes.has('d64')) return prefixed ? 16 : 64;
    return prefixed ? 16 : 32;
  }
  return (mode.bits === 16) === prefixed ? 32 : 16;
}

/** Size in bytes of an operand of width `code.width` at an operand size of `bits`. */
export function operandBytes(code: OperandCode, bits: 16 | 32 | 64): number {
  const fixed: Record<string, number> = { b: 1, bs: 1, h: 1, w: 2, d: 4, q: 8, t: 10, o: 16 };
  if (code.width in fixed) return fixed[code.width];
  if (code.width === 'v') return bits / 8;
  if (code.width === 'z') return bits === 16 ? 2 : 4;
  if (code.width === 'y') return bits === 64 ? 8 : 4;
  return bits / 8;
}

const FORMS16: readonly { base: readonly number[]; segment: 2 | 3 }[] = [
  { base: [3, 6], segment: 3 },
  { base: [3, 7], segment: 3 },
  { base: [5, 6], segment: 2 },
  { base: [5, 7], segment: 2 },
  { base: [6], segment: 3 },
  { base: [7], segment: 3 },
  { base: [5], segment: 2 },
  { base: [3], segment: 3 },
];

function signed(value: bigint, bits: number): bigint {
  return BigInt.asIntN(bits, value);
}

function memory16(random: Random, offset: (segment: 2 | 3) => bigint): MemoryForm {
  const mod = random.below(3);
  const rm = random.below(8);
  const common = { sib: -1, ripRelative: false, rex: 0 };
  if (mod === 0 && rm === 6) {
    return { ...common, modrm: 6, displacement: offset(3), displacementBytes: 2, registers: new Map(), segment: 3 };
  }
  const { base, segment } = FORMS16[rm];
  const displacementBytes = mod === 0 ? 0 : mod === 1 ? 1 : 2;
  const displacement = mod === 0 ? 0n : signed(BigInt(random.u32()), mod * 8);
  const registers = new Map<number, bigint>();
  let rest = offset(segment) - displacement;
  if (base.length === 2) {
    const second = BigInt(random.u32() & 0xffff);
    registers.set(base[1], second | (BigInt(random.u32() & 0xffff) << 16n));
    rest -= second;
  }
  registers.set(base[0], BigInt.asUintN(16, rest) | (BigInt(random.u32() & 0xffff) << 16n));
  return { ...common, modrm: (mod << 6) | rm, displacement, displacementBytes, registers, segment };
}

function memoryWide(random: Random, bits: 32 | 64, long: boolean, offset: (segment: 2 | 3) => bigint): MemoryForm {
  const registerCount = long ? 16 : 8;
  const mod = random.below(3);
  const base = random.below(registerCount);
  const withSib = (base & 7) === 4 || random.chance(40);
  const displacementBytes = mod === 0 ? 0 : mod === 1 ? 1 : 4;
  const displacement = mod === 0 ? 0n : mod === 1 ? signed(BigInt(random.u32()), 8) : signed(BigInt(random.u32()), 32);
  const registers = new Map<number, bigint>();
  const wrap = (value: bigint): bigint => BigInt.asUintN(bits, value);
  if (!withSib) {
    if (mod === 0 && (base & 7) === 5) {
      const form = { modrm: 5, sib: -1, displacementBytes: 4 as const, rex: 0, registers, segment: 3 as const };
      return { ...form, displacement: offset(3), ripRelative: long };
    }
    const segment = (base & 7) === 5 && base < 8 ? 2 : 3;
    registers.set(base, wrap(offset(segment) - displacement));
    const modrm = (mod << 6) | (base & 7);
    return { modrm, sib: -1, displacement, displacementBytes, ripRelative: false, rex: base >> 3, registers, segment };
  }
  const index = random.below(registerCount);
  const scale = random.below(4);
  const sib = (scale << 6) | ((index & 7) << 3) | (base & 7);
  const rex = (base >> 3) | ((index >> 3) << 1);
  const modrm = (mod << 6) | 4;
  const hasIndex = index !== 4;
  if (mod === 0 && (base & 7) === 5) {
    const amount = hasIndex ? BigInt(random.below(0x1000)) : 0n;
    if (hasIndex) registers.set(index, amount);
    const rest = offset(3) - (amount << BigInt(scale));
    return { modrm, sib, displacement: rest, displacementBytes: 4, ripRelative: false, rex, registers, segment: 3 };
  }
  const segment = base === 4 || base === 5 ? 2 : 3;
  if (hasIndex && index === base) {
    // One register twice: only a multiple can be met, so leave the rest to the displacement.
    const factor = 1n + (1n << BigInt(scale));
    const amount = offset(segment) / factor;
    registers.set(base, amount);
    const rest = offset(segment) - amount * factor;
    const fits = mod === 2 || mod === 1;
    return {
      modrm,
      sib,
      displacement: fits ? rest : 0n,
      displacementBytes,
      ripRelative: false,
      rex,
      registers,
      segment,
    };
  }
  let rest = offset(segment) - displacement;
  if (hasIndex) {
    const amount = random.chance(70) ? BigInt(random.below(0x2000)) - 0x1000n : random.u64();
    registers.set(index, wrap(amount));
    rest -= amount << BigInt(scale);
  }
  registers.set(base, wrap(rest));
  return { modrm, sib, displacement, displacementBytes, ripRelative: false, rex, registers, segment };
}

/**
 * A random memory form whose effective address is `offset(segment)` in the segment it uses (2 ss, 3 ds, before an override).
 * In a form without a base of 64 bits, offsets beyond 31 bits cannot be reached and are cut.
 */
export function memoryForm(random: Random, mode: Mode, shape: Shape, offset: (segment: 2 | 3) => bigint): MemoryForm {
  const bits = addressBits(mode, shape);
  return bits === 16 ? memory16(random, offset) : memoryWide(random, bits, mode.bits === 64, offset);
}

/** Registers chosen for the operands that are registers. */
export interface RegisterChoice {
  /** ModRM's reg field, with REX.R as bit 3. */
  readonly reg: number;
  /** ModRM's rm field or the opcode's register, with REX.B as bit 3. */
  readonly rm: number;
  readonly vvvv: number;
}

function pushLittle(out: number[], value: bigint, bytes: number): void {
  for (let i = 0; i < bytes; i++) out.push(Number((value >> BigInt(i * 8)) & 255n));
}

/** The mnemonic of a row whose name may go on with its operands' kinds. */
export function mnemonic(encoding: Encoding): string {
  return encoding.row.name.split(/[ ,]/)[0];
}

/** True if the encoding has a ModRM byte. */
export function hasModrm(encoding: Encoding): boolean {
  if (encoding.exact >= 0 || encoding.digit >= 0) return true;
  return encoding.operands.some(({ where }) => 'EGMRSCDVWUPQNT'.includes(where) && where !== 'fixed');
}

function vexBytes(encoding: Encoding, wide: boolean, reg: number, rex: number, vvvv: number): number[] {
  const pp = { any: 0, np: 0, '66': 1, f3: 2, f2: 3 }[encoding.prefix];
  const inverted = ((reg & 8) << 4) | ((rex & 2) << 5) | ((rex & 1) << 5);
  return [0xc4, (~inverted & 0xe0) | encoding.map, (wide ? 0x80 : 0) | ((~vvvv & 15) << 3) | pp, encoding.opcode];
}

/**
 * The instruction's bytes. `immediates` are the values and byte lengths in order; `memory` is absent for a register form.
 * `target` resolves a RIP-relative displacement: the linear address of the instruction's first byte.
 */
export function encode(
  encoding: Encoding,
  mode: Mode,
  shape: Shape,
  choice: RegisterChoice,
  memory: MemoryForm | undefined,
  immediates: readonly (readonly [bigint, number])[],
  start: number,
): Uint8Array {
  const out: number[] = [];
  if (shape.extra) out.push(shape.extra);
  if (shape.segment >= 0) out.push(SEGMENT_PREFIXES[shape.segment]);
  if (shape.operandPrefix && !encoding.vex) out.push(0x66);
  if (shape.addressPrefix) out.push(0x67);
  const long = mode.bits === 64;
  const rexBits = memory ? memory.rex : choice.rm >> 3;
  const reg = encoding.digit >= 0 ? encoding.digit : choice.reg;
  if (encoding.vex)
    out.push(
      ...vexBytes(
        encoding,
        (shape.rex & 8) !== 0,
        long ? reg : reg & 7,
        long ? rexBits : 0,
        long ? choice.vvvv : choice.vvvv & 7,
      ),
    );
  else {
    if (encoding.prefix !== 'any' && encoding.prefix !== 'np') out.push(Number.parseInt(encoding.prefix, 16));
    const rex = shape.rex | (long ? ((reg >> 3) << 2) | rexBits : 0);
    if (rex && long) out.push(0x40 | rex);
    if (encoding.map > 0) out.push(0x0f);
    if (encoding.map === 2) out.push(0x38);
    if (encoding.map === 3) out.push(0x3a);
    out.push(encoding.opcode | (encoding.plusRegister ? choice.rm & 7 : 0));
  }
  if (encoding.exact >= 0) out.push(encoding.exact | (encoding.plusStack ? choice.rm & 7 : 0));
  else if (hasModrm(encoding)) {
    if (!memory) out.push(0xc0 | ((reg & 7) << 3) | (choice.rm & 7));
    else {
      out.push(memory.modrm | ((reg & 7) << 3));
      if (memory.sib >= 0) out.push(memory.sib);
      const trailing = immediates.reduce((sum, [, length]) => sum + length, 0);
      const next = BigInt(start + out.length + memory.displacementBytes + trailing);
      pushLittle(out, memory.ripRelative ? memory.displacement - next : memory.displacement, memory.displacementBytes);
    }
  }
  for (const [value, length] of immediates) pushLittle(out, value, length);
  return Uint8Array.from(out);
}
