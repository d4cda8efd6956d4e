// Near control transfer: jumps, calls, returns, loops; and the flag instructions that need no privilege.
// Owns the rows and meanings of that family.
// Never crosses a segment or a privilege level: see system/.

import { add, and, asSize, c32, c64, eqz, extendU, type Node, ne, or, sub, xor } from '../builder/nodes.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { Flag, S } from '../state.ts';
import { conditionFlags, conditionNames } from './moves.ts';
import type { InstructionFamily, Row } from './row.ts';

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

function callRelative(m: Meaning): void {
  m.push(asSize(m.size, m.nextIp()), m.size);
  m.jumpRelative();
}

function widen(m: Meaning, value: Node): Node {
  return m.size === 64 ? value : extendU(value);
}

function callIndirect(m: Meaning): void {
  const target = m.let(widen(m, m.read(0)));
  m.checkTarget(target);
  m.push(asSize(m.size, m.nextIp()), m.size);
  m.jump(target);
}

function jumpIndirect(m: Meaning): void {
  const target = m.let(widen(m, m.read(0)));
  m.checkTarget(target);
  m.jump(target);
}

function returnNear(m: Meaning): void {
  const target = m.let(widen(m, m.peek(m.size)));
  m.checkTarget(target);
  const extra = m.operands.length > 0 ? and(m.immediate(0, 32), c32(0xffff)) : c32(0);
  m.moveStack(extendU(add(c32(m.size >> 3), extra)));
  m.jump(target);
}

/** rCX by the address size, which the micro-op or translation knows. */
function loopWhile(condition: ((m: Meaning) => Node) | undefined) {
  return (m: Meaning): void => {
    const width = m.addressSize;
    const count = m.let(m.getReg(1, width));
    const left = m.let(sub(count, width === 64 ? c64(1) : c32(1)));
    const more = m.let(width === 64 ? ne(left, c64(0)) : ne(width === 16 ? and(left, c32(0xffff)) : left, c32(0)));
    const taken = condition ? m.let(and(more, condition(m))) : more;
    m.setReg(1, width, left);
    m.jumpRelativeIf(taken);
  };
}

function jumpCounterZero(m: Meaning): void {
  m.jumpRelativeIf(m.let(eqz(m.getReg(1, m.addressSize))));
}

const jumps: Row[] = conditionNames.map((condition, code) => ({
  name: `J${condition}`,
  encodings: [`${hex(0x70 + code)} Jb :f64 :v :if`, `0F ${hex(0x80 + code)} Jz :f64 :v :if`],
  meaning: (m) => m.jumpRelativeIf(m.let(m.condition(code))),
  flags: { read: conditionFlags[code >> 1] },
}));

const setSystemFlag = (change: (flags: Node) => Node) => (m: Meaning) =>
  m.setState32(S.eflags, change(m.systemFlags()));

const rows: Row[] = [
  ...jumps,
  { name: 'JMP', encodings: ['EB Jb :f64 :v :end', 'E9 Jz :f64 :v :end'], meaning: (m) => m.jumpRelative() },
  { name: 'JMP_INDIRECT', encodings: ['FF/4 Ev :f64 :end'], meaning: jumpIndirect },
  { name: 'CALL', encodings: ['E8 Jz :f64 :v :end'], meaning: callRelative, implicitMemory: true },
  { name: 'CALL_INDIRECT', encodings: ['FF/2 Ev :f64 :end'], meaning: callIndirect, implicitMemory: true },
  { name: 'RET', encodings: ['C3 :f64 :v :end', 'C2 Iw :f64 :v :end'], meaning: returnNear, implicitMemory: true },
  {
    name: 'LOOPNE',
    usesAddressSize: true,
    encodings: ['E0 Jb :f64 :v :if'],
    meaning: loopWhile((m) => m.condition(5)),
    flags: { read: 'Z' },
  },
  {
    name: 'LOOPE',
    usesAddressSize: true,
    encodings: ['E1 Jb :f64 :v :if'],
    meaning: loopWhile((m) => m.condition(4)),
    flags: { read: 'Z' },
  },
  { name: 'LOOP', usesAddressSize: true, encodings: ['E2 Jb :f64 :v :if'], meaning: loopWhile(undefined) },
  { name: 'JCXZ', usesAddressSize: true, encodings: ['E3 Jb :f64 :v :if'], meaning: jumpCounterZero },
  {
    name: 'CLC',
    encodings: ['F8 :b'],
    meaning: (m) => m.setCarry(c32(0)),
    flags: { written: 'C' },
  },
  {
    name: 'STC',
    encodings: ['F9 :b'],
    meaning: (m) => m.setCarry(c32(1)),
    flags: { written: 'C' },
  },
  {
    name: 'CMC',
    encodings: ['F5 :b'],
    meaning: (m) => m.setCarry(xor(m.flag('cf'), c32(1))),
    flags: { read: 'C', written: 'C' },
  },
  {
    name: 'SALC',
    encodings: ['D6 :no64 :b'],
    meaning: (m) => m.setReg(0, 8, sub(c32(0), m.let(m.flag('cf')))),
    flags: { read: 'C' },
  },
  { name: 'CLD', encodings: ['FC :b'], meaning: setSystemFlag((flags) => and(flags, c32(~Flag.df))) },
  { name: 'STD', encodings: ['FD :b'], meaning: setSystemFlag((flags) => or(flags, c32(Flag.df))) },
];

export const control: InstructionFamily = { rows };
