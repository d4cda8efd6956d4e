import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Row } from './arrange.ts';
import { inSight, offsetsOf, rowHeights } from './window.ts';

const row = (type: Row['type']) => ({ type }) as Row;

test('rows begin where those before them end', () => {
  const { group, guest } = rowHeights;
  assert.deepEqual(offsetsOf([row('group'), row('guest'), row('guest')]), [0, group, group + guest, group + 2 * guest]);
  assert.deepEqual(offsetsOf([]), [0]);
});

test('what is in sight is drawn, with a few rows beside, whatever is scrolled to', () => {
  const offsets = offsetsOf(Array.from({ length: 200 }, () => row('guest')));
  const height = 10 * rowHeights.guest;
  assert.deepEqual(inSight(offsets, 0, height), { from: 0, to: 17 });
  assert.deepEqual(inSight(offsets, 100 * rowHeights.guest, height), { from: 94, to: 117 });
  assert.deepEqual(inSight(offsets, 1e6, height), { from: 194, to: 200 });
  assert.deepEqual(inSight([0], 0, 100), { from: 0, to: 0 });
});
