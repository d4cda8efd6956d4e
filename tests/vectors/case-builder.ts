// Makes vector inputs from an encoding of the instruction table: which prefixes, operands, values and surroundings.
// Owns the choices; what single instructions need beyond them (counts, stacks, targets) is in case-shaping.ts.
// Never runs anything, and uses no randomness but the seed's, so the same table gives the same vectors.
import type { Encoding } from '../../native-free-core/cpu/instructions/row.ts';
import { prepare } from './case-shaping.ts';
import {
  addressBits,
  encode,
  hasModrm,
  type MemoryForm,
  memoryForm,
  mnemonic,
  operandBits,
  operandBytes,
  type RegisterChoice,
  type Shape,
} from './encoder.ts';
import { DATA_REGIONS, interestingInteger, LAYOUT, MODES, type Mode, modeIndex } from './environments.ts';
import { fieldIndex, type ProcessorState, SEGMENT_NAMES } from './processor-state.ts';
import { Random } from './random.ts';
import { backgroundState, type MemorySpan, PORTABLE, type VectorInput } from './vector.ts';

/** The modes that can be recorded (a user process can enter them). */
export const RECORDED_MODES = ['compat16', 'compat32', 'long64'].map(modeIndex);

/** One case in the making. What `prepare` (case-shaping.ts) may change. */
export interface Draft {
  readonly encoding: Encoding;
  readonly mode: Mode;
  readonly random: Random;
  /** The initial state so far. */
  readonly state: ProcessorState;
  readonly overrides: Map<number, bigint>;
  readonly patches: MemorySpan[];
  shape: Shape;
  choice: RegisterChoice;
  immediates: [bigint, number][];
  memory: MemoryForm | undefined;
  /** Linear address of the memory operand, if it has one that was meant to be reached. */
  target: number | undefined;
  undefinedFlags: number;
  ignoredFields: number[];
  ignoredMemory: { at: number; length: number }[];
  portable: number;
  /** Bytes that follow the instruction and belong to the case, such as an FWAIT. */
  suffix: number[];
  /** Not to be recorded after all. */
  dropped: boolean;
}

/** Sets a field of the draft's initial state. */
export function override(draft: Draft, name: string, value: bigint | number): void {
  const field = fieldIndex(name);
  draft.state.set(name, value);
  draft.overrides.set(field, draft.state.getAt(field));
}

/** Puts `value` into general register `number` for the operand's `bytes`, keeping what is above. */
export function overrideRegister(draft: Draft, number: number, value: bigint): void {
  const width = draft.mode.bits === 64 ? 64 : 32;
  const field = number;
  draft.state.setAt(field, BigInt.asUintN(width, value));
  draft.overrides.set(field, draft.state.getAt(field));
}

function chooseShape(random: Random, encoding: Encoding, mode: Mode, forMemory: boolean): Shape {
  const sized =
    encoding.operands.some(({ width }) => ['v', 'z', 'y', 'bs'].includes(width)) ||
    ['v', 'y'].some((a) => encoding.attributes.has(a));
  const free = encoding.prefix === 'any' && !encoding.vex;
  const operandPrefix = free && (sized ? random.chance(35) : random.chance(4));
  const addressPrefix = forMemory ? random.chance(15) : random.chance(2);
  let rex = 0;
  if (mode.bits === 64) {
    if (sized && random.chance(45)) rex |= 8;
    if (!encoding.vex && random.chance(10)) rex |= 0x40;
    if (!sized && encoding.prefix === 'any' && random.chance(5)) rex |= 8;
  }
  // Sixteen-bit addresses reach nothing in a flat segment.
  const narrow = forMemory && addressPrefix && mode.bits === 32 && random.chance(90);
  const segment = narrow
    ? 4 + random.below(2)
    : forMemory
      ? random.chance(15)
        ? random.below(6)
        : -1
      : random.chance(1)
        ? random.below(6)
        : -1;
  return { operandPrefix, addressPrefix, rex, segment, extra: 0 };
}

/** Which part of the data window suits an operand. */
function regionFor(encoding: Encoding, random: Random): number {
  const name = mnemonic(encoding);
  const { integer, single, double, extended, decimal } = DATA_REGIONS;
  if (/^FB(LD|STP)/.test(name)) return decimal;
  const x87 = encoding.map === 0 && encoding.opcode >= 0xd8 && encoding.opcode <= 0xdf;
  if (x87) {
    if (encoding.opcode === 0xd8 || encoding.opcode === 0xd9) return single;
    if (encoding.opcode === 0xdc || encoding.opcode === 0xdd) return double;
    return encoding.opcode === 0xdb && encoding.digit >= 5 ? extended : integer;
  }
  if (/S[SD]$|P[SD]$|CVT|^ADDSUB|^H(ADD|SUB)/.test(name)) return /SS|PS/.test(name) ? single : double;
  return random.chance(70) ? integer : LAYOUT.data;
}

