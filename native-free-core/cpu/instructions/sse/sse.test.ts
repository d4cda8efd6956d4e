// SSE instructions against a processor's recorded results, and the faults that come before any result.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildKnownImmediates } from '../../testing/constant-immediates.ts';
import { casesOf, formsOf, Random, type SseState } from '../../testing/sse-cases.ts';
import { digestOf } from '../../testing/sse-digest.ts';
import { SseRunner } from '../../testing/sse-run.ts';
import type { Encoding } from '../row.ts';
import { encodings } from '../table.ts';
import { sse } from './index.ts';
import { recordedDigests } from './recorded-digests.ts';

const runner = new SseRunner();
const rows = new Set(sse.rows);
const family = encodings.filter((encoding) => rows.has(encoding.row));
const recorded = family.filter((encoding) => recordedDigests[encoding.text] !== undefined);
const REGISTER = { size: 0, memory: false } as const;

function encodingOf(text: string): Encoding {
  const found = family.find((encoding) => encoding.text === text);
  assert.ok(found, `${text} is an encoding`);
  return found;
}

/** A state of zeros with the default MXCSR, but for what is given. */
function stateOf(change: Partial<SseState>): SseState {
  return {
    mxcsr: 0x1f80,
    general: [0n, 0n, 0n],
    flags: 0,
    vectors: new Uint8Array(48),
    mmx: [0n, 0n, 0n],
    memory: new Uint8Array(32),
    ...change,
  };
}

/** XMM0 to XMM2 with 64-bit values in the lower halves of XMM1 and XMM2. */
const lows = (first: bigint, second: bigint): Uint8Array =>
  new Uint8Array(new BigUint64Array([0n, 0n, first, 0n, second, 0n]).buffer);
const low = (state: SseState): bigint => new DataView(state.vectors.buffer).getBigUint64(16, true);

test('every row has a recording, or does nothing that could be recorded', () => {
  const without = family.filter((encoding) => recordedDigests[encoding.text] === undefined);
  const known = /^(RCP|RSQRT|LDMXCSR|PREFETCH|[LMS]FENCE|CLFLUSH)/;
  assert.deepEqual(
    without.filter((encoding) => !known.test(encoding.row.name)).map((encoding) => encoding.text),
    [],
  );
});

test('SSE instructions do to generated states what the recorded processor did', () => {
  const wrong = recorded.filter(
    (encoding) => digestOf(encoding, (...one) => runner.run(...one)) !== recordedDigests[encoding.text],
  );
  assert.deepEqual(
    wrong.map((encoding) => `${encoding.row.name} (${encoding.text})`),
    [],
  );
});

test('an immediate known in advance means what one read at run time does', () => {
  const random = new Random(11);
  const cases = recorded
    .filter((encoding) => encoding.operands.some(({ where }) => where === 'I'))
    .flatMap((encoding) =>
      formsOf(encoding).flatMap((form) =>
        Array.from({ length: 24 }, (_, i) => {
          const immediate = i < 8 ? i * 4 : random.below(256);
          const [{ state }] = casesOf(encoding, random.next(), 1);
          return { encoding, form, immediate, state };
        }),
      ),
    );
  const known = buildKnownImmediates(runner.memory, runner.pages, cases);
  assert.ok(cases.length > 1500);
  cases.forEach(({ encoding, form, immediate, state }, i) => {
    const expected = runner.run(encoding, form, { state, immediate });
    // The record holds another immediate, so that a meaning that reads it is found out.
    const result = runner.run(encoding, form, { state, immediate: immediate ^ 0xff }, 0, known[i]);
    assert.deepEqual(result, expected, `${encoding.text} with ${immediate}`);
  });
});

test('a fault changes nothing but the flags of MXCSR', () => {
  let faults = 0;
  for (const encoding of recorded) {
    for (const form of formsOf(encoding)) {
      for (const one of casesOf(encoding, 99, 24)) {
        const { vector, state } = runner.run(encoding, form, one);
        if (vector === 0) continue;
        faults++;
        assert.equal(vector, 19, encoding.text);
        assert.deepEqual({ ...state, mxcsr: 0 }, { ...one.state, mxcsr: 0 }, encoding.text);
      }
    }
  }
  assert.ok(faults > 100);
});

test('packed operands in memory must be aligned to 16 bytes, but for the unaligned moves and string compares', () => {
  const free = /^(MOVUP|MOVDQU|LDDQU|PCMP[EI]STR)/;
  for (const encoding of recorded) {
    const packed = encoding.operands.some(({ where, width }) => 'WM'.includes(where) && width === 'o');
    if (!packed) continue;
    const form = formsOf(encoding).find(({ memory }) => memory);
    assert.ok(form);
    const { vector } = runner.run(encoding, form, { state: stateOf({}), immediate: 0 }, 8);
    assert.equal(vector, free.test(encoding.row.name) ? 0 : 13, encoding.text);
  }
});

