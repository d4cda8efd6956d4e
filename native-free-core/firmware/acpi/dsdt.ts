// The DSDT of a PC: what an operating system is told of devices it cannot find by itself.
// Owns the namespace: PCI root, interrupt routing, ISA devices, processors, soft off.
// Never knows where tables go in memory.

import { SLEEP_TYPE_S5 } from '../../devices/acpi-pm.ts';
import { IO_APIC_BASE } from '../../devices/apic/io-apic.ts';
import { LOCAL_APIC_BASE } from '../../devices/apic/local-apic.ts';
import { HPET_BASE } from '../../devices/hpet.ts';
import { pirqOf } from '../../devices/pci/pci-bus.ts';
import {
  type Aml,
  and,
  argument,
  concat,
  device,
  dwordField,
  eisaId,
  field,
  giveBack,
  integer,
  method,
  name,
  or,
  otherwise,
  pack,
  path,
  RegionSpace,
  region,
  scope,
  store,
  string,
  when,
} from './aml.ts';
import { generationDevice } from './generation.ts';
import { dma, io, irq, memory32, pciInterrupt, resourceTemplate, window } from './resources.ts';

/** What differs between machines. */
export interface DsdtOptions {
  /** APIC ids of the processors. */
  processors: readonly number[];
  serialPorts: readonly { base: number; irq: number }[];
  parallelPorts: readonly { base: number; irq: number }[];
  /** The window for PCI memory below 4 GiB. */
  pciMemory: { first: number; last: number };
  /** Configuration space in memory. */
  ecam: { base: number; length: number };
  /** A window for PCI memory above 4 GiB, if the machine has one. */
  pciMemory64?: { first: number; last: number };
  /** Whether the guest is told when it goes on as a copy. */
  hasGeneration?: boolean;
}

const LINKS = ['LNKA', 'LNKB', 'LNKC', 'LNKD'];
const ROUTES = ['PRQA', 'PRQB', 'PRQC', 'PRQD'];
/** ISA interrupts that nothing else on this machine uses. */
const LINK_IRQS = [5, 10, 11];
/** First input of the I/O APIC that PIRQs are wired to. */
export const FIRST_PIRQ_GSI = 16;
const PCI_DEVICES = 32;

/** One table of _PRT: for each device and pin, the link device or the global interrupt. */
export function routing(target: (pirq: number) => readonly [Aml, Aml]): Aml {
  const rows: Aml[] = [];
  // Device 0 is the host bridge, which has no pins.
  for (let slot = 1; slot < PCI_DEVICES; slot++) {
    for (let pin = 1; pin <= 4; pin++) {
      rows.push(pack(integer(slot * 0x10000 + 0xffff), integer(pin - 1), ...target(pirqOf(slot, pin))));
    }
  }
  return pack(...rows);
}

/** A PCI interrupt link: where the ISA bridge routes one PIRQ when the 8259As are in use. */
function link(index: number): Aml {
  const route = path(`\\_SB.PCI0.ISA.${ROUTES[index]}`);
  return device(
    LINKS[index],
    name('_HID', eisaId('PNP0C0F')),
    name('_UID', integer(index + 1)),
    name('_PRS', resourceTemplate(pciInterrupt(...LINK_IRQS))),
    method('_STA', {}, when(and(route, integer(0x80)), giveBack(integer(0x09))), otherwise(giveBack(integer(0x0b)))),
    method('_DIS', {}, or(route, integer(0x80), route)),
    name('RES', resourceTemplate(pciInterrupt(0))),
    dwordField(path('RES'), 5, 'INT'),
    method('_CRS', {}, store(and(route, integer(0x0f)), path('INT')), giveBack(path('RES'))),
    method('_SRS', { parameters: 1, serialized: true }, dwordField(argument(0), 5, 'NEW'), store(path('NEW'), route)),
  );
}

function isaDevice(what: string, id: string, ...resources: readonly Aml[]): Aml {
  return device(what, name('_HID', eisaId(id)), name('_CRS', resourceTemplate(...resources)));
}

export function serialPort(index: number, base: number, interrupt: number): Aml {
  return device(
    `COM${index + 1}`,
    name('_HID', eisaId('PNP0501')),
    name('_UID', integer(index + 1)),
    name('_STA', integer(0x0f)),
    name('_CRS', resourceTemplate(io(base, 8), irq(interrupt))),
  );
}

