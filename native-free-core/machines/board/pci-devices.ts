// The PCI bus of a PC and the functions on it.
// Owns which there are, their places and their interrupt wiring.
// Never implements a device.

import { type AcpiPm, PM_BASE, PM_BLOCK_SIZE, SCI_IRQ } from '../../devices/acpi-pm.ts';
import type { Device } from '../../devices/device.ts';
import { HostBridge, IsaBridge } from '../../devices/pci/bridges.ts';
import { PciBus, pirqOf } from '../../devices/pci/pci-bus.ts';
import { PowerManagement } from '../../devices/pci/power-management.ts';
import { SMBUS_BLOCK_SIZE, SmbusController } from '../../devices/pci/smbus.ts';
import { Watchdog } from '../../devices/pci/watchdog.ts';
import { PciRegister } from '../../devices/pci-function.ts';
import { Ac97 } from '../../devices/sound/ac97.ts';
import { AhciController } from '../../devices/storage/ahci-controller.ts';
import { IdeController } from '../../devices/storage/ide-controller.ts';
import { Uhci } from '../../devices/usb/uhci.ts';
import { UsbTablet } from '../../devices/usb/usb-tablet.ts';
import { VirtioPci } from '../../devices/virtio/pci-transport.ts';
import { assignPciResources } from '../../firmware/bios/pci-resources.ts';
import { ECAM_WINDOW } from '../../firmware/memory-map.ts';
import { LOW_RAM_LIMIT } from '../../memory/layout.ts';
import { Display } from './display.ts';
import { ahciDrives, ideCables } from './drives.ts';
import { plugCards } from './network-cards.ts';
import { VirtioDevices } from './virtio-devices.ts';
import { numbered, type Parts, type PcWiring } from './wiring.ts';

/** Addresses that memory BARs may take. */
export const PCI_MEMORY = { first: LOW_RAM_LIMIT, last: ECAM_WINDOW.base - 1 };
/** Ports of the IDE bus master, where firmware puts them. */
const BUS_MASTER_PORTS = 0xc000;
/** Ports of the SMBus controller, where firmware puts them. */
const SMBUS_PORTS = 0x700;
/** ISA interrupts that firmware routes PIRQA to PIRQD to; IRQ 10 is left to ISA cards. */
const PIRQ_IRQS = [11, 5, 11, 5];
/** The 8259s' edge/level registers, and what is level-triggered: the above and the SCI. */
const LEVEL_PORT = 0x4d0;
const LEVEL_IRQS = (1 << 5) | (1 << 11) | (1 << SCI_IRQ);
/** Behind what net and sound cards take. */
const VIRTIO_SLOT = 0x0b;
export const AHCI_SLOT = 0x1e;
const SOUND_SLOT = 0x1b;
const VIRTIO_SLOTS = SOUND_SLOT - VIRTIO_SLOT;
const WATCHDOG_SLOT = 0x1c;
const IDE_IRQS = [14, 15] as const;

export class PciDevices {
  readonly bus: PciBus;
  private readonly ports: PcWiring['bus'];
  readonly hostBridge: HostBridge;
  readonly isaBridge: IsaBridge;
  readonly ide: IdeController;
  /** Only where something is connected to it. */
  readonly ahci: AhciController | null = null;
  readonly smbus: SmbusController;
  readonly powerManagement: PowerManagement;
  /** A paravirtualized guest has none. */
  readonly display: Display | undefined;
  private readonly cards: readonly Device[];
  readonly virtio: VirtioDevices;
  private readonly virtioFunctions: readonly VirtioPci[];
  /** Null where the guest is to have none. */
  readonly watchdog: Watchdog | null;
  readonly sound: Ac97;
  readonly usb: Uhci;
  readonly tablet: UsbTablet;

