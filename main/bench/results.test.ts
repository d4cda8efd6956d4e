import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type BenchResults,
  disagreementsOf,
  figuresOf,
  geometricMean,
  geometricMeansOf,
  median,
  ratiosOf,
  resultsTable,
  type Series,
} from './results.ts';
import type { Timing } from './timing.ts';

const timing = (bootSeconds: number, workloads: Record<string, [seconds: number, checksum: string]>): Timing => ({
  bootSeconds,
  workloads: new Map(
    Object.entries(workloads).map(([name, [seconds, checksum]]) => [
      name,
      { seconds, guestSeconds: seconds / 2, checksum },
    ]),
  ),
});

const ours: Series = {
  engine: 'trivisor',
  width: 32,
  timings: [
    timing(4, { sort: [2, 'aa'], fork: [9, 'bb'] }),
    timing(2, { sort: [1, 'aa'], fork: [3, 'bb'] }),
    timing(3, { sort: [8, 'aa'], fork: [4, 'bb'] }),
  ],
};
const peer: Series = { engine: 'qemu', width: 32, timings: [timing(6, { sort: [1, 'aa'], fork: [8, 'cc'] })] };

test('the median of an odd and of an even number of runs', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(median([7]), 7);
});

test('the geometric mean of ratios that undo each other is one', () => {
  assert.ok(Math.abs(geometricMean([4, 0.25, 1]) - 1) < 1e-12);
});

test('figures are medians, the boot first and native runs without one', () => {
  assert.deepEqual(
    figuresOf(ours).map(({ workload, seconds, guestSeconds }) => [workload, seconds, guestSeconds]),
    [
      ['boot', 3, null],
      ['sort', 2, 1],
      ['fork', 4, 2],
    ],
  );
  assert.deepEqual(
    figuresOf({ ...peer, engine: 'native' }).map(({ workload }) => workload),
    ['sort', 'fork'],
  );
});

test('a ratio is our time by the other’s, and the mean leaves the boot out', () => {
  const ratios = ratiosOf([...figuresOf(ours), ...figuresOf(peer)], 'trivisor');
  assert.deepEqual(
    ratios.map(({ peer: name, workload, ratio }) => [name, workload, ratio]),
    [
      ['qemu', 'boot', 0.5],
      ['qemu', 'sort', 2],
      ['qemu', 'fork', 0.5],
    ],
  );
  assert.deepEqual(geometricMeansOf(ratios), [{ peer: 'qemu', width: 32, ratio: 1 }]);
});

test('a width that ours did not run has no ratios', () => {
  assert.deepEqual(ratiosOf(figuresOf({ ...peer, width: 64 }), 'trivisor'), []);
});

test('engines that disagree in a result are named', () => {
  const expected = [{ width: 32, workload: 'fork', checksums: { trivisor: 'bb', qemu: 'cc' } }];
  assert.deepEqual(disagreementsOf([ours, peer]), expected);
  assert.deepEqual(disagreementsOf([ours, { ...peer, width: 64 }]), []);
});

test('the table names every figure, ratio, missing engine and wrong result', () => {
  const figures = [...figuresOf(ours), ...figuresOf(peer)];
  const ratios = ratiosOf(figures, 'trivisor');
  const results: BenchResults = {
    host: { processor: 'a processor', cores: 2, node: '24.0.0' },
    runs: 3,
    scale: 100,
    figures,
    ratios,
    geometricMeans: geometricMeansOf(ratios),
    disagreements: disagreementsOf([ours, peer]),
    missing: [{ engine: 'v86', width: 64, reason: 'v86 has no 64-bit mode' }],
  };
  const table = resultsTable(results, 'trivisor');
  assert.match(table, /^32-bit guest +trivisor +qemu +ratio$/m);
  assert.match(table, /^sort +2\.000 +1\.000 +2\.00$/m);
  assert.match(table, /^geometric mean +1\.00$/m);
  assert.match(table, /^wrong result: fork, 32 bits: trivisor bb, qemu cc$/m);
  assert.match(table, /^missing: v86, 64 bits: v86 has no 64-bit mode$/m);
});
