// The table of what the guest scheduler came to, for people.
// Owns the words and the bounds that figures are held against.
// Never measures.

import { aligned } from '../table.ts';
import type { SchedulerResults } from './scheduler-bench.ts';

/** What the scheduler is to keep: parts, percentage points, milliseconds. */
const bounds = { share: 0.02, reserve: 1, cost: 0.005, key: 50 } as const;

const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
const held = (isHeld: boolean): string => (isHeld ? '' : 'more than it should be');

/** Most that a guest's share differs from what it was to have, as a part of that. */
export function worstShare({ guests }: Pick<SchedulerResults, 'guests'>): number {
  return Math.max(...guests.map(({ share, fair }) => Math.abs(share / fair - 1)));
}

/** Whether all figures are within their bounds. */
export function isHeld(results: SchedulerResults): boolean {
  return (
    worstShare(results) <= bounds.share &&
    results.reserves.every(({ asked, left }) => left >= asked - bounds.reserve) &&
    results.cost <= bounds.cost &&
    results.keys.every(({ busy }) => busy.p99 <= bounds.key)
  );
}

export function schedulerTable(results: SchedulerResults): string {
  const { host, guests, reserves, cost, keys, seconds } = results;
  const worst = worstShare(results);
  return [
    `${host.processor}, ${host.cores} cores, Node ${host.node}`,
    '',
    `Guests with more to do than there is time, ${seconds} s of processor time`,
    ...aligned([
      ['kind', 'weight', 'share', 'by weight', 'difference'],
      ...guests.map(({ kind, weight, share, fair }) => [
        kind,
        String(weight),
        percent(share),
        percent(fair),
        percent(share / fair - 1),
      ]),
    ]),
    `largest difference ${percent(worst)}, bound ${percent(bounds.share)} ${held(worst <= bounds.share)}`.trimEnd(),
    '',
    'Left unused of the processor time that the host gave',
    ...aligned([
      ['reserve', 'left', ''],
      ...reserves.map(({ asked, left }) => [
        `${asked} %`,
        `${left.toFixed(2)} %`,
        left >= asked - bounds.reserve ? '' : 'less than it should be',
      ]),
    ]),
    '',
    `The scheduler’s own cost: ${percent(cost)} of the guests’ processor time, bound ${percent(bounds.cost)} ${held(cost <= bounds.cost)}`.trimEnd(),
    '',
    `From a key to its picture, milliseconds; bound ${bounds.key} beside three busy guests`,
    ...aligned([
      ['kind', 'alone, median', '99 %', 'beside three busy ones, median', '99 %', ''],
      ...keys.map(({ kind, alone, busy }) => [
        kind,
        ...[alone.median, alone.p99, busy.median, busy.p99].map((value) => value.toFixed(1)),
        held(busy.p99 <= bounds.key),
      ]),
    ]),
    '',
  ].join('\n');
}
