// `trivisor bench`: the command line of the benchmark.
// Owns its options, their checks and what is printed.
// Never measures: bench.ts does.

import { Command, Option } from 'commander';
import { type BenchOptions, runBench } from './bench.ts';
import { peers, trivisor } from './engines.ts';
import { networkTable, runNetworkBench } from './network/network-bench.ts';
import { listOf, wholeNumber } from './options.ts';
import { resultsTable } from './results.ts';
import { runSchedulerBench } from './scheduler/scheduler-bench.ts';
import { isHeld, schedulerTable } from './scheduler/scheduler-table.ts';
import { type Width, type Workload, widths, workloads } from './workloads.ts';

interface Flags {
  peers: string[];
  width?: Width[];
  only: Workload[];
  runs: number;
  scale: number;
  native: boolean;
  os: boolean;
  idle: boolean;
  trivisor: boolean;
  timeout: number;
  network: boolean;
  scheduler: boolean;
  json: boolean;
}

function widthList(text: string): Width[] {
  return listOf(widths.map(String))(text).map((width) => Number(width) as Width);
}

async function networkBench({ runs, scale, timeout, json }: Flags): Promise<void> {
  const progress = (message: string): boolean => process.stderr.write(`bench: ${message}\n`);
  const results = await runNetworkBench({ runs, scale, timeout, progress });
  process.stdout.write(json ? `${JSON.stringify(results, null, 2)}\n` : networkTable(results));
  if (!results.figures.some(({ engine }) => engine === trivisor.name)) process.exitCode = 1;
}

async function schedulerBench({ scale, timeout, json }: Flags): Promise<void> {
  const progress = (message: string): boolean => process.stderr.write(`bench: ${message}\n`);
  const results = await runSchedulerBench({ scale, timeout, progress });
  process.stdout.write(json ? `${JSON.stringify(results, null, 2)}\n` : schedulerTable(results));
  if (!isHeld(results)) process.exitCode = 1;
}

/** The command, for whoever parses the whole command line. Sets the process's exit status when it has run. */
export function benchCommand(): Command {
  const peerNames = Object.keys(peers);
  return new Command('bench')
    .description('measure the engine against its peers, in one run, as ratios')
    .option('--peers <names>', `peers to compare with (${peerNames.join(', ')})`, listOf(peerNames), peerNames)
    .option('--only <workloads>', `workloads to run (${workloads.join(', ')})`, listOf(workloads), [])
    .option('--width <bits>', 'widths of the guest (32, 64)', widthList, [...widths])
    .option('--runs <n>', 'runs of each, of which the median counts', wholeNumber(1, 100), 3)
    .option('--scale <percent>', 'work to do, in percent of the usual', wholeNumber(1, 10_000), 100)
    .option('--timeout <seconds>', 'the longest that one guest may take', wholeNumber(1, 86_400), 900)
    .option(
      '--os',
      "programs in guests of kind os, beside qemu-x86_64 (QEMU's emulation of user programs) and native",
      false,
    )
    .option('--native', 'run the workloads on the bare processor too', false)
    .option('--no-idle', 'leave out what a guest takes that waits')
    .option('--network', 'measure networks instead: address translation against QEMU’s', false)
    .option('--scheduler', 'measure how guests share the processors instead', false)
    .addOption(new Option('--no-trivisor', 'leave our own engine out').hideHelp())
    .option('--json', 'print one JSON document', false)
    .action(async (flags: Flags) => {
      if (flags.network) {
        await networkBench(flags);
        return;
      }
      if (flags.scheduler) {
        await schedulerBench(flags);
        return;
      }
      const options: BenchOptions = {
        peers: flags.peers,
        widths: flags.width ?? widths,
        only: flags.only,
        runs: flags.runs,
        scale: flags.scale,
        native: flags.native,
        os: flags.os,
        idle: flags.idle && flags.trivisor,
        withoutTrivisor: !flags.trivisor,
        timeout: flags.timeout,
        progress: (message) => process.stderr.write(`bench: ${message}\n`),
      };
      const results = await runBench(options);
      process.stdout.write(flags.json ? `${JSON.stringify(results, null, 2)}\n` : resultsTable(results, trivisor.name));
      // Peers may be missing; our own figures may not, and nobody may compute wrongly.
      const isOursMissing = flags.trivisor && results.missing.some(({ engine }) => engine === trivisor.name);
      if (isOursMissing || results.disagreements.length > 0 || results.figures.length === 0) process.exitCode = 1;
    });
}
