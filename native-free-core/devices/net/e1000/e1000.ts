// The Intel 82540EM, a gigabit card (8086:100E): registers, interrupts, EEPROM.
// Owns the register file and the wiring of its parts (Intel 317453: PCI/PCI-X Family of Gigabit Ethernet Controllers).
// Never knows what its port leads to.

import type { Clock } from '../../../host.ts';
import type { AccessSize, Device, SavedState, Timer, Timers } from '../../device.ts';
import type { DmaMemory } from '../../dma.ts';
import type { NetworkCard, PacketPort } from '../../packets.ts';
import { PciFunction } from '../../pci-function.ts';
import { openState } from '../../saved-state.ts';
import { SerialEeprom } from '../serial-eeprom.ts';
import { Phy } from './phy.ts';
import { Receiver } from './receiver.ts';
import {
  Cause,
  Control,
  EepromControl,
  EepromRead,
  R,
  RAH_VALID,
  REGISTER_BYTES,
  REGISTERS_END,
  ReceiveControl,
  RegisterFile,
  STATISTICS,
  Status,
} from './registers.ts';
import { Statistics } from './statistics.ts';
import { Transmitter } from './transmitter.ts';

const VENDOR = 0x8086;
const DEVICE = 0x100e;
const SUBSYSTEM = 0x001e;
/** What the EEPROM's words add up to (Intel 317453, 5.6.35). */
const EEPROM_SUM = 0xbaba;
/** Nanoseconds a tick of the throttling register. */
const THROTTLE_TICK = 256;
/** Frames taken from the port before the guest executes again. */
const RECEIVE_BATCH = 512;
const IO_ADDRESS = 0;
const IO_DATA = 4;

/** Bits of registers that are plain storage: what is written is read. Rings lie on 16 bytes, their lengths are of 128. */
const STORED: Readonly<Record<number, number>> = {
  [R.extendedControl]: 0xffffffff,
  [R.flowAddressLow]: 0xffffffff,
  [R.flowAddressHigh]: 0xffff,
  [R.flowType]: 0xffff,
  [R.vlanType]: 0xffff,
  [R.flowTimer]: 0xffff,
  [R.transmitGap]: 0x3fffffff,
  [R.interframeSpacing]: 0xffff,
  [R.led]: 0xffffffff,
  [R.packetBuffer]: 0x7f,
  [R.flowLow]: 0xffff,
  [R.flowHigh]: 0xffff,
  [R.rxBaseLow]: 0xfffffff0,
  [R.rxBaseHigh]: 0xffffffff,
  [R.rxLength]: 0xfff80,
  [R.rxHead]: 0xffff,
  [R.rxDelay]: 0xffff,
  [R.rxDescriptorControl]: 0xffffffff,
  [R.rxAbsoluteDelay]: 0xffff,
  [R.rxSmallPacket]: 0xfff,
  [R.txDmaControl]: 0xffffffff,
  [R.txBaseLow]: 0xfffffff0,
  [R.txBaseHigh]: 0xffffffff,
  [R.txLength]: 0xfff80,
  [R.txHead]: 0xffff,
  [R.txDelay]: 0xffff,
  [R.txDescriptorControl]: 0xffffffff,
  [R.txAbsoluteDelay]: 0xffff,
  [R.txSegmentation]: 0xffffffff,
  [R.rxChecksum]: 0x7ff,
  [R.wakeControl]: 0xffffffff,
  [R.wakeFilter]: 0xffffffff,
  [R.management]: 0xffffffff,
};
const TABLES = [
  { first: R.multicastTable, last: 0x53fc },
  { first: R.addresses, last: 0x547c },
  { first: R.vlanTable, last: 0x57fc },
] as const;
/** The mask register is `maskSet`; both addresses of it read the same. */
const MASK = R.maskSet;

export interface E1000Options {
  clock: Clock;
  timers: Timers;
  memory: DmaMemory;
  port: PacketPort;
  /** The six bytes of its address. */
  address: Uint8Array;
}

