// MMX's own instructions: packed integers in the significands of the x87 registers.
// Owns their rows; a register is computed on as the lower half of a vector.
// Never does what SSE and SSSE3 added to MMX: see sse/integer.ts and sse/shuffles.ts.

import { and, c32, c64, extendU, extract, gtU, type Node, op, pure, select, shuffle, wrap } from '../builder/nodes.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { S } from '../state.ts';
import type { InstructionFamily, Row } from './row.ts';
import { bytes, operation } from './sse/common.ts';
import { checkMmx, mmx as meaning, mmxVector, readMmx, touchMmx, writeMmx } from './sse/mmx-registers.ts';

/** A result from the destination's and the source's vector, both locals. */
type Combine = (m: Meaning, a: Node, b: Node) => Node;

const simple =
  (name: string): Combine =>
  (_m, a, b) =>
    pure(operation(name), a, b);

/** Packs the words or dwords of both registers, the destination's first, with saturation. */
const pack =
  (name: string): Combine =>
  (_m, a, b) => {
    const both = shuffle(a, b, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]);
    return pure(operation(name), both, both);
  };

/** Interleaves lanes of `width` bytes of the lower or upper half of both registers. */
function unpack(width: number, upper: boolean): Combine {
  const lanes: number[] = [];
  for (let lane = upper ? 4 : 0; lane < (upper ? 8 : 4); lane += width)
    for (const register of [0, 16]) for (let byte = 0; byte < width; byte++) lanes.push(register + lane + byte);
  const padded = [...lanes, ...lanes];
  return (_m, a, b) => shuffle(a, b, padded);
}

/** The upper words of the four products. */
const highProducts: Combine = (m, a, b) => {
  const products = m.let(pure(op.i32x4_extmul_low_i16x8_s, a, b));
  return shuffle(products, products, [2, 3, 6, 7, 10, 11, 14, 15, 2, 3, 6, 7, 10, 11, 14, 15]);
};

const binaries: readonly (readonly [string, string, Combine])[] = [
  ['PADDB', 'FC', simple('i8x16_add')],
  ['PADDW', 'FD', simple('i16x8_add')],
  ['PADDD', 'FE', simple('i32x4_add')],
  ['PADDSB', 'EC', simple('i8x16_add_sat_s')],
  ['PADDSW', 'ED', simple('i16x8_add_sat_s')],
  ['PADDUSB', 'DC', simple('i8x16_add_sat_u')],
  ['PADDUSW', 'DD', simple('i16x8_add_sat_u')],
  ['PSUBB', 'F8', simple('i8x16_sub')],
  ['PSUBW', 'F9', simple('i16x8_sub')],
  ['PSUBD', 'FA', simple('i32x4_sub')],
  ['PSUBSB', 'E8', simple('i8x16_sub_sat_s')],
  ['PSUBSW', 'E9', simple('i16x8_sub_sat_s')],
  ['PSUBUSB', 'D8', simple('i8x16_sub_sat_u')],
  ['PSUBUSW', 'D9', simple('i16x8_sub_sat_u')],
  ['PMULLW', 'D5', simple('i16x8_mul')],
  ['PMULHW', 'E5', highProducts],
  ['PMADDWD', 'F5', simple('i32x4_dot_i16x8_s')],
  ['PCMPEQB', '74', simple('i8x16_eq')],
  ['PCMPEQW', '75', simple('i16x8_eq')],
  ['PCMPEQD', '76', simple('i32x4_eq')],
  ['PCMPGTB', '64', simple('i8x16_gt_s')],
  ['PCMPGTW', '65', simple('i16x8_gt_s')],
  ['PCMPGTD', '66', simple('i32x4_gt_s')],
  ['PAND', 'DB', simple('v128_and')],
  // WebAssembly's andnot inverts its second operand, x86's the first.
  ['PANDN', 'DF', (_m, a, b) => pure(op.v128_andnot, b, a)],
  ['POR', 'EB', simple('v128_or')],
  ['PXOR', 'EF', simple('v128_xor')],
  ['PACKSSWB', '63', pack('i8x16_narrow_i16x8_s')],
  ['PACKUSWB', '67', pack('i8x16_narrow_i16x8_u')],
  ['PACKSSDW', '6B', pack('i16x8_narrow_i32x4_s')],
  ['PUNPCKHBW', '68', unpack(1, true)],
  ['PUNPCKHWD', '69', unpack(2, true)],
  ['PUNPCKHDQ', '6A', unpack(4, true)],
];

/** The lower unpackings read only 32 bits of memory. */
const lowUnpackings: readonly (readonly [string, string, Combine])[] = [
  ['PUNPCKLBW', '60', unpack(1, false)],
  ['PUNPCKLWD', '61', unpack(2, false)],
  ['PUNPCKLDQ', '62', unpack(4, false)],
];

