import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generationOf, uuidBytes } from './uuid.ts';

const [one, other] = ['6f0d3c0e-0b5b-4d53-9b6f-0f5a3f6a5d10', '00000000-0000-4000-8000-000000000001'] as const;

test('a UUID is its digits, in the order they are written in', () => {
  assert.deepEqual(uuidBytes(other), new Uint8Array([0, 0, 0, 0, 0, 0, 64, 0, 128, 0, 0, 0, 0, 0, 0, 1]));
  assert.throws(() => uuidBytes('guest'), /guest is no UUID/);
});

test('a generation stays over boots, and is another for a clone, behind a snapshot and with a state', () => {
  const first = generationOf(one, { lineage: null });
  assert.equal(first.length, 16);
  assert.deepEqual(generationOf(one, { lineage: null, savedState: null }), first);
  assert.notDeepEqual(generationOf(other, {}), first);
  assert.notDeepEqual(generationOf(one, { lineage: other }), first);
  const [restored, again] = [generationOf(one, { savedState: 'f' }), generationOf(one, { savedState: 'f' })];
  assert.notDeepEqual(restored, first);
  assert.notDeepEqual(again, restored);
});