const SEGMENT_LIMITS: Record<string, readonly [number, number]> = {
  'compat16.fs': [0, 0x7fff],
  'compat16.gs': [0x4000, 0xffff],
  'compat32.fs': [0, 0x7fff],
  'compat32.gs': [0x8000, 0x1ffff],
};

/** Picks the linear address of a memory operand of `size` bytes: mostly good, sometimes not. */
function chooseTarget(draft: Draft, size: number): number | bigint {
  const { random, mode, encoding, shape } = draft;
  const { readOnlyPage, codeEnd } = LAYOUT;
  if (random.chance(2)) return codeEnd + random.below(0x1000 - size);
  if (random.chance(2)) return LAYOUT.data - 1 - random.below(size);
  if (random.chance(2)) return readOnlyPage + random.below(0xf00);
  if (random.chance(1)) return readOnlyPage + 0x1000 - 1 - random.below(size);
  if (random.chance(2)) {
    // Aligned, for which of two faults comes first is each maker's own.
    const wild = mode.bits === 64 ? random.u64() : BigInt(random.u32());
    return wild & ~BigInt(size === 16 ? 15 : 0);
  }
  const align = size === 16 || size === 512 ? (random.chance(88) ? 16 : 1) : random.chance(60) ? size : 1;
  const limited = shape.segment >= 4 ? SEGMENT_LIMITS[`${mode.name}.${SEGMENT_NAMES[shape.segment]}`] : undefined;
  const narrow = addressBits(mode, shape) === 16 && mode.bits === 32;
  let from = regionFor(encoding, random);
  let length: number = DATA_REGIONS.stretch;
  if (limited || narrow) {
    const base = shape.segment >= 0 ? Number(draft.state.get(`${SEGMENT_NAMES[shape.segment]}.base`)) : 0;
    const [low, high] = limited ?? [0, 0xffff];
    from = base + low;
    length = Math.min(high, 0xffff) - low + 1;
  }
  const at = from + random.below(length - size);
  return at - (at % align);
}

function placeMemory(draft: Draft, size: number): void {
  const target = chooseTarget(draft, size);
  const { random, mode, shape, state } = draft;
  const bits = addressBits(mode, shape);
  const offset = (segment: 2 | 3): bigint => {
    const used = shape.segment >= 0 ? shape.segment : segment;
    const based = mode.bits !== 64 || used >= 4;
    const base = based ? state.get(`${SEGMENT_NAMES[used]}.base`) : 0n;
    return BigInt.asUintN(bits, BigInt(target) - base);
  };
  draft.memory = memoryForm(random, mode, shape, offset);
  for (const [register, value] of draft.memory.registers) overrideRegister(draft, register, value);
  // Where it really leads: a bad target beyond a 16-bit segment's reach wraps to a good one.
  const used = shape.segment >= 0 ? shape.segment : draft.memory.segment;
  const based = mode.bits !== 64 || used >= 4;
  const reached = Number(
    BigInt.asUintN(48, offset(used as 2 | 3) + (based ? state.get(`${SEGMENT_NAMES[used]}.base`) : 0n)),
  );
  const whole = mode.bits !== 16 || offset(used as 2 | 3) <= 0x10000n - BigInt(size);
  draft.target = whole && reached >= LAYOUT.data && reached + size <= LAYOUT.dataEnd ? reached : undefined;
}

const FLAG_BITS: Record<string, number> = { O: 0x800, S: 0x80, Z: 0x40, A: 0x10, P: 4, C: 1 };

/** The RFLAGS bits that letters of a row's `flags` stand for. */
export function flagMask(letters = ''): number {
  return [...letters].reduce((mask, letter) => mask | FLAG_BITS[letter], 0);
}

function immediateBytes(encoding: Encoding, draft: Draft): [bigint, number][] {
  const bits = operandBits(encoding, draft.mode, draft.shape);
  const out: [bigint, number][] = [];
  for (const operand of encoding.operands) {
    if (!'IJO'.includes(operand.where)) continue;
    let bytes = operandBytes(operand, bits);
    if (operand.where === 'O') bytes = addressBits(draft.mode, draft.shape) / 8;
    // A branch displacement in 64-bit code has 32 bits whatever the operand size.
    if (operand.where === 'J' && operand.width !== 'b' && draft.mode.bits === 64) bytes = 4;
    out.push([BigInt.asUintN(bytes * 8, interestingInteger(draft.random)), bytes]);
  }
  return out;
}

function choosePlace(draft: Draft): void {
  const { random, state } = draft;
  const base = state.get('cs.base');
  if (random.chance(3)) override(draft, 'rip', BigInt(LAYOUT.code + 0xff0 + random.below(16)) - base);
  else if (random.chance(1)) override(draft, 'rip', BigInt(LAYOUT.codeEnd - 1 - random.below(6)) - base);
}

