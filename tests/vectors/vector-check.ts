// Runs a vector on a machine under test and says where it ended differently from the real processor.
// Owns the comparison: what counts in which mode, what is undefined, and how a mismatch reads.
// Never decides what to do about a mismatch.
import { buildImage, LAYOUT, MODES, type Mode, RAM_BYTES, SELECTORS, SYSTEM_BASE } from './environments.ts';
import type { MachineUnderTest } from './machine-under-test.ts';
import { fieldIndex, GPR_NAMES, type ProcessorState, SEGMENT_NAMES, STATE_FIELDS } from './processor-state.ts';
import { initialMemory, initialState, PORTABLE, STOPPED, type Vector } from './vector.ts';

const IMAGE = buildImage();
const MAXIMUM_STEPS = 200;
const LONGEST_INSTRUCTION = 15;
const RFLAGS = fieldIndex('rflags');
const CR2 = fieldIndex('cr2');
const FSW = fieldIndex('fsw');
const MXCSR = fieldIndex('mxcsr');
const VIRTUAL_8086 = 0x23000n;

const EXCEPTION_NAMES: Record<number, string> = {
  0: '#DE',
  1: '#DB',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  8: '#DF',
  10: '#TS',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  19: '#XM',
};

/** How the machine ended, in a vector's words. */
interface Ending {
  readonly outcome: number;
  readonly errorCode: number;
  /** The state; of an exception, the one its handler would return to. */
  readonly state: ProcessorState;
}

/** The modes a vector runs in: its own, and those where it must end alike. */
export function modesOf(vector: Vector): number[] {
  const own = MODES[vector.mode].name;
  const modes = [vector.mode];
  if (vector.portable === PORTABLE.nowhere) return modes;
  MODES.forEach((mode, index) => {
    if (mode.standsInFor !== own) return;
    const real = mode.name === 'real' || mode.name === 'v86';
    if (real && vector.portable !== PORTABLE.everywhere) return;
    // Exceptions are delivered otherwise with real segments, and privileges and alignment checks differ in ring 0.
    if (vector.outcome !== STOPPED && (real || mode.cpl === 0)) return;
    // Without NX, a fetch is like a read, and data can be executed.
    if (vector.outcome === 1 + 14 && (vector.errorCode & 0x10) !== 0 && mode.paging !== 'pae') return;
    modes.push(index);
  });
  return modes;
}

/** `state`, recorded in `from`, as it is in `mode`: the surroundings are the mode's own. */
function carryOver(state: ProcessorState, mode: Mode): ProcessorState {
  if (mode.standsInFor === undefined) return state;
  const carried = mode.state.clone();
  for (const name of [...GPR_NAMES, 'rip', 'rflags', 'fcw', 'fsw', 'ftw', 'mxcsr', 'cr2'])
    carried.set(name, state.get(name));
  if (mode.name === 'v86') carried.set('rflags', state.get('rflags') | VIRTUAL_8086);
  const from = STATE_FIELDS[fieldIndex('st0')].offset;
  carried.bytes.set(state.bytes.subarray(from), from);
  if (mode.bits === 64) {
    carried.set('fs.base', state.get('fs.base'));
    carried.set('gs.base', state.get('gs.base'));
  }
  return carried;
}

/**
 * The frame that the exception `vector` pushed before `at`, the state at its handler: its error code (0 without one) and
 * the state to return to. The handler's frames are of 64 bits in long mode, otherwise of 32.
 */
