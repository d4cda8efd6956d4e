// One IDE channel: its legacy ports, the two drives on its cable, their interrupt line and its bus master.
// Owns which drive is selected, device control, and when a transfer and the bus master meet.
// Never knows what kind of drive is on the cable.

import { floatingValue } from '../bus.ts';
import type { AccessSize, Bus, InterruptLine, PortHandler, SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { openState } from '../saved-state.ts';
import type { AtaDrive } from './ata-drive.ts';
import { AtaControl, AtaDevice, AtaRegister, AtaStatus } from './ata-registers.ts';
import { BusMaster } from './bus-master.ts';

/** Device 0 and device 1, which boards call master and slave. */
export type IdeCableDrives = readonly [AtaDrive | null, AtaDrive | null];

export interface IdeChannelWiring {
  memory: DmaMemory;
  /** ISA interrupt 14 or 15. */
  line: InterruptLine;
  /** Whether the PCI function decodes the channel's ports. */
  decoded(): boolean;
  /** Whether it may master the bus. */
  busMaster(): boolean;
}

export class IdeChannel implements PortHandler {
  readonly master: BusMaster;
  readonly drives: IdeCableDrives;
  private readonly wiring: IdeChannelWiring;
  private control = 0;
  private second = false;
  private base = 0;

  constructor(wiring: IdeChannelWiring, drives: IdeCableDrives) {
    this.wiring = wiring;
    this.drives = drives;
    this.master = new BusMaster({
      memory: wiring.memory,
      enabled: () => wiring.busMaster(),
      onStart: () => this.meet(),
      onStop: () => this.selected?.stopDma(),
    });
    for (const drive of drives) {
      drive?.connect({
        interruptChanged: () => this.updateInterrupt(),
        dmaRequested: () => this.meet(),
        dmaToHost: (bytes) => this.master.toMemory(bytes),
        dmaFromHost: (into) => this.master.fromMemory(into),
        dmaFinished: () => this.master.finished(),
        // The host reads and writes the data port itself.
        blockOpened: () => {},
      });
    }
  }

  /** Claims the command block from `base` and the control register at `base + 206h`. */
  attach(bus: Bus, base: number): void {
    this.base = base;
    bus.claimPorts(base, base + 7, this);
    bus.claimPorts(base + 0x206, base + 0x206, this);
  }

  private get selected(): AtaDrive | null {
    return this.drives[this.second ? 1 : 0];
  }

  private get isEmpty(): boolean {
    return this.drives[0] === null && this.drives[1] === null;
  }

  /** Lets a drive that waits for DMA and a bus master that was started begin. */
  private meet(): void {
    const drive = this.selected;
    if (drive?.wantsDma === true && this.master.running) drive.continueDma();
  }

  private asserted = false;

  private updateInterrupt(): void {
    const asserted = (this.control & AtaControl.noInterrupt) === 0 && this.selected?.interrupting === true;
    if (asserted === this.asserted) return;
    this.asserted = asserted;
    if (asserted) this.master.interrupted();
    this.wiring.line.set(asserted);
  }

  readPort(port: number, size: AccessSize): number {
    // A cable with no drive, and a channel that is off, float.
    if (this.isEmpty || !this.wiring.decoded()) return floatingValue(size);
    const register = port - this.base;
    if (register === AtaRegister.data) return this.selected?.readData(size) ?? 0;
    let value = 0;
    for (let i = 0; i < size; i++) value += this.readRegister(register + i) * 2 ** (8 * i);
    return value;
  }

  private readRegister(register: number): number {
    const drive = this.selected;
    // Device 0 answers for a device 1 that is not there, and has nothing to tell (ATA/ATAPI-6, 9.16.1).
    if (drive === null) return 0;
    switch (register) {
      case AtaRegister.command: {
        const { status } = drive;
        drive.acknowledge();
        return status;
      }
      case 0x206:
        return drive.status;
      case AtaRegister.features:
        return drive.error;
      case AtaRegister.device:
        return drive.task.device | 0xa0;
      default:
        if (register > AtaRegister.command) return 0xff;
        // While busy every register of the command block reads as the status (ATA/ATAPI-6, 7.15).
        if ((drive.status & AtaStatus.busy) !== 0) return drive.status;
        return drive.task.read(register, (this.control & AtaControl.highOrder) !== 0);
    }
  }

  writePort(port: number, size: AccessSize, value: number): void {
    if (this.isEmpty || !this.wiring.decoded()) return;
    const register = port - this.base;
    if (register === AtaRegister.data) this.selected?.writeData(size, value);
    else for (let i = 0; i < size; i++) this.writeRegister(register + i, (value >>> (8 * i)) & 0xff);
  }

  private writeRegister(register: number, value: number): void {
    if (register === 0x206) {
      this.writeControl(value);
      return;
    }
    if (register > AtaRegister.command) return;
    // Any write to the command block turns the register window back to the latest contents.
    this.control &= ~AtaControl.highOrder;
    if (register === AtaRegister.command) {
      this.command(value);
      return;
    }
    if (register === AtaRegister.device) this.second = (value & AtaDevice.second) !== 0;
    // Both drives take what is written, unless they are at work.
    for (const drive of this.drives) {
      if (drive !== null && (drive.status & (AtaStatus.busy | AtaStatus.request)) === 0)
        drive.task.write(register, value);
    }
    if (register === AtaRegister.device) this.updateInterrupt();
  }

  private command(value: number): void {
    // EXECUTE DEVICE DIAGNOSTIC is for both, whichever is selected; device 0 answers.
    if (value === 0x90) this.diagnose();
    else this.selected?.command(value);
  }

  private diagnose(): void {
    for (const drive of this.drives) drive?.softReset();
    this.second = false;
    const first = this.drives[0];
    if (first !== null) {
      first.interrupting = true;
      this.updateInterrupt();
    }
  }

  private writeControl(value: number): void {
    const before = this.control;
    this.control = value & (AtaControl.highOrder | AtaControl.softReset | AtaControl.noInterrupt);
    if ((value & AtaControl.softReset) !== 0) {
      for (const drive of this.drives) {
        drive?.softReset();
        if (drive !== null) drive.status = AtaStatus.busy;
      }
      this.second = false;
    } else if ((before & AtaControl.softReset) !== 0) {
      for (const drive of this.drives) drive?.softReset();
    }
    this.updateInterrupt();
  }

  reset(): void {
    this.control = 0;
    this.second = false;
    this.master.reset();
    for (const drive of this.drives) drive?.reset();
    this.updateInterrupt();
  }

  save(): SavedState {
    return {
      version: 1,
      control: this.control,
      second: this.second,
      master: this.master.save(),
      drives: this.drives.map((drive) => drive?.save() ?? null),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('IDE channel', 1, state);
    const saved = state.drives;
    if (
      !Array.isArray(saved) ||
      saved.length !== 2 ||
      saved.some((one, i) => (one === null) !== (this.drives[i] === null))
    )
      throw new Error('the saved state of the IDE channel is of other drives');
    this.control = reader.byte('control');
    this.second = reader.boolean('second');
    this.master.restore(state.master as SavedState);
    this.drives.forEach((drive, index) => {
      drive?.restore(saved[index] as SavedState);
    });
    this.updateInterrupt();
    this.meet();
  }
}