test('CR0 and CR4 forbid SSE: #UD before #NM', () => {
  const add = encodingOf('66. 0F FE Vo,Wo');
  const one = { state: stateOf({}), immediate: 0 };
  const vectorWith = (cr0: number, cr4: number): number => {
    runner.control(cr0, cr4);
    return runner.run(add, REGISTER, one).vector;
  };
  assert.equal(vectorWith(1, 0x200), 0);
  assert.equal(vectorWith(1, 0), 6);
  assert.equal(vectorWith(1 | 4, 0x200), 6);
  assert.equal(vectorWith(1 | 8, 0x200), 7);
  assert.equal(vectorWith(1 | 8, 0), 6);
  // Without CR4.OSXMMEXCPT an unmasked exception is #UD.
  runner.control(1, 0x200);
  const divide = encodingOf('F2. 0F 5E Vo,Wq');
  const byZero = { state: stateOf({ mxcsr: 0x1d80, vectors: lows(0x3ff0000000000000n, 0n) }), immediate: 0 };
  assert.equal(runner.run(divide, REGISTER, byZero).vector, 6);
  runner.control(1, 0x600);
  assert.equal(runner.run(divide, REGISTER, byZero).vector, 19);
});

test('the first NaN wins and is quieted, an invalid operation gives the negative default NaN', () => {
  const add = encodingOf('F2. 0F 58 Vo,Wq');
  const sum = (a: bigint, b: bigint): [bigint, number] => {
    const { state } = runner.run(add, REGISTER, { state: stateOf({ vectors: lows(a, b) }), immediate: 0 });
    return [low(state), state.mxcsr & 0x3f];
  };
  assert.deepEqual(sum(0x7ff8000000000123n, 0xfff8000000000456n), [0x7ff8000000000123n, 0]);
  assert.deepEqual(sum(0x3ff0000000000000n, 0xfff8000000000456n), [0xfff8000000000456n, 0]);
  assert.deepEqual(sum(0x7ff0000000000123n, 0xfff8000000000456n), [0x7ff8000000000123n, 1]);
  assert.deepEqual(sum(0x7ff0000000000000n, 0xfff0000000000000n), [0xfff8000000000000n, 1]);
});

test('inexact results are seen while PE is clear, and only then need the slow path', () => {
  const multiply = encodingOf('F2. 0F 59 Vo,Wq');
  const flags = (a: bigint, b: bigint): number =>
    runner.run(multiply, REGISTER, { state: stateOf({ vectors: lows(a, b) }), immediate: 0 }).state.mxcsr & 0x3f;
  assert.equal(flags(0x3ff8000000000000n, 0x4008000000000000n), 0);
  assert.equal(flags(0x3fb999999999999an, 0x3fb999999999999an), 0x20);
  // The smallest normal number times a half is a denormal, exactly: no underflow.
  assert.equal(flags(0x0010000000000000n, 0x3fe0000000000000n), 0);
  assert.equal(flags(0x0010000000000001n, 0x3fe0000000000000n), 0x30);
});

test('LDMXCSR refuses reserved bits', () => {
  const load = encodingOf('NP. 0F AE/2 Md');
  const loadBits = (bits: number) => {
    const memory = new Uint8Array(32);
    new DataView(memory.buffer).setUint32(0, bits, true);
    return runner.run(load, { size: 0, memory: true }, { state: stateOf({ memory }), immediate: 0 });
  };
  assert.equal(loadBits(0xffff).state.mxcsr, 0xffff);
  assert.equal(loadBits(0x1_0000).vector, 13);
  assert.equal(loadBits(0x1_0000).state.mxcsr, 0x1f80);
});

test('RCP and RSQRT are within their bounds and raise nothing', () => {
  const random = new Random(5);
  const single = new DataView(new ArrayBuffer(4));
  for (const [name, exact] of [
    ['F3. 0F 53 Vo,Wd', (x: number) => 1 / x],
    ['F3. 0F 52 Vo,Wd', (x: number) => 1 / Math.sqrt(x)],
  ] as const) {
    for (let i = 0; i < 500; i++) {
      single.setUint32(0, 0x10000000 + random.below(0x60000000), true);
      const vectors = lows(0n, BigInt(single.getUint32(0, true)));
      const { state } = runner.run(encodingOf(name), REGISTER, { state: stateOf({ vectors }), immediate: 0 });
      const expected = exact(single.getFloat32(0, true));
      const result = new DataView(state.vectors.buffer).getFloat32(16, true);
      assert.ok(Math.abs(result - expected) <= 1.5 * 2 ** -12 * Math.abs(expected), `${name} of ${expected}`);
      assert.equal(state.mxcsr, 0x1f80);
    }
  }
});
