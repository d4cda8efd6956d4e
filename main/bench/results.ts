// What a benchmark came to: medians of the runs, ratios to each peer, and their geometric means.
// Owns the arithmetic, the JSON document's shape and the table for people.
// Never runs anything.

import type { Report } from '../contract.ts';
import { accountsTable } from './accounts.ts';
import type { ContainerFigures } from './containers.ts';
import { aligned } from './table.ts';
import type { Timing } from './timing.ts';
import type { Width } from './workloads.ts';

/** All runs of one engine at one width. */
export interface Series {
  engine: string;
  width: Width;
  timings: readonly Timing[];
}

/** An engine that was asked for and has no figures, and why. */
export interface Missing {
  engine: string;
  width: Width;
  reason: string;
}

/** One engine's figures for one row: `boot`, or a workload. */
export interface Figure {
  engine: string;
  width: Width;
  workload: string;
  /** Median by the host's clock. */
  seconds: number;
  /** Median by the guest's own clock; null for `boot`. */
  guestSeconds: number | null;
  runs: number[];
}

/** Trivisor's seconds / the other's: below 1 Trivisor is the faster. */
export interface Ratio {
  peer: string;
  width: Width;
  workload: string;
  ratio: number;
}

export interface BenchResults {
  host: { processor: string; cores: number; node: string };
  runs: number;
  scale: number;
  figures: Figure[];
  ratios: Ratio[];
  /** Over the workloads, `boot` left out. */
  geometricMeans: { peer: string; width: Width; ratio: number }[];
  /** Share of one core that ours takes while its guest waits; empty where it was not measured. */
  idle: { width: Width; share: number }[];
  /** Of guests of kind os; null where they were not measured. */
  containers: ContainerFigures | null;
  /** Workloads whose result differed among engines of one width: one of them computes wrongly. */
  disagreements: { width: Width; workload: string; checksums: Record<string, string> }[];
  /** The report of one run of ours at each width, boot included: that of the median time. */
  reports: { width: Width; report: Report }[];
  missing: Missing[];
}

/** The row that is no workload: from the start of the process to the first line of /init. */
export const bootRow = 'boot';

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** The medians of a series, `boot` first. A native run boots nothing, so it has no such row. */
export function figuresOf({ engine, width, timings }: Series): Figure[] {
  const figures: Figure[] = [];
  if (engine !== 'native') {
    const runs = timings.map(({ bootSeconds }) => bootSeconds);
    figures.push({ engine, width, workload: bootRow, seconds: median(runs), guestSeconds: null, runs });
  }
  for (const workload of timings[0]?.workloads.keys() ?? []) {
    const measured = timings.flatMap((timing) => timing.workloads.get(workload) ?? []);
    const runs = measured.map(({ seconds }) => seconds);
    const guestSeconds = median(measured.map((run) => run.guestSeconds));
    figures.push({ engine, width, workload, seconds: median(runs), guestSeconds, runs });
  }
  return figures;
}

export function ratiosOf(figures: readonly Figure[], ours: string): Ratio[] {
  return figures.flatMap(({ engine, width, workload, seconds }) => {
    const own = figures.find(
      (figure) => figure.engine === ours && figure.width === width && figure.workload === workload,
    );
    if (engine === ours || own === undefined) return [];
    return [{ peer: engine, width, workload, ratio: own.seconds / seconds }];
  });
}

export function geometricMeansOf(ratios: readonly Ratio[]): BenchResults['geometricMeans'] {
  const groups = Map.groupBy(
    ratios.filter(({ workload }) => workload !== bootRow),
    ({ peer, width }) => `${peer} ${width}`,
  );
  return [...groups.values()].map((group) => ({
    peer: group[0].peer,
    width: group[0].width,
    ratio: geometricMean(group.map(({ ratio }) => ratio)),
  }));
}

