// The surroundings a vector runs in: the memory image (descriptor tables, page tables, handlers, data) and each mode's base state.
// Owns every address of the 256 KiB test RAM. It is part of the vector format: vectors hold only what differs from here,
// so a change here needs all vectors recorded again (the files carry a checksum that says so).
// Never knows which instructions are tested.
import { createHash } from 'node:crypto';
import { ProcessorState, type SegmentName } from './processor-state.ts';
import { Random } from './random.ts';

export const RAM_BYTES = 0x40000;

/**
 * Where things lie in the test RAM. Code and data have the same linear addresses in every mode; what the system needs
 * (below 0x20000) is linear at SYSTEM_BASE and up where there is paging, so that a stray access meets absent pages, as
 * it did in the process that recorded the vectors.
 */
export const LAYOUT = {
  realHandlers: 0x600,
  gdt: 0x1000,
  gdtLong: 0x1800,
  idt32: 0x2000,
  idt64: 0x3000,
  tss32: 0x4000,
  tss64: 0x5000,
  ldt: 0x6000,
  /** One INT3 a vector: the entry of each exception handler is `handlers + vector`. */
  handlers: 0x9000,
  pageTables32: 0xa000,
  pageTablesPae: 0xd000,
  pageTables64: 0xe000,
  kernelStackTop: 0x15000,
  interruptStackTop: 0x16000,
  systemEnd: 0x20000,
  /** Pages full of INT3. */
  code: 0x20000,
  codeEnd: 0x27000,
  data: 0x28000,
  dataEnd: 0x3c000,
  stack: 0x2e100,
  readOnlyPage: 0x3c000,
  absentPage: 0x3d000,
} as const;

/** Where the system's part of RAM is in paged modes. */
export const SYSTEM_BASE = 0xc0000000;

/** The data window in stretches of 4 KiB that hold operands of one kind each. */
export const DATA_REGIONS = {
  integer: 0x30000,
  single: 0x32000,
  double: 0x34000,
  extended: 0x36000,
  decimal: 0x38000,
  stretch: 0x2000,
} as const;

/**
 * The LDT: the segments that vectors use, the same in every mode. `bits` are its selector's; flags as in the attributes
 * of a descriptor (bits 40 to 55). All are of ring 3 and have been accessed.
 */
export interface Descriptor {
  readonly selector: number;
  readonly attributes: number;
  /** In bytes. */
  readonly limit: number;
  readonly base: number;
}

const CODE32 = 0xc0fb;
const DATA32 = 0xc0f3;

export const LDT_SEGMENTS = {
  code16: { selector: 0x07, attributes: 0x00fb, limit: 0xffff, base: 0x20000 },
  code32: { selector: 0x0f, attributes: CODE32, limit: 0xffffffff, base: 0 },
  ds16: { selector: 0x17, attributes: 0x00f3, limit: 0xffff, base: 0x28000 },
  es16: { selector: 0x1f, attributes: 0x00f3, limit: 0xffff, base: 0x29000 },
  ss16: { selector: 0x27, attributes: 0x00f3, limit: 0xffff, base: 0x2a000 },
  fs16: { selector: 0x2f, attributes: 0x00f3, limit: 0x7fff, base: 0x2b000 },
  down16: { selector: 0x37, attributes: 0x00f7, limit: 0x3fff, base: 0x2c000 },
  data32: { selector: 0x3f, attributes: DATA32, limit: 0xffffffff, base: 0 },
  fs32: { selector: 0x47, attributes: 0x40f3, limit: 0x7fff, base: 0x30000 },
  down32: { selector: 0x4f, attributes: 0x40f7, limit: 0x7fff, base: 0x20000 },
  absentData: { selector: 0x57, attributes: 0x4073, limit: 0xffff, base: 0x28000 },
  readOnly: { selector: 0x5f, attributes: 0xc0f1, limit: 0xffffffff, base: 0 },
  executeOnly: { selector: 0x67, attributes: 0xc0f9, limit: 0xffffffff, base: 0 },
  conforming: { selector: 0x6f, attributes: 0xc07f, limit: 0xffffffff, base: 0 },
  absentCode: { selector: 0x77, attributes: 0xc07b, limit: 0xffffffff, base: 0 },
  small: { selector: 0x7f, attributes: 0x00f3, limit: 0x0fff, base: 0x30000 },
} as const satisfies Record<string, Descriptor>;

const LDT_LIMIT = Object.keys(LDT_SEGMENTS).length * 8 - 1;

