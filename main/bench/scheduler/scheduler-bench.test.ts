import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leftOver, quantile, type SchedulerResults, sharesOf, spent } from './scheduler-bench.ts';
import { isHeld, schedulerTable, worstShare } from './scheduler-table.ts';

const seconds = (executed: number, stolen: number) => ({ executed, stolen, waited: 0, sharing: 0 });

test('what a busy host takes is nobody’s: neither a share nor left over', () => {
  const all = [seconds(4, 2), seconds(5, 1)];
  assert.ok(Math.abs(leftOver(all, 1, 13) - 10) < 1e-9);
  const busier = [seconds(2, 4), seconds(2.5, 3.5)];
  assert.ok(Math.abs(leftOver(busier, 1, 12.5) - 10) < 1e-9);
  assert.deepEqual(spent(seconds(1, 1), seconds(4, 3)), seconds(3, 2));
});

test('shares are held against weights, and the worst is found', () => {
  const guests = sharesOf([
    { kind: 'full', weight: 100, executed: 1.1 },
    { kind: 'os', weight: 300, executed: 2.9 },
  ]);
  assert.deepEqual(
    guests.map(({ fair }) => fair),
    [0.25, 0.75],
  );
  assert.ok(Math.abs(worstShare({ guests }) - 0.1) < 1e-9);
  assert.deepEqual([quantile([3, 1, 2], 0.5), quantile([1, 2, 3, 4], 0.99)], [2, 4]);
});

test('figures beyond their bounds are told', () => {
  const key = { kind: 'full', keys: 10, alone: { median: 1, p99: 2 } } as const;
  const results = (share: number, left: number, cost: number, p99: number): SchedulerResults => ({
    host: { processor: 'p', cores: 2, node: '24' },
    seconds: 10,
    guests: [{ kind: 'full', weight: 100, share, fair: 0.5 }],
    reserves: [{ asked: 10, left }],
    cost,
    keys: [{ ...key, busy: { median: 3, p99 } }],
  });
  const good = results(0.505, 9.5, 0.001, 20);
  assert.ok(isHeld(good));
  assert.doesNotMatch(schedulerTable(good), /than it should be/);
  for (const bad of [
    results(0.52, 9.5, 0, 1),
    results(0.5, 8, 0, 1),
    results(0.5, 12, 0.01, 1),
    results(0.5, 12, 0, 60),
  ]) {
    assert.ok(!isHeld(bad));
    assert.equal(schedulerTable(bad).match(/than it should be/g)?.length, 1);
  }
});
