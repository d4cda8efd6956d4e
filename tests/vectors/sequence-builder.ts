// Makes cases of several instructions: what one leaves (flags above all) is what the next begins with, and some jump or loop.
// Owns the choice of instructions that go together, and the tracking of flags that the architecture leaves undefined.
// Never runs anything. Single instructions in all their forms are case-builder.ts's.
import type { Encoding } from '../../native-free-core/cpu/instructions/row.ts';
import { flagMask } from './case-builder.ts';
import { encode, type MemoryForm, mnemonic, operandBits, operandBytes, type Shape } from './encoder.ts';
import { DATA_REGIONS, interestingInteger, MODES, type Mode } from './environments.ts';
import { fieldIndex } from './processor-state.ts';
import { Random } from './random.ts';
import { backgroundState, PORTABLE, type VectorInput } from './vector.ts';

const RCX = 1;
/** Registers that hold addresses throughout a sequence: rbx, rsi, rdi. None is ever written. */
export const BASES: readonly number[] = [3, 6, 7];
const ALL_FLAGS = 0x8d5;
const CARRY = 1;

/** What cannot stand in a sequence: it moves the bases, leaves the code, or ends differently by maker or by machine. */
const LEFT_OUT = new RegExp(
  '^(XLAT|LEAVE|ENTER|POP|PUSH|PUSHA|POPA|STD|STI|CLI|J.*|CALL.*|RET.*|LOOP.*|MOVS|STOS|LODS|CMPS|SCAS|' +
    'PCMP[EI]STR[IM]|R(CP|SQRT)[PS]S|MASKMOV.*|CVTPI2P.|U?COMIS.|PREFETCH.*|CLFLUSH.*|F(2XM1|YL2X|PTAN|PATAN|YL2XP1|SINCOS|SIN|COS)|' +
    'PUSHF|POPF|PUSH_.*|XGETBV|RD.SBASE|WR.SBASE|FN?(STENV|SAVE|LDENV|RSTOR)|FLDCW|FBLD|FBSTP|LDMXCSR|STMXCSR|FN?STSW|FN?STCW|EMMS)$',
);

/** The encodings of a table that sequences are made of. */
export function sequenceEncodings(encodings: readonly Encoding[]): Encoding[] {
  return encodings.filter((encoding) => {
    const name = mnemonic(encoding);
    if (LEFT_OUT.test(name) || encoding.row.meaning === 'cold' || encoding.attributes.has('end')) return false;
    if (encoding.operands.some(({ where }) => 'SCDJ'.includes(where))) return false;
    const bits = /^BT[SRC]?$/.test(name) && encoding.operands[1].where === 'G';
    const wideShift = /^SH[LR]D$/.test(name) && encoding.operands[2].where === 'fixed';
    return !bits && !wideShift && !(encoding.map === 1 && encoding.opcode === 0x0d);
  });
}

/** One instruction of a sequence. */
export interface SequencePiece {
  readonly bytes: Uint8Array;
  /** Flags undefined after it, given those before. */
  readonly after: (before: number) => number;
}

/** What instructions of a sequence are made of, and from. */
export interface Workshop {
  readonly random: Random;
  readonly mode: Mode;
  readonly encodings: readonly Encoding[];
  /** rcx counts a loop's rounds. */
  readonly counting: boolean;
}

function chooseRegister({ random, mode, counting }: Workshop, byte: boolean): number {
  const long = mode.bits === 64;
  for (;;) {
    const register = random.below(long ? 16 : 8);
    // As a byte without REX, 4 to 7 are the second bytes of 0 to 3.
    const whole = byte && !long ? register & 3 : register;
    if (whole === 4 || BASES.includes(whole) || (counting && whole === RCX)) continue;
    if (byte && long && register >= 4 && register < 8) continue;
    return register;
  }
}

