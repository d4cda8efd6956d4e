// SSE moves: whole vectors, halves, scalars, between register files, non-temporal, masked.
// Owns what each move does to the rest of the destination register.
// Never shuffles by an immediate: see shuffles.ts.

import { extract, type Node, op, pure, replace, shuffle } from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import type { Row } from '../row.ts';
import { F32, F64, FORMATS, type Format, row, sse, zero128 } from './common.ts';
import { checkMmx, readMmx, touchMmx, writeMmx } from './mmx-registers.ts';

/** Loads and stores of all 16 bytes. */
function whole(name: string, load: string | undefined, store: string | undefined, aligned: boolean): Row {
  const encodings = [
    ...(load ? [`${load} Vo,${name === 'LDDQU' || name === 'MOVNTDQA' ? 'Mo' : 'Wo'}`] : []),
    ...(store ? [`${store} ${name.startsWith('MOVNT') ? 'Mo' : 'Wo'},Vo`] : []),
  ];
  return { name, encodings, meaning: sse((m) => m.writeVector(0, m.readVector(1, aligned), aligned)) };
}

/** MOVSS and MOVSD: a load clears the rest of the register, a copy between registers keeps it. */
function scalar(format: Format): Row {
  const lane = format === F64 ? 'i64' : 'i32';
  const prefix = format.scalarPrefix;
  const { width } = format;
  return {
    name: `MOV${format.single}`,
    encodings: [`${prefix} 0F 10 Vo,W${width}`, `${prefix} 0F 11 W${width},V${width}`],
    meaning: sse((m) => {
      const [to, from] = m.operands;
      if (to.kind === 'mem') m.write(0, m.read(1, format.bits), format.bits);
      else if (from.kind === 'mem') m.writeVector(0, replace(lane, 0, zero128(), m.read(1, format.bits)));
      else m.writeVector(0, replace(lane, 0, m.readVector(0), extract(lane, 0, m.readVector(1))));
    }),
  };
}

/** Loads and stores of one half, which keep the other. */
function half(name: string, prefix: string, opcode: number, lane: 0 | 1): Row[] {
  const hex = (value: number): string => value.toString(16).toUpperCase();
  return [
    row(name, `${prefix} 0F ${hex(opcode)} Vo,Mq`, (m) => {
      const value = m.let(m.read(1, 64));
      m.writeVector(0, replace('i64', lane, m.readVector(0), value));
    }),
    row(name, `${prefix} 0F ${hex(opcode + 1)} Mq,Vo`, (m) => m.write(0, extract('i64', lane, m.readVector(1)), 64)),
  ];
}

const toUpper = (m: Meaning, value: Node): void => m.writeVector(0, replace('i64', 1, m.readVector(0), value));

const halves: readonly Row[] = [
  ...half('MOVLPS', 'NP.', 0x12, 0),
  ...half('MOVLPD', '66.', 0x12, 0),
  ...half('MOVHPS', 'NP.', 0x16, 1),
  ...half('MOVHPD', '66.', 0x16, 1),
  row('MOVHLPS', 'NP. 0F 12 Vo,Uo', (m) =>
    m.writeVector(0, replace('i64', 0, m.readVector(0), extract('i64', 1, m.readVector(1)))),
  ),
  row('MOVLHPS', 'NP. 0F 16 Vo,Uo', (m) => toUpper(m, extract('i64', 0, m.readVector(1)))),
];

const duplicates: readonly Row[] = [
  row('MOVDDUP', 'F2. 0F 12 Vo,Wq', (m) =>
    m.writeVector(
      0,
      pure(op.i64x2_splat, m.operands[1].kind === 'mem' ? m.read(1, 64) : extract('i64', 0, m.readVector(1))),
    ),
  ),
  row('MOVSLDUP', 'F3. 0F 12 Vo,Wo', (m) => {
    const value = m.let(m.readVector(1, true));
    m.writeVector(0, shuffle(value, value, [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]));
  }),
  row('MOVSHDUP', 'F3. 0F 16 Vo,Wo', (m) => {
    const value = m.let(m.readVector(1, true));
    m.writeVector(0, shuffle(value, value, [4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]));
  }),
];

