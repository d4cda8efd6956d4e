import assert from 'node:assert/strict';
import { test } from 'node:test';
import { copyBytes } from './copy.ts';

test('bytes arrive unchanged and alone, whatever the memories, the alignments and the length', () => {
  const memories = [(bytes: number) => new ArrayBuffer(bytes), (bytes: number) => new SharedArrayBuffer(bytes)];
  for (const makeFrom of memories)
    for (const makeTo of memories)
      for (const length of [0, 1, 7, 511, 512, 513, 1514, 16_384, 16_385, 50_001])
        for (const [start, at] of [
          [0, 0],
          [1, 0],
          [3, 6],
          [4, 12],
          [7, 1],
        ]) {
          const from = new Uint8Array(makeFrom(length + 16)).map((_, index) => (index * 31 + (index >> 8)) & 0xff);
          const to = new Uint8Array(makeTo(length + 32)).fill(0xee);
          copyBytes(to, at, from.subarray(start, start + length));
          const expected = new Uint8Array(length + 32).fill(0xee);
          for (let i = 0; i < length; i++) expected[at + i] = from[start + i];
          assert.deepEqual(new Uint8Array(to), expected, `${length} bytes from ${start} to ${at}`);
        }
});

test('a view that does not begin where its memory does is copied by its own place', () => {
  const memory = new SharedArrayBuffer(4096);
  const from = new Uint8Array(memory, 3, 1000).map((_, index) => index & 0xff);
  const to = new Uint8Array(memory, 2001, 1500);
  new Uint8Array(memory, 3, 1000).set(from);
  copyBytes(to, 5, new Uint8Array(memory, 3, 1000));
  assert.deepEqual(to.slice(5, 1005), from);
});
