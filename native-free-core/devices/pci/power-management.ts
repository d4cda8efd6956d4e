// The power management function of the PIIX4 south bridge: where the ACPI registers and the SMBus host controller are.
// Owns its configuration space and which ports those two blocks are decoded at.
// Never knows what a register of theirs does.

import { ClaimOverlapError } from '../bus.ts';
import type { Bus, Device, PortHandler, SavedState } from '../device.ts';
import { PciFunction, PciRegister } from '../pci-function.ts';
import { openState } from '../saved-state.ts';

/** Configuration registers (Intel 290562, 7.1). */
const PM_BASE = 0x40;
const COUNT_A = 0x44;
const PM_MISC = 0x80;
const SMBUS_BASE = 0x90;
/** Device activity B (PIIX4 datasheet 290562): writes to the APM control port raise SMI. */
const DEVACTB = 0x58;
const DEVACTB_APMC_ENABLE = 0x02;
const SMBUS_HOST_CONFIG = 0xd2;
const SMBUS_REVISION = 0xd6;
const IO_SPACE_INDICATOR = 0x01;

interface Block {
  readonly registers: PortHandler;
  readonly size: number;
  /** Configuration registers that give its base and enable it. */
  readonly baseAt: number;
  readonly enableAt: number;
  /** Where it is claimed now. */
  base: number | undefined;
}

export interface PowerManagementWiring {
  /** Handlers that are called with offsets from the start of their block. */
  pm: { registers: PortHandler; size: number };
  smbus: { registers: PortHandler; size: number };
}

/** 8086:7113, an Intel 82371AB function 3. */
export class PowerManagement implements Device {
  readonly pci: PciFunction;
  private readonly blocks: readonly Block[];
  private bus: Bus | undefined;

  constructor({ pm, smbus }: PowerManagementWiring) {
    this.blocks = [
      { ...pm, baseAt: PM_BASE, enableAt: PM_MISC, base: undefined },
      { ...smbus, baseAt: SMBUS_BASE, enableAt: SMBUS_HOST_CONFIG, base: undefined },
    ];
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x7113,
      classCode: 0x068000,
      revision: 3,
      onConfigWrite: () => this.place(),
    });
    const { writable } = this.pci;
    for (const { baseAt, size } of this.blocks) {
      writable[baseAt] = -size & 0xff;
      writable[baseAt + 1] = 0xff;
    }
    // Counters, device activity, device resources: stored for firmware, since nothing is monitored or trapped here.
    for (let offset = COUNT_A; offset < PM_MISC; offset++) writable[offset] = 0xff;
    writable[PM_MISC] = 0x01;
    for (let offset = SMBUS_HOST_CONFIG; offset < SMBUS_REVISION; offset++) writable[offset] = 0xff;
    writable[SMBUS_HOST_CONFIG] = 0x0f;
    this.reset();
  }

  attach(bus: Bus): void {
    this.bus = bus;
    this.place();
  }

  /** Leaves the function as firmware does: both blocks decoded at their ports, the SCI told as interrupt 9. */
  program(pmBase: number, smbusBase: number): void {
    const { pci } = this;
    [pmBase, smbusBase].forEach((base, index) => {
      const { baseAt, enableAt } = this.blocks[index];
      pci.writeConfig(baseAt, 2, base);
      // Interrupts of the SMBus go where the SCI goes.
      pci.writeConfig(enableAt, 1, enableAt === SMBUS_HOST_CONFIG ? 0x09 : 0x01);
    });
    pci.writeConfig(PciRegister.interruptLine, 1, 9);
  }

  /** Claims the blocks where the configuration says, and gives up where they were. */
  private place(): void {
    const { bus, pci } = this;
    if (bus === undefined) return;
    for (const block of this.blocks) {
      const word = pci.config[block.baseAt] | (pci.config[block.baseAt + 1] << 8);
      const base = word & ~IO_SPACE_INDICATOR;
      const wanted = (pci.config[block.enableAt] & 1) !== 0 && base !== 0 ? base : undefined;
      if (wanted === block.base) continue;
      if (block.base !== undefined) bus.releasePorts(block.base, block.base + block.size - 1);
      block.base = undefined;
      if (wanted !== undefined) this.claim(bus, block, wanted);
    }
  }

  private claim(bus: Bus, block: Block, base: number): void {
    const { registers } = block;
    try {
      bus.claimPorts(base, base + block.size - 1, {
        readPort: (port, size) => registers.readPort(port - base, size),
        writePort: (port, size, value) => registers.writePort(port - base, size, value),
      });
    } catch (error) {
      // A guest may place it over another device; what answers then is undefined, here the device that was first.
      if (error instanceof ClaimOverlapError) return;
      throw error;
    }
    block.base = base;
  }

  /** After reset nothing is decoded. */
  reset(): void {
    this.pci.reset();
    const { config } = this.pci;
    config.fill(0, PM_BASE, 0x100);
    for (const { baseAt } of this.blocks) config[baseAt] = IO_SPACE_INDICATOR;
    // There is no system management mode: firmware finds its requests enabled, and waits for no answer to them.
    config[DEVACTB + 3] = DEVACTB_APMC_ENABLE;
    // The pin is that of the SMBus's interrupt; it is not wired to a PIRQ but to IRQ 9.
    config[PciRegister.interruptPin] = 1;
    this.place();
  }

  save(): SavedState {
    return { version: 1, pci: this.pci.save() };
  }

  restore(state: SavedState): void {
    openState('power management function', 1, state);
    this.pci.restore(state.pci as SavedState);
    this.place();
  }
}
