// The multiprocessor tables that systems without ACPI read: processors, buses, the I/O APIC and what leads to it.
// Owns their bytes (Intel MultiProcessor Specification 1.4).
// Never knows a device: interrupts are described as the board wires them.

import { IO_APIC_BASE } from '../../devices/apic/io-apic.ts';
import { LOCAL_APIC_BASE } from '../../devices/apic/local-apic.ts';
import { pirqOf } from '../../devices/pci/pci-bus.ts';
import { ascii, concat, dword, makeSumZero, word } from './bytes.ts';

export interface MpOptions {
  /** APIC ids, that of the boot processor first. */
  processors: readonly number[];
  /** What CPUID leaf 1 gives in EAX and EDX. */
  signature: number;
  features: number;
  ioApicId: number;
}

const REVISION = 4;
const Entry = { processor: 0, bus: 1, ioApic: 2, ioInterrupt: 3, localInterrupt: 4 } as const;
const Kind = { vectored: 0, nmi: 1, external: 3 } as const;
const CONFORMS = 0x0000;
const ACTIVE_HIGH_LEVEL = 0x000d;
const ACTIVE_LOW_LEVEL = 0x000f;
const PCI_BUS = 0;
const ISA_BUS = 1;
const EVERY_APIC = 0xff;
const SCI_IRQ = 9;
const CASCADE_IRQ = 2;
const FIRST_PCI_INPUT = 16;
const PCI_SLOTS = 32;

/** The configuration table, for wherever it is put. */
export function mpConfiguration(options: MpOptions): Uint8Array {
  const { processors, signature, features, ioApicId } = options;
  const entries: (readonly number[] | Uint8Array)[] = [];
  processors.forEach((id, index) => {
    const flags = 1 | (index === 0 ? 2 : 0);
    entries.push([Entry.processor, id, 0x14, flags, ...dword(signature), ...dword(features), ...dword(0), ...dword(0)]);
  });
  entries.push(concat([Entry.bus, PCI_BUS], ascii('PCI', 6)), concat([Entry.bus, ISA_BUS], ascii('ISA', 6)));
  entries.push([Entry.ioApic, ioApicId, 0x11, 1, ...dword(IO_APIC_BASE)]);
  const interrupt = (kind: number, flags: number, bus: number, source: number, input: number) =>
    entries.push([Entry.ioInterrupt, kind, ...word(flags), bus, source, ioApicId, input]);
  for (let irq = 0; irq < 16; irq++) {
    if (irq === CASCADE_IRQ) continue;
    interrupt(Kind.vectored, irq === SCI_IRQ ? ACTIVE_HIGH_LEVEL : CONFORMS, ISA_BUS, irq, irq === 0 ? 2 : irq);
  }
  for (let slot = 1; slot < PCI_SLOTS; slot++) {
    for (let pin = 1; pin <= 4; pin++) {
      const source = (slot << 2) | (pin - 1);
      interrupt(Kind.vectored, ACTIVE_LOW_LEVEL, PCI_BUS, source, FIRST_PCI_INPUT + pirqOf(slot, pin));
    }
  }
  const local = (kind: number, input: number) =>
    entries.push([Entry.localInterrupt, kind, ...word(CONFORMS), ISA_BUS, 0, EVERY_APIC, input]);
  local(Kind.external, 0);
  local(Kind.nmi, 1);
  const body = concat(...entries);
  const table = concat(
    ascii('PCMP'),
    word(44 + body.length),
    [REVISION, 0],
    ascii('TRIVISOR', 8),
    ascii('PC', 12),
    dword(0), // no table of the board's maker
    word(0),
    word(entries.length),
    dword(LOCAL_APIC_BASE),
    word(0), // no extended entries
    [0, 0],
    body,
  );
  makeSumZero(table, 7);
  return table;
}

/** The floating pointer to a configuration table at `address`; it is to begin at a multiple of 16. */
export function mpPointer(address: number): Uint8Array {
  // Features: the table itself, and 8259As wired through LINT0 (virtual wire mode).
  const pointer = concat(ascii('_MP_'), dword(address), [1, REVISION, 0, 0, 0, 0, 0, 0]);
  makeSumZero(pointer, 10);
  return pointer;
}