/** Selectors of the GDT. The first sixteen entries are as 64-bit Linux has them, where the vectors were recorded. */
export const SELECTORS = {
  kernelCode32: 0x08,
  kernelCode64: 0x10,
  kernelData: 0x18,
  userCode32: 0x23,
  userData: 0x2b,
  userCode64: 0x33,
  tss64: 0x40,
  ldt64: 0x50,
  tss32: 0x80,
  ldt32: 0x88,
  kernelCode16: 0x90,
  kernelData16: 0x98,
} as const;

const GDT_SEGMENTS: readonly Descriptor[] = [
  { selector: SELECTORS.kernelCode32, attributes: 0xc09b, limit: 0xffffffff, base: 0 },
  { selector: SELECTORS.kernelCode64, attributes: 0xa09b, limit: 0xffffffff, base: 0 },
  { selector: SELECTORS.kernelData, attributes: 0xc093, limit: 0xffffffff, base: 0 },
  { selector: SELECTORS.userCode32, attributes: CODE32, limit: 0xffffffff, base: 0 },
  { selector: SELECTORS.userData, attributes: DATA32, limit: 0xffffffff, base: 0 },
  { selector: SELECTORS.userCode64, attributes: 0xa0fb, limit: 0xffffffff, base: 0 },
  { selector: SELECTORS.kernelCode16, attributes: 0x009b, limit: 0xffff, base: 0x20000 },
  { selector: SELECTORS.kernelData16, attributes: 0x0093, limit: 0xffff, base: 0x2a000 },
];

/** Writes an 8-byte segment descriptor. `limit` is in bytes; it is stored in pages if `attributes` has G (bit 15). */
export function writeDescriptor(view: DataView, at: number, attributes: number, limit: number, base: number): void {
  const stored = attributes & 0x8000 ? limit >>> 12 : limit;
  view.setUint32(at, (((base & 0xffff) << 16) | (stored & 0xffff)) >>> 0, true);
  const upper = ((base >>> 16) & 0xff) | ((attributes & 0xf0ff) << 8) | (stored & 0xf0000) | (base & 0xff000000);
  view.setUint32(at + 4, upper >>> 0, true);
}

const INTEGERS = [
  0n,
  1n,
  0xffffffffffffffffn,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000080008080n,
  0x7fffffff7fff7f7fn,
] as const;

/** A 64-bit integer with interesting boundaries at every operand size, or a random one. */
export function interestingInteger(random: Random): bigint {
  if (random.chance(45)) return random.u64();
  if (random.chance(20)) return BigInt.asUintN(64, BigInt(random.below(64)) - (random.chance(50) ? 32n : 0n));
  return random.pick(INTEGERS);
}

/** Single-precision bit patterns: zeros, denormals, infinities, quiet and signalling NaNs, integers' limits, ordinary numbers. */
export function interestingSingle(random: Random): number {
  const sign = random.chance(50) ? 0x80000000 : 0;
  const kind = random.below(20);
  if (kind === 0) return sign;
  if (kind === 1) return (sign | 0x7f800000) >>> 0;
  if (kind === 2) return (sign | 0x7fc00000 | random.below(0x400000)) >>> 0;
  if (kind === 3) return (sign | 0x7f800001 | random.below(0x3fffff)) >>> 0;
  if (kind === 4) return (sign | random.below(0x800000)) >>> 0;
  if (kind === 5) return (sign | 0x00800000 | random.below(16)) >>> 0;
  if (kind === 6) return (sign | 0x7f7fffff) >>> 0;
  if (kind === 7)
    return (
      (sign | random.pick([0x3f800000, 0x3f000000, 0x40000000, 0x3fc00000, 0x4b000000, 0x4f000000, 0x5f000000])) >>> 0
    );
  if (kind < 14)
    return (sign | ((112 + random.below(32)) << 23) | (random.u32() & (random.chance(50) ? 0x7ff000 : 0x7fffff))) >>> 0;
  return random.u32();
}