function isaBridge(options: DsdtOptions): Aml {
  return device(
    'ISA',
    name('_ADR', integer(0x00010000)),
    region('ROUT', RegionSpace.pciConfig, 0x60, 4),
    field('ROUT', 1, Object.fromEntries(ROUTES.map((route) => [route, 8]))),
    isaDevice('PIC', 'PNP0000', io(0x20, 2), io(0xa0, 2), io(0x4d0, 2), irq(2)),
    isaDevice('TIMR', 'PNP0100', io(0x40, 4), irq(0)),
    isaDevice('RTC', 'PNP0B00', io(0x70, 2), irq(8)),
    isaDevice('SPKR', 'PNP0800', io(0x61, 1)),
    isaDevice('FPU', 'PNP0C04', io(0xf0, 16), irq(13)),
    isaDevice('KBD', 'PNP0303', io(0x60, 1), io(0x64, 1), irq(1)),
    isaDevice('MOU', 'PNP0F13', irq(12)),
    // Ports of the board itself: delay and POST, fast A20, SMI command, power management.
    device(
      'BORD',
      name('_HID', eisaId('PNP0C02')),
      name('_UID', integer(0)),
      name('_CRS', resourceTemplate(io(0x80, 1), io(0x92, 1), io(0xb2, 2), io(0x600, 0x40), io(0x700, 0x10))),
    ),
    isaDevice('DMAC', 'PNP0200', io(0x00, 16), io(0x81, 15), io(0xc0, 32), dma(4)),
    isaDevice('FDC0', 'PNP0700', io(0x3f0, 6), io(0x3f7, 1), irq(6), dma(2)),
    ...options.parallelPorts.map(({ base, irq: interrupt }, index) =>
      device(
        `LPT${index + 1}`,
        // An ECP; its extended ports are 400h above the others.
        name('_HID', eisaId('PNP0401')),
        name('_UID', integer(index + 1)),
        name('_CRS', resourceTemplate(io(base, 3), io(base + 0x400, 3), irq(interrupt))),
      ),
    ),
    ...options.serialPorts.map((port, index) => serialPort(index, port.base, port.irq)),
  );
}

/** A device for each processor. */
export function processorDevices(processors: readonly number[]): Aml[] {
  return processors.map((_, index) =>
    device(
      `C${index.toString(16).toUpperCase().padStart(3, '0')}`,
      name('_HID', string('ACPI0007')),
      name('_UID', integer(index)),
    ),
  );
}

/** How the machine is powered off. */
export function softOff(): Aml {
  return name('\\_S5', pack(integer(SLEEP_TYPE_S5), integer(SLEEP_TYPE_S5), integer(0), integer(0)));
}

/** The DSDT's AML, without the table header. */
export function dsdtBody(options: DsdtOptions): Aml {
  const { pciMemory, pciMemory64 } = options;
  const windows = [
    window('bus', 0, 0),
    io(0xcf8, 8),
    window('io', 0x0000, 0x0cf7),
    window('io', 0x0d00, 0xffff),
    window('memory', 0x000a0000, 0x000bffff),
    window('memory', pciMemory.first, pciMemory.last),
    ...(pciMemory64 ? [window('memory', pciMemory64.first, pciMemory64.last)] : []),
  ];
  const root = device(
    'PCI0',
    name('_HID', eisaId('PNP0A03')),
    name('_UID', integer(0)),
    name('_BBN', integer(0)),
    name('_CRS', resourceTemplate(...windows)),
    name(
      'PICR',
      routing((pirq) => [path(`\\_SB.${LINKS[pirq]}`), integer(0)]),
    ),
    name(
      'APIR',
      routing((pirq) => [integer(0), integer(FIRST_PIRQ_GSI + pirq)]),
    ),
    method('_PRT', {}, when(path('\\PICM'), giveBack(path('APIR'))), giveBack(path('PICR'))),
    isaBridge(options),
  );
  // What lies in memory and no BAR says; outside the root, whose windows leave it out.
  const memory = device(
    'MEMR',
    name('_HID', eisaId('PNP0C02')),
    name('_UID', integer(1)),
    name(
      '_CRS',
      resourceTemplate(
        memory32(options.ecam.base, options.ecam.length),
        memory32(IO_APIC_BASE, 0x1000),
        memory32(LOCAL_APIC_BASE, 0x1000),
      ),
    ),
  );
  const timers = device(
    'HPET',
    name('_HID', eisaId('PNP0103')),
    name('_UID', integer(0)),
    name('_CRS', resourceTemplate(memory32(HPET_BASE, 0x400))),
  );
  return concat(
    // The operating system tells which interrupt controllers it uses: 0 the 8259As, 1 the APICs.
    name('\\PICM', integer(0)),
    method('\\_PIC', { parameters: 1 }, store(argument(0), path('\\PICM'))),
    softOff(),
    scope(
      '\\_SB',
      ...processorDevices(options.processors),
      root,
      memory,
      timers,
      ...LINKS.map((_, index) => link(index)),
    ),
    ...(options.hasGeneration ? [generationDevice()] : []),
  );
}
