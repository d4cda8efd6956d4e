// All tables that firmware leaves in memory for operating systems: ACPI, SMBIOS, MP and PCI interrupt routing.
// Owns where each is between E0000h and F03FFh; what must be found by a search of the BIOS's segment is in its first KiB.
// Never writes guest memory: it gives pieces, each with its address.

import { GENERATION_ADDRESS } from '../acpi/generation.ts';
import { type AcpiOptions, buildAcpiTables } from '../acpi/tables.ts';
import { type MpOptions, mpConfiguration, mpPointer } from './mp-table.ts';
import { pirTable } from './pir-table.ts';
import { type SmbiosOptions, smbiosEntryPoint, smbiosStructures } from './smbios.ts';

/** Bodies that anchors lead to, behind the ACPI tables. */
const BODIES = { first: 0xe8000, end: GENERATION_ADDRESS };
/** Anchors: tables that are found by a search of F0000h to FFFFFh. The firmware's code begins behind them. */
export const ANCHORS = { first: 0xf0000, end: 0xf0400 } as const;
/** ISA interrupts that PCI interrupts may be routed to. */
export const PCI_IRQS: readonly number[] = [5, 10, 11];

export interface TablesOptions {
  acpi: Omit<AcpiOptions, 'base' | 'limit' | 'ioApicId' | 'processors'>;
  smbios: Omit<SmbiosOptions, 'processors' | 'signature' | 'features'>;
  /** APIC ids, that of the boot processor first. */
  processors: readonly number[];
  ioApicId: MpOptions['ioApicId'];
  signature: number;
  features: number;
  /** The guest's generation, where it is told one. */
  generation?: Uint8Array | undefined;
}

export interface PlacedBytes {
  address: number;
  bytes: Uint8Array;
}

/** Builds all tables. Throws a RangeError if they do not fit their places. */
export function systemTables(options: TablesOptions): { rsdp: number; pieces: readonly PlacedBytes[] } {
  const { processors, ioApicId, signature, features } = options;
  const { generation } = options;
  const acpi = buildAcpiTables({ ...options.acpi, processors, ioApicId, hasGeneration: generation !== undefined });
  const pieces: PlacedBytes[] = [{ address: acpi.address, bytes: acpi.bytes }];
  if (generation) pieces.push({ address: GENERATION_ADDRESS, bytes: generation });
  const placer = (range: { first: number; end: number }) => {
    let next = range.first;
    return (bytes: Uint8Array): number => {
      const address = next;
      next = (next + bytes.length + 15) & ~15;
      if (next > range.end) throw new RangeError(`firmware tables do not fit 0x${range.end.toString(16)}`);
      pieces.push({ address, bytes });
      return address;
    };
  };
  const body = placer(BODIES);
  const anchor = placer(ANCHORS);
  anchor(pirTable(PCI_IRQS));
  anchor(mpPointer(body(mpConfiguration({ processors, ioApicId, signature, features }))));
  const structures = smbiosStructures({ ...options.smbios, processors: processors.length, signature, features });
  anchor(smbiosEntryPoint(body(structures.bytes), structures));
  return { rsdp: acpi.rsdp, pieces };
}
