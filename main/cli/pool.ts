// `trivisor pool`: memory of the running guests with balloons, and what they may have together.
// Owns the table.
// Never divides memory: it shows and sets what the contract's pool says.

import { type Command, InvalidArgumentError } from 'commander';
import type { MemoryPoolView } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { visitHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson, table } from './output.ts';

/** MiB, or null for `auto`. */
function parseBudget(text: string): number | null {
  if (text === 'auto') return null;
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('It is a number of MiB, or auto.');
  return Number(text);
}

export function addPool(program: Command): void {
  program
    .command('pool')
    .description('show the memory that running guests with balloons share, or set how much they may have together')
    .option('--memory-budget <MiB>', 'memory that they may have; auto: as follows from the host’s', parseBudget)
    .action(async (flags: CommonFlags & { memoryBudget?: number | null }) => {
      const { client, close } = await visitHome({ home: homeFolder(flags.home) });
      try {
        const { memoryBudget: budgetMiB } = flags;
        const view = await (budgetMiB === undefined ? client.call('pool.get') : client.call('pool.set', { budgetMiB }));
        if (flags.json) printJson(view);
        else process.stdout.write(picture(view));
      } finally {
        await close();
      }
    });
}

const number = (value: number | null): string => (value === null ? '-' : String(Math.round(value)));

function picture({ budgetMiB, isBudgetOwn, shortageMiB, guests }: MemoryPoolView): string {
  const had = guests.reduce((sum, { actualMiB }) => sum + actualMiB, 0);
  const origin = isBudgetOwn ? '' : ', by the host’s memory';
  const head = `Budget: ${number(budgetMiB)} MiB${origin}; guests have ${number(had)} MiB.\n`;
  const short = shortageMiB > 0 ? `What guests keep in any case is ${number(shortageMiB)} MiB more than that.\n` : '';
  if (guests.length === 0) return `${head}No running guest has a balloon.\n`;
  const rows = guests.map((guest) => [
    guest.name,
    number(guest.minimumMiB),
    number(guest.maximumMiB),
    number(guest.usedMiB),
    number(guest.demandMiB),
    number(guest.actualMiB),
    number(guest.targetMiB),
  ]);
  return head + short + table([['NAME', 'LEAST', 'MOST', 'USES', 'WANTS', 'HAS', 'TARGET'], ...rows]);
}
