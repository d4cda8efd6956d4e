// What guests and the host used, as it is kept: which figures, how long, and how they travel.
// Owns the names and their order, which the inventory's rows are written in.
// Never knows where a figure comes from.

import { z } from 'zod';

/** How long figures are kept, and how fine: seconds in all, and of one point. */
export const usageRanges = {
  '10min': { span: 600, step: 1 },
  '24h': { span: 86_400, step: 120 },
  '30d': { span: 30 * 86_400, step: 3600 },
} as const;
export type UsageRange = keyof typeof usageRanges;
export const usageRangeNames = Object.keys(usageRanges) as [UsageRange, ...UsageRange[]];

/** Exits of the charts; the order of the hypervisor's own list. */
const exitFields = [
  'exits.portIo',
  'exits.mmio',
  'exits.hypercall',
  'exits.msr',
  'exits.cpuid',
  'exits.controlRegister',
  'exits.descriptorTable',
  'exits.hlt',
  'exits.interrupt',
  'exits.exception',
] as const;

/**
 * Of a guest. Times are per cent of one host core: `guest` and `kernel` (the shared one's, of kind os), the hypervisor's parts,
 * `steal` (it wanted to execute and had no processor), `peak` (the most of all but `steal` in a second). Memory is in MiB,
 * everything else is per second; `diskBusy` is milliseconds in which requests were under way, each counted by itself.
 * Rows of the inventory are in this order: append, never reorder.
 */
export const guestUsageFields = [
  'guest',
  'kernel',
  'exits',
  'devices',
  'paging',
  'translation',
  'scheduling',
  'steal',
  'peak',
  'instructions',
  'configuredMiB',
  'residentMiB',
  'balloonMiB',
  'diskReads',
  'diskWrites',
  'diskBytesRead',
  'diskBytesWritten',
  'diskBusy',
  'netPacketsIn',
  'netPacketsOut',
  'netBytesIn',
  'netBytesOut',
  ...exitFields,
] as const;
export type GuestUsageField = (typeof guestUsageFields)[number];

/**
 * Of the host. Times are per cent of one core: of all guests together as above (`hypervisor`: all its parts), `process` (this
 * process beside its guests' threads), `other` (everything else on the host), `peak` (the most of all but `steal` in a
 * second), `cores` (100 for each), `reserve` (what guests leave while they want everything). Memory is in MiB, everything else per
 * second. The same order rules.
 */
export const hostUsageFields = [
  'guest',
  'kernel',
  'hypervisor',
  'steal',
  'process',
  'other',
  'peak',
  'cores',
  'reserve',
  'guests',
  'totalMiB',
  'freeMiB',
  'residentMiB',
  'configuredMiB',
  'balloonMiB',
  'reserveMiB',
  'diskBytesRead',
  'diskBytesWritten',
  'netBytesIn',
  'netBytesOut',
] as const;
export type HostUsageField = (typeof hostUsageFields)[number];

/** Fields of which a coarser point keeps the most of the finer ones; of all others it keeps the mean. */
export const peakFields: ReadonlySet<string> = new Set(['peak']);

function columns<Field extends string>(fields: readonly Field[]) {
  const column = z.array(z.number());
  return z.object({
    /** Seconds of one point, and of all. */
    step: z.number(),
    span: z.number(),
    /** The host's clock when it was asked: milliseconds since the epoch. */
    now: z.number(),
    /** When each point begins, the oldest first. Where nothing was measured there is none. */
    at: column,
    /** How many of its seconds each point was measured for. */
    seconds: column,
    /** A column of each field, as long as `at`. */
    values: z.object(Object.fromEntries(fields.map((field) => [field, column])) as Record<Field, typeof column>),
  });
}

export const GuestUsage = columns(guestUsageFields);
export type GuestUsage = z.output<typeof GuestUsage>;
export const HostUsage = columns(hostUsageFields);
export type HostUsage = z.output<typeof HostUsage>;

/** Which points: those that begin at `since` (milliseconds since the epoch) or later. */
export const usageQuery = z.strictObject({
  range: z.enum(usageRangeNames).default('10min'),
  since: z.number().min(0).default(0),
});