export class E1000 implements Device, NetworkCard {
  readonly pci: PciFunction;
  private readonly clock: Clock;
  private readonly port: PacketPort;
  private readonly registers = new RegisterFile();
  private readonly eeprom = new SerialEeprom();
  private readonly phy: Phy;
  private readonly statistics = new Statistics();
  private readonly transmitter: Transmitter;
  private readonly receiver: Receiver;
  /** Holds an interrupt back (ITR). */
  private readonly throttle: Timer;
  private asserted = false;
  /** Guest nanoseconds before which no interrupt is asserted. */
  private quietUntil = 0;
  private ioAddress = 0;
  /** The frame that waits has been counted as one that found no buffer. */
  private starved = false;

  constructor(options: E1000Options) {
    this.clock = options.clock;
    this.port = options.port;
    this.throttle = options.timers.create(() => this.updateInterrupt());
    const handler = {
      readMmio: (offset: number, size: AccessSize) => this.read(offset, size),
      writeMmio: (offset: number, size: AccessSize, value: number) => this.write(offset, size, value),
    };
    this.pci = new PciFunction({
      vendor: VENDOR,
      device: DEVICE,
      classCode: 0x020000,
      revision: 2,
      subsystemVendor: VENDOR,
      subsystem: SUBSYSTEM,
      interruptPin: 1,
      bars: {
        0: { kind: 'memory', size: REGISTER_BYTES, handler },
        2: {
          kind: 'io',
          size: 64,
          handler: {
            readPort: (offset, size) => this.readIo(offset, size),
            writePort: (offset, size, value) => this.writeIo(offset, size, value),
          },
        },
      },
    });
    const { registers } = this;
    const enabled = (): boolean => this.pci.busMaster;
    this.phy = new Phy({
      cable: () => this.port.isUp,
      onLink: () => {
        this.updateLink();
        this.raise(Cause.link);
      },
    });
    this.receiver = new Receiver({ memory: options.memory, registers, enabled });
    this.transmitter = new Transmitter({
      memory: options.memory,
      registers,
      enabled,
      send: (frame) => this.send(frame),
      onReport: () => this.raise(Cause.txWritten),
      onEmpty: () => this.raise(Cause.txEmpty),
      onSegmented: () => this.statistics.segmented(),
    });
    this.fillEeprom(options.address);
    this.resetCard();
  }

  private fillEeprom(address: Uint8Array): void {
    const { words } = this.eeprom;
    words.fill(0);
    for (let i = 0; i < 3; i++) words[i] = address[2 * i] | (address[2 * i + 1] << 8);
    words[0x0a] = 0x4408;
    words[0x0b] = SUBSYSTEM;
    words[0x0c] = VENDOR;
    words[0x0d] = DEVICE;
    words[0x0e] = VENDOR;
    words[0x0f] = 0x3040;
    let sum = 0;
    for (let i = 0; i < 0x3f; i++) sum += words[i];
    words[0x3f] = EEPROM_SUM - sum;
  }

  /** Takes what waits at the port, goes on sending, looks at the link. */
  poll(): void {
    this.phy.poll();
    this.transmitter.run();
    for (let taken = 0; taken < RECEIVE_BATCH; taken++) {
      const frame = this.port.next();
      if (frame === undefined || !this.receive(frame)) return;
      this.port.advance();
    }
  }

  /** False if the frame has to wait for room. */
  private receive(frame: Uint8Array): boolean {
    // While the guest has the receiver off, frames are lost, as on a cable.
    switch (this.receiver.receive(frame)) {
      case 'noRoom':
        if (!this.starved) this.statistics.noBuffers();
        this.starved = true;
        return false;
      case 'tooLong':
        this.statistics.tooLong();
        return true;
      case 'taken':
        this.starved = false;
        this.statistics.received(frame);
        this.raise(Cause.rxTimer | (this.receiver.isLow ? Cause.rxLow : 0));
        return true;
      default:
        return true;
    }
  }

