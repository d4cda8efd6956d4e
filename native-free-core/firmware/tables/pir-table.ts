// The PCI interrupt routing table ($PIR) that systems without ACPI read to route PCI interrupts.
// Owns its bytes (Microsoft, PCI IRQ Routing Table Specification 1.0).
// Never routes anything: the ISA bridge's registers do.

import { pirqOf } from '../../devices/pci/pci-bus.ts';
import { ascii, concat, littleEndian, makeSumZero } from './bytes.ts';

/** Link values are the routing registers of the ISA bridge, as its drivers expect. */
const FIRST_LINK = 0x60;
const ISA_BRIDGE = { address: (1 << 3) | 0, id: 0x7000_8086 };
const FIRST_SLOT = 1;
const LAST_SLOT = 31;
const HEADER_BYTES = 32;
const ENTRY_BYTES = 16;

const mapOf = (irqs: readonly number[]) => irqs.reduce((map, irq) => map | (1 << irq), 0);

/** The table for PCI interrupts that may be routed to the ISA interrupts `irqs`. It is to begin at a multiple of 16 from F0000h on. */
export function pirTable(irqs: readonly number[]): Uint8Array {
  const map = littleEndian(mapOf(irqs), 2);
  const entries: number[][] = [];
  for (let slot = FIRST_SLOT; slot <= LAST_SLOT; slot++) {
    const links = [1, 2, 3, 4].flatMap((pin) => [FIRST_LINK + pirqOf(slot, pin), ...map]);
    // Slot number 0 is a device on the board.
    entries.push([0, slot << 3, ...links, slot === ISA_BRIDGE.address >> 3 ? 0 : slot, 0]);
  }
  const table = concat(
    ascii('$PIR'),
    littleEndian(0x0100, 2),
    littleEndian(HEADER_BYTES + entries.length * ENTRY_BYTES, 2),
    [0, ISA_BRIDGE.address],
    littleEndian(0, 2), // no interrupt is PCI's alone
    littleEndian(ISA_BRIDGE.id, 4),
    littleEndian(0, 4),
    new Uint8Array(11),
    [0],
    ...entries,
  );
  makeSumZero(table, HEADER_BYTES - 1);
  return table;
}