/** Every workload whose checksum is not the same in all runs of all engines of a width. */
export function disagreementsOf(series: readonly Series[]): BenchResults['disagreements'] {
  const found: BenchResults['disagreements'] = [];
  for (const [width, ofWidth] of Map.groupBy(series, (one) => one.width)) {
    const names = new Set(ofWidth.flatMap(({ timings }) => timings.flatMap((timing) => [...timing.workloads.keys()])));
    for (const workload of names) {
      const checksums: Record<string, string> = {};
      for (const { engine, timings } of ofWidth) {
        const seen = new Set(timings.flatMap((timing) => timing.workloads.get(workload)?.checksum ?? []));
        if (seen.size > 0) checksums[engine] = [...seen].join(' ');
      }
      if (new Set(Object.values(checksums)).size > 1) found.push({ width, workload, checksums });
    }
  }
  return found;
}

/** The table for people: a block for each width, seconds of every engine and the ratio to each but ours. */
export function resultsTable(results: BenchResults, ours: string): string {
  const { host, runs, scale } = results;
  const plural = runs === 1 ? '1 run' : `medians of ${runs} runs`;
  const lines = [
    `${plural}, work at ${scale} %, on ${host.processor} (${host.cores} cores), Node ${host.node}`,
    'seconds by the host’s clock; a ratio is Trivisor’s time / the other’s: below 1.00 Trivisor is the faster',
  ];
  for (const [width, figures] of Map.groupBy(results.figures, (figure) => figure.width)) {
    const engines = [...new Set(figures.map(({ engine }) => engine))];
    const rows = [...new Set(figures.map(({ workload }) => workload))];
    const ratio = (peer: string, workload: string): string => {
      const of = results.ratios.find((one) => one.peer === peer && one.width === width && one.workload === workload);
      return of === undefined ? '' : of.ratio.toFixed(2);
    };
    const seconds = (engine: string, workload: string): string => {
      const of = figures.find((figure) => figure.engine === engine && figure.workload === workload);
      return of === undefined ? '' : of.seconds.toFixed(3);
    };
    const mean = (peer: string): string => {
      const of = results.geometricMeans.find((one) => one.peer === peer && one.width === width);
      return of === undefined ? '' : of.ratio.toFixed(2);
    };
    const columns = engines.flatMap((engine) => (engine === ours ? [engine] : [engine, 'ratio']));
    const cells = (workload: string): string[] =>
      engines.flatMap((engine) => {
        const own = seconds(engine, workload);
        return engine === ours ? [own] : [own, ratio(engine, workload)];
      });
    const means = engines.flatMap((engine) => (engine === ours ? [''] : ['', mean(engine)]));
    lines.push('', ...aligned([[`${width}-bit guest`, ...columns], ...rows.map((row) => [row, ...cells(row)])]));
    if (means.some((cell) => cell !== '')) lines.push(...aligned([['geometric mean', ...means]]));
  }
  if (results.idle.length > 0) lines.push('');
  for (const { width, share } of results.idle)
    lines.push(`a ${width}-bit guest that waits takes ${(share * 100).toFixed(1)} % of a core`);
  if (results.containers) {
    const { startMilliseconds, processorMilliseconds, idle } = results.containers;
    const took = processorMilliseconds === null ? '' : ` (${processorMilliseconds.toFixed(1)} ms of processor time)`;
    lines.push(
      '',
      `a program that does nothing in a new guest, from the call to its end: ${startMilliseconds.toFixed(1)} ms, median${took}`,
    );
    for (const { guests, mebibytesEach } of idle)
      lines.push(`${guests} idle guests of one image: ${mebibytesEach.toFixed(2)} MiB each beyond the first`);
  }
  for (const { width, report } of results.reports)
    lines.push('', `where ${ours}’s time went, ${width}-bit guest, one run with its boot`, ...accountsTable(report));
  for (const { width, workload, checksums } of results.disagreements) {
    const each = Object.entries(checksums).map(([engine, checksum]) => `${engine} ${checksum}`);
    lines.push('', `wrong result: ${workload}, ${width} bits: ${each.join(', ')}`);
  }
  if (results.missing.length > 0) lines.push('');
  for (const { engine, width, reason } of results.missing) lines.push(`missing: ${engine}, ${width} bits: ${reason}`);
  return `${lines.join('\n')}\n`;
}
