// What a comparison comes to: para as a ratio to full, where the two do the same work.
// Owns the arithmetic and the tables.
// Never measures.

import { table } from '../cli/output.ts';
import { type ComparedKind, type CompareResults, comparedKinds, type Job } from './compare.ts';
import type { Measured } from './compared-guest.ts';

const diskJobs: readonly Job[] = ['write', 'read', 'random'];
const sequentialJobs: readonly Job[] = ['write', 'read'];

export interface Figure {
  name: string;
  full: number;
  para: number;
  unit: string;
  /** para / full. */
  ratio: number;
}

type Of = (measured: readonly Measured[]) => number;
const sum = (measured: readonly Measured[], of: (one: Measured) => number) =>
  measured.reduce((total, one) => total + of(one), 0);
const hypervisor: Of = (all) => sum(all, (one) => one.hypervisorSeconds);
const share: Of = (all) => hypervisor(all) / (hypervisor(all) + sum(all, (one) => one.guestSeconds));
const processor: Of = (all) => sum(all, (one) => one.processorSeconds);
const wall: Of = (all) => sum(all, (one) => one.wallSeconds);
const exits: Of = (all) => sum(all, (one) => one.exits);

/** Para-virtualization in figures; one that lacks a measurement is left out. */
export function figuresOf({ alone, work }: Pick<CompareResults, 'alone' | 'work'>): Figure[] {
  const of = (kind: ComparedKind, wanted: readonly Job[]) =>
    alone.filter((each) => each.kind === kind && wanted.includes(each.job)).map(({ measured }) => measured);
  const figure = (name: string, unit: string, wanted: readonly Job[], value: Of): Figure[] => {
    const [full, para] = (['full', 'para'] as const).map((kind) => of(kind, wanted));
    if (full!.length < wanted.length || para!.length < wanted.length) return [];
    const values = { full: value(full!), para: value(para!) };
    return [{ name, unit, ...values, ratio: values.para / values.full }];
  };
  return [
    ...figure('boot of the kernel to init', 's', ['boot'], wall),
    ...figure('hypervisor share, disk', '%', diskJobs, (all) => 100 * share(all)),
    ...figure('hypervisor time, disk', 's', diskJobs, hypervisor),
    ...figure('exits, disk', '', diskJobs, exits),
    ...figure('sequential disk throughput', 'MiB/s', sequentialJobs, (all) => (2 * work.diskMiB) / wall(all)),
    ...figure(
      'sequential disk a second of processor time',
      'MiB/s',
      sequentialJobs,
      (all) => (2 * work.diskMiB) / processor(all),
    ),
    ...figure(
      'random disk operations a second of processor time',
      '/s',
      ['random'],
      (all) => work.randomPages / processor(all),
    ),
    ...figure('random disk operations', '/s', ['random'], (all) => work.randomPages / wall(all)),
    ...figure('TCP throughput between guests', 'MiB/s', ['network'], (all) => work.networkMiB / wall(all)),
    ...figure('exits of an idle guest', '/s', ['idle'], (all) => exits(all) / wall(all)),
  ];
}

function number(value: number): string {
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

const jobNames: Record<Job, string> = {
  boot: 'boot',
  cpu: 'processor',
  processes: 'processes',
  write: 'disk, written',
  read: 'disk, read',
  random: 'disk, at random',
  network: 'network',
  idle: 'idle',
};

function measuredTable(rows: CompareResults['alone']): string {
  const ordered = [...rows].sort((a, b) => comparedKinds.indexOf(a.kind) - comparedKinds.indexOf(b.kind));
  return table([
    ['WORK', 'KIND', 'SECONDS', 'GUEST', 'KERNEL', 'HYPERVISOR', 'SHARE', 'EXITS', 'MEMORY'],
    ...Object.keys(jobNames).flatMap((job) =>
      ordered
        .filter((row) => row.job === job)
        .map(({ kind, measured }) => [
          jobNames[job as Job],
          kind,
          number(measured.wallSeconds),
          number(measured.guestSeconds),
          number(measured.kernelSeconds),
          number(measured.hypervisorSeconds),
          `${number(100 * measured.hypervisorShare)} %`,
          Math.round(measured.exits).toString(),
          `${Math.round(measured.residentMiB)} MiB`,
        ]),
    ),
  ]);
}

/** All that a person is shown. */
export function comparison(results: CompareResults): string {
  const { alone, together, memory, missing, host } = results;
  const parts = [
    `${host.processor}, ${host.cores} cores, Node ${host.node}\n\nOne after the other\n${measuredTable(alone)}`,
  ];
  if (together.length > 0) parts.push(`All together\n${measuredTable(together)}`);
  const figures = figuresOf(results);
  if (figures.length > 0)
    parts.push(
      `Para as a ratio to full\n${table([
        ['FIGURE', 'FULL', 'PARA', 'RATIO'],
        ...figures.map(({ name, unit, full, para, ratio }) => [
          name,
          `${number(full)} ${unit}`.trim(),
          `${number(para)} ${unit}`.trim(),
          ratio.toFixed(3),
        ]),
      ])}`,
    );
  if (memory)
    parts.push(
      `Three guests that need more than a third of the memory each\n` +
        `Divided once for all, ${memory.fixed} of 3 finish; as one pool ${memory.pooled} of 3, ` +
        `with at most ${number(memory.mostMiB)} MiB together and at least ${number(memory.leastMiB)} MiB each.\n`,
    );
  if (missing.length > 0)
    parts.push(
      missing.map(({ kind, job, reason }) => `Not measured: ${jobNames[job]}, ${kind}: ${reason}.\n`).join(''),
    );
  return parts.join('\n');
}
