// String instructions: MOVS, STOS, LODS, CMPS, SCAS with and without REP.
// Owns the rows and meanings of that family. INS and OUTS are system instructions (port I/O).
// Never loops for long: after a bounded number of iterations the instruction starts over, so that interrupts get in.

import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  geU,
  gtU,
  leU,
  ltU,
  mul,
  type Node,
  ne,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
} from '../builder/nodes.ts';
import { FlagKind } from '../semantics/flags.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { Flag, Reg, Seg } from '../state.ts';
import type { InstructionFamily, Row } from './row.ts';

/**
 * A repeated instruction lets interrupts in, and is fetched anew, where the counter is a multiple of this: at points that
 * depend on nothing but the guest's state. A power of two.
 */
const ITERATIONS = 4096;

interface StringShape {
  readsSource: boolean;
  usesDestination: boolean;
  /** One iteration; `source` and `destination` are offsets. Faults before changing anything. */
  step(m: Meaning, source: Node, destination: Node): void;
  /** Ends a repetition early (CMPS, SCAS): CMPS and SCAS look at ZF. */
  compares: boolean;
}

/** Offset in rSI or rDI, masked to the address size, as i64. */
function index(m: Meaning, register: number): Node {
  const width = m.addressSize;
  const value = m.getReg(register, width);
  return width === 64 ? value : extendU(value);
}

function advance(m: Meaning, register: number): void {
  const bytes = m.size >> 3;
  const width = m.addressSize;
  const down = and(m.systemFlags(), c32(Flag.df));
  const delta = select(down, c32(-bytes), c32(bytes));
  const old = m.getReg(register, width);
  m.setReg(register, width, add(old, width === 64 ? select(down, c64(-bytes), c64(bytes)) : delta));
}

function once(m: Meaning, shape: StringShape): void {
  const source = shape.readsSource ? m.let(index(m, Reg.rsi)) : c64(0);
  const destination = shape.usesDestination ? m.let(index(m, Reg.rdi)) : c64(0);
  shape.step(m, source, destination);
  if (shape.readsSource) advance(m, Reg.rsi);
  if (shape.usesDestination) advance(m, Reg.rdi);
}

function counterIsZero(m: Meaning): Node {
  return eqz(m.getReg(Reg.rcx, m.addressSize));
}

function countDown(m: Meaning): void {
  const width = m.addressSize;
  m.setReg(Reg.rcx, width, sub(m.getReg(Reg.rcx, width), width === 64 ? c64(1) : c32(1)));
}

function repeated(m: Meaning, shape: StringShape, bulk: ((m: Meaning) => void) | undefined): void {
  // Single steps end after each repetition.
  const stepping = m.let(and(m.systemFlags(), c32(Flag.tf)));
  m.block((done) => {
    m.loop((again) => {
      m.brIf(done, counterIsZero(m));
      if (bulk) m.if(eqz(stepping), () => bulk(m));
      m.brIf(done, counterIsZero(m));
      once(m, shape);
      countDown(m);
      if (shape.compares) {
        // REPE goes on while equal, REPNE while not.
        m.brIf(done, m.rep === 0xf3 ? eqz(m.flag('zf')) : m.flag('zf'));
      }
      m.brIf(again, and(eqz(stepping), ne(and(m.getReg(Reg.rcx, 32), c32(ITERATIONS - 1)), c32(0))));
      m.if(eqz(counterIsZero(m)), () => m.repeat());
    });
  });
}

function stringMeaning(shape: StringShape, bulk?: (m: Meaning) => void) {
  return (m: Meaning): void => {
    if (m.rep === 0) once(m, shape);
    else repeated(m, shape, m.flat ? bulk : undefined);
  };
}

const sourceAddress = (m: Meaning, offset: Node): Node & { kind: 'local' } =>
  m.linear(m.sourceSegment(), offset, m.size >> 3, false);
const destinationAddress = (m: Meaning, offset: Node, write: boolean): Node & { kind: 'local' } =>
  m.linear(c32(Seg.es), offset, m.size >> 3, write);

const movs: StringShape = {
  readsSource: true,
  usesDestination: true,
  compares: false,
  step(m, source, destination) {
    const value = m.readMemory(sourceAddress(m, source), m.size);
    m.writeMemory(destinationAddress(m, destination, true), m.size, value);
  },
};

const stos: StringShape = {
  readsSource: false,
  usesDestination: true,
  compares: false,
  step(m, _source, destination) {
    m.writeMemory(destinationAddress(m, destination, true), m.size, m.let(m.getReg(Reg.rax, m.size)));
  },
};

const lods: StringShape = {
  readsSource: true,
  usesDestination: false,
  compares: false,
  step(m, source) {
    m.setReg(Reg.rax, m.size, m.readMemory(sourceAddress(m, source), m.size));
  },
};