/** How much memory an operand without a width is. */
function unsizedBytes(name: string, bits: number): number {
  if (/^FX(SAVE|RSTOR)/.test(name)) return 512;
  if (/^FN?(SAVE|RSTOR)/.test(name)) return bits === 16 ? 94 : 108;
  if (/^FN?(STENV|LDENV)/.test(name)) return bits === 16 ? 14 : 28;
  return 16;
}

/**
 * A case of `encoding` in mode number `modeNumber`; the seed decides everything. Undefined if the encoding does not
 * exist in that mode, or the drawn case is one that cannot be recorded. `at`: the linear address that the instruction
 * will have, where that is not the one in the state (operands relative to it are meant).
 */
export function buildCase(encoding: Encoding, modeNumber: number, seed: number, at?: number): VectorInput | undefined {
  const mode = MODES[modeNumber];
  if (mode.bits === 64 && encoding.attributes.has('no64')) return undefined;
  if (mode.bits !== 64 && encoding.attributes.has('only64')) return undefined;
  const random = new Random(Math.imul(seed, 0x2545f491) ^ 0x0c0ffee0);
  const registerOnly = encoding.operands.some(({ where }) => 'RUNT'.includes(where)) || encoding.exact >= 0;
  const memoryOnly = encoding.operands.some(({ where }) => where === 'M');
  const either = encoding.operands.find(
    ({ where }) => where === 'E' || where === 'W' || where === 'Q' || where === 'M',
  );
  const wantsMemory =
    hasModrm(encoding) && !registerOnly && (memoryOnly || (either !== undefined && random.chance(50)));
  const registers = mode.bits === 64 ? 16 : 8;
  const usesVvvv = encoding.operands.some(({ where }) => where === 'B');
  const draft: Draft = {
    encoding,
    mode,
    random,
    state: backgroundState(modeNumber, seed),
    overrides: new Map(),
    patches: [],
    shape: chooseShape(random, encoding, mode, wantsMemory),
    choice: {
      reg: random.below(registers),
      rm: random.below(registers),
      vvvv: usesVvvv || random.chance(3) ? random.below(registers) : 0,
    },
    immediates: [],
    memory: undefined,
    target: undefined,
    undefinedFlags: flagMask(encoding.row.flags?.undefined),
    ignoredFields: [],
    ignoredMemory: [],
    portable: encoding.vex ? PORTABLE.protected : PORTABLE.everywhere,
    suffix: [],
    dropped: false,
  };
  choosePlace(draft);
  // Alignment checks: CR0.AM is set, so RFLAGS.AC decides.
  if (random.chance(4)) override(draft, 'rflags', draft.state.get('rflags') | 0x40000n);
  if (random.chance(1)) override(draft, 'rflags', draft.state.get('rflags') | 0x100n);
  const bits = operandBits(encoding, mode, draft.shape);
  const size = either ? (either.width === '' ? unsizedBytes(mnemonic(encoding), bits) : operandBytes(either, bits)) : 8;
  if (wantsMemory) {
    placeMemory(draft, size);
    if (encoding.attributes.has('lock') && random.chance(20)) draft.shape = { ...draft.shape, extra: 0xf0 };
  }
  // Beyond the stack segment and misaligned: which fault comes first is each maker's own.
  const beyond = wantsMemory && draft.target === undefined && mode.bits !== 64;
  if (beyond && size === 16 && draft.memory?.segment === 2) return undefined;
  // LOCK where it is not allowed: #UD.
  if (draft.shape.extra === 0 && random.chance(1)) draft.shape = { ...draft.shape, extra: 0xf0 };
  draft.immediates = immediateBytes(encoding, draft);
  prepare(draft, bits);
  if (draft.dropped) return undefined;
  return finish(draft, modeNumber, seed, at);
}

function finish(draft: Draft, modeNumber: number, seed: number, at?: number): VectorInput {
  const { state, encoding, mode, shape, choice, memory, immediates } = draft;
  const start = at ?? Number(state.get('cs.base') + state.get('rip'));
  const bytes = [...encode(encoding, mode, shape, choice, memory, immediates, start), ...draft.suffix];
  // What lies in the absent page behind the code cannot be written: the fetch faults there.
  const code = Uint8Array.from(bytes.slice(0, Math.max(0, LAYOUT.codeEnd - start)));
  return {
    mode: modeNumber,
    seed,
    code,
    overrides: draft.overrides,
    patches: draft.patches,
    undefinedFlags: draft.undefinedFlags,
    ignoredFields: draft.ignoredFields,
    ignoredMemory: draft.ignoredMemory,
    portable: draft.portable,
  };
}
