import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Columns, merged, thinned } from './columns.ts';

const columns = (from: number, to: number, now = to * 1000): Columns => {
  const at = Array.from({ length: to - from }, (_, index) => (from + index) * 1000);
  return { step: 1, span: 600, now, at, seconds: at.map(() => 1), values: { guest: at.map((each) => each / 1000) } };
};

test('fresh points take the place of those that are there, and old ones go', () => {
  const usage = merged(columns(0, 500), columns(499, 620));
  assert.equal(usage.at[0], 20_000);
  assert.equal(usage.at.length, 600);
  assert.deepEqual(usage.values.guest!.slice(-2), [618, 619]);
  assert.equal(new Set(usage.at).size, 600);
  const same = merged(columns(0, 10), columns(9, 9, 11_000));
  assert.equal(same.at.length, 10, 'nothing new leaves what is there');
  const back = merged(columns(0, 500), columns(300, 301));
  assert.equal(back.at.at(-1), 300_000, 'the clock has gone back');
  assert.equal(merged(columns(0, 10), { ...columns(0, 1), step: 120 }).at.length, 1);
});

test('thinned lines keep their mean and their places', () => {
  const usage = columns(0, 600);
  const { at, lines } = thinned(usage, [usage.values.guest!], 100);
  assert.deepEqual([at.length, at[0], lines[0]![0]], [100, 3000, 2.5]);
  const later = columns(2, 602);
  const moved = thinned(later, [later.values.guest!], 100);
  assert.deepEqual(moved.at.slice(1, 5), at.slice(1, 5));
  assert.deepEqual(moved.lines[0]!.slice(1, 5), lines[0]!.slice(1, 5));
});

test('where nothing was measured there is a gap, and a late second is none', () => {
  const usage = columns(0, 30);
  for (const index of [25, 24, 23, 22, 21, 20, 10]) {
    usage.at.splice(index, 1);
    usage.values.guest!.splice(index, 1);
  }
  const { at, lines } = thinned(usage, [usage.values.guest!], 600);
  assert.equal(lines[0]!.filter(Number.isNaN).length, 1);
  assert.equal(at[lines[0]!.findIndex(Number.isNaN)], 20_000);
});
