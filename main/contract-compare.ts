// A comparison of the kinds of guests as front ends see it: what is to be done, how far it is, what it came to.
// Owns these shapes.
// Never measures.

import { z } from 'zod';

/** Jobs in the order they are done. */
export const comparedJobs = ['boot', 'cpu', 'processes', 'write', 'read', 'random', 'network', 'idle'] as const;
export const comparedKinds = ['full', 'para', 'os'] as const;

const kind = z.enum(comparedKinds);
const job = z.enum(comparedJobs);

/** What one job took in a guest of one kind. */
export const ComparedRow = z.object({
  kind,
  job,
  /** By the host's clock; of the guest's own; of the shared kernel, for kind os; of the hypervisor. */
  wallSeconds: z.number(),
  guestSeconds: z.number(),
  kernelSeconds: z.number(),
  hypervisorSeconds: z.number(),
  /** The hypervisor's part of guest's and hypervisor's seconds, 0 to 1. */
  hypervisorShare: z.number(),
  exits: z.number(),
  residentMiB: z.number(),
});
export type ComparedRow = z.output<typeof ComparedRow>;

export const CompareState = z.object({
  isRunning: z.boolean(),
  /** What is being done, in a few words; empty: nothing. */
  doing: z.string(),
  /** One guest after the other; all at once. */
  alone: z.array(ComparedRow),
  together: z.array(ComparedRow),
  /** What could not be measured, and why. */
  missing: z.array(z.object({ kind, job, reason: z.string() })),
  /** One sentence why the comparison did not come to its end; else null. */
  problem: z.string().nullable(),
});
export type CompareState = z.output<typeof CompareState>;

export const CompareWish = z.strictObject({
  kinds: z
    .array(kind)
    .min(1, 'must name a kind')
    .default([...comparedKinds]),
  /** Jobs behind the boot; none: all. */
  jobs: z.array(job).default([]),
  /** Per cent of the usual work, and MiB of the disk. */
  scale: z.int().min(1).max(1000).default(100),
  diskMiB: z.int().min(1).max(65_536).default(256),
  together: z.boolean().default(true),
});
export type CompareWish = z.output<typeof CompareWish>;