const cmps: StringShape = {
  readsSource: true,
  usesDestination: true,
  compares: true,
  step(m, source, destination) {
    const a = m.readMemory(sourceAddress(m, source), m.size);
    const b = m.readMemory(destinationAddress(m, destination, false), m.size);
    m.setFlags(FlagKind.sub, a, b);
  },
};

const scas: StringShape = {
  readsSource: false,
  usesDestination: true,
  compares: true,
  step(m, _source, destination) {
    const b = m.readMemory(destinationAddress(m, destination, false), m.size);
    m.setFlags(FlagKind.sub, m.let(m.getReg(Reg.rax, m.size)), b);
  },
};

/** Elements from an offset to the end of its page, when going up. */
function elementsInPage(m: Meaning, offset: Node): Node {
  return shrU(sub(c64(0x1000), and(offset, c64(0xfff))), c64(31 - Math.clz32(m.size >> 3)));
}

/** Elements until the one that ends with the counter at a multiple of ITERATIONS, which is left to the loop. */
function beforeStop(m: Meaning): Node {
  return and(sub(index(m, Reg.rcx), c64(1)), c64(ITERATIONS - 1));
}

const min = (m: Meaning, a: Node, b: Node): Node & { kind: 'local' } => {
  const x = m.let(a);
  const y = m.let(b);
  return m.let(select(ltU(x, y), x, y));
};

/** Moves the counter and the index registers past `count` (i64) elements, upwards. */
function advanceBy(m: Meaning, count: Node, registers: readonly number[]): void {
  const width = m.addressSize;
  const asWidth = (value: Node): Node => (width === 64 ? value : wrap(value));
  const bytes = m.let(shl(count, c64(31 - Math.clz32(m.size >> 3))));
  for (const register of registers) m.setReg(register, width, add(m.getReg(register, width), asWidth(bytes)));
  m.setReg(Reg.rcx, width, sub(m.getReg(Reg.rcx, width), asWidth(count)));
}

/**
 * As many whole elements as lie in the current source and destination pages, by memory.copy, where both pages are in
 * the TLB, DF is clear, and a forward element-by-element copy means the same. Otherwise does nothing.
 */
function bulkMove(m: Meaning): void {
  const source = m.let(index(m, Reg.rsi));
  const destination = m.let(index(m, Reg.rdi));
  const count = min(m, beforeStop(m), min(m, elementsInPage(m, source), elementsInPage(m, destination)));
  const bytes = m.let(wrap(shl(count, c64(31 - Math.clz32(m.size >> 3)))));
  const from = m.hostForRead(source);
  const to = m.hostForWrite(destination);
  const forward = eqz(and(m.systemFlags(), c32(Flag.df)));
  // A destination just above its source repeats a pattern, which memory.copy would not.
  const apart = or(leU(to, from), geU(to, add(from, bytes)));
  const worthIt = gtU(count, c64(3));
  m.if(and(and(forward, worthIt), and(and(ne(from, c32(0)), ne(to, c32(0))), apart)), () => {
    m.memoryCopy(to, from, bytes);
    advanceBy(m, count, [Reg.rsi, Reg.rdi]);
  });
}

/** The same for STOS, by memory.fill where all the value's bytes are equal. */
function bulkStore(m: Meaning): void {
  const destination = m.let(index(m, Reg.rdi));
  const count = min(m, beforeStop(m), elementsInPage(m, destination));
  const value = m.let(m.getReg(Reg.rax, m.size));
  const low = m.let(and(wrap(value), c32(0xff)));
  const uniform =
    m.size === 64
      ? eq(value, mul(extendU(low), c64(0x0101010101010101n)))
      : m.size === 8
        ? c32(1)
        : eq(value, mul(low, c32(m.size === 16 ? 0x0101 : 0x01010101)));
  const to = m.hostForWrite(destination);
  const forward = eqz(and(m.systemFlags(), c32(Flag.df)));
  m.if(and(and(forward, uniform), and(ne(to, c32(0)), gtU(count, c64(3)))), () => {
    m.memoryFill(to, low, wrap(shl(count, c64(31 - Math.clz32(m.size >> 3)))));
    advanceBy(m, count, [Reg.rdi]);
  });
}

const row = (name: string, opcode: number, shape: StringShape, bulk?: (m: Meaning) => void): Row => ({
  name,
  encodings: [`${opcode.toString(16).toUpperCase()} :b :rep`, `${(opcode + 1).toString(16).toUpperCase()} :v :rep`],
  meaning: stringMeaning(shape, bulk),
  implicitMemory: true,
  usesAddressSize: true,
  ...(shape.compares ? { flags: { written: 'OSZAPC' } } : {}),
});

export const strings: InstructionFamily = {
  rows: [
    row('MOVS', 0xa4, movs, bulkMove),
    row('CMPS', 0xa6, cmps),
    row('STOS', 0xaa, stos, bulkStore),
    row('LODS', 0xac, lods),
    row('SCAS', 0xae, scas),
  ],
};