/** A memory operand at one of the bases, which point 0x100 bytes into stretches of data. */
function chooseMemory({ random, mode }: Workshop, bytes: number): MemoryForm {
  const base = random.pick(BASES);
  const offset = random.below(0xf0);
  const displacement = BigInt((bytes >= 16 ? offset & ~15 : offset) - 0x70);
  const rm = mode.bits === 16 ? { 3: 7, 6: 4, 7: 5 }[base]! : base;
  const common = { sib: -1, ripRelative: false, rex: 0, registers: new Map<number, bigint>(), segment: 3 as const };
  return { ...common, modrm: 0x40 | rm, displacement, displacementBytes: 1 };
}

const SHIFTS = /^(RO[LR]|RC[LR]|SA[LR]|SH[LR]D?)$/;

/** What a shift leaves of the flags: by 1 to 7 bits nothing but OF and AF, by CL anything that a large count does. */
function shiftAfter(name: string, count: number | undefined): (before: number) => number {
  const rotates = name.startsWith('R');
  if (count === undefined) return (before) => before | flagMask(rotates ? 'O' : 'OAC');
  const undefined_ = (count === 1 ? 0 : flagMask('O')) | (rotates ? 0 : flagMask('A'));
  const written = flagMask(rotates ? 'OC' : 'OSZAPC');
  return (before) => (before & ~written) | undefined_;
}

function ordinaryAfter(encoding: Encoding): (before: number) => number {
  const { flags } = encoding.row;
  const written = flagMask(flags?.written) | flagMask(flags?.undefined);
  return (before) => (before & ~written) | flagMask(flags?.undefined);
}

/**
 * A random instruction on registers, or on memory at one of the bases, that reads none of the flags in `undefinedBefore`.
 * Undefined where the one drawn does not fit; then another is to be asked for.
 */
export function makePiece(shop: Workshop, undefinedBefore: number): SequencePiece | undefined {
  const { random, mode } = shop;
  const encoding = random.pick(shop.encodings);
  const long = mode.bits === 64;
  if (encoding.attributes.has(long ? 'no64' : 'only64')) return undefined;
  const name = mnemonic(encoding);
  if ((flagMask(encoding.row.flags?.read) & undefinedBefore) !== 0) return undefined;
  const { operands } = encoding;
  const countsRcx =
    shop.counting &&
    (operands.some(({ where, register }) => where === 'fixed' && register === RCX) || name === 'CMPXCHG16B');
  if (countsRcx || (name.startsWith('CMPXCHG') && name !== 'CMPXCHG')) return undefined;
  const sized = operands.some(({ width }) => ['v', 'z', 'y', 'bs'].includes(width));
  const free = encoding.prefix === 'any' && !encoding.vex;
  const operandPrefix = free && sized && random.chance(15);
  // REX always in 64-bit code: the byte registers are then all apart.
  const rex = long ? (encoding.vex ? 0 : 0x40) | (sized && random.chance(40) ? 8 : 0) : 0;
  const shape: Shape = { operandPrefix, addressPrefix: false, rex, segment: -1, extra: 0 };
  const bits = operandBits(encoding, mode, shape);
  const either = operands.find(({ where }) => 'EWQM'.includes(where) && where !== 'fixed');
  const registerOnly = operands.some(({ where }) => 'RUNT'.includes(where)) || encoding.exact >= 0;
  const inMemory = either !== undefined && !registerOnly && (either.where === 'M' || random.chance(35));
  if (inMemory && either.width === '' && name !== 'LEA') return undefined;
  const memory = inMemory ? chooseMemory(shop, operandBytes(either, bits)) : undefined;
  const byte = operands.some(({ where, width }) => 'EGRZ'.includes(where) && width === 'b');
  const vectors = operands.some(({ where }) => 'VWUPQN'.includes(where));
  const general = (): number => chooseRegister(shop, byte);
  const vector = (): number => (vectors && !byte ? random.below(long ? 16 : 8) : general());
  const roleOf = (letters: string): boolean =>
    operands.some(({ where }) => letters.includes(where) && where !== 'fixed');
  const choice = {
    reg: roleOf('G') ? general() : vector(),
    rm: roleOf('ERZ') ? general() : vector(),
    vvvv: roleOf('B') ? general() : 0,
  };
  const immediates: [bigint, number][] = [];
  let count: number | undefined;
  for (const operand of operands) {
    if (operand.where === 'O') return undefined;
    if (operand.where !== 'I') continue;
    const length = operandBytes(operand, bits);
    if (SHIFTS.test(name)) immediates.push([BigInt((count = 1 + random.below(7))), 1]);
    else immediates.push([BigInt.asUintN(length * 8, interestingInteger(random)), length]);
  }
  if (operands.some(({ where }) => where === '1')) count = 1;
  const after = SHIFTS.test(name) ? shiftAfter(name, count) : ordinaryAfter(encoding);
  return { bytes: encode(encoding, mode, shape, choice, memory, immediates, 0), after };
}

