// Data movement between general registers and memory: MOV, extensions, XCHG, LEA, CMOV, SETcc, stack, byte swaps.
// Owns the rows and meanings of that family.
// Never moves segment, control or vector registers.

import {
  add,
  and,
  asSize,
  c32,
  c64,
  extendU,
  type Node,
  ne,
  or,
  rotl,
  type Size,
  select,
  shl,
  shrS,
  shrU,
  signExtend,
  signExtendTo64,
  wrap,
} from '../builder/nodes.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { S, Seg } from '../state.ts';
import type { InstructionFamily, Row } from './row.ts';

/** The sixteen conditions' names as mnemonics spell them. */
export const conditionNames = [
  'O',
  'NO',
  'B',
  'NB',
  'Z',
  'NZ',
  'BE',
  'NBE',
  'S',
  'NS',
  'P',
  'NP',
  'L',
  'NL',
  'LE',
  'NLE',
] as const;
/** The flags that a condition reads. */
export const conditionFlags = ['O', 'C', 'Z', 'CZ', 'S', 'P', 'SO', 'ZSO'] as const;

const hex = (value: number): string => value.toString(16).toUpperCase().padStart(2, '0');

function move(m: Meaning): void {
  m.write(0, m.let(m.read(1)));
}

/** PAUSE. Where another vCPU could execute meanwhile, the machine gives it the turn. */
function pause(m: Meaning): void {
  m.coldIf(m.state32(S.othersWait));
  exchange(m);
}

function exchange(m: Meaning): void {
  // The memory side must be the one that is modified: it may fault.
  if (m.operands[0].kind === 'mem') {
    const b = m.let(m.read(1));
    const { target, value } = m.beginWrite(m.address(0), m.size);
    m.finishWrite(target, b);
    m.write(1, value);
    return;
  }
  const swap = (): void => {
    const a = m.let(m.read(0));
    const b = m.let(m.read(1));
    m.write(0, b);
    m.write(1, a);
  };
  // 90 is NOP: of 32 bits in 64-bit code, it does not clear the upper half of RAX.
  if (m.operands[1].fixed === 0 && m.size === 32) m.if(ne(m.registerNumber(0), c32(0)), swap);
  else swap();
}

function moveZeroExtended(m: Meaning): void {
  m.write(0, asSize(m.size, m.let(m.read(1))));
}

function moveSignExtended(m: Meaning): void {
  const from = m.operands[1].size as Size;
  const value = m.let(m.read(1));
  m.write(0, m.size === 64 ? signExtendTo64(from, value) : signExtend(from, wrap(value)));
}

/** Reverses the bytes of a value. */
function byteSwap(m: Meaning, size: Size, value: Node): Node {
  if (size === 64) {
    const half = (part: Node): Node => extendU(byteSwap(m, 32, wrap(part)));
    const kept = m.let(value);
    return or(shl(half(kept), c64(32)), half(shrU(kept, c64(32))));
  }
  if (size === 16) {
    const kept = m.let(value);
    return or(and(shrU(kept, c32(8)), c32(0xff)), and(shl(kept, c32(8)), c32(0xff00)));
  }
  const kept = m.let(value);
  return or(and(rotl(kept, c32(8)), c32(0x00ff00ff)), and(rotl(kept, c32(24)), c32(0xff00ff00)));
}

function pushValue(m: Meaning): void {
  m.push(signedImmediate(m), m.size);
}

/** PUSH of a register or memory operand, or of an immediate at the operand size. */
function signedImmediate(m: Meaning): Node {
  return m.operands[0].kind === 'imm' ? m.immediate(0, m.size) : m.let(m.read(0));
}

function pop(m: Meaning): void {
  const value = m.peek(m.size);
  // The increment comes first, so that POP into the stack pointer keeps what was popped.
  m.moveStack(c64(m.size >> 3));
  m.write(0, value);
}

function leave(m: Meaning): void {
  const frame = m.let(m.getReg(5, 64));
  const offset = m.let(and(frame, m.stackMask()));
  const linear = m.linear(c32(Seg.ss), offset, m.size >> 3, false);
  const saved = m.readMemory(linear, m.size);
  m.setStackTo(add(offset, c64(m.size >> 3)));
  m.setReg(5, m.size, saved);
}

function translate(m: Meaning): void {
  m.setReg(0, 8, m.readMemory(m.translateAddress(), 8));
}

const conditional: Row[] = conditionNames.flatMap((condition, code) => {
  const flags = { read: conditionFlags[code >> 1] };
  const cmov: Row = {
    name: `CMOV${condition}`,
    encodings: [`0F ${hex(0x40 + code)} Gv,Ev`],
    // The source is read, and may fault, whatever the condition; a 32-bit destination is cleared above in either case.
    meaning: (m) => {
      const source = m.let(m.read(1));
      const old = m.let(m.read(0));
      m.write(0, select(m.let(m.condition(code)), source, old));
    },
    flags,
  };
  const set: Row = {
    name: `SET${condition}`,
    encodings: [`0F ${hex(0x90 + code)} Eb`],
    meaning: (m) => m.write(0, m.let(m.condition(code))),
    flags,
  };
  return [cmov, set];
});