  private send(frame: Uint8Array): boolean {
    const loopback = this.phy.loopback || this.registers.has(R.receiveControl, ReceiveControl.loopback);
    // A frame that came back and finds no room is lost: waiting for room that the same guest makes would never end.
    if (loopback) this.receive(frame);
    else if (!this.port.send(frame)) return false;
    this.statistics.sent(frame);
    return true;
  }

  private updateLink(): void {
    const { registers } = this;
    const isUp = this.phy.linkUp && registers.has(R.control, Control.setLinkUp);
    const fixed = Status.fullDuplex | Status.speed1000 | Status.detected1000;
    registers.set(R.status, fixed | (isUp ? Status.linkUp : 0));
  }

  private raise(cause: number): void {
    const { registers } = this;
    registers.set(R.cause, registers.get(R.cause) | cause);
    this.updateInterrupt();
  }

  private updateInterrupt(): void {
    const { registers } = this;
    const wanted = (registers.get(R.cause) & registers.get(MASK)) !== 0;
    if (wanted === this.asserted) return;
    if (wanted) {
      const now = this.clock.now();
      if (now < this.quietUntil) {
        this.throttle.arm(this.quietUntil);
        return;
      }
      this.quietUntil = now + registers.get(R.throttle) * THROTTLE_TICK;
    }
    this.asserted = wanted;
    this.pci.interrupt.set(wanted);
  }

  private read(offset: number, size: AccessSize): number {
    const value = this.readRegister(offset & ~3);
    if (size === 4) return value;
    return size === 2 ? (value >>> (8 * (offset & 2))) & 0xffff : (value >>> (8 * (offset & 3))) & 0xff;
  }

  private readRegister(register: number): number {
    const { registers } = this;
    if (register >= STATISTICS.first && register <= STATISTICS.last) return this.statistics.read(register);
    if (register >= REGISTERS_END) return 0;
    switch (register) {
      case R.cause: {
        const cause = registers.get(R.cause);
        registers.set(R.cause, 0);
        this.updateInterrupt();
        return cause;
      }
      case R.causeSet:
      case R.maskClear:
        return register === R.maskClear ? registers.get(MASK) : 0;
      case R.eepromControl:
        return (
          registers.get(R.eepromControl) | EepromControl.present | (this.eeprom.dataOut ? EepromControl.dataOut : 0)
        );
      default:
        return registers.get(register);
    }
  }

  private write(offset: number, size: AccessSize, value: number): void {
    // Registers take whole words only (Intel 317453, 13.2): what narrower writes do is not defined; here, nothing.
    if (size === 4 && (offset & 3) === 0) this.writeRegister(offset, value);
  }

  private writeRegister(register: number, value: number): void {
    const { registers } = this;
    if (TABLES.some(({ first, last }) => register >= first && register <= last)) {
      registers.set(register, value);
      return;
    }
    const stored = STORED[register];
    if (stored !== undefined) {
      registers.set(register, value & stored);
      return;
    }
    switch (register) {
      case R.control:
        this.writeControl(value);
        return;
      case R.eepromControl: {
        const { clock, select, dataIn, request, grant } = EepromControl;
        const granted = (value & request) !== 0 ? grant : 0;
        registers.set(register, (value & (clock | select | dataIn | request)) | granted);
        this.eeprom.drive((value & select) !== 0, (value & clock) !== 0, (value & dataIn) !== 0);
        return;
      }
      case R.eepromRead:
        if ((value & EepromRead.start) !== 0) {
          const word = this.eeprom.words[(value >>> 8) & 0x3f];
          registers.set(register, (word * 0x10000 + (value & 0xff00) + EepromRead.done) >>> 0);
        }
        return;
      case R.mdi: {
        const { register: result, interrupt } = this.phy.access(value);
        registers.set(register, result);
        if (interrupt) this.raise(Cause.mdi);
        return;
      }
      case R.cause:
        registers.set(R.cause, registers.get(R.cause) & ~value);
        this.updateInterrupt();
        return;
      case R.causeSet:
        this.raise(value & Cause.all);
        return;
      case R.throttle:
        registers.set(register, value & 0xffff);
        return;
      case R.maskSet:
        registers.set(MASK, registers.get(MASK) | (value & Cause.all));
        this.updateInterrupt();
        return;
      case R.maskClear:
        registers.set(MASK, registers.get(MASK) & ~value);
        this.updateInterrupt();
        return;
      case R.receiveControl:
        registers.set(register, value);
        this.poll();
        return;
      case R.rxTail:
        registers.set(register, value & 0xffff);
        return;
      case R.transmitControl:
        registers.set(register, value);
        this.transmitter.run();
        return;
      case R.txTail:
        registers.set(register, value & 0xffff);
        this.transmitter.run();
    }
  }

