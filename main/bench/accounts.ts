// Where our engine's time went while it ran the benchmark's guest, and what its translator did.
// Owns the choice of the run that is shown, and its table for people.
// Never counts: the numbers are those of the run's report.

import { hypervisorParts } from '../../native-free-core/hypervisor/control-block.ts';
import type { Report } from '../contract.ts';
import { aligned } from './table.ts';

/** What the hypervisor's parts are called where each has a word or two. */
const PARTS: Record<(typeof hypervisorParts)[number], string> = {
  exits: 'exits',
  devices: 'devices',
  paging: 'paging',
  translation: 'decode, install',
  scheduling: 'scheduling',
};

/**
 * The report of the run that took the median time, of an even number the shorter: one run's numbers belong together, as
 * medians of each would not. Undefined where there is none.
 */
export function medianReport(reports: readonly Report[]): Report | undefined {
  const sorted = reports.toSorted((left, right) => left.wallSeconds - right.wallSeconds);
  return sorted[(sorted.length - 1) >> 1];
}

/** Where the time of a run went, row by row, and below it the translator's work. */
export function accountsTable({ wallSeconds, hypervisorSeconds, engine }: Report): string[] {
  const { interpreter, translations, translator, blocks, tlbMisses } = engine;
  const time = (seconds: number): string[] => [seconds.toFixed(3), `${((100 * seconds) / wallSeconds).toFixed(1)} %`];
  const execution = ({ seconds, instructions }: typeof interpreter): string[] => [
    ...time(seconds),
    (instructions / 1e6).toFixed(1),
    seconds > 0 ? (instructions / 1e6 / seconds).toFixed(0) : '',
  ];
  const parts = hypervisorParts.map((part) => [PARTS[part], hypervisorSeconds[part]] as const);
  const busy = parts.reduce((sum, [, seconds]) => sum + seconds, interpreter.seconds + translations.seconds);
  const { guestThread, beside } = translator.seconds;
  return [
    ...aligned([
      ['', 'seconds', 'share', 'M instr.', 'MIPS'],
      ['interpreter', ...execution(interpreter)],
      ['translations', ...execution(translations)],
      ...parts.map(([name, seconds]) => [name, ...time(seconds)]),
      // What was measured is partly extrapolated from samples: a run without idle time may come out a hair below 0.
      ['idle, start', ...time(Math.max(0, wallSeconds - busy))],
    ]),
    `translated      ${count(translator.regions)} regions in ${count(translator.modules)} modules, ${size(translator.bytes)}; ` +
      `translating took ${guestThread.toFixed(3)} s in the guest’s thread, ${beside.toFixed(3)} s beside it`,
    `of the regions  ${count(translator.installed)} installed (${size(translator.installedBytes)}), ` +
      `${count(translator.invalidated)} invalidated, ${count(translator.flushed)} flushed; ` +
      `besides, ${count(translator.discarded)} discarded, ${count(translator.waiting)} waiting`,
    `blocks          ${count(blocks.decoded)} decoded, ${count(blocks.invalidated)} invalidated, ` +
      `${count(blocks.flushes)} flushes of all; TLB misses: ${count(tlbMisses)}`,
  ];
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function size(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`;
}