const rows: Row[] = [
  {
    name: 'MOV',
    encodings: [
      '88 Eb,Gb',
      '89 Ev,Gv',
      '8A Gb,Eb',
      '8B Gv,Ev',
      'A0 AL,Ob',
      'A1 rAX,Ov',
      'A2 Ob,AL',
      'A3 Ov,rAX',
      'B0+r Zb,Ib',
      'B8+r Zv,Iv',
      'C6/0 Eb,Ib',
      'C7/0 Ev,Iz',
    ],
    meaning: move,
  },
  { name: 'MOVZX', encodings: ['0F B6 Gv,Eb', '0F B7 Gv,Ew'], meaning: moveZeroExtended },
  { name: 'MOVSX', encodings: ['0F BE Gv,Eb', '0F BF Gv,Ew'], meaning: moveSignExtended },
  { name: 'MOVSXD', encodings: ['63 Gv,Ez :only64'], meaning: moveSignExtended },
  {
    name: 'XCHG',
    encodings: ['86 Eb,Gb :lock', '87 Ev,Gv :lock', '90+r Zv,rAX'],
    meaning: exchange,
  },
  {
    name: 'NOP',
    encodings: [
      '90 :v',
      '0F 1F/0 Ev',
      '0F 0D M',
      '0F 18 Ev',
      '0F 19 Ev',
      '0F 1A Ev',
      '0F 1B Ev',
      '0F 1C Ev',
      '0F 1D Ev',
      '0F 1E Ev',
      '0F 1F Ev',
    ],
    meaning: () => {},
  },
  // With REX.B, F3 90 exchanges R8; the other registers' rows are XCHG with a prefix that means nothing.
  { name: 'PAUSE', encodings: ['F3. 90+r Zv,rAX'], meaning: pause },
  {
    name: 'LEA',
    encodings: ['8D Gv,M'],
    meaning: (m) => m.write(0, asSize(m.size, m.effectiveAddress(1))),
  },
  {
    name: 'MOVBE',
    encodings: ['NP. 0F 38 F0 Gv,Mv', '66. 0F 38 F0 Gv,Mv', 'NP. 0F 38 F1 Mv,Gv', '66. 0F 38 F1 Mv,Gv'],
    meaning: (m) => m.write(0, m.let(byteSwap(m, m.size, m.let(m.read(1))))),
  },
  {
    name: 'BSWAP',
    encodings: ['0F C8+r Zv'],
    // A 16-bit operand size is undefined by the manual; processors clear the word.
    meaning: (m) => m.write(0, m.size === 16 ? c32(0) : m.let(byteSwap(m, m.size, m.let(m.read(0))))),
  },
  {
    name: 'CBW',
    encodings: ['98 :v'],
    meaning: (m) => {
      const half = (m.size >> 1) as Size;
      const value = m.let(m.getReg(0, half));
      m.setReg(0, m.size, m.size === 64 ? signExtendTo64(32, value) : signExtend(half, value));
    },
  },
  {
    name: 'CWD',
    encodings: ['99 :v'],
    meaning: (m) => {
      const sign = m.let(signExtendTo64(m.size, m.getReg(0, m.size)));
      m.setReg(2, m.size, asSize(m.size, shrS(sign, c64(63))));
    },
  },
  {
    name: 'PUSH',
    encodings: ['50+r Zv :d64', 'FF/6 Ev :d64', '68 Iz :d64 :v', '6A Ibs :d64 :v'],
    meaning: pushValue,
    implicitMemory: true,
  },
  { name: 'POP', encodings: ['58+r Zv :d64', '8F/0 Rv :d64'], meaning: pop, implicitMemory: true },
  { name: 'LEAVE', encodings: ['C9 :d64 :v'], meaning: leave, implicitMemory: true },
  { name: 'XLAT', encodings: ['D7 :b'], meaning: translate, implicitMemory: true, usesAddressSize: true },
  {
    name: 'LAHF',
    encodings: ['9F :b'],
    meaning: (m) =>
      m.setReg(0, 16, or(and(m.getReg(0, 16), c32(0xff)), shl(or(and(m.flagsAll(), c32(0xd5)), c32(2)), c32(8)))),
    flags: { read: 'SZAPC' },
  },
  {
    name: 'SAHF',
    encodings: ['9E :b'],
    meaning: (m) => m.updateFlags(0xd5, shrU(m.getReg(0, 16), c32(8))),
    flags: { written: 'SZAPC' },
  },
  ...conditional,
];

export const moves: InstructionFamily = { rows };