/** Double-precision bit patterns, as interestingSingle. */
export function interestingDouble(random: Random): bigint {
  const sign = random.chance(50) ? 1n << 63n : 0n;
  const kind = random.below(20);
  const fraction = random.u64() & 0xfffffffffffffn;
  if (kind === 0) return sign;
  if (kind === 1) return sign | 0x7ff0000000000000n;
  if (kind === 2) return sign | 0x7ff8000000000000n | (fraction >> 1n);
  if (kind === 3) return sign | 0x7ff0000000000001n | (fraction >> 1n);
  if (kind === 4) return sign | fraction;
  if (kind === 5) return sign | 0x0010000000000000n | (fraction & 15n);
  if (kind === 6) return sign | 0x7fefffffffffffffn;
  if (kind === 7) {
    const ones = [0x3ff, 0x3fe, 0x400, 0x41e, 0x41d, 0x43e, 0x43f, 0x380, 0x47e];
    return sign | (BigInt(random.pick(ones)) << 52n);
  }
  if (kind < 14) {
    const exponent = BigInt(1008 + random.below(48));
    return sign | (exponent << 52n) | (random.chance(50) ? fraction & 0xffffff0000000n : fraction);
  }
  return random.u64();
}

/** Double-extended numbers as [significand, sign and exponent], unnormals and pseudo-denormals included. */
export function interestingExtended(random: Random): [bigint, number] {
  const sign = random.chance(50) ? 0x8000 : 0;
  const kind = random.below(24);
  const one = 1n << 63n;
  const fraction = random.u64() & (one - 1n);
  if (kind === 0) return [0n, sign];
  if (kind === 1) return [one, sign | 0x7fff];
  if (kind === 2) return [one | (1n << 62n) | (fraction >> 1n), sign | 0x7fff];
  if (kind === 3) return [one | 1n | (fraction >> 2n), sign | 0x7fff];
  if (kind === 4) return [fraction, sign];
  if (kind === 5) return [one | fraction, sign];
  if (kind === 6) return [fraction, sign | (1 + random.below(0x7ffe))];
  if (kind === 7) return [0xffffffffffffffffn, sign | 0x7ffe];
  if (kind === 8)
    return [one, sign | random.pick([0x3fff, 0x3ffe, 0x4000, 0x400e, 0x401e, 0x403e, 1, 0x3f81, 0x3c01, 0x407e])];
  if (kind === 9) return [fraction, sign | 0x7fff];
  if (kind < 19) {
    const mask = random.pick([
      0xffffffffffffffffn,
      0xffffffffffffffffn,
      0xfffffffffffff800n,
      0xffffff0000000000n,
      0xff00000000000000n,
    ]);
    return [(one | fraction) & mask, sign | (0x3ff0 + random.below(72))];
  }
  return [one | fraction, sign | (1 + random.below(0x7ffe))];
}

function fillData(view: DataView, bytes: Uint8Array): void {
  const random = new Random(0x7261_6d00);
  for (let at: number = LAYOUT.data; at < RAM_BYTES; at += 8) view.setBigUint64(at, interestingInteger(random), true);
  const { single, double, extended, decimal, stretch } = DATA_REGIONS;
  for (let at: number = single; at < single + stretch; at += 4) view.setUint32(at, interestingSingle(random), true);
  for (let at: number = double; at < double + stretch; at += 8) view.setBigUint64(at, interestingDouble(random), true);
  for (let at: number = extended; at < extended + stretch; at += 16) {
    const [significand, exponent] = interestingExtended(random);
    view.setBigUint64(at, significand, true);
    view.setUint16(at + 8, exponent, true);
  }
  for (let at: number = decimal; at < decimal + stretch; at += 16) {
    for (let i = 0; i < 9; i++) bytes[at + i] = random.below(10) * 16 + random.below(10);
    bytes[at + 9] = random.chance(50) ? 0x80 : 0;
  }
}

const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
/** Accessed and dirty, so that an ordinary vector does not change the tables. */
const SETTLED = 0x60;

function pageFlags(address: number): number {
  if (address < LAYOUT.systemEnd || address === LAYOUT.codeEnd || address >= LAYOUT.absentPage) return 0;
  if (address === LAYOUT.readOnlyPage) return PRESENT | USER | SETTLED;
  return PRESENT | WRITABLE | USER | SETTLED;
}

/**
 * 32-bit: a directory and the tables of linear 0 and SYSTEM_BASE. PAE and 4-level: roots of their own, then common
 * directories and tables.
 */
