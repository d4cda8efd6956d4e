// `trivisor top`: what each guest in memory takes of this host, live.
// Owns the table and its pace, which is that of the samples.
// Never measures: it shows the contract's counters.

import type { Command } from 'commander';
import type { Client, GuestView, HostInfo, StatsSample } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { visitHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson, table } from './output.ts';

/** Milliseconds between two looks: that of the samples. */
const PACE = 1000;

/** Moves to the upper left and clears what follows: a picture drawn over the last one does not flicker. */
const HOME = '\x1b[H\x1b[J';

interface Look {
  host: HostInfo;
  guests: { guest: GuestView; sample: StatsSample | null }[];
}

export function addTop(program: Command): void {
  program
    .command('top')
    .description('show what guests take of this host: live on a terminal, once otherwise')
    .action(async (flags: CommonFlags) => {
      const { client, close } = await visitHome({ home: homeFolder(flags.home) });
      try {
        await top(client, flags.json === true);
      } finally {
        await close();
      }
    });
}

async function top(client: Client, json: boolean): Promise<void> {
  const samples = new Map<string, StatsSample>();
  client.on('guest.counters', ({ id, sample }) => samples.set(id, sample));
  const look = async (): Promise<Look> => {
    const [host, all] = await Promise.all([client.call('host.info'), client.call('guests.list')]);
    const present = all.filter(({ state }) => state !== 'off');
    return { host, guests: present.map((guest) => ({ guest, sample: samples.get(guest.id) ?? null })) };
  };
  const first = await look();
  // A guest that has just started has no sample yet; the next one is at most a second away.
  if (first.guests.length > 0) await pause(PACE + 100);
  if (json || process.stdout.isTTY !== true) {
    const { host, guests } = await look();
    if (json) printJson({ host, guests });
    else process.stdout.write(picture({ host, guests }));
    return;
  }
  const left = Promise.withResolvers<'left'>();
  client.onClose(() => left.resolve('left'));
  process.once('SIGINT', () => left.resolve('left'));
  process.once('SIGTERM', () => left.resolve('left'));
  do process.stdout.write(HOME + picture(await look()));
  while ((await Promise.race([left.promise, pause(PACE)])) !== 'left');
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function picture({ host, guests }: Look): string {
  const used = guests.reduce((sum, { sample }) => sum + (sample?.residentMiB ?? 0), 0);
  const head = `${host.cores} cores, ${host.memoryTotalMiB} MiB: ${host.memoryFreeMiB} free, ${Math.round(used)} resident in guests\n`;
  const rows = guests.map(({ guest: { settings, state }, sample }) => [
    settings.name,
    settings.kind,
    state,
    percent(sample && sample.guestPercent + sample.kernelPercent + sample.hypervisorPercent),
    percent(sample && hypervisorShare(sample)),
    `${sample ? Math.round(sample.residentMiB) : '-'}/${settings.memoryMiB} MiB`,
    sample ? Math.round(sample.exitsPerSecond).toString() : '-',
    sample ? (sample.instructionsPerSecond / 1e6).toFixed(1) : '-',
  ]);
  return head + table([['NAME', 'KIND', 'STATE', 'CPU', 'HYPERVISOR', 'MEMORY', 'EXITS/S', 'MIPS'], ...rows]);
}

/** Hypervisor time of the time the guest was busy, in percent. */
function hypervisorShare({ guestPercent, kernelPercent, hypervisorPercent }: StatsSample): number {
  const busy = guestPercent + kernelPercent + hypervisorPercent;
  return busy > 0 ? (100 * hypervisorPercent) / busy : 0;
}

function percent(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(1)} %`;
}