export function exceptionFrame(
  machine: MachineUnderTest,
  vector: number,
  at: ProcessorState,
): { errorCode: number; state: ProcessorState } {
  const state = at.clone();
  const long = (at.get('efer') & 0x400n) !== 0n;
  const width = long ? 8 : 4;
  const hasError = [8, 10, 11, 12, 13, 14, 17].includes(vector);
  const linear = Number(BigInt.asUintN(64, at.get('rsp') + (long ? 0n : at.get('ss.base'))));
  const paged = (at.get('cr0') & 0x80000000n) !== 0n;
  const stack = paged && linear >= SYSTEM_BASE ? linear - SYSTEM_BASE : linear;
  const view = new DataView(machine.ram.buffer, machine.ram.byteOffset, machine.ram.byteLength);
  const word = (index: number): bigint => {
    const address = stack + index * width;
    if (address < 0 || address + width > RAM_BYTES) return 0n;
    return long ? view.getBigUint64(address, true) : BigInt(view.getUint32(address, true));
  };
  const first = hasError ? 1 : 0;
  state.set('rip', word(first));
  state.set('cs', word(first + 1));
  state.set('rflags', word(first + 2));
  const inner = (word(first + 1) & 3n) !== (at.get('cs') & 3n) || (word(first + 2) & 0x20000n) !== 0n;
  if (long || inner) {
    state.set('rsp', word(first + 3));
    state.set('ss', word(first + 4));
  } else state.set('rsp', at.get('rsp') + BigInt((first + 3) * width));
  return { errorCode: hasError ? Number(word(0) & 0xffffffffn) : 0, state };
}

function runToEnd(machine: MachineUnderTest, mode: Mode): Ending | string {
  const handlers =
    mode.name === 'real'
      ? LAYOUT.realHandlers
      : mode.paging === 'none'
        ? LAYOUT.handlers
        : SYSTEM_BASE + LAYOUT.handlers;
  for (let steps = 0; steps < MAXIMUM_STEPS; steps++) {
    if (!machine.step()) return 'the processor halted or shut down';
    const at = machine.position();
    if (at >= handlers && at < handlers + 256) {
      const vector = at - handlers;
      const state = machine.state();
      if (mode.name === 'real') return { outcome: 1 + vector, errorCode: 0, state };
      return { outcome: 1 + vector, ...exceptionFrame(machine, vector, state) };
    }
    if (at >= LAYOUT.code && at < LAYOUT.codeEnd && machine.ram[at] === 0xcc)
      return { outcome: STOPPED, errorCode: 0, state: machine.state() };
  }
  return `no end within ${MAXIMUM_STEPS} instructions`;
}

const GENERAL = GPR_NAMES.map((name) => fieldIndex(name));
const SELECTOR_FIELDS = SEGMENT_NAMES.map((name) => fieldIndex(name));
const BASE_FIELDS = SEGMENT_NAMES.map((name) => fieldIndex(`${name}.base`));
const HIDDEN_FIELDS = new Set(SEGMENT_NAMES.flatMap((name) => [`${name}.limit`, `${name}.attributes`].map(fieldIndex)));
const NEVER = new Set([...HIDDEN_FIELDS, ...['fop', 'fip', 'fdp'].map(fieldIndex)]);
const X87_FIRST = fieldIndex('st0');
const XMM_FIRST = fieldIndex('xmm0');

/** Bits of a field that count at the end of `vector` in `mode`; 0n for none. */
function significant(field: number, vector: Vector, mode: Mode, expected: ProcessorState): bigint {
  if (NEVER.has(field) || vector.ignoredFields.includes(field)) return 0n;
  if (field > X87_FIRST && field < XMM_FIRST && vector.ignoredFields.includes(field - 1)) return 0n;
  const narrow = mode.bits !== 64;
  if (field < GENERAL.length) {
    // What is above 32 bits is lost on the way out of 64-bit code.
    const left = vector.changes.get(SELECTOR_FIELDS[1]);
    if (narrow || (left !== undefined && left !== BigInt(SELECTORS.userCode64))) return field < 8 ? 0xffffffffn : 0n;
    return -1n;
  }
  if (field === RFLAGS) return BigInt(~vector.undefinedFlags);
  const base = BASE_FIELDS.indexOf(field);
  if (base >= 0) {
    // The base follows its selector: an unrecorded part, except for FS and GS in 64-bit code.
    const own = mode.bits === 64 && (SEGMENT_NAMES[base] === 'fs' || SEGMENT_NAMES[base] === 'gs');
    if (vector.changes.has(SELECTOR_FIELDS[base])) return 0n;
    if (!own && vector.outcome !== STOPPED && (SEGMENT_NAMES[base] === 'cs' || SEGMENT_NAMES[base] === 'ss')) return 0n;
    return -1n;
  }
  if (field === CR2) return vector.outcome === 1 + 14 || vector.outcome === STOPPED ? -1n : 0n;
  if (STATE_FIELDS[field].name === 'dr6') return vector.outcome === 1 + 1 ? 0n : -1n;
  if (field === FSW && isApproximate(vector)) return ~0x0220n;
  if (field === MXCSR && denormalsUnseen(vector)) return ~2n;
  if (field >= X87_FIRST && field < XMM_FIRST) {
    const register = (field - X87_FIRST) >> 1;
    const physical = (Number(expected.get('fsw') >> 11n) + register) & 7;
    return (expected.get('ftw') >> BigInt(physical)) & 1n ? -1n : 0n;
  }
  if (field >= XMM_FIRST + 16 && narrow) return 0n;
  return -1n;
}