/** Instructions one after another; some are jumped over on a condition. `undefined_` is what is undefined before them. */
function makeRun(shop: Workshop, length: number, undefined_: number): { bytes: number[]; after: number; ever: number } {
  const { random } = shop;
  const bytes: number[] = [];
  let unknown = undefined_;
  let ever = unknown;
  // Longer than any one instruction, which tells the check that there are several.
  for (let made = 0; (made < length && bytes.length < 150) || bytes.length < 16; ) {
    const piece = makePiece(shop, unknown);
    if (!piece) continue;
    made++;
    const condition = random.below(16);
    // What Jcc reads, by pairs: OF, CF, ZF, CF and ZF, SF, PF, SF and OF, ZF with both.
    const reads = flagMask(['O', 'C', 'Z', 'CZ', 'S', 'P', 'SO', 'ZSO'][condition >> 1]);
    const skipped = random.chance(18) && (reads & unknown) === 0;
    if (skipped) bytes.push(0x70 | condition, piece.bytes.length);
    bytes.push(...piece.bytes);
    unknown = skipped ? unknown | piece.after(unknown) : piece.after(unknown);
    ever |= unknown;
  }
  return { bytes, after: unknown, ever };
}

/**
 * A sequence for mode number `modeNumber`; the seed decides everything. `everUndefined`: flags that are undefined
 * somewhere in it, where an exception may end it.
 */
export function buildSequence(
  encodings: readonly Encoding[],
  modeNumber: number,
  seed: number,
): { input: VectorInput; everUndefined: number } {
  const mode = MODES[modeNumber];
  const random = new Random(Math.imul(seed, 0x2545f491) ^ 0x5e9ce000);
  const looping = random.chance(35);
  const shop: Workshop = { random, mode, encodings, counting: looping };
  const overrides = new Map<number, bigint>();
  const base = mode.bits === 16 ? 0x28000 : 0;
  const { integer, single, double } = DATA_REGIONS;
  const stretches = random.chance(50) ? [integer, integer, integer] : [integer, single, double];
  BASES.forEach((register, index) => {
    overrides.set(register, BigInt(stretches[index] - base + 0x100 + 0x100 * random.below(16)));
  });
  if (looping) overrides.set(RCX, BigInt(1 + random.below(8)));
  // Now and then a base leads to a page that is absent or may only be read: the fault must be exact.
  if (random.chance(8) && mode.bits !== 16)
    overrides.set(random.pick(BASES), BigInt(random.chance(50) ? 0x27f80 : 0x3c080));
  const fsw = fieldIndex('fsw');
  overrides.set(fsw, backgroundState(modeNumber, seed).getAt(fsw) & 0x7f7fn);

  // What DEC leaves at the loop's head is all but CF, which the body's end may have left undefined.
  const { bytes, after, ever } = makeRun(shop, 3 + random.below(8), looping ? CARRY : 0);
  if (looping) bytes.push(0xff, 0xc9, 0x75, 256 - (bytes.length + 4));
  const undefinedFlags = looping ? after & CARRY : after & ALL_FLAGS;
  const input = {
    mode: modeNumber,
    seed,
    code: Uint8Array.from(bytes),
    overrides,
    patches: [],
    undefinedFlags,
    ignoredFields: [],
    ignoredMemory: [],
    portable: encodings.some(({ vex }) => vex) ? PORTABLE.protected : PORTABLE.everywhere,
  };
  return { input, everUndefined: ever & ALL_FLAGS };
}