  private writeControl(value: number): void {
    if ((value & Control.reset) !== 0) {
      this.resetCard();
      return;
    }
    if (value >= Control.phyReset) this.phy.reset();
    const wasUp = this.registers.get(R.status);
    this.registers.set(R.control, value & (Control.phyReset - 1));
    this.updateLink();
    if (this.registers.get(R.status) !== wasUp) this.raise(Cause.link);
  }

  private readIo(offset: number, size: AccessSize): number {
    if (offset >= IO_DATA) return offset < 8 ? this.read(this.ioAddress + (offset & 3), size) : 0;
    const value = this.ioAddress >>> (8 * (offset & 3));
    return size === 4 ? this.ioAddress : value & (size === 2 ? 0xffff : 0xff);
  }

  private writeIo(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    if (offset === IO_ADDRESS) this.ioAddress = value < REGISTER_BYTES ? value & ~3 : 0;
    else if (offset === IO_DATA) this.writeRegister(this.ioAddress, value);
  }

  reset(): void {
    this.pci.reset();
    this.ioAddress = 0;
    this.eeprom.reset();
    this.phy.reset();
    this.resetCard();
  }

  /** What CTRL.RST does; the transceiver stays as it is. */
  private resetCard(): void {
    const { registers } = this;
    registers.words.fill(0);
    this.statistics.reset();
    this.transmitter.reset();
    this.throttle.cancel();
    this.quietUntil = 0;
    registers.set(R.control, Control.setLinkUp | Control.speed1000 | 1);
    registers.set(R.vlanType, 0x8100);
    registers.set(R.led, 0x07068302);
    registers.set(R.packetBuffer, 0x00100030);
    registers.set(R.transmitGap, 0x00602008);
    registers.set(R.rxChecksum, 0);
    registers.set(R.extendedControl, 0);
    const { words } = this.eeprom;
    registers.set(R.addresses, (words[0] | (words[1] << 16)) >>> 0);
    registers.set(R.addresses + 4, words[2] + RAH_VALID);
    this.updateLink();
    this.updateInterrupt();
  }

  save(): SavedState {
    return {
      version: 1,
      pci: this.pci.save(),
      registers: Array.from(this.registers.words),
      statistics: Array.from(this.statistics.words),
      eeprom: this.eeprom.save(),
      phy: this.phy.save(),
      transmitter: this.transmitter.save(),
      asserted: this.asserted,
      quietUntil: this.quietUntil,
      ioAddress: this.ioAddress,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('e1000', 1, state);
    const words = reader.integers('registers', 0, 0xffffffff, this.registers.words.length);
    const statistics = reader.integers('statistics', 0, 0xffffffff, this.statistics.words.length);
    const fields = {
      asserted: reader.boolean('asserted'),
      quietUntil: reader.number('quietUntil'),
      ioAddress: reader.integer('ioAddress', 0, REGISTER_BYTES - 4) & ~3,
    };
    this.pci.restore(state.pci as SavedState);
    this.eeprom.restore(state.eeprom as SavedState);
    this.phy.restore(state.phy as SavedState);
    this.transmitter.restore(state.transmitter as SavedState);
    this.registers.words.set(words);
    this.statistics.words.set(statistics);
    Object.assign(this, fields);
    this.throttle.cancel();
    this.updateInterrupt();
  }
}
