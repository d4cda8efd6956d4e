// Appliances as front ends speak of them: guests as OVF packages, given to other virtualization programs and taken from them.
// Owns what the calls take and answer.
// Never imports more than the contract may: a browser bundles it as it is.

import { z } from 'zod';

/** What an appliance says that it is, before anything of it is taken in. */
export const ApplianceView = z.object({
  name: z.string(),
  kind: z.enum(['full', 'para']),
  memoryMiB: z.number(),
  cpus: z.number(),
  /** Bytes of each disk, and what it is connected to. */
  disks: z.array(z.object({ name: z.string(), size: z.number(), interface: z.string() })),
  nets: z.array(z.object({ network: z.string(), model: z.string() })),
  /** One sentence for each thing that the guest will not have, or have otherwise. */
  leftOut: z.array(z.string()),
});
export type ApplianceView = z.output<typeof ApplianceView>;

/** How far an export or an import is: bytes of disks. */
export const ApplianceProgress = z.object({
  /** The package. */
  file: z.string(),
  doing: z.enum(['reading', 'writing']),
  done: z.number(),
  total: z.number(),
});
export type ApplianceProgress = z.output<typeof ApplianceProgress>;

/** A guest that was written to a package. */
export const ExportedAppliance = z.object({
  file: z.string(),
  bytes: z.number(),
  /** One sentence for each thing of the guest that the package has not. */
  leftOut: z.array(z.string()),
});
export type ExportedAppliance = z.output<typeof ExportedAppliance>;
