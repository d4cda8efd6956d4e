// The figures of a second that charts show, out of samples of counters and of what the operating system tells of the host.
// Owns which difference of which counters each figure is.
// Never keeps any.

import { freemem } from 'node:os';
import {
  type GuestUsageField,
  guestUsageFields,
  type HostReserve,
  type HostUsageField,
  hostUsageFields,
  type StatsSample,
} from '../contract.ts';
import { givenPart } from '../guests/accounts.ts';
import { hostMemoryMiB, hostProcessorTimes } from '../host.ts';

const MIB = 2 ** 20;

/** A sample of a guest, the one before it in the same run if there is one, and the memory that the guest was given. */
export interface GuestSecond {
  sample: StatsSample;
  before: StatsSample | undefined;
  configuredMiB: number;
}

type Totals = StatsSample['totals'];

/** In the order of the fields. */
export function guestFigures({ sample, before, configuredMiB }: GuestSecond): number[] {
  const { totals, seconds } = sample;
  /** By how much a counter grew each second. */
  const rate = (of: (totals: Totals) => number): number =>
    Math.max(0, of(totals) - (before ? of(before.totals) : 0)) / seconds;
  const none = { executed: 0, stolen: 0, waited: 0, sharing: 0 };
  const given = givenPart(before?.totals.processor ?? none, totals.processor);
  const part = (name: keyof Totals['hypervisorSeconds']): number =>
    100 * given * rate(({ hypervisorSeconds }) => hypervisorSeconds[name]);
  const figures: Omit<Record<GuestUsageField, number>, `exits.${string}`> = {
    guest: sample.guestPercent,
    kernel: sample.kernelPercent,
    exits: part('exits'),
    devices: part('devices'),
    paging: part('paging'),
    translation: part('translation'),
    scheduling: part('scheduling'),
    steal: sample.stealPercent,
    peak: sample.guestPercent + sample.kernelPercent + sample.hypervisorPercent,
    instructions: sample.instructionsPerSecond,
    configuredMiB,
    residentMiB: sample.residentMiB,
    balloonMiB: sample.balloonMiB,
    diskReads: rate(({ disk }) => disk.reads),
    diskWrites: rate(({ disk }) => disk.writes),
    diskBytesRead: rate(({ disk }) => disk.bytesRead),
    diskBytesWritten: rate(({ disk }) => disk.bytesWritten),
    diskBusy: 1000 * rate(({ disk }) => disk.seconds),
    netPacketsIn: rate(({ net }) => net.packetsIn),
    netPacketsOut: rate(({ net }) => net.packetsOut),
    netBytesIn: rate(({ net }) => net.bytesIn),
    netBytesOut: rate(({ net }) => net.bytesOut),
  };
  return guestUsageFields.map((field) =>
    field.startsWith('exits.')
      ? rate(({ exits }) => exits[field.slice('exits.'.length)] ?? 0)
      : figures[field as keyof typeof figures],
  );
}

/** What the whole host did between two looks. */
export class HostMeter {
  #processors = hostProcessorTimes();
  #own = process.cpuUsage();
  #at = performance.now();

  /** The figures since the last look, in the order of the fields, with what each guest did, and how long that was. */
  look(guests: readonly GuestSecond[], reserve: HostReserve): { seconds: number; values: number[] } {
    const before = { processors: this.#processors, own: this.#own, at: this.#at };
    this.#processors = hostProcessorTimes();
    this.#own = process.cpuUsage();
    this.#at = performance.now();
    const seconds = Math.max((this.#at - before.at) / 1000, 1e-3);
    const { cores } = this.#processors;
    const all = this.#processors.all - before.processors.all;
    const busy = all > 0 ? (100 * cores * (this.#processors.busy - before.processors.busy)) / all : 0;
    const micros = this.#own.user + this.#own.system - before.own.user - before.own.system;
    const own = micros / 1e4 / seconds;
    const sum = (of: (second: GuestSecond) => number): number => guests.reduce((total, one) => total + of(one), 0);
    const index = (field: GuestUsageField): number => guestUsageFields.indexOf(field);
    const figures = guests.map(guestFigures);
    const total = (field: GuestUsageField): number => figures.reduce((sum, each) => sum + each[index(field)]!, 0);
    const ofGuests = sum(({ sample }) => sample.guestPercent + sample.kernelPercent + sample.hypervisorPercent);
    const host: Record<HostUsageField, number> = {
      guest: total('guest'),
      kernel: total('kernel'),
      hypervisor: sum(({ sample }) => sample.hypervisorPercent),
      steal: total('steal'),
      process: Math.max(0, own - ofGuests),
      other: Math.max(0, busy - own),
      peak: Math.max(busy, ofGuests),
      cores: 100 * cores,
      reserve: cores * reserve.cpuPercent,
      guests: guests.length,
      totalMiB: hostMemoryMiB(),
      freeMiB: freemem() / MIB,
      residentMiB: total('residentMiB'),
      configuredMiB: total('configuredMiB'),
      balloonMiB: total('balloonMiB'),
      reserveMiB: reserve.memoryMiB,
      diskBytesRead: total('diskBytesRead'),
      diskBytesWritten: total('diskBytesWritten'),
      netBytesIn: total('netBytesIn'),
      netBytesOut: total('netBytesOut'),
    };
    return { seconds, values: hostUsageFields.map((field) => host[field]) };
  }
}
