// SSE's housekeeping: MXCSR, prefetches, fences, cache-line flushes, masked stores.
// Owns the check of MXCSR's reserved bits.
// Never saves or restores whole register files: FXSAVE and XSAVE are system instructions.

import { and, c32, extendU, extract, type Node, not, op, or, pure } from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { Mxcsr } from '../../semantics/sse-control.ts';
import { Reg, S } from '../../state.ts';
import type { Row } from '../row.ts';
import { row, sse } from './common.ts';
import { checkMmx, readMmx, touchMmx } from './mmx-registers.ts';

/** Linear address that MASKMOVQ and MASKMOVDQU write to: DS (or the override) and rDI. */
function destination(m: Meaning, bytes: number): Node & { kind: 'local' } {
  const offset = m.getReg(Reg.rdi, m.addressSize);
  return m.linear(m.sourceSegment(), m.let(m.addressSize === 64 ? offset : extendU(offset)), bytes, true);
}

/** All bytes are read and checked for writing, selected or not: that much is the implementation's choice. */
const masked: readonly Row[] = [
  {
    name: 'MASKMOVDQU',
    encodings: ['66. 0F F7 Vo,Uo'],
    implicitMemory: true,
    usesAddressSize: true,
    meaning: sse((m) => {
      const mask = m.let(pure(op.i8x16_shr_s, m.readVector(1), c32(7)));
      const { target, value } = m.beginWrite(destination(m, 16), 128);
      m.finishWrite(target, m.let(pure(op.v128_bitselect, m.readVector(0), value, mask)));
    }),
  },
  {
    name: 'MASKMOVQ',
    encodings: ['NP. 0F F7 Pq,Nq'],
    implicitMemory: true,
    usesAddressSize: true,
    meaning: (m) => {
      checkMmx(m);
      const spread = pure(op.i8x16_shr_s, pure(op.i64x2_splat, readMmx(m, 1)), c32(7));
      const mask = m.let(extract('i64', 0, spread));
      // The x87's state changes even when the memory then faults.
      touchMmx(m);
      const { target, value } = m.beginWrite(destination(m, 8), 64);
      m.finishWrite(target, m.let(or(and(readMmx(m, 0), mask), and(value, not(mask)))));
    },
  },
];

const status: readonly Row[] = [
  row('LDMXCSR', 'NP. 0F AE/2 Md', (m) => {
    const value = m.let(m.read(0));
    m.raiseIf(and(value, c32(~Mxcsr.valid)), 13, 0);
    m.helperCall('sse.setMxcsr', value);
  }),
  row('STMXCSR', 'NP. 0F AE/3 Md', (m) => m.write(0, m.state32(S.mxcsr))),
];

/** Memory is ordered as the host's WebAssembly has it, and there is no cache to hint at. */
const nothing = (): void => {};

const hints: readonly Row[] = [
  { name: 'PREFETCHNTA', encodings: ['0F 18/0 M'], meaning: nothing },
  { name: 'PREFETCHT0', encodings: ['0F 18/1 M'], meaning: nothing },
  { name: 'PREFETCHT1', encodings: ['0F 18/2 M'], meaning: nothing },
  { name: 'PREFETCHT2', encodings: ['0F 18/3 M'], meaning: nothing },
  { name: 'PREFETCHW', encodings: ['0F 0D/1 M'], meaning: nothing },
  { name: 'PREFETCH', encodings: ['0F 0D/0 M'], meaning: nothing },
  // The ModRM's rm field is not looked at.
  { name: 'LFENCE', encodings: ['NP. 0F AE/5 R'], meaning: nothing },
  { name: 'MFENCE', encodings: ['NP. 0F AE/6 R'], meaning: nothing },
  { name: 'SFENCE', encodings: ['NP. 0F AE/7 R'], meaning: nothing },
  // Reads its byte as far as permissions go; the line has nowhere to be flushed to.
  {
    name: 'CLFLUSH',
    encodings: ['NP. 0F AE/7 Mb'],
    meaning: (m) => {
      m.drop(m.read(0));
    },
  },
];

export const controlRows: readonly Row[] = [...masked, ...status, ...hints];