/**
 * Once PE is set in an MXCSR that is otherwise ordinary (all masked, to nearest, no DAZ, no FTZ), denormal operands are
 * noticed only by results that are not ordinary numbers; see the SSE arithmetic's rows.
 */
function denormalsUnseen(vector: Vector): boolean {
  const mxcsr = initialState(vector).get('mxcsr');
  // Of several instructions, one may have set PE for those behind it.
  const several = vector.code.length > LONGEST_INSTRUCTION;
  const precision = several ? (vector.changes.get(MXCSR) ?? mxcsr) : mxcsr;
  return (precision & 0x20n) !== 0n && (mxcsr & 0xffc0n) === 0x1f80n;
}

/** Vectors of transcendental functions: results may differ in the last bits, and so C1 and the precision flag. */
function isApproximate(vector: Vector): boolean {
  return vector.ignoredFields.includes(X87_FIRST);
}

const CLOSE = 16n;

/** True if the x87 register in `field` (its significand) holds nearly the same number in both states. */
function closeEnough(expected: ProcessorState, actual: ProcessorState, field: number): boolean {
  const line = (state: ProcessorState): bigint => {
    const exponent = state.getAt(field + 1);
    const size = ((exponent & 0x7fffn) << 63n) + (state.getAt(field) & 0x7fffffffffffffffn);
    return exponent & 0x8000n ? -size : size;
  };
  const apart = line(expected) - line(actual);
  return apart <= CLOSE && apart >= -CLOSE;
}

function sameBytes(a: ProcessorState, b: ProcessorState, field: number): boolean {
  const { offset, width } = STATE_FIELDS[field];
  for (let i = offset; i < offset + width; i++) if (a.bytes[i] !== b.bytes[i]) return false;
  return true;
}

function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}

/** "stopped", or the exception's name and error code. */
export function describeOutcome(outcome: number, errorCode: number): string {
  if (outcome === STOPPED) return 'stopped';
  const vector = outcome - 1;
  return `${EXCEPTION_NAMES[vector] ?? `vector ${vector}`}(${hex(errorCode)})`;
}

function compareStates(vector: Vector, mode: Mode, expected: ProcessorState, actual: ProcessorState): string[] {
  const wrong: string[] = [];
  for (const field of vector.ignoredFields) {
    if (field < X87_FIRST || field >= XMM_FIRST || closeEnough(expected, actual, field)) continue;
    const [want, got] = [expected, actual].map((state) => `${hex(state.getAt(field + 1))}:${hex(state.getAt(field))}`);
    wrong.push(`${STATE_FIELDS[field].name} expected nearly ${want} got ${got}`);
  }
  STATE_FIELDS.forEach(({ name, width }, field) => {
    if (sameBytes(expected, actual, field)) return;
    const mask = BigInt.asUintN(width * 8, significant(field, vector, mode, expected));
    const [want, got] = [expected.getAt(field) & mask, actual.getAt(field) & mask];
    if (want !== got)
      wrong.push(
        `${name} expected ${hex(want)} got ${hex(got)}${field === RFLAGS ? ` (differ: ${hex(want ^ got)})` : ''}`,
      );
  });
  return wrong;
}

