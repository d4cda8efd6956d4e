// Tests that the vector files and the backgrounds behind them are what they were: everything recorded depends on it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modeIndex } from './environments.ts';
import { fieldIndex, STATE_BYTES } from './processor-state.ts';
import { backgroundState, initialState, type Vector } from './vector.ts';
import { decodeVectors, encodeVectors } from './vector-file.ts';

const vector: Vector = {
  mode: modeIndex('long64'),
  seed: 0xdeadbeef,
  code: Uint8Array.of(0x48, 0x01, 0xd8),
  overrides: new Map([[fieldIndex('rbx'), 0xfedcba9876543210n]]),
  patches: [{ at: 0x30000, bytes: Uint8Array.of(1, 2, 3) }],
  undefinedFlags: 0x810,
  ignoredFields: [fieldIndex('st0')],
  ignoredMemory: [{ at: 0x30010, length: 5 }],
  portable: 2,
  outcome: 15,
  errorCode: 0x15,
  changes: new Map([
    [fieldIndex('rax'), 7n],
    [fieldIndex('cr2'), 0xffffffffffffffffn],
  ]),
  memory: [{ at: 0x30001, bytes: Uint8Array.of(0xff) }],
};

test('a vector file gives back what was put in', () => {
  const groups = [
    { name: 'ADD 01 Ev,Gv', vectors: [vector, { ...vector, seed: 1, mode: modeIndex('compat16') }] },
    { name: 'empty', vectors: [] },
  ];
  assert.deepEqual([...decodeVectors(encodeVectors(groups))], groups);
});

test('bytes that are no vector file are refused', () => {
  assert.throws(() => [...decodeVectors(Uint8Array.of(1, 2, 3))]);
});

test('overrides stand over the background', () => {
  assert.equal(initialState(vector).get('rbx'), 0xfedcba9876543210n);
  assert.equal(initialState(vector).get('rax'), backgroundState(vector.mode, vector.seed).get('rax'));
});

test('the state record has the size the recorder expects', () => {
  assert.equal(STATE_BYTES, 872);
});
