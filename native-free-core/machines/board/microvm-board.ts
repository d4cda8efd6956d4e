// The board of a microvm: a serial port, power management, and virtio devices over PCI or over MMIO.
// Owns which there are, their places and their interrupts, and the tables that tell of them.
// Never implements a device.

import { AcpiPm, PM_BASE, PM_BLOCK_SIZE, SCI_IRQ } from '../../devices/acpi-pm.ts';
import { Uart } from '../../devices/legacy/uart.ts';
import { SharedLine } from '../../devices/lines.ts';
import { HostBridge } from '../../devices/pci/bridges.ts';
import { PciBus } from '../../devices/pci/pci-bus.ts';
import { VIRTIO_MMIO_BYTES, VirtioMmio } from '../../devices/virtio/mmio-transport.ts';
import { VirtioPci } from '../../devices/virtio/pci-transport.ts';
import { GENERATION_ADDRESS } from '../../firmware/acpi/generation.ts';
import { microvmDsdtBody } from '../../firmware/acpi/microvm-dsdt.ts';
import { BootArchitecture, layAcpiTables } from '../../firmware/acpi/tables.ts';
import { assignPciResources } from '../../firmware/bios/pci-resources.ts';
import { ECAM_WINDOW } from '../../firmware/memory-map.ts';
import type { FirmwareTables } from '../machine.ts';
import { IO_APIC_ID } from './interrupts.ts';
import { COM1 } from './isa-devices.ts';
import { virtioNet } from './network-cards.ts';
import { PCI_MEMORY } from './pci-devices.ts';
import { VirtioDevices } from './virtio-devices.ts';
import { type BoardWiring, numbered, type Parts } from './wiring.ts';

/** Where registers of virtio devices lie, a page each, and the first input of the I/O APIC that they share. */
const MMIO = { base: 0xd000_0000, step: 0x1000, firstGsi: 16 } as const;
/** Device 0 is the host bridge. */
const FIRST_SLOT = 1;
const SLOTS = 31;

export class MicrovmBoard {
  readonly com1: Uart;
  readonly pm: AcpiPm;
  readonly virtio: VirtioDevices;
  readonly parts: Parts;
  private readonly wiring: BoardWiring;
  private readonly hasPci: boolean;
  private readonly virtioMmio: { base: number; length: number; gsi: number }[] = [];

  constructor(wiring: BoardWiring) {
    const { config, clock, timers, bus, interrupts } = wiring;
    this.wiring = wiring;
    this.hasPci = config.virtioTransport !== 'mmio';
    this.com1 = new Uart({ clock, timers, line: interrupts.irq(COM1.irq), output: (byte) => wiring.onSerial(byte) });
    this.com1.attach(bus, COM1.base);
    this.pm = new AcpiPm({
      clock,
      timers,
      line: interrupts.irq(SCI_IRQ),
      onPowerOff: () => wiring.onEnd({ reason: 'powerOff', detail: 'The guest powered off.' }),
      onReset: () => wiring.onReset(),
    });
    this.pm.attach(bus);
    const { registers } = this.pm;
    bus.claimPorts(PM_BASE, PM_BASE + PM_BLOCK_SIZE - 1, {
      readPort: (port, size) => registers.readPort(port - PM_BASE, size),
      writePort: (port, size, value) => registers.writePort(port - PM_BASE, size, value),
    });
    this.virtio = new VirtioDevices(wiring);
    const nets = (config.nets ?? []).map((net) => virtioNet(wiring, net));
    for (const net of nets) wiring.network.add(net);
    const devices = [...this.virtio.all, ...nets];
    if (devices.length > SLOTS) throw new Error(`A guest has at most ${SLOTS} virtio devices, not ${devices.length}.`);
    const plugged = this.hasPci
      ? this.plugPci(devices.map((device) => new VirtioPci(device, wiring.messages)))
      : this.plugMmio(devices);
    this.parts = { com1: this.com1, pm: this.pm, ...plugged };
  }

  private plugPci(functions: readonly VirtioPci[]): Parts {
    const { bus, interrupts } = this.wiring;
    const pci = new PciBus(bus, interrupts.pciInputs());
    pci.attach();
    pci.attachWindow(ECAM_WINDOW.base);
    const bridge = new HostBridge();
    pci.add(0, 0, bridge.pci);
    for (const [index, virtio] of functions.entries()) pci.add(FIRST_SLOT + index, 0, virtio.pci);
    return { pci, bridge, ...numbered('virtio', functions) };
  }

  /** Devices share the inputs that PCI would have, in turn. */
  private plugMmio(devices: VirtioDevices['all']): Parts {
    const { bus, interrupts } = this.wiring;
    const lines = interrupts.pciInputs().map((line) => new SharedLine(line));
    const plugged = devices.map((device, index) => {
      const input = index % lines.length;
      const registers = new VirtioMmio(device, lines[input].input());
      const base = MMIO.base + index * MMIO.step;
      registers.attach(bus, base);
      this.virtioMmio.push({ base, length: VIRTIO_MMIO_BYTES, gsi: MMIO.firstGsi + input });
      return registers;
    });
    return numbered('virtio', plugged);
  }

  /** Gives PCI functions their addresses, as firmware would. */
  program(): void {
    if (this.hasPci) assignPciResources(this.wiring.bus, { first: PCI_MEMORY.first, last: MMIO.base - 1 });
  }

  /** What a kernel is told of a machine whose processors have these APIC ids. */
  tables(processors: readonly number[]): FirmwareTables {
    const { virtioMmio } = this;
    const { generation } = this.wiring.config;
    const hasGeneration = generation !== undefined;
    const pci = this.hasPci ? { pciMemory: { first: PCI_MEMORY.first, last: MMIO.base - 1 } } : {};
    const { address, bytes, rsdp } = layAcpiTables({
      dsdt: microvmDsdtBody({ processors, serialPort: COM1, virtioMmio, hasGeneration, ...pci }),
      processors,
      ioApicId: IO_APIC_ID,
      hasHpet: false,
      bootArchitecture: BootArchitecture.bare,
      ...(this.hasPci ? { ecam: ECAM_WINDOW } : {}),
    });
    const own = generation ? [{ address: GENERATION_ADDRESS, bytes: generation }] : [];
    return { rsdp, pieces: [{ address, bytes }, ...own] };
  }
}
