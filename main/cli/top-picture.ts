// What `trivisor top` shows: a line of the host, a line of its memory, and the guests, sorted, as wide and high as there is room.
// Owns the words, the order and what a key does.
// Never asks for anything, and never writes.

import type { GuestView, HostInfo, HostReserve, HostUsageField, StatsSample } from '../contract.ts';
import { table } from './output.ts';

export const sortings = ['cpu', 'hypervisor', 'steal', 'memory', 'disk', 'net', 'exits', 'name'] as const;
export type Sorting = (typeof sortings)[number];

/** A guest that is in memory, with its newest sample and the one before. */
export interface ToppedGuest {
  guest: GuestView;
  sample: StatsSample | null;
  before: StatsSample | null;
}

export interface Look {
  host: HostInfo;
  reserve: HostReserve;
  /** Figures of the last second; null while there are none. */
  usage: Record<HostUsageField, number> | null;
  guests: ToppedGuest[];
}

/** What a person has chosen with keys. */
export interface TopState {
  sorting: Sorting;
  isReversed: boolean;
  /** The first of the guests that is shown. */
  from: number;
  isHelping: boolean;
}

export const firstState = (sorting: Sorting): TopState => ({
  sorting,
  isReversed: false,
  from: 0,
  isHelping: false,
});

const keys: Readonly<Record<string, Sorting>> = {
  P: 'cpu',
  H: 'hypervisor',
  S: 'steal',
  M: 'memory',
  D: 'disk',
  N: 'net',
  E: 'exits',
  A: 'name',
};

const HELP = [
  'P  by processor time    H  hypervisor   S  steal   M  memory',
  'D  disks    N  networks    E  exits     A  name',
  'R  reverse    arrows, j, k  scroll     space  now     q  quit',
  '',
  'CPU is of one core: guest, kernel (of kind os) and hypervisor together. STEAL: the guest had something to do,',
  'and others had the processor. Any key goes back.',
].join('\n');

/** What becomes of the state by a key; `quit` ends. `rows`: guests that there are. */
export function pressed(key: string, state: TopState, rows: number): TopState | 'quit' {
  if (key === 'q' || key === 'Q' || key === '\x03') return 'quit';
  if (state.isHelping) return { ...state, isHelping: false };
  if (key === '?' || key === 'h') return { ...state, isHelping: true };
  if (key === 'R' || key === 'r') return { ...state, isReversed: !state.isReversed, from: 0 };
  const scrolled = (by: number): TopState => ({
    ...state,
    from: Math.max(0, Math.min(rows - 1, state.from + by)),
  });
  if (key === '\x1b[A' || key === 'k') return scrolled(-1);
  if (key === '\x1b[B' || key === 'j') return scrolled(1);
  const sorting = keys[key];
  return sorting === undefined ? state : { ...state, sorting, isReversed: false, from: 0 };
}

/** Per second, over the newest sample's interval. */
function rate({ sample, before }: ToppedGuest, of: (totals: StatsSample['totals']) => number): number {
  if (!sample) return 0;
  return Math.max(0, of(sample.totals) - (before ? of(before.totals) : 0)) / sample.seconds;
}

const used = ({ sample }: ToppedGuest): number =>
  sample ? sample.guestPercent + sample.kernelPercent + sample.hypervisorPercent : 0;
const diskRate = (one: ToppedGuest): number => rate(one, ({ disk }) => disk.bytesRead + disk.bytesWritten);
const netRate = (one: ToppedGuest): number => rate(one, ({ net }) => net.bytesIn + net.bytesOut);

const orders: Record<Exclude<Sorting, 'name'>, (one: ToppedGuest) => number> = {
  cpu: used,
  hypervisor: ({ sample }) => sample?.hypervisorPercent ?? 0,
  steal: ({ sample }) => sample?.stealPercent ?? 0,
  memory: ({ sample }) => sample?.residentMiB ?? 0,
  disk: diskRate,
  net: netRate,
  exits: ({ sample }) => sample?.exitsPerSecond ?? 0,
};

/** The most first; those that are equal by their names. */
export function sorted(guests: readonly ToppedGuest[], { sorting, isReversed }: TopState): ToppedGuest[] {
  const byName = (a: ToppedGuest, b: ToppedGuest): number => a.guest.settings.name.localeCompare(b.guest.settings.name);
  const order =
    sorting === 'name'
      ? byName
      : (a: ToppedGuest, b: ToppedGuest) => orders[sorting](b) - orders[sorting](a) || byName(a, b);
  const all = guests.toSorted(order);
  return isReversed ? all.reverse() : all;
}

