// NE2000 cards: the one for the ISA bus, and the RTL8029 (10EC:8029), which is one on the PCI bus.
// Owns where the ports are.
// Never knows what its port leads to.

import type { AccessSize, Bus, Device, InterruptLine, SavedState } from '../device.ts';
import type { NetworkCard, PacketPort } from '../packets.ts';
import { PciFunction } from '../pci-function.ts';
import { openState } from '../saved-state.ts';
import { Dp8390, PORTS } from './dp8390.ts';

const ISA_MEMORY = 16 * 1024;
const PCI_MEMORY = 32 * 1024;

export interface Ne2000Options {
  port: PacketPort;
  /** The six bytes of its address. */
  address: Uint8Array;
}

/** The ISA card. */
export class Ne2000Isa implements Device, NetworkCard {
  private readonly chip: Dp8390;

  constructor(options: Ne2000Options & { line: InterruptLine }) {
    this.chip = new Dp8390({ ...options, memoryBytes: ISA_MEMORY, isRealtek: false });
  }

  /** Claims 32 ports from `base` on. */
  attach(bus: Bus, base: number): void {
    bus.claimPorts(base, base + PORTS - 1, {
      readPort: (port: number, size: AccessSize) => this.chip.read(port - base, size),
      writePort: (port: number, size: AccessSize, value: number) => this.chip.write(port - base, size, value),
    });
  }

  poll(): void {
    this.chip.poll();
  }

  reset(): void {
    this.chip.powerOn();
  }

  save(): SavedState {
    return this.chip.save();
  }

  restore(state: SavedState): void {
    this.chip.restore(state);
  }
}

/** The PCI card. */
export class Ne2000Pci implements Device, NetworkCard {
  readonly pci: PciFunction;
  private readonly chip: Dp8390;

  constructor(options: Ne2000Options) {
    this.pci = new PciFunction({
      vendor: 0x10ec,
      device: 0x8029,
      classCode: 0x020000,
      subsystemVendor: 0x10ec,
      subsystem: 0x8029,
      interruptPin: 1,
      bars: {
        0: {
          kind: 'io',
          size: PORTS,
          handler: {
            readPort: (offset, size) => this.chip.read(offset, size),
            writePort: (offset, size, value) => this.chip.write(offset, size, value),
          },
        },
      },
    });
    this.chip = new Dp8390({ ...options, line: this.pci.interrupt, memoryBytes: PCI_MEMORY, isRealtek: true });
  }

  poll(): void {
    this.chip.poll();
  }

  reset(): void {
    this.pci.reset();
    this.chip.powerOn();
  }

  save(): SavedState {
    return { version: 1, pci: this.pci.save(), chip: this.chip.save() };
  }

  restore(state: SavedState): void {
    openState('RTL8029', 1, state);
    this.pci.restore(state.pci as SavedState);
    this.chip.restore(state.chip as SavedState);
  }
}