function writePageTables(view: DataView): void {
  const table = PRESENT | WRITABLE | USER | SETTLED;
  const system = PRESENT | WRITABLE | SETTLED;
  const { pageTables32, pageTablesPae, pageTables64 } = LAYOUT;
  view.setUint32(pageTables32, (pageTables32 + 0x1000) | table, true);
  view.setUint32(pageTables32 + 0xc00, (pageTables32 + 0x2000) | table, true);
  const pointers64 = pageTables64 + 0x1000;
  const directories = pageTables64 + 0x2000;
  const tables = pageTables64 + 0x4000;
  view.setUint32(pageTables64, pointers64 | table, true);
  for (const [slot, index] of [
    [0, 0],
    [3, 1],
  ]) {
    view.setUint32(pageTablesPae + slot * 8, (directories + index * 0x1000) | PRESENT, true);
    view.setUint32(pointers64 + slot * 8, (directories + index * 0x1000) | table, true);
    view.setUint32(directories + index * 0x1000, (tables + index * 0x1000) | table, true);
  }
  for (let page = 0; page < RAM_BYTES / 0x1000; page++) {
    const address = page * 0x1000;
    const flags = pageFlags(address);
    if (flags !== 0) {
      view.setUint32(pageTables32 + 0x1000 + page * 4, address | flags, true);
      view.setUint32(tables + page * 8, address | flags, true);
      view.setUint32(tables + page * 8 + 4, address < LAYOUT.codeEnd ? 0 : 0x80000000, true);
    }
    if (address < LAYOUT.systemEnd) {
      view.setUint32(pageTables32 + 0x2000 + page * 4, address | system, true);
      view.setUint32(tables + 0x1000 + page * 8, address | system, true);
    }
  }
}

/** Vectors whose gates INT n may use from ring 3. */
const USER_VECTORS = new Set([3, 4, 0x80]);

function writeGates(view: DataView): void {
  const offset = SYSTEM_BASE + LAYOUT.handlers;
  for (let vector = 0; vector < 256; vector++) {
    view.setUint16(vector * 4, LAYOUT.realHandlers + vector, true);
    const type = (vector === 0x81 ? 0x8f : 0x8e) | (USER_VECTORS.has(vector) ? 0x60 : 0);
    for (const at of [LAYOUT.idt32 + vector * 8, LAYOUT.idt64 + vector * 16]) {
      const long = at >= LAYOUT.idt64;
      view.setUint16(at, (offset + vector) & 0xffff, true);
      view.setUint16(at + 2, long ? SELECTORS.kernelCode64 : SELECTORS.kernelCode32, true);
      view.setUint16(at + 4, (type << 8) | (long && vector < 32 ? 1 : 0), true);
      view.setUint16(at + 6, offset >>> 16, true);
    }
  }
}

function writeTaskStates(view: DataView, bytes: Uint8Array): void {
  const { tss32, tss64, kernelStackTop, interruptStackTop } = LAYOUT;
  view.setUint32(tss32 + 4, SYSTEM_BASE + kernelStackTop, true);
  view.setUint16(tss32 + 8, SELECTORS.kernelData, true);
  view.setUint16(tss32 + 0x66, 0x88, true);
  view.setUint32(tss64 + 4, SYSTEM_BASE + kernelStackTop, true);
  view.setUint32(tss64 + 0x24, SYSTEM_BASE + interruptStackTop, true);
  view.setUint16(tss64 + 0x66, 0x68, true);
  // No port is open to ring 3. (The 32 bytes below the 32-bit bitmap are VME's interrupt redirection bitmap.)
  bytes.fill(0xff, tss32 + 0x68, tss32 + 0x300);
  bytes.fill(0xff, tss64 + 0x68, tss64 + 0x300);
}

/** The RAM every vector starts from. */
export function buildImage(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(RAM_BYTES);
  const view = new DataView(bytes.buffer);
  for (const gdt of [LAYOUT.gdt, LAYOUT.gdtLong]) {
    const base = SYSTEM_BASE;
    for (const segment of GDT_SEGMENTS) {
      writeDescriptor(view, gdt + (segment.selector & ~7), segment.attributes, segment.limit, segment.base);
    }
    writeDescriptor(view, gdt + SELECTORS.tss32, 0x008b, 0x2ff, base + LAYOUT.tss32);
    writeDescriptor(view, gdt + SELECTORS.ldt32, 0x0082, LDT_LIMIT, base + LAYOUT.ldt);
    writeDescriptor(view, gdt + SELECTORS.tss64, 0x008b, 0x2ff, base + LAYOUT.tss64);
    writeDescriptor(view, gdt + SELECTORS.ldt64, 0x0082, LDT_LIMIT, base + LAYOUT.ldt);
  }
  for (const { selector, attributes, limit, base } of Object.values(LDT_SEGMENTS)) {
    writeDescriptor(view, LAYOUT.ldt + (selector & ~7), attributes, limit, base);
  }
  writeGates(view);
  writeTaskStates(view, bytes);
  writePageTables(view);
  bytes.fill(0xcc, LAYOUT.handlers, LAYOUT.handlers + 0x100);
  bytes.fill(0xcc, LAYOUT.realHandlers, LAYOUT.realHandlers + 0x100);
  bytes.fill(0xcc, LAYOUT.code, LAYOUT.codeEnd);
  fillData(view, bytes);
  return bytes;
}