const percent = (value: number): string => value.toFixed(1);
const mebibytes = (value: number): string => `${Math.round(value)} MiB`;
const kibibytes = (value: number): string => Math.round(value / 1024).toString();

function head({ host, reserve, usage, guests }: Look): string[] {
  const whole = 100 * host.cores;
  const bound = whole - reserve.cpuPercent * host.cores;
  const running = guests.filter(({ guest }) => guest.state === 'running').length;
  const processors = usage
    ? `${percent(usage.guest)} guests, ${percent(usage.kernel)} kernel, ${percent(usage.hypervisor + usage.process)} hypervisor, ${percent(usage.other)} others, ${percent(usage.steal)} steal; `
    : '';
  const resident = guests.reduce((sum, { sample }) => sum + (sample?.residentMiB ?? 0), 0);
  const balloons = guests.reduce((sum, { sample }) => sum + (sample?.balloonMiB ?? 0), 0);
  return [
    `Guests: ${guests.length} in memory, ${running} running`,
    `CPU %:  ${processors}${whole} are ${host.cores} cores, guests have ${bound} at most (reserve ${reserve.cpuPercent} %)`,
    `Memory: ${mebibytes(host.memoryTotalMiB)}, ${mebibytes(host.memoryFreeMiB)} free, ${mebibytes(resident)} resident in guests, ${mebibytes(balloons)} in balloons, reserve ${mebibytes(reserve.memoryMiB)}`,
  ];
}

function row(one: ToppedGuest): string[] {
  const { guest, sample } = one;
  const { name, kind, memoryMiB, cpuWeight } = guest.settings;
  const of = (value: (sample: StatsSample) => string): string => (sample ? value(sample) : '-');
  return [
    name,
    kind,
    guest.state,
    of(() => percent(used(one))),
    of(({ guestPercent }) => percent(guestPercent)),
    of(({ kernelPercent }) => percent(kernelPercent)),
    of(({ hypervisorPercent }) => percent(hypervisorPercent)),
    of(({ stealPercent }) => percent(stealPercent)),
    String(cpuWeight),
    `${of(({ residentMiB }) => String(Math.round(residentMiB)))}/${memoryMiB}`,
    of(() => kibibytes(diskRate(one))),
    of(() => kibibytes(netRate(one))),
    of(({ exitsPerSecond }) => Math.round(exitsPerSecond).toString()),
    of(({ instructionsPerSecond }) => (instructionsPerSecond / 1e6).toFixed(1)),
  ];
}

const titles = [
  ...['NAME', 'KIND', 'STATE', 'CPU', 'GUEST', 'KERNEL', 'HYPER', 'STEAL', 'WEIGHT', 'MIB', 'DISK K/S', 'NET K/S'],
  ...['EXITS/S', 'MIPS'],
];

/** All of it; of a terminal of this size what fits. */
export function picture(look: Look, state: TopState, size?: { rows: number; columns: number }): string {
  const lines = head(look);
  if (state.isHelping) return fitted([...lines, '', ...HELP.split('\n')], size);
  const guests = sorted(look.guests, state);
  if (guests.length === 0) return fitted([...lines, '', 'No guest is in memory.'], size);
  const room = size ? Math.max(1, size.rows - lines.length - 4) : guests.length;
  const shown = guests.slice(state.from, state.from + room);
  const rows = table([titles, ...shown.map(row)])
    .trimEnd()
    .split('\n');
  const order = `by ${state.sorting}${state.isReversed ? ', the least first' : ''}`;
  const beyond =
    guests.length > shown.length ? `; ${state.from + 1} to ${state.from + shown.length} of ${guests.length}` : '';
  return fitted([...lines, '', ...rows, ...(size ? [`${order}${beyond}   ? help  q quit`] : [])], size);
}

function fitted(lines: readonly string[], size?: { rows: number; columns: number }): string {
  const cut = size ? lines.slice(0, size.rows - 1).map((line) => line.slice(0, size.columns)) : lines;
  return cut.map((line) => `${line}\n`).join('');
}
