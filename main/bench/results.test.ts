import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlBlock, type CounterName } from '../../native-free-core/hypervisor/control-block.ts';
import type { Report } from '../contract.ts';
import { makeReport } from '../guests/accounts.ts';
import { accountsTable, medianReport } from './accounts.ts';
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

function reportOf(wallSeconds: number, counters: Partial<Record<CounterName, number>> = {}): Report {
  const control = new ControlBlock();
  for (const [name, value] of Object.entries(counters)) control.set(name as CounterName, value);
  return makeReport(control, { kind: 'full', memoryMiB: 256, wallSeconds, marks: [], end: null });
}

test('the report shown is that of the run that took the median time, of two the shorter', () => {
  const [short, middle, long] = [reportOf(1), reportOf(2), reportOf(3)];
  assert.equal(medianReport([long, short, middle]), middle);
  assert.equal(medianReport([long, middle]), middle);
  assert.equal(medianReport([]), undefined);
});

const counted = reportOf(10, {
  instructions: 5e9,
  translatedInstructions: 4.9e9,
  guestNanoseconds: 7e9,
  translatedNanoseconds: 5e9,
  exitsNanoseconds: 1e9,
  translationNanoseconds: 0.5e9,
  translatorNanoseconds: 0.25e9,
  besideNanoseconds: 2e9,
  regionsTranslated: 1234,
  regionsInstalled: 1200,
  regionsInvalidated: 30,
  regionsFlushed: 4,
  translatedModules: 99,
  translatedBytes: 3 << 20,
  installedBytes: 2 << 20,
});

test('the accounts tell where the time went, and what the translator did', () => {
  const table = accountsTable(counted).join('\n');
  assert.match(table, /^interpreter +2\.000 +20\.0 % +100\.0 +50$/m);
  assert.match(table, /^translations +5\.000 +50\.0 % +4900\.0 +980$/m);
  assert.match(table, /^exits +1\.000 +10\.0 %$/m);
  assert.match(table, /^idle, start +1\.500 +15\.0 %$/m);
  assert.match(
    table,
    /1,234 regions in 99 modules, 3\.00 MiB; .* 0\.250 s in the guest’s thread, 2\.000 s beside it$/m,
  );
  assert.match(table, /1,200 installed \(2\.00 MiB\), 30 invalidated, 4 flushed/);
  assert.ok(table.split('\n').every((line) => line.length <= 120));
  // Measured parts may add up to a hair more than the wall's time, and nothing may have been executed at all.
  assert.match(accountsTable({ ...counted, wallSeconds: 8.4 }).join('\n'), /^idle, start +0\.000 +0\.0 %$/m);
  assert.match(accountsTable(reportOf(1)).join('\n'), /^translations +0\.000 +0\.0 % +0\.0$/m);
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
    containers: null,
    idle: [{ width: 64, share: 0.0123 }],
    disagreements: disagreementsOf([ours, peer]),
    reports: [{ width: 32, report: counted }],
    missing: [{ engine: 'v86', width: 64, reason: 'v86 has no 64-bit mode' }],
  };
  const table = resultsTable(results, 'trivisor');
  assert.match(table, /^32-bit guest +trivisor +qemu +ratio$/m);
  assert.match(table, /^sort +2\.000 +1\.000 +2\.00$/m);
  assert.match(table, /^geometric mean +1\.00$/m);
  assert.match(
    table,
    /^where trivisor’s time went, 32-bit guest, one run with its boot\n +seconds +share +M instr\. +MIPS$/m,
  );
  assert.match(table, /^a 64-bit guest that waits takes 1\.2 % of a core$/m);
  assert.match(table, /^wrong result: fork, 32 bits: trivisor bb, qemu cc$/m);
  assert.match(table, /^missing: v86, 64 bits: v86 has no 64-bit mode$/m);
});
