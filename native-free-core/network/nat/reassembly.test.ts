import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Reassembly } from './reassembly.ts';

const data = (length: number, at: number) => Uint8Array.from({ length }, (_, i) => (at + i) * 7);

test('random cuts in random order give the whole, once', () => {
  let seed = 11;
  const below = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const reassembly = new Reassembly(() => 0);
  for (let round = 0; round < 300; round++) {
    const total = 9 + below(9000);
    const pieces: { at: number; length: number }[] = [];
    for (let at = 0; at < total; ) {
      const length = Math.min(total - at, 80 * (1 + below(30)));
      pieces.push({ at, length });
      at += length;
    }
    const wholes = pieces
      .toSorted(() => below(3) - 1)
      .map(({ at, length }) => reassembly.add(1, String(round), at, at + length === total, data(length, at)))
      .filter((whole) => whole !== undefined);
    assert.deepEqual(wholes, [data(total, 0)]);
  }
  assert.deepEqual([reassembly.size, reassembly.dropped], [0, 0]);
});

test('overlaps, pieces behind the end, two ends and odd pieces throw the packet away', () => {
  const cases: [number, number, boolean][][] = [
    [
      [0, 16, false],
      [8, 16, true],
    ],
    [
      [0, 16, false],
      [8, 8, false],
    ],
    [
      [8, 16, false],
      [0, 16, false],
    ],
    [
      [8, 8, false],
      [0, 8, true],
    ],
    [
      [8, 8, true],
      [16, 8, true],
    ],
    [[0, 9, false]],
    [[0, 0, false]],
    [[65_528, 16, true]],
  ];
  for (const pieces of cases) {
    const reassembly = new Reassembly(() => 0);
    for (const [at, length, isLast] of pieces)
      assert.equal(reassembly.add(1, 'x', at, isLast, data(length, at)), undefined, JSON.stringify(pieces));
    assert.equal(reassembly.dropped, 1, JSON.stringify(pieces));
    assert.equal(reassembly.size, 0);
  }
});

test('a flood of beginnings displaces its own, is bounded, and is forgotten', () => {
  const time = { now: 0 };
  const reassembly = new Reassembly(() => time.now);
  reassembly.add(1, 'honest', 0, false, data(8, 0));
  for (let i = 0; i < 10_000; i++) reassembly.add(2, `flood ${i}`, 0, false, data(8, 0));
  assert.equal(reassembly.size, 17);
  assert.deepEqual(reassembly.add(1, 'honest', 8, true, data(8, 8)), data(16, 0));
  for (let i = 0; i < 10_000; i++) reassembly.add(i, `flood ${i}`, 0, false, data(8, 0));
  assert.equal(reassembly.size, 64);
  for (let i = 0; i < 1000; i++) reassembly.add(5, 'pieces', 16 * i, false, data(8, 0));
  time.now += 30_001;
  reassembly.expire();
  assert.equal(reassembly.size, 0);
});
