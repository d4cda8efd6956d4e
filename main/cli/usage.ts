// `trivisor usage`: what a guest or the host used, as it was written down: ten minutes, a day, a month.
// Owns the table.
// Never measures: it shows the contract's figures.

import { type Command, InvalidArgumentError, Option } from 'commander';
import { type GuestUsage, type HostUsage, type UsageRange, usageRangeNames } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { visitHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson, table, tell } from './output.ts';

interface Flags extends CommonFlags {
  range: UsageRange;
  points: number;
}

function parsePoints(text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new InvalidArgumentError('It is a whole number from 1.');
  return Number(text);
}

export function addUsage(program: Command): void {
  program
    .command('usage')
    .description('show what a guest used, or without one the host: processors, memory, disks, networks')
    .argument('[guest]', 'name or id')
    .addOption(new Option('--range <range>', 'how far back').choices(usageRangeNames).default('10min'))
    .option('--points <n>', 'print the last so many points', parsePoints, 20)
    .action(async (guest: string | undefined, { range, points, json, home }: Flags) => {
      const { client, close } = await visitHome({ home: homeFolder(home) });
      try {
        if (guest === undefined) {
          const usage = await client.call('usage.host', { range });
          show(usage, json, () => hostRows(usage, points));
        } else {
          const usage = await client.call('usage.guest', { guest, range });
          show(usage, json, () => guestRows(usage, points));
        }
      } finally {
        await close();
      }
    });
}

function show(usage: GuestUsage | HostUsage, json: boolean | undefined, rows: () => string[][]): void {
  if (json) printJson(usage);
  else if (usage.at.length === 0) tell('Nothing was measured in that time.');
  else process.stdout.write(table(rows()));
}

const percent = (value: number): string => `${value.toFixed(1)} %`;
const mebibytes = (value: number): string => `${Math.round(value)} MiB`;
const kibibytes = (value: number): string => (value / 1024).toFixed(value < 10_240 ? 1 : 0);

/** A point's time in the host's own time zone. */
function time(at: number, step: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}${step < 60 ? `:${two(date.getSeconds())}` : ''}`;
}

/** The last points, each as a row of what `cells` makes of a reader of columns. */
function rows<Field extends string>(
  usage: { step: number; at: number[]; values: Record<Field, number[]> },
  points: number,
  cells: (of: (field: Field) => number) => string[],
): string[][] {
  const from = Math.max(0, usage.at.length - points);
  return usage.at
    .slice(from)
    .map((at, index) => [time(at, usage.step), ...cells((field) => usage.values[field][from + index]!)]);
}

function guestRows(usage: GuestUsage, points: number): string[][] {
  const parts = ['exits', 'devices', 'paging', 'translation', 'scheduling'] as const;
  return [
    ['TIME', 'GUEST', 'KERNEL', 'HYPERVISOR', 'STEAL', 'MEMORY', 'BALLOON', 'DISK KiB/s', 'DISK ms', 'NET KiB/s'],
    ...rows(usage, points, (of) => {
      const requests = of('diskReads') + of('diskWrites');
      return [
        percent(of('guest')),
        percent(of('kernel')),
        percent(parts.reduce((sum, part) => sum + of(part), 0)),
        percent(of('steal')),
        mebibytes(of('residentMiB')),
        mebibytes(of('balloonMiB')),
        kibibytes(of('diskBytesRead') + of('diskBytesWritten')),
        requests > 0 ? (of('diskBusy') / requests).toFixed(2) : '-',
        kibibytes(of('netBytesIn') + of('netBytesOut')),
      ];
    }),
  ];
}

function hostRows(usage: HostUsage, points: number): string[][] {
  return [
    ['TIME', 'GUESTS', 'GUEST', 'KERNEL', 'HYPERVISOR', 'STEAL', 'OTHER', 'FREE MEMORY', 'DISK KiB/s', 'NET KiB/s'],
    ...rows(usage, points, (of) => [
      of('guests').toFixed(of('guests') % 1 === 0 ? 0 : 1),
      percent(of('guest')),
      percent(of('kernel')),
      percent(of('hypervisor') + of('process')),
      percent(of('steal')),
      percent(of('other')),
      mebibytes(of('freeMiB')),
      kibibytes(of('diskBytesRead') + of('diskBytesWritten')),
      kibibytes(of('netBytesIn') + of('netBytesOut')),
    ]),
  ];
}
