// `trivisor compare`: the command line of the comparison.
// Owns its options, their checks and what is printed.
// Never measures: compare.ts does.

import { Command } from 'commander';
import { listOf, wholeNumber } from '../bench/options.ts';
import { type ComparedKind, type CompareOptions, compare, comparedKinds, type Job, jobs } from './compare.ts';
import { comparison, figuresOf } from './figures.ts';

interface Flags {
  kinds: ComparedKind[];
  only: Job[];
  diskSize: number;
  scale: number;
  together: boolean;
  memoryTrial: boolean;
  timeout: number;
  json?: boolean;
}

/** The command, for whoever parses the whole command line. Sets the process's exit status when it has run. */
export function compareCommand(): Command {
  return new Command('compare')
    .description('run the same work as full, para and OS-level guests, one after the other and all together')
    .option('--kinds <names>', `kinds to compare (${comparedKinds.join(', ')})`, listOf(comparedKinds), [
      ...comparedKinds,
    ])
    .option('--only <jobs>', `work to do after the boot (${jobs.slice(1).join(', ')})`, listOf(jobs), [])
    .option('--disk-size <MiB>', 'disk that is written and read', wholeNumber(1, 65_536), 1024)
    .option('--scale <percent>', 'other work to do, in percent of the usual', wholeNumber(1, 10_000), 100)
    .option('--no-together', 'leave out running all kinds at once')
    .option('--no-memory-trial', 'leave out three guests that need more memory than there is for all')
    .option('--timeout <seconds>', 'the longest that one job may take', wholeNumber(1, 86_400), 900)
    .option('--json', 'print one JSON document', false)
    .action(async (flags: Flags) => {
      const options: CompareOptions = {
        kinds: flags.kinds,
        only: flags.only,
        diskMiB: flags.diskSize,
        scale: flags.scale,
        together: flags.together,
        memory: flags.memoryTrial && flags.kinds.includes('para'),
        timeout: flags.timeout,
        progress: (message) => process.stderr.write(`compare: ${message}\n`),
      };
      const results = await compare(options);
      const document = { ...results, figures: figuresOf(results) };
      process.stdout.write(flags.json ? `${JSON.stringify(document, null, 2)}\n` : comparison(results));
      const isBroken = flags.kinds.some((kind) => !results.alone.some((each) => each.kind === kind));
      if (isBroken) process.exitCode = 1;
    });
}