function compareMemory(vector: Vector, expected: Uint8Array, actual: Uint8Array): string[] {
  const from = LAYOUT.code;
  const length = LAYOUT.readOnlyPage + 0x1000 - from;
  const want = Buffer.from(expected.buffer, expected.byteOffset + from, length);
  const got = Buffer.from(actual.buffer, actual.byteOffset + from, length);
  if (want.equals(got)) return [];
  const wrong: string[] = [];
  for (let i = 0; i < length && wrong.length < 8; i++) {
    if (want[i] === got[i]) continue;
    const at = from + i;
    if (vector.ignoredMemory.some((span) => at >= span.at && at < span.at + span.length)) continue;
    wrong.push(`[${hex(at)}] expected ${hex(want[i])} got ${hex(got[i])}`);
  }
  return wrong;
}

const expectedRam = IMAGE.slice();

/**
 * Runs `vector` in mode number `modeNumber` and returns what differs, empty if nothing does. The machine's RAM must hold
 * the image (`prepareMachine`) and holds it again afterwards.
 */
export function checkVector(machine: MachineUnderTest, vector: Vector, modeNumber: number): string[] {
  const mode = MODES[modeNumber];
  const recorded = initialState(vector);
  const before = carryOver(recorded, mode);
  const spans = initialMemory(vector, recorded);
  const touched = [...spans, ...vector.memory];
  for (const { at, bytes } of spans) {
    machine.ram.set(bytes, at);
    expectedRam.set(bytes, at);
  }
  for (const { at, bytes } of vector.memory) expectedRam.set(bytes, at);
  for (const { at, bytes } of touched) machine.memoryChanged(at, bytes.length);
  machine.load(before);
  const wrong = runAndCompare(machine, vector, mode, recorded);
  for (const { at, bytes } of touched) {
    const original = IMAGE.subarray(at, at + bytes.length);
    expectedRam.set(original, at);
    machine.ram.set(original, at);
    machine.memoryChanged(at, bytes.length);
  }
  // Whatever else a wrong outcome wrote must not follow the next vector.
  if (wrong.length > 0 || vector.ignoredMemory.length > 0) prepareMachine(machine);
  return wrong;
}

function runAndCompare(machine: MachineUnderTest, vector: Vector, mode: Mode, recorded: ProcessorState): string[] {
  const ending = runToEnd(machine, mode);
  if (typeof ending === 'string') return [ending];
  const wrong: string[] = [];
  if (ending.outcome !== vector.outcome || ending.errorCode !== vector.errorCode) {
    const [want, got] = [vector, ending].map((end) => describeOutcome(end.outcome, end.errorCode));
    wrong.push(`expected ${want} got ${got}`);
  }
  const after = recorded.clone();
  for (const [field, value] of vector.changes) after.setAt(field, value);
  wrong.push(...compareStates(vector, mode, carryOver(after, mode), ending.state));
  wrong.push(...compareMemory(vector, expectedRam, machine.ram));
  return wrong;
}

/** Puts the image into the machine's RAM. */
export function prepareMachine(machine: MachineUnderTest): void {
  machine.ram.set(IMAGE);
  machine.memoryChanged(0, IMAGE.length);
}

/** What a vector is, for a message: mode, code bytes, and the initial values that were chosen for it. */
export function describeVector(vector: Vector, modeNumber: number): string {
  const code = Buffer.from(vector.code)
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1 ');
  const mode = MODES[modeNumber];
  const state = carryOver(initialState(vector), mode);
  const registers = GPR_NAMES.slice(0, mode.bits === 64 ? 16 : 8).map(
    (name) => `${name}=${state.get(name).toString(16)}`,
  );
  const end = describeOutcome(vector.outcome, vector.errorCode);
  return `${mode.name} [${code}] -> ${end}\n      before: ${registers.join(' ')} rip=${state.get('rip').toString(16)} rflags=${state.get('rflags').toString(16)}`;
}