export const CR0 = {
  pe: 1,
  mp: 2,
  em: 4,
  ts: 8,
  et: 0x10,
  ne: 0x20,
  wp: 0x10000,
  am: 0x40000,
  pg: 0x80000000,
} as const;
export const CR4 = {
  vme: 1,
  pvi: 2,
  tsd: 4,
  de: 8,
  pse: 0x10,
  pae: 0x20,
  pge: 0x80,
  pce: 0x100,
  osfxsr: 0x200,
  osxmmexcpt: 0x400,
  fsgsbase: 0x10000,
  osxsave: 0x40000,
} as const;

const SSE_ENABLED = CR4.osfxsr | CR4.osxmmexcpt | CR4.osxsave;
const PROTECTED = CR0.pe | CR0.mp | CR0.et | CR0.ne | CR0.wp | CR0.am;
const EFER_LONG = 0xd01n;
const EFER_NX = 0x800n;

type Paging = 'none' | '32' | 'pae' | '64';

/** A mode that vectors run in. Mode numbers in the files are indices into MODES. */
export interface Mode {
  readonly name: string;
  /** Default operand and address size in bits. */
  readonly bits: 16 | 32 | 64;
  readonly cpl: 0 | 3;
  readonly paging: Paging;
  readonly long: boolean;
  /** The mode's state before anything of a vector's is put into it. */
  readonly state: ProcessorState;
  /** The recorded mode whose vectors run here too; undefined for a recorded mode itself. */
  readonly standsInFor?: string;
}

function setSegment(state: ProcessorState, name: SegmentName, { selector, attributes, limit, base }: Descriptor): void {
  state.setSegment(name, selector, attributes, limit, base);
}

function gdtSegment(selector: number): Descriptor {
  const found = GDT_SEGMENTS.find((segment) => segment.selector === selector);
  if (!found) throw new Error(`no segment with selector ${selector}`);
  return found;
}

function baseState(paging: Paging, long: boolean): ProcessorState {
  const state = new ProcessorState();
  const roots = { none: 0, '32': LAYOUT.pageTables32, pae: LAYOUT.pageTablesPae, '64': LAYOUT.pageTables64 };
  const wide = paging === 'pae' || paging === '64';
  const base = paging === 'none' ? 0 : SYSTEM_BASE;
  state.set('cr0', PROTECTED + (paging === 'none' ? 0 : CR0.pg));
  state.set('cr3', roots[paging]);
  state.set('cr4', SSE_ENABLED | CR4.de | CR4.pse | CR4.pge | (wide ? CR4.pae : 0) | (long ? CR4.fsgsbase : 0));
  state.set('efer', long ? EFER_LONG : wide ? EFER_NX : 0n);
  state.set('gdtr.base', base + (long ? LAYOUT.gdtLong : LAYOUT.gdt));
  state.set('gdtr.limit', long ? 0x7f : 0xff);
  state.set('idtr.base', base + (long ? LAYOUT.idt64 : LAYOUT.idt32));
  state.set('idtr.limit', long ? 0xfff : 0x7ff);
  const tss = base + (long ? LAYOUT.tss64 : LAYOUT.tss32);
  state.setSegment('tr', long ? SELECTORS.tss64 : SELECTORS.tss32, 0x8b, 0x2ff, tss);
  state.setSegment('ldtr', long ? SELECTORS.ldt64 : SELECTORS.ldt32, 0x82, LDT_LIMIT, base + LAYOUT.ldt);
  state.set('dr6', 0xffff0ff0);
  state.set('dr7', 0x400);
  state.set('rflags', 0x202);
  state.set('fcw', 0x37f);
  state.set('mxcsr', 0x1f80);
  return state;
}

function realSegments(state: ProcessorState, attributes: number): void {
  const selectors = { es: 0x2900, cs: 0x2000, ss: 0x2a00, ds: 0x2800, fs: 0x2b00, gs: 0x2c00 };
  for (const [name, selector] of Object.entries(selectors)) {
    state.setSegment(name as SegmentName, selector, attributes, 0xffff, selector * 16);
  }
}