function binaryRow([name, opcode, combine]: readonly [string, string, Combine], width: 'q' | 'd'): Row {
  return {
    name: `${name} mm`,
    encodings: [`NP. 0F ${opcode} Pq,Q${width}`],
    meaning: meaning((m) => {
      const b = m.let(width === 'd' ? pure(op.i32x4_splat, m.read(1, 32)) : mmxVector(m, 1));
      const a = m.let(mmxVector(m, 0));
      writeMmx(m, 0, extract('i64', 0, combine(m, a, b)));
    }),
  };
}

type Shift = 'shl' | 'shr_u' | 'shr_s';

/** Shifts every lane by a count (i64 local): beyond the lane's width it is cleared, or filled with its sign. */
function shift(width: 16 | 32 | 64, kind: Shift, vector: Node, count: Node): Node {
  const by = operation(`i${width}x${128 / width}_${kind}`);
  const beyond = gtU(count, c64(width - 1));
  if (kind === 'shr_s') return pure(by, vector, select(beyond, c32(width - 1), wrap(count)));
  return select(beyond, bytes(...new Array<number>(16).fill(0)), pure(by, vector, wrap(count)));
}

/** Name, lane width, kind, opcode with a register count, opcode with an immediate count. */
const shifts: readonly (readonly [string, 16 | 32 | 64, Shift, string, string])[] = [
  ['PSRLW', 16, 'shr_u', 'D1', '71/2'],
  ['PSRLD', 32, 'shr_u', 'D2', '72/2'],
  ['PSRLQ', 64, 'shr_u', 'D3', '73/2'],
  ['PSRAW', 16, 'shr_s', 'E1', '71/4'],
  ['PSRAD', 32, 'shr_s', 'E2', '72/4'],
  ['PSLLW', 16, 'shl', 'F1', '71/6'],
  ['PSLLD', 32, 'shl', 'F2', '72/6'],
  ['PSLLQ', 64, 'shl', 'F3', '73/6'],
];

const shiftRows = shifts.flatMap(([name, width, kind, opcode, immediate]): Row[] => [
  {
    name: `${name} mm`,
    encodings: [`NP. 0F ${opcode} Pq,Qq`],
    meaning: meaning((m) => {
      const count = m.let(readMmx(m, 1));
      writeMmx(m, 0, extract('i64', 0, shift(width, kind, mmxVector(m, 0), count)));
    }),
  },
  {
    name: `${name} mm,imm`,
    encodings: [`NP. 0F ${immediate} Nq,Ib`],
    meaning: meaning((m) => {
      const count = m.let(extendU(and(m.immediate(1, 8), c32(0xff))));
      writeMmx(m, 0, extract('i64', 0, shift(width, kind, mmxVector(m, 0), count)));
    }),
  },
]);

const moveRows: readonly Row[] = [
  {
    name: 'MOVD mm,r/m',
    encodings: ['NP. 0F 6E Pq,Ey'],
    meaning: meaning((m) => writeMmx(m, 0, m.let(extendU(m.read(1))))),
  },
  {
    name: 'MOVD r/m,mm',
    encodings: ['NP. 0F 7E Ey,Pq'],
    meaning: meaning((m) => {
      m.write(0, m.let(m.size === 64 ? readMmx(m, 1) : wrap(readMmx(m, 1))));
      touchMmx(m);
    }),
  },
  {
    name: 'MOVQ mm,mm/m',
    encodings: ['NP. 0F 6F Pq,Qq'],
    meaning: meaning((m) => writeMmx(m, 0, m.let(readMmx(m, 1)))),
  },
  {
    name: 'MOVQ mm/m,mm',
    encodings: ['NP. 0F 7F Qq,Pq'],
    meaning: meaning((m) => {
      if (m.operands[0].kind === 'mmx') writeMmx(m, 0, m.let(readMmx(m, 1)));
      else {
        m.write(0, m.let(readMmx(m, 1)));
        touchMmx(m);
      }
    }),
  },
  {
    name: 'EMMS',
    encodings: ['NP. 0F 77'],
    wholeX87State: true,
    meaning: (m) => {
      checkMmx(m);
      m.setState32(S.ftop, c32(0));
      m.setState32(S.ftw, c32(0));
    },
  },
];

export const mmx: InstructionFamily = {
  rows: [
    ...moveRows,
    ...binaries.map((entry) => binaryRow(entry, 'q')),
    ...lowUnpackings.map((entry) => binaryRow(entry, 'd')),
    ...shiftRows,
  ],
};
