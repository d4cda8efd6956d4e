// The benchmark as a whole: every engine, every width, several runs in turn, and what came of it.
// Owns the order of the runs and the judgement of what is missing.
// Never prints: progress and results go to the caller.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Report } from '../contract.ts';
import { medianReport } from './accounts.ts';
import { type ContainerFigures, containerFigures, osProgram } from './containers.ts';
import { type Engine, native, peers, qemuUser, trivisor, trivisorOs } from './engines.ts';
import { type BenchGuest, benchGuest } from './guest.ts';
import { canMeasureIdle, idleShare } from './idle.ts';
import {
  type BenchResults,
  disagreementsOf,
  figuresOf,
  geometricMeansOf,
  type Missing,
  ratiosOf,
  type Series,
} from './results.ts';
import { type Timing, timeGuest } from './timing.ts';
import { compileWorkloads, type Width, type Workload } from './workloads.ts';

export interface BenchOptions {
  /** Names of {@link peers}. */
  peers: readonly string[];
  widths: readonly Width[];
  /** The workloads to run; none means all. */
  only: readonly Workload[];
  runs: number;
  /** Percent of the usual work. */
  scale: number;
  /** Also runs the workloads on the bare processor. */
  native: boolean;
  /** Also measures what a guest of ours takes while it waits. */
  idle: boolean;
  /** Programs in guests of kind os, beside QEMU's emulation of user programs, instead of systems in machines. */
  os?: boolean;
  /** Leaves ours out: the peers alone. */
  withoutTrivisor?: boolean;
  /** Seconds one guest may take. */
  timeout: number;
  progress?: (message: string) => void;
  signal?: AbortSignal;
}

/**
 * Runs the benchmark. An engine that is missing, or fails, is named with its reason and the others go on. The runs are
 * taken in turn, one engine after the other, so that a host that slows down slows all of them.
 */
export async function runBench(options: BenchOptions): Promise<BenchResults> {
  const missing: Missing[] = [];
  const entries: { engine: Engine; guest: BenchGuest; timings: Timing[]; reports: Report[] }[] = [];
  const engines = options.os
    ? [trivisorOs, qemuUser, native]
    : [
        ...(options.withoutTrivisor ? [] : [trivisor]),
        ...options.peers.map((name) => peers[name]),
        ...(options.native ? [native] : []),
      ];
  // The shared kernel executes programs of 64 bits alone.
  for (const width of options.os ? ([64] as const) : options.widths) {
    options.progress?.(`making the ${width}-bit guest`);
    let guest: BenchGuest;
    try {
      guest = await (options.os ? osProgram : benchGuest)(width, options.only, options.scale);
    } catch (error) {
      for (const { name } of engines) missing.push({ engine: name, width, reason: (error as Error).message });
      continue;
    }
    for (const engine of engines) {
      const reason = engine.missing(width);
      if (reason === null) entries.push({ engine, guest, timings: [], reports: [] });
      else missing.push({ engine: engine.name, width, reason });
    }
  }

  const failed = new Set<object>();
  for (let run = 1; run <= options.runs; run++) {
    for (const entry of entries) {
      if (failed.has(entry)) continue;
      const { engine, guest, timings, reports } = entry;
      options.progress?.(`run ${run} of ${options.runs}: ${engine.name}, ${guest.width} bits`);
      const folder = mkdtempSync(join(tmpdir(), 'trivisor-bench-'));
      try {
        const reportFile = join(folder, 'report.json');
        timings.push(await timeGuest(engine.command(guest, reportFile), options.timeout, options.signal));
        // A guest that was done and did not power off in time has been ended without one.
        if (existsSync(reportFile)) reports.push(Report.parse(JSON.parse(readFileSync(reportFile, 'utf8'))));
      } catch (error) {
        options.signal?.throwIfAborted();
        failed.add(entry);
        missing.push({ engine: engine.name, width: guest.width, reason: (error as Error).message });
      } finally {
        rmSync(folder, { recursive: true });
      }
    }
  }

  let containers: ContainerFigures | null = null;
  if (options.os)
    try {
      containers = await containerFigures(compileWorkloads(64), options);
    } catch (error) {
      options.signal?.throwIfAborted();
      missing.push({ engine: 'trivisor, starts and idle guests', width: 64, reason: (error as Error).message });
    }
  const idle: BenchResults['idle'] = [];
  for (const { engine, guest } of options.idle && !options.os && canMeasureIdle ? entries : []) {
    if (engine !== trivisor) continue;
    options.progress?.(`waiting: ${guest.width} bits`);
    const folder = mkdtempSync(join(tmpdir(), 'trivisor-bench-'));
    try {
      const command = engine.command({ ...guest, append: guest.appendIdle }, join(folder, 'report.json'));
      idle.push({ width: guest.width, share: await idleShare(command, options.timeout, options.signal) });
    } catch (error) {
      options.signal?.throwIfAborted();
      missing.push({ engine: `${engine.name}, waiting`, width: guest.width, reason: (error as Error).message });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  const series: Series[] = entries
    .filter((entry) => !failed.has(entry))
    .map(({ engine, guest, timings }) => ({ engine: engine.name, width: guest.width, timings }));
  const figures = series.flatMap(figuresOf);
  const ratios = ratiosOf(figures, trivisor.name);
  return {
    host: { processor: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), node: process.versions.node },
    runs: options.runs,
    scale: options.scale,
    figures,
    ratios,
    geometricMeans: geometricMeansOf(ratios),
    idle,
    containers,
    disagreements: disagreementsOf(series),
    reports: entries.flatMap(({ guest: { width }, reports }) => {
      const report = medianReport(reports);
      return report ? [{ width, report }] : [];
    }),
    missing,
  };
}
