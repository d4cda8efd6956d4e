// The short ways of x87 instructions against the exact ones: the same results, whatever operands, precision and rounding.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coldRows } from '../../system/dispatch.ts';
import { casesOf, runCase } from '../../testing/x87-digest.ts';
import { X87Runner } from '../../testing/x87-run.ts';
import { encodings } from '../table.ts';
import { x87 } from './x87.ts';

const seed = Number(process.env.TRIVISOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const CASES = 600;
const PRECISION_MASK = 0x20;
const SUMMARY_AND_BUSY = 0x8080;
const NEAREST = ~0xc00;

test(`what rounds in place rounds as the general function, which an unmasked precision exception asks for (seed ${seed})`, () => {
  const runner = new X87Runner();
  const rows = new Set(x87.rows);
  for (const encoding of encodings) {
    if (!rows.has(encoding.row) || coldRows.has(encoding.row.name)) continue;
    // Those change or give away the control or status word itself.
    if (/^(FLDCW|FNSTCW|FNSTSW|FNCLEX|FNINIT)/.test(encoding.row.name)) continue;
    casesOf(encoding, seed, CASES).forEach((one, n) => {
      const { state } = one;
      // Most short ways are for rounding to nearest: half of the cases.
      if (n % 2 === 0) state.fcw &= NEAREST;
      // Nothing may be pending before, in either run.
      state.fsw &= ~PRECISION_MASK;
      const results = [PRECISION_MASK, 0].map((mask) => {
        const fcw = (state.fcw & ~PRECISION_MASK) | mask;
        const after = runCase(runner, encoding, { ...one, state: { ...state, fcw } });
        return { ...after, fcw: 0, fsw: after.fsw & ~SUMMARY_AND_BUSY };
      });
      const what = `${encoding.row.name} (${encoding.text}), case ${n}, control word ${state.fcw.toString(16)}`;
      assert.deepEqual(results[0], results[1], what);
    });
  }
});
