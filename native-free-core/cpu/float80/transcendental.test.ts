// Transcendental functions in WebAssembly against the same ones in TypeScript: equal to the bit wherever they answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodings } from '../instructions/table.ts';
import { Random, type X87State } from '../testing/x87-cases.ts';
import { ColdRunner, coldCasesOf } from '../testing/x87-cold-cases.ts';
import { readyTables, Table } from './tables.ts';

const seed = Number(process.env.TRIVISOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const CASES = 4000;

const angles = [
  [-30, 60],
  [0, 1],
] as const;

/** Exponents of ST(0) and ST(1) for which the function is WebAssembly's: [lowest, number of them]. */
const ordinary: Readonly<Record<string, readonly [readonly [number, number], readonly [number, number]]>> = {
  F2XM1: [
    [-40, 40],
    [0, 1],
  ],
  FYL2X: [
    [-60, 120],
    [-30, 60],
  ],
  FYL2XP1: [
    [-50, 49],
    [-30, 60],
  ],
  FPATAN: [
    [-30, 30],
    [-30, 60],
  ],
  FSIN: angles,
  FCOS: angles,
  FSINCOS: angles,
  FPTAN: angles,
};

const PUSHES: ReadonlySet<string> = new Set(['FSINCOS', 'FPTAN']);

/** Operands with all bits drawn, or close to where the functions' tables change entries. */
function makeOrdinary(random: Random, name: string, state: X87State): X87State {
  const ranges = ordinary[name];
  for (const i of [0, 1] as const) {
    const [lowest, count] = ranges[i];
    const sign = name === 'FYL2X' && i === 0 ? 0 : random.below(2) << 15;
    state.significand[i] = (1n << 63n) | random.wide();
    state.signExponent[i] = sign | (16383 + lowest + random.below(count));
  }
  if (random.below(4) === 0) {
    const steps = BigInt(1 + random.below(63));
    const length = steps.toString(2).length;
    state.significand[0] = (steps << BigInt(64 - length)) ^ (random.wide() >> BigInt(8 + random.below(55)));
    state.significand[0] |= 1n << 63n;
    const least = name === 'F2XM1' || name === 'FYL2XP1' ? -7 : random.below(3) - 7;
    state.signExponent[0] = (state.signExponent[0] & 0x8000) | (16383 + length + least);
  }
  const next = ((state.fsw >> 11) + 7) & 7;
  return { ...state, ftw: PUSHES.has(name) ? 0xff & ~(1 << next) : 0xff };
}

const cold = new ColdRunner();
const { runner } = cold;

for (const name of Object.keys(ordinary)) {
  test(`${name} gives what TypeScript gives, flags included, and answers what is ordinary (seed ${seed})`, () => {
    const encoding = encodings.find(({ row }) => row.name === name);
    assert.ok(encoding);
    const handler = runner.handlerOf(encoding, false);
    const insn = cold.instruction(encoding);
    const random = new Random(seed);
    readyTables(runner.view);
    let answered = 0;
    coldCasesOf(name, seed, 2 * CASES).forEach((any, n) => {
      const state = n < CASES ? any : makeOrdinary(random, name, any);
      runner.write(state);
      const before = runner.read();
      const trap = runner.attempt(handler);
      const after = runner.read();
      const what = `case ${n}: ${state.signExponent.slice(0, 2)} ${state.significand.slice(0, 2)} fcw ${state.fcw}`;
      if (runner.wentCold) {
        runner.wentCold = false;
        assert.deepEqual(after, before, `nothing has changed, ${what}`);
        return;
      }
      assert.equal(trap, undefined, what);
      if (n >= CASES) answered++;
      assert.deepEqual(after, cold.run(insn, state), what);
    });
    assert.ok(answered > CASES * 0.85, `${answered} of ${CASES} ordinary cases were answered`);
  });
}

test('without their tables the functions leave everything to TypeScript, which fills them', () => {
  const encoding = encodings.find(({ row }) => row.name === 'F2XM1');
  assert.ok(encoding);
  const random = new Random(1);
  const state = makeOrdinary(random, 'F2XM1', coldCasesOf('F2XM1', 1, 1)[0]);
  runner.view.setInt32(Table.filled, 0, true);
  runner.write(state);
  runner.attempt(runner.handlerOf(encoding, false));
  assert.ok(runner.wentCold);
  runner.wentCold = false;
  const expected = cold.run(cold.instruction(encoding), state);
  runner.write(state);
  runner.run(runner.handlerOf(encoding, false));
  assert.deepEqual(runner.read(), expected);
});
