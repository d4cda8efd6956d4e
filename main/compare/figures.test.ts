import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '../contract.ts';
import { type CompareResults, type Job, jobs } from './compare.ts';
import { difference, type Measured } from './compared-guest.ts';
import { comparison, figuresOf } from './figures.ts';

const measured = (over: Partial<Measured>): Measured => ({
  wallSeconds: 1,
  guestSeconds: 1,
  kernelSeconds: 0,
  hypervisorSeconds: 1,
  hypervisorParts: { exits: 1, devices: 0, paging: 0, translation: 0, scheduling: 0 },
  fileSeconds: 0,
  processorSeconds: 2,
  hypervisorShare: 0.5,
  exits: 100,
  exitsByReason: {},
  instructions: 1000,
  residentMiB: 64,
  ...over,
});

/** Para takes half the time and a tenth of the exits of full. */
const results: CompareResults = {
  host: { processor: 'a processor', cores: 2, node: '24' },
  work: { diskMiB: 100, randomPages: 500, networkMiB: 50 },
  alone: jobs.flatMap((job: Job) => [
    { kind: 'para' as const, job, measured: measured({ wallSeconds: 0.5, hypervisorSeconds: 0.25, exits: 10 }) },
    { kind: 'full' as const, job, measured: measured({}) },
  ]),
  together: [{ kind: 'os', job: 'cpu', measured: measured({ wallSeconds: 123.4 }) }],
  memory: { fixed: 0, pooled: 3, mostMiB: 790, leastMiB: 128 },
  missing: [{ kind: 'os', job: 'network', reason: 'there is none' }],
};

test('figures are para to full, by what each had to do', () => {
  const figures = new Map(figuresOf(results).map((figure) => [figure.name, figure]));
  const ratio = (name: string) => Number(figures.get(name)?.ratio.toFixed(3));
  assert.equal(ratio('boot of the kernel to init'), 0.5);
  assert.equal(ratio('hypervisor share, disk'), 0.4);
  assert.equal(ratio('exits, disk'), 0.1);
  assert.equal(ratio('sequential disk throughput'), 2);
  assert.equal(figures.get('sequential disk throughput')?.full, 100);
  assert.equal(ratio('sequential disk a second of processor time'), 1);
  assert.equal(figures.get('sequential disk a second of processor time')?.full, 50);
  assert.equal(figures.get('random disk operations a second of processor time')?.para, 250);
  assert.equal(ratio('TCP throughput between guests'), 2);
  assert.equal(figures.get('TCP throughput between guests')?.para, 100);
  // Exits a second.
  assert.equal(ratio('exits of an idle guest'), 0.2);
});

test('what was not measured has no figure, and is told', () => {
  const without = { ...results, alone: results.alone.filter(({ job }) => job !== 'read') };
  const names = figuresOf(without).map(({ name }) => name);
  assert.ok(!names.includes('exits, disk') && !names.includes('sequential disk throughput'));
  assert.ok(names.includes('random disk operations'));
  const text = comparison(results);
  assert.match(text, /^disk, at random +para +0\.50 +1\.00 +0\.00 +0\.25 +50\.0 % +10 +64 MiB$/m);
  assert.match(text, /^processor +os +123 /m);
  assert.match(text, /^Divided once for all, 0 of 3 finish; as one pool 3 of 3/m);
  assert.match(text, /^Not measured: network, os: there is none\.$/m);
});

test('a job is what happened between two reports', () => {
  const hypervisorSeconds = { exits: 1, devices: 2, paging: 0, translation: 0, scheduling: 0 };
  const memory = { configuredMiB: 64, residentMiB: 32, balloonMiB: 0 };
  const report = (factor: number) =>
    ({
      guestSeconds: 9 * factor,
      kernelSeconds: 0,
      instructions: 100 * factor,
      hypervisorSeconds: Object.fromEntries(Object.entries(hypervisorSeconds).map(([part, s]) => [part, s * factor])),
      exits: { hlt: 4 * factor, msr: 2 * factor },
      memory,
    }) as unknown as Report;
  const { exits, exitsByReason, hypervisorShare, instructions } = difference(report(1), report(2), 5);
  assert.deepEqual([exits, exitsByReason.hlt, hypervisorShare, instructions], [6, 4, 0.25, 100]);
  assert.equal(difference(null, report(2), 5).exits, 12);
});