function sixteen(state: ProcessorState): void {
  const { code16, ss16, ds16, es16, fs16, down16 } = LDT_SEGMENTS;
  const segments = { cs: code16, ss: ss16, ds: ds16, es: es16, fs: fs16, gs: down16 };
  for (const [name, segment] of Object.entries(segments)) setSegment(state, name as SegmentName, segment);
}

function thirtyTwo(state: ProcessorState): void {
  const { code32, data32, fs32, down32 } = LDT_SEGMENTS;
  const segments = { cs: code32, ss: data32, ds: data32, es: data32, fs: fs32, gs: down32 };
  for (const [name, segment] of Object.entries(segments)) setSegment(state, name as SegmentName, segment);
}

function sixtyFour(state: ProcessorState): void {
  setSegment(state, 'cs', gdtSegment(SELECTORS.userCode64));
  for (const name of ['ss', 'ds', 'es'] as const) setSegment(state, name, gdtSegment(SELECTORS.userData));
  state.setSegment('fs', 0, 0xc0f3, 0xffffffff, 0x1000);
  state.setSegment('gs', 0, 0xc0f3, 0xffffffff, 0xfffffffffffff000n);
}

function ringZero(code: number, data: number): (state: ProcessorState) => void {
  return (state) => {
    setSegment(state, 'cs', gdtSegment(code));
    setSegment(state, 'ss', gdtSegment(data));
  };
}

function make(
  name: string,
  bits: 16 | 32 | 64,
  cpl: 0 | 3,
  paging: Paging,
  standsInFor: string | undefined,
  ...steps: ((state: ProcessorState) => void)[]
): Mode {
  const long = paging === '64';
  const state = baseState(paging, long);
  for (const step of steps) step(state);
  state.set('rsp', LAYOUT.stack - Number(state.get('ss.base')));
  return { name, bits, cpl, paging, long, state, ...(standsInFor === undefined ? {} : { standsInFor }) };
}

function toReal(state: ProcessorState): void {
  realSegments(state, 0x93);
  state.set('cs.attributes', 0x9b);
  state.set('cr0', CR0.et | CR0.ne | CR0.mp);
  state.set('gdtr.base', 0);
  state.set('idtr.base', 0);
  state.set('idtr.limit', 0x3ff);
}

function toVirtual8086(state: ProcessorState): void {
  realSegments(state, 0xf3);
  state.set('rflags', 0x23202);
}

/**
 * Every mode, in the order of the numbers in the files (append only). Those that a user process can enter are recorded;
 * in each of the others, the vectors of the recorded mode with the same width run again where the architecture
 * promises the same outcome.
 */
export const MODES: readonly Mode[] = [
  make('compat16', 16, 3, '64', undefined, sixteen),
  make('compat32', 32, 3, '64', undefined, thirtyTwo),
  make('long64', 64, 3, '64', undefined, sixtyFour),
  make('real', 16, 0, 'none', 'compat16', toReal),
  make('v86', 16, 3, '32', 'compat16', toVirtual8086),
  make('prot16', 16, 3, 'pae', 'compat16', sixteen),
  make('prot16.ring0', 16, 0, 'none', 'compat16', sixteen, ringZero(SELECTORS.kernelCode16, SELECTORS.kernelData16)),
  make('prot32', 32, 3, '32', 'compat32', thirtyTwo),
  make('prot32.pae', 32, 3, 'pae', 'compat32', thirtyTwo),
  make('prot32.ring0', 32, 0, '32', 'compat32', thirtyTwo, ringZero(SELECTORS.kernelCode32, SELECTORS.kernelData)),
  make('long64.ring0', 64, 0, '64', 'long64', sixtyFour, ringZero(SELECTORS.kernelCode64, SELECTORS.kernelData)),
];

/** The number of the mode called `name`. */
export function modeIndex(name: string): number {
  const index = MODES.findIndex((mode) => mode.name === name);
  if (index < 0) throw new Error(`no such mode: ${name}`);
  return index;
}

let checksum: number | undefined;

/** A checksum of the image and all base states: vectors recorded in other surroundings are refused by it. */
export function surroundingsChecksum(): number {
  if (checksum === undefined) {
    const hash = createHash('sha256').update(buildImage().subarray(LAYOUT.code));
    for (const mode of MODES) if (!mode.standsInFor) hash.update(mode.name).update(mode.state.bytes);
    checksum = hash.digest().readUInt32LE(0);
  }
  return checksum;
}