/** MOVD and MOVQ between vector and general registers or memory. */
const general: readonly Row[] = [
  row('MOVD', '66. 0F 6E Vo,Ey', (m) => {
    const lane = m.operands[1].size === 64 ? 'i64' : 'i32';
    m.writeVector(0, replace(lane, 0, zero128(), m.read(1)));
  }),
  row('MOVD', '66. 0F 7E Ey,Vo', (m) => {
    const lane = m.operands[0].size === 64 ? 'i64' : 'i32';
    m.write(0, extract(lane, 0, m.readVector(1)));
  }),
  {
    name: 'MOVQ',
    encodings: ['F3. 0F 7E Vo,Wq', '66. 0F D6 Wq,Vq'],
    meaning: sse((m) => {
      const [to, from] = m.operands;
      if (to.kind === 'mem') m.write(0, m.read(1, 64), 64);
      else {
        const value = from.kind === 'mem' ? m.read(1, 64) : extract('i64', 0, m.readVector(1));
        m.writeVector(0, replace('i64', 0, zero128(), value));
      }
    }),
  },
  {
    name: 'MOVNTI',
    encodings: ['NP. 0F C3 My,Gy'],
    meaning: (m) => m.write(0, m.read(1)),
  },
];

const masksOfSigns: readonly Row[] = [
  ...FORMATS.map((format) =>
    row(`MOVMSK${format.packed}`, `${format.packedPrefix} 0F 50 Gd,Uo`, (m) =>
      m.write(0, pure(format === F32 ? op.i32x4_bitmask : op.i64x2_bitmask, m.readVector(1)), 32),
    ),
  ),
  row('PMOVMSKB', '66. 0F D7 Gd,Uo', (m) => m.write(0, pure(op.i8x16_bitmask, m.readVector(1)), 32)),
];

const withMmx: readonly Row[] = [
  row('MOVQ2DQ', 'F3. 0F D6 Vo,Nq', (m) => {
    checkMmx(m);
    m.writeVector(0, replace('i64', 0, zero128(), readMmx(m, 1)));
    touchMmx(m);
  }),
  row('MOVDQ2Q', 'F2. 0F D6 Pq,Uo', (m) => {
    checkMmx(m);
    writeMmx(m, 0, extract('i64', 0, m.readVector(1)));
  }),
  {
    name: 'MOVNTQ',
    encodings: ['NP. 0F E7 Mq,Pq'],
    meaning: (m) => {
      checkMmx(m);
      m.write(0, readMmx(m, 1), 64);
      touchMmx(m);
    },
  },
];

export const moveRows: readonly Row[] = [
  whole('MOVAPS', 'NP. 0F 28', 'NP. 0F 29', true),
  whole('MOVAPD', '66. 0F 28', '66. 0F 29', true),
  whole('MOVUPS', 'NP. 0F 10', 'NP. 0F 11', false),
  whole('MOVUPD', '66. 0F 10', '66. 0F 11', false),
  whole('MOVDQA', '66. 0F 6F', '66. 0F 7F', true),
  whole('MOVDQU', 'F3. 0F 6F', 'F3. 0F 7F', false),
  whole('LDDQU', 'F2. 0F F0', undefined, false),
  whole('MOVNTPS', undefined, 'NP. 0F 2B', true),
  whole('MOVNTPD', undefined, '66. 0F 2B', true),
  whole('MOVNTDQ', undefined, '66. 0F E7', true),
  whole('MOVNTDQA', '66. 0F 38 2A', undefined, true),
  scalar(F32),
  scalar(F64),
  ...halves,
  ...duplicates,
  ...general,
  ...masksOfSigns,
  ...withMmx,
];
