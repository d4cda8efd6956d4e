// The DSDT of a microvm: a serial port, and virtio devices behind PCI or in memory.
// Owns its namespace; there is no ISA bus, and PCI interrupts go to the I/O APIC alone.
// Never knows where tables go in memory.

import { type Aml, concat, device, eisaId, integer, name, scope, string } from './aml.ts';
import { FIRST_PIRQ_GSI, processorDevices, routing, serialPort, softOff } from './dsdt.ts';
import { generationDevice } from './generation.ts';
import { io, memory32, pciInterrupt, resourceTemplate, window } from './resources.ts';

export interface MicrovmDsdtOptions {
  /** APIC ids of the processors. */
  processors: readonly number[];
  serialPort: { base: number; irq: number };
  /** Registers of virtio devices, and the global interrupt of each. */
  virtioMmio: readonly { base: number; length: number; gsi: number }[];
  /** The window for PCI memory, where there is PCI. */
  pciMemory?: { first: number; last: number };
  /** Whether the guest is told when it goes on as a copy. */
  hasGeneration?: boolean;
}

/** The DSDT's AML, without the table header. */
export function microvmDsdtBody(options: MicrovmDsdtOptions): Aml {
  const { processors, serialPort: port, virtioMmio, pciMemory } = options;
  const virtio = virtioMmio.map(({ base, length, gsi }, index) =>
    device(
      `VR${index.toString(16).toUpperCase().padStart(2, '0')}`,
      // What Linux and others know a virtio device in memory by.
      name('_HID', string('LNRO0005')),
      name('_UID', integer(index)),
      name('_CCA', integer(1)),
      name('_CRS', resourceTemplate(memory32(base, length), pciInterrupt(gsi))),
    ),
  );
  const pci = pciMemory ? [pciRoot(pciMemory)] : [];
  return concat(
    softOff(),
    scope('\\_SB', ...processorDevices(processors), serialPort(0, port.base, port.irq), ...pci, ...virtio),
    ...(options.hasGeneration ? [generationDevice()] : []),
  );
}

function pciRoot({ first, last }: { first: number; last: number }): Aml {
  return device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_BBN', integer(0)),
    name(
      '_CRS',
      resourceTemplate(window('bus', 0, 0), io(0xcf8, 8), window('io', 0xc000, 0xffff), window('memory', first, last)),
    ),
    name(
      '_PRT',
      routing((pirq) => [integer(0), integer(FIRST_PIRQ_GSI + pirq)]),
    ),
  );
}
