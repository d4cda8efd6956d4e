// `trivisor reserve`: what guests may not take of the host.
// Owns nothing but the words.
// Never enforces it: processors are shared by the guests' threads, memory is asked about at each start.

import { type Command, InvalidArgumentError } from 'commander';
import type { HostReserve } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { visitHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson } from './output.ts';

function parseNumber(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It is a whole number.');
  return Number(text);
}

export function addReserve(program: Command): void {
  program
    .command('reserve')
    .description('show what guests may not take of this host, or set it')
    .option('--cpu <percent>', 'of the processors, while guests want all of them', parseNumber)
    .option('--memory <MiB>', 'of the memory', parseNumber)
    .action(async (flags: CommonFlags & { cpu?: number; memory?: number }) => {
      const { client, close } = await visitHome({ home: homeFolder(flags.home) });
      try {
        const now = await client.call('reserve.get');
        const wanted: HostReserve = {
          cpuPercent: flags.cpu ?? now.cpuPercent,
          memoryMiB: flags.memory ?? now.memoryMiB,
        };
        const isChange = flags.cpu !== undefined || flags.memory !== undefined;
        const reserve = isChange ? await client.call('reserve.set', wanted) : now;
        if (flags.json) printJson(reserve);
        else process.stdout.write(`${reserve.cpuPercent} % of the processors, ${reserve.memoryMiB} MiB of memory.\n`);
      } finally {
        await close();
      }
    });
}
