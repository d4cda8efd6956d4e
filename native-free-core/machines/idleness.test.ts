import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Idleness } from './idleness.ts';

const MS = 1e6;

/** Halts every 4 ms, `work` instructions apart, and gives the slack of each. */
function halts(idleness: Idleness, from: number, count: number, work: number, busy = false): number[] {
  return Array.from({ length: count }, (_, index) => idleness.halted((from + 4 * index) * MS, executed(work), busy));
}

let total = 0;
const executed = (work: number): number => {
  total += work;
  return total;
};

test('a guest that only ticks is idle after a second, and not before', () => {
  const slack = halts(new Idleness(), 4, 400, 3000);
  assert.ok(slack.slice(0, 249).every((each) => each === 0));
  assert.ok(slack.slice(250).every((each) => each > 0));
});

test('work, a disk or a sound under way end that at once', () => {
  const idleness = new Idleness();
  halts(idleness, 4, 400, 3000);
  assert.equal(idleness.halted(2000 * MS, executed(5_000_000), false), 0);
  assert.ok(halts(idleness, 2004, 200, 3000).every((each) => each === 0));
  assert.ok(halts(idleness, 3004, 2, 3000).every((each) => each > 0));
  assert.equal(idleness.halted(3100 * MS, executed(3000), true), 0);
});
