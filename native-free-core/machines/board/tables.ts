// What a PC's firmware tells operating systems of its board.
// Owns which numbers of the machine go into the tables.
// Never encodes a table or writes guest memory.

import type { SystemCpu } from '../../cpu/system/core.ts';
import { cpuid } from '../../cpu/system/cpuid.ts';
import { ECAM_WINDOW } from '../../firmware/memory-map.ts';
import { systemTables } from '../../firmware/tables/system-tables.ts';
import { LOW_RAM_LIMIT } from '../../memory/layout.ts';
import { IO_APIC_ID } from './interrupts.ts';
import { COM1, COM2, LPT1 } from './isa-devices.ts';
import { PCI_MEMORY } from './pci-devices.ts';

/** Version of the board and of its firmware, for those who take inventories. */
const BOARD_VERSION = '1.0';
const PROCESSOR_NAME = 'Trivisor Virtual x86-64 Processor';

/** Tables of a board whose processors have the APIC ids `processors`, that of the boot processor, `cpu`, first; `uuid` tells the machine from others, `generation` its copies. */
export function boardTables(
  cpu: SystemCpu,
  ramBytes: number,
  processors: readonly number[],
  uuid: Uint8Array | undefined,
  generation?: Uint8Array | undefined,
) {
  const [signature, , , features] = cpuid(cpu, 1, 0);
  return systemTables({
    processors,
    generation,
    signature,
    features,
    ioApicId: IO_APIC_ID,
    acpi: { serialPorts: [COM1, COM2], parallelPorts: [LPT1], pciMemory: PCI_MEMORY, ecam: ECAM_WINDOW },
    smbios: {
      version: BOARD_VERSION,
      uuid,
      ramBytes,
      lowRamBytes: Math.min(ramBytes, LOW_RAM_LIMIT),
      processorName: PROCESSOR_NAME,
    },
  });
}
