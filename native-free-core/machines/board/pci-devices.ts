// The PCI bus of a PC and the functions on it.
// Owns which there are, their places and their interrupt wiring.
// Never implements a device.

import { type AcpiPm, PM_BASE, PM_BLOCK_SIZE, SCI_IRQ } from '../../devices/acpi-pm.ts';
import { HostBridge, IsaBridge } from '../../devices/pci/bridges.ts';
import { PciBus } from '../../devices/pci/pci-bus.ts';
import { PowerManagement } from '../../devices/pci/power-management.ts';
import { SMBUS_BLOCK_SIZE, SmbusController } from '../../devices/pci/smbus.ts';
import { IdeController } from '../../devices/storage/ide-controller.ts';
import { ECAM_WINDOW } from '../../firmware/memory-map.ts';
import { LOW_RAM_LIMIT } from '../../memory/layout.ts';
import { ideCables } from './drives.ts';
import type { BoardWiring } from './wiring.ts';

/** Addresses that memory BARs may take. */
export const PCI_MEMORY = { first: LOW_RAM_LIMIT, last: ECAM_WINDOW.base - 1 };
/** Ports of the IDE bus master, where firmware puts them. */
const BUS_MASTER_PORTS = 0xc000;
/** Ports of the SMBus controller, where firmware puts them. */
const SMBUS_PORTS = 0x700;
const IDE_IRQS = [14, 15] as const;

export class PciDevices {
  readonly bus: PciBus;
  readonly hostBridge = new HostBridge();
  readonly isaBridge: IsaBridge;
  readonly ide: IdeController;
  readonly smbus: SmbusController;
  readonly powerManagement: PowerManagement;

  /** `pm` holds the registers that the power management function decodes. */
  constructor(wiring: BoardWiring, pm: AcpiPm) {
    const { config, bus, interrupts, clock, timers } = wiring;
    const irq = (number: number) => interrupts.irq(number);
    this.isaBridge = new IsaBridge({ isaInput: irq, gsiInputs: interrupts.pciInputs() });
    this.bus = new PciBus(bus, this.isaBridge.pirqs);
    this.bus.attach();
    this.bus.attachWindow(ECAM_WINDOW.base);
    if (config.ahci && config.ahci.disks.length + config.ahci.cdroms.length > 0)
      throw new Error('A guest has no AHCI controller yet: connect its disks with if=ide.');
    const [primary, secondary] = ideCables(config.disks ?? [], config.cdroms ?? [], wiring.disks);
    const lines = [irq(IDE_IRQS[0]), irq(IDE_IRQS[1])] as const;
    this.ide = new IdeController({ memory: wiring.memory, lines: [...lines] }, primary, secondary);
    this.ide.attach(bus);
    this.bus.add(0, 0, this.hostBridge.pci);
    this.bus.add(1, 0, this.isaBridge.pci);
    this.bus.add(1, 1, this.ide.pci);
    this.smbus = new SmbusController({ clock, timers, line: irq(SCI_IRQ) });
    this.powerManagement = new PowerManagement({
      pm: { registers: pm.registers, size: PM_BLOCK_SIZE },
      smbus: { registers: this.smbus.registers, size: SMBUS_BLOCK_SIZE },
    });
    this.powerManagement.attach(bus);
    this.bus.add(1, 3, this.powerManagement.pci);
  }

  /** Resources as firmware leaves them before a kernel that is loaded directly. */
  program(): void {
    this.ide.program(BUS_MASTER_PORTS);
    this.powerManagement.program(PM_BASE, SMBUS_PORTS);
  }

  get resettable(): { reset(): void }[] {
    return [this.bus, this.hostBridge, this.isaBridge, this.ide, this.smbus, this.powerManagement];
  }
}