  /** `pm` holds the registers that the power management function decodes. */
  constructor(wiring: PcWiring, pm: AcpiPm) {
    const { config, bus, interrupts, clock, timers } = wiring;
    const irq = (number: number) => interrupts.irq(number);
    this.hostBridge = new HostBridge(({ base, length, ...access }) => wiring.shadow?.set(base, length, access));
    this.isaBridge = new IsaBridge({ isaInput: irq, gsiInputs: interrupts.pciInputs() });
    this.ports = bus;
    this.bus = new PciBus(bus, this.isaBridge.pirqs);
    this.bus.attach();
    this.bus.attachWindow(ECAM_WINDOW.base);
    const [primary, secondary] = ideCables(config.disks ?? [], config.cdroms ?? [], wiring.disks);
    const lines = [irq(IDE_IRQS[0]), irq(IDE_IRQS[1])] as const;
    this.ide = new IdeController({ memory: wiring.memory, lines: [...lines] }, primary, secondary);
    this.ide.attach(bus);
    this.bus.add(0, 0, this.hostBridge.pci);
    this.bus.add(1, 0, this.isaBridge.pci);
    this.bus.add(1, 1, this.ide.pci);
    const { disks = [], cdroms = [] } = config.ahci ?? {};
    if (disks.length + cdroms.length > 0) {
      const drives = ahciDrives(disks, cdroms, wiring.disks);
      this.ahci = new AhciController({ memory: wiring.memory, messages: wiring.messages }, drives);
      this.bus.add(AHCI_SLOT, 0, this.ahci.pci);
    }
    this.smbus = new SmbusController({ clock, timers, line: irq(SCI_IRQ) });
    this.powerManagement = new PowerManagement({
      pm: { registers: pm.registers, size: PM_BLOCK_SIZE },
      smbus: { registers: this.smbus.registers, size: SMBUS_BLOCK_SIZE },
    });
    this.powerManagement.attach(bus);
    this.bus.add(1, 3, this.powerManagement.pci);
    if (config.kind === 'full') {
      this.display = new Display({ clock, bus, memory: wiring.memory });
      this.bus.add(2, 0, this.display.adapter.pci);
    }
    this.cards = plugCards(wiring, this.bus);
    this.virtio = new VirtioDevices(wiring);
    this.virtioFunctions = this.virtio.all.map((device) => new VirtioPci(device, wiring.messages));
    if (this.virtioFunctions.length > VIRTIO_SLOTS)
      throw new Error(
        `A PC has at most ${VIRTIO_SLOTS} virtio devices beside cards, not ${this.virtioFunctions.length}.`,
      );
    for (const [index, { pci }] of this.virtioFunctions.entries()) this.bus.add(VIRTIO_SLOT + index, 0, pci);
    this.tablet = new UsbTablet(clock);
    this.usb = new Uhci({ clock, timers, memory: wiring.memory }, [this.tablet.plug, null]);
    this.bus.add(1, 2, this.usb.pci);
    this.sound = new Ac97({ clock, timers, memory: wiring.memory, output: wiring.audio });
    this.bus.add(SOUND_SLOT, 0, this.sound.pci);
    this.watchdog = watchdogOf(wiring);
    if (this.watchdog) this.bus.add(WATCHDOG_SLOT, 0, this.watchdog.pci);
  }

  /** Resources and routes as firmware leaves them. */
  program(): void {
    this.ide.program(BUS_MASTER_PORTS);
    this.powerManagement.program(PM_BASE, SMBUS_PORTS);
    PIRQ_IRQS.forEach((irq, index) => {
      this.isaBridge.route(index, irq);
    });
    for (const { device, pciFunction } of this.bus.list()) {
      const pin = pciFunction.interruptPin;
      if (pin > 0) pciFunction.writeConfig(PciRegister.interruptLine, 1, PIRQ_IRQS[pirqOf(device, pin)]);
    }
    assignPciResources(this.ports, PCI_MEMORY);
    this.ports.writePort(LEVEL_PORT, 1, LEVEL_IRQS & 0xff);
    this.ports.writePort(LEVEL_PORT + 1, 1, LEVEL_IRQS >> 8);
    this.display?.program();
  }

  get parts(): Parts {
    const { bus, hostBridge, isaBridge, ide, ahci, smbus, powerManagement, display, watchdog, tablet, usb, sound } =
      this;
    return {
      ...{ bus, hostBridge, isaBridge, ide, smbus, powerManagement, tablet, usb, sound },
      ...(ahci === null ? {} : { ahci }),
      ...(watchdog === null ? {} : { watchdog }),
      ...(display ? { display: display.adapter } : {}),
      ...numbered('card', this.cards),
      ...numbered('virtio', this.virtioFunctions),
    };
  }
}

/** The watchdog, with what is to come of it where the guest does not feed it. */
function watchdogOf({ config, clock, timers, onReset, onEnd }: PcWiring): Watchdog | null {
  const { watchdog = 'reset' } = config;
  if (watchdog === 'none') return null;
  const detail = 'The guest did not feed its watchdog, which powered it off.';
  const onTimeOut = { reset: onReset, poweroff: () => onEnd({ reason: 'powerOff', detail }) }[watchdog];
  return new Watchdog({ clock, timers, onReset: onTimeOut });
}
