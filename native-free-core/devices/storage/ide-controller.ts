// The IDE function of the PIIX3 south bridge: two channels at the legacy ports, bus master at BAR 4.
// Owns the configuration space and its enable bits (Intel 290550, 2.3).
// Never knows a drive's commands.

import type { AccessSize, Bus, Device, InterruptLine, SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { PciCommand, PciFunction, PciRegister } from '../pci-function.ts';
import { openState } from '../saved-state.ts';
import { type IdeCableDrives, IdeChannel } from './ide-channel.ts';

const CHANNEL_PORTS = [0x1f0, 0x170] as const;
/** IDETIM: one word a channel, whose highest bit makes it decode its ports. */
const IDE_TIMING = 0x40;
const DECODE_ENABLE = 0x80;
const BUS_MASTER_BAR = 4;

export interface IdeControllerWiring {
  memory: DmaMemory;
  /** ISA interrupts 14 and 15. */
  lines: readonly [InterruptLine, InterruptLine];
}

export class IdeController implements Device {
  readonly pci: PciFunction;
  readonly channels: readonly [IdeChannel, IdeChannel];

  constructor(wiring: IdeControllerWiring, primary: IdeCableDrives, secondary: IdeCableDrives) {
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x7010,
      classCode: 0x010180,
      bars: {
        [BUS_MASTER_BAR]: {
          kind: 'io',
          size: 16,
          handler: {
            readPort: (offset, size) => this.readBusMaster(offset, size),
            writePort: (offset, size, value) => this.writeBusMaster(offset, size, value),
          },
        },
      },
    });
    for (let offset = IDE_TIMING; offset < IDE_TIMING + 5; offset++) this.pci.writable[offset] = 0xff;
    const channel = (index: 0 | 1, drives: IdeCableDrives) =>
      new IdeChannel(
        {
          memory: wiring.memory,
          line: wiring.lines[index],
          decoded: () =>
            (this.pci.command & PciCommand.io) !== 0 &&
            (this.pci.config[IDE_TIMING + 2 * index + 1] & DECODE_ENABLE) !== 0,
          busMaster: () => this.pci.busMaster,
        },
        drives,
      );
    this.channels = [channel(0, primary), channel(1, secondary)];
  }

  attach(bus: Bus): void {
    this.channels.forEach((channel, index) => {
      channel.attach(bus, CHANNEL_PORTS[index]);
    });
  }

  /** Leaves the function as firmware does: channels decoded, bus master registers at port `base`, a multiple of 16. */
  program(base: number): void {
    for (const index of [0, 1]) this.pci.config[IDE_TIMING + 2 * index + 1] |= DECODE_ENABLE;
    this.pci.assignBar(BUS_MASTER_BAR, base);
    this.pci.writeConfig(PciRegister.command, 2, PciCommand.io | PciCommand.busMaster);
  }

  /** Whether a drive waits for its medium: the state cannot be saved now. */
  get isWaiting(): boolean {
    return this.channels.some(({ drives }) => drives.some((drive) => drive?.isWaiting === true));
  }

  private readBusMaster(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      if (at < 16) value += this.channels[at >> 3].master.read(at & 7) * 2 ** (8 * i);
    }
    return value;
  }

  private writeBusMaster(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      if (at < 16) this.channels[at >> 3].master.write(at & 7, (value >>> (8 * i)) & 0xff);
    }
  }

  reset(): void {
    this.pci.reset();
    this.pci.config.fill(0, IDE_TIMING, IDE_TIMING + 5);
    for (const channel of this.channels) channel.reset();
  }

  /** Throws while a drive waits for its medium. */
  save(): SavedState {
    return { version: 1, pci: this.pci.save(), channels: this.channels.map((channel) => channel.save()) };
  }

  restore(state: SavedState): void {
    openState('IDE controller', 1, state);
    if (!Array.isArray(state.channels) || state.channels.length !== 2)
      throw new Error('the saved state of the IDE controller has no valid channels');
    this.pci.restore(state.pci as SavedState);
    this.channels.forEach((channel, index) => {
      channel.restore((state.channels as SavedState[])[index]);
    });
  }
}
