// The Realtek RTL8139C and RTL8139C+ (10EC:8139): the older one's buffers, the newer one's descriptors beside them.
// Owns the registers, the receive ring, the four transmit slots and the timer (Realtek RTL8139C(L) datasheet 1.4,
// RTL8139C(L)+ datasheet 1.6).
// Never knows what its port leads to.

import type { Clock } from '../../../host.ts';
import type { AccessSize, Device, SavedState, Timer, Timers } from '../../device.ts';
import type { DmaMemory } from '../../dma.ts';
import {
  CRC_BYTES,
  FRAME_MAX,
  FRAME_MIN,
  frameCheck,
  isBroadcast,
  isFor,
  multicastBit,
  type NetworkCard,
  type PacketPort,
} from '../../packets.ts';
import { PciFunction } from '../../pci-function.ts';
import { openState } from '../../saved-state.ts';
import { ticksAt, timeOfTick } from '../../timers.ts';
import { SerialEeprom } from '../serial-eeprom.ts';
import { Descriptors, type FrameKind } from './descriptors.ts';
import {
  Cause,
  Command,
  EepromMode,
  PhyControl,
  PlusCommand,
  Poll,
  R,
  REGISTER_BYTES,
  RegisterImage,
  RxConfig,
  TALLY_DUMP,
  TxConfig,
  TxStatus,
} from './registers.ts';
import { Tally } from './tally.ts';

const VENDOR = 0x10ec;
const DEVICE = 0x8139;
/** Revisions of the function, and what the transmit configuration says of the chip. */
const MODELS = {
  c: { revision: 0x10, version: 0x7400_0000 },
  cPlus: { revision: 0x20, version: 0x7480_0000 },
} as const;
/** The timer counts PCI clocks. */
const TIMER_HZ = 33_000_000;
/** Frames taken from the port before the guest executes again. */
const RECEIVE_BATCH = 256;
const SLOTS = 4;
/** Bytes of a frame that a transmit slot takes. */
const SLOT_BYTES = 1792;
/** What a tagged frame has more. */
const TAG_BYTES = 4;
const RX_HEADER_BYTES = 4;
/** The read pointer stands this far before the byte that is read next. */
const READ_OFFSET = 16;
const RX_64K = 3;
const RX_STATUS = { ok: 0x0001, broadcast: 0x2000, own: 0x4000, multicast: 0x8000 } as const;
/** 10 and 100 Mbit/s in both duplexes, able to negotiate, extended registers. */
const PHY_STATUS = 0x7809;
const PHY_LINK = 0x0024;
const PHY_CONTROL = 0x3100;
const ADVERTISED = 0x05e1;

/** Bits that can be written, of registers that are not all of one kind; others take nothing. */
function writableBytes(isPlus: boolean): Uint8Array {
  const masks = new Uint8Array(REGISTER_BYTES);
  masks.fill(0xff, R.address, R.address + 6);
  masks.fill(0xff, R.multicast, R.multicast + 8);
  masks.fill(0xff, R.txStatus, R.rxBuffer + 4);
  masks[R.command] = Command.receive | Command.transmit;
  masks.fill(0xff, R.rxRead, R.rxRead + 2);
  masks.set([0xff, 0xe1], R.mask);
  masks.set([0xf1, 0x07, 0x07, 0x03], R.txConfig);
  masks.set([0xff, 0xff, 0xff, 0x0f], R.rxConfig);
  masks[R.eeprom] = 0xce;
  masks[R.config1] = 0xf0;
  masks.fill(0xff, R.timerInterrupt, R.timerInterrupt + 4);
  masks[R.mediaStatus] = 0xc0;
  masks[R.config3] = 0x7f;
  masks[R.config4] = 0xff;
  masks.set([0xff, 0x0f], R.multipleInterrupt);
  masks.set([0x00, 0x31], R.phyControl);
  masks.set([0xff, 0xff], R.advertisement);
  masks.set([0xff, 0x86], R.cable);
  if (!isPlus) return masks;
  masks[R.config5] = 0x7f;
  masks.set([0x7b, 0x00], R.plusCommand);
  masks.fill(0xff, R.rxRing, R.rxRing + 8);
  masks[R.earlyTx] = 0x3f;
  return masks;
}

/** Bytes of the registers that can only be written when the EEPROM register says so. */
const CONFIGURATION: readonly number[] = [R.config1, R.config3, R.config4, R.config5];

export interface Rtl8139Options {
  clock: Clock;
  timers: Timers;
  memory: DmaMemory;
  port: PacketPort;
  /** The six bytes of its address. */
  address: Uint8Array;
  /** The chip with descriptors. Drivers of the older one may refuse it, though it has all that one has. */
  isPlus: boolean;
}

export class Rtl8139 implements Device, NetworkCard {
  readonly pci: PciFunction;
  private readonly options: Rtl8139Options;
  private readonly registers = new RegisterImage();
  private readonly writable: Uint8Array;
  private readonly eeprom = new SerialEeprom();
  private readonly descriptors: Descriptors;
  private readonly tally = new Tally();
  private readonly alarm: Timer;
  /** Timer ticks at which the timer register was zero. */
  private timerBase = 0;
  /** The transmit slot whose turn it is, and whether each has something to send. */
  private slot = 0;
  private readonly waiting = [false, false, false, false];
  private linkWasUp: boolean;
  private readonly frame = new Uint8Array(0x2000);

  constructor(options: Rtl8139Options) {
    this.options = options;
    const model = options.isPlus ? MODELS.cPlus : MODELS.c;
    this.writable = writableBytes(options.isPlus);
    this.linkWasUp = options.port.isUp;
    this.alarm = options.timers.create(() => this.raise(Cause.timer));
    const read = (offset: number, size: AccessSize) => this.read(offset, size);
    const write = (offset: number, size: AccessSize, value: number) => this.write(offset, size, value);
    this.pci = new PciFunction({
      vendor: VENDOR,
      device: DEVICE,
      classCode: 0x020000,
      revision: model.revision,
      subsystemVendor: VENDOR,
      subsystem: DEVICE,
      interruptPin: 1,
      bars: {
        0: { kind: 'io', size: REGISTER_BYTES, handler: { readPort: read, writePort: write } },
        1: { kind: 'memory', size: REGISTER_BYTES, handler: { readMmio: read, writeMmio: write } },
      },
    });
    this.descriptors = new Descriptors({
      memory: options.memory,
      registers: this.registers,
      send: (frame) => this.send(frame),
      onSent: () => this.raise(Cause.sent),
      onEmpty: () => this.raise(Cause.noTxDescriptor),
    });
    const { words } = this.eeprom;
    words.fill(0);
    words.set([0x8129, VENDOR, DEVICE, VENDOR, DEVICE, 0x4020, 0xe512]);
    for (let i = 0; i < 3; i++) words[7 + i] = options.address[2 * i] | (options.address[2 * i + 1] << 8);
    this.powerOn();
  }

  private has(command: number): boolean {
    return (this.registers.bytes[R.command] & command) !== 0;
  }

  /** Whether a part works with descriptors. */
  private isPlusMode(part: number): boolean {
    return (this.registers.word(R.plusCommand) & part) !== 0;
  }

  /** Takes what waits at the port, goes on sending, looks at the link. */
  poll(): void {
    const { port } = this.options;
    if (port.isUp !== this.linkWasUp) {
      this.linkWasUp = port.isUp;
      this.raise(Cause.link);
    }
    this.transmit();
    for (let taken = 0; taken < RECEIVE_BATCH; taken++) {
      const frame = port.next();
      if (frame === undefined || !this.receive(frame)) return;
      port.advance();
    }
  }

  private transmit(): void {
    if (!this.has(Command.transmit) || !this.pci.busMaster) return;
    if (this.isPlusMode(PlusCommand.transmit)) this.descriptors.run();
    else for (let i = 0; i < SLOTS && this.sendSlot(); i++);
  }

  /** Sends what the slot whose turn it is holds; false if there is nothing, or no room. */
  private sendSlot(): boolean {
    const { slot, registers, frame } = this;
    if (!this.waiting[slot]) return false;
    const at = R.txStatus + 4 * slot;
    const status = registers.dword(at);
    const size = Math.min(status & TxStatus.sizeMask, SLOT_BYTES);
    frame.fill(0xff, 0, size);
    this.options.memory.read(registers.dword(R.txAddress + 4 * slot), frame.subarray(0, size));
    let length = size;
    if (length < FRAME_MIN) frame.fill(0, length, (length = FRAME_MIN));
    if (!this.send(frame.slice(0, length))) return false;
    registers.setDword(at, status | TxStatus.own | TxStatus.ok);
    this.waiting[slot] = false;
    this.slot = (slot + 1) % SLOTS;
    this.raise(Cause.sent);
    return true;
  }

  private send(frame: Uint8Array): boolean {
    const isLoopback = (this.registers.dword(R.txConfig) & TxConfig.loopback) === TxConfig.loopback;
    // What comes back and finds no room is lost.
    if (isLoopback) this.receive(frame);
    else if (!this.options.port.send(frame)) return false;
    this.tally.sent();
    return true;
  }

  /** False if the frame has to wait for room. */
  private receive(arrived: Uint8Array): boolean {
    const { frame, registers } = this;
    if (!this.has(Command.receive) || !this.pci.busMaster || arrived.length > FRAME_MAX + TAG_BYTES) return true;
    const kind = this.kindOf(arrived);
    if (kind === null) return true;
    frame.set(arrived);
    let length = arrived.length;
    if (length < FRAME_MIN) frame.fill(0, length, (length = FRAME_MIN));
    if (this.isPlusMode(PlusCommand.receive)) {
      if (!this.descriptors.receive(frame, length, kind)) return false;
    } else if (!this.store(length, kind)) return false;
    this.tally.received(kind);
    registers.bytes[R.command] &= ~Command.empty;
    this.raise(Cause.received);
    return true;
  }

  /** What a frame is for; null if nobody wants it. */
  private kindOf(frame: Uint8Array): FrameKind | null {
    const { bytes } = this.registers;
    const config = bytes[R.rxConfig];
    if ((frame[0] & 1) === 0) {
      if (isFor(frame, bytes) && (config & (RxConfig.own | RxConfig.all)) !== 0) return 'own';
      return (config & RxConfig.all) !== 0 ? 'other' : null;
    }
    if (isBroadcast(frame)) return (config & (RxConfig.broadcast | RxConfig.all)) !== 0 ? 'broadcast' : null;
    const bit = multicastBit(frame);
    const isListed = ((bytes[R.multicast + (bit >> 3)] >> (bit & 7)) & 1) !== 0;
    return (isListed && (config & RxConfig.multicast) !== 0) || (config & RxConfig.all) !== 0 ? 'multicast' : null;
  }

  private get ringBytes(): number {
    return 0x2000 << ((this.registers.word(R.rxConfig) >> RxConfig.sizeShift) & 3);
  }

  /** Where the guest reads next. */
  private get readAt(): number {
    return (this.registers.word(R.rxRead) + READ_OFFSET) % this.ringBytes;
  }

  /** Writes a frame into the receive ring; false if there is no room. */
  private store(length: number, kind: FrameKind): boolean {
    const { registers, frame } = this;
    const size = this.ringBytes;
    const bytes = RX_HEADER_BYTES + length + CRC_BYTES;
    const written = registers.word(R.rxWritten) % size;
    const free = (size + this.readAt - written) % size || size;
    // Ring and frame never meet exactly: equal pointers are an empty ring.
    if (((bytes + 3) & ~3) >= free) return false;
    const check = frameCheck(frame, length);
    const record = new Uint8Array(bytes);
    const status = RX_STATUS.ok | (kind === 'other' ? 0 : RX_STATUS[kind]);
    record.set([status & 0xff, status >> 8, (length + CRC_BYTES) & 0xff, (length + CRC_BYTES) >> 8]);
    record.set(frame.subarray(0, length), RX_HEADER_BYTES);
    for (let i = 0; i < CRC_BYTES; i++) record[bytes - CRC_BYTES + i] = check >>> (8 * i);
    const base = registers.dword(R.rxBuffer);
    const { memory } = this.options;
    const config = registers.word(R.rxConfig);
    // With WRAP the buffer is longer than the ring, and a frame that began in it goes on behind its end.
    const goesOn = (config & RxConfig.wrap) !== 0 && ((config >> RxConfig.sizeShift) & 3) !== RX_64K;
    const first = goesOn ? bytes : Math.min(bytes, size - written);
    memory.write(base + written, record.subarray(0, first));
    if (first < bytes) memory.write(base, record.subarray(first));
    registers.setWord(R.rxWritten, ((written + bytes + 3) & ~3) % size);
    return true;
  }

  private raise(cause: number): void {
    this.registers.setWord(R.cause, this.registers.word(R.cause) | cause);
    this.updateInterrupt();
  }

  private updateInterrupt(): void {
    const { registers } = this;
    this.pci.interrupt.set((registers.word(R.cause) & registers.word(R.mask)) !== 0);
  }

  private read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.readByte(offset + i) * 2 ** (8 * i);
    return value;
  }

  private readByte(offset: number): number {
    const { bytes } = this.registers;
    switch (offset) {
      case R.command: {
        const isEmpty = this.registers.word(R.rxWritten) % this.ringBytes === this.readAt;
        return bytes[R.command] | (isEmpty ? Command.empty : 0);
      }
      case R.timer:
      case R.timer + 1:
      case R.timer + 2:
      case R.timer + 3:
        return Math.floor(this.ticks / 2 ** (8 * (offset - R.timer))) & 0xff;
      case R.eeprom: {
        const isProgramming = bytes[R.eeprom] >> 6 === EepromMode.program;
        return bytes[R.eeprom] | (isProgramming && this.eeprom.dataOut ? 1 : 0);
      }
      case R.mediaStatus:
        return bytes[R.mediaStatus] | (this.options.port.isUp ? 0 : 0x04);
      case R.txSummary:
      case R.txSummary + 1: {
        let summary = 0;
        for (let i = 0; i < SLOTS; i++) {
          const status = this.registers.dword(R.txStatus + 4 * i);
          if ((status & TxStatus.own) !== 0) summary |= 0x0001 << i;
          if ((status & TxStatus.ok) !== 0) summary |= 0x1000 << i;
        }
        return (summary >> (8 * (offset - R.txSummary))) & 0xff;
      }
      case R.phyStatus:
        return (PHY_STATUS & 0xff) | (this.options.port.isUp ? PHY_LINK : 0);
      case R.phyStatus + 1:
        return PHY_STATUS >> 8;
      case R.partner:
      case R.partner + 1:
        return this.options.port.isUp ? ((ADVERTISED | 0x4000) >> (8 * (offset - R.partner))) & 0xff : 0;
      default:
        return offset < REGISTER_BYTES ? bytes[offset] : 0xff;
    }
  }

  private write(offset: number, size: AccessSize, value: number): void {
    const { bytes } = this.registers;
    for (let i = 0; i < size && offset + i < REGISTER_BYTES; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      if (at === R.cause || at === R.cause + 1) bytes[at] &= ~byte;
      else if (CONFIGURATION.includes(at) && bytes[R.eeprom] >> 6 !== EepromMode.configure) continue;
      else bytes[at] = (bytes[at] & ~this.writable[at]) | (byte & this.writable[at]);
    }
    const covers = (at: number): boolean => at >= offset && at < offset + size;
    const written = (at: number): number => (value >>> (8 * (at - offset))) & 0xff;
    if (covers(R.command)) this.writeCommand(written(R.command));
    if (covers(R.mask) || covers(R.cause) || covers(R.cause + 1)) this.updateInterrupt();
    if (covers(R.eeprom)) this.writeEeprom(bytes[R.eeprom]);
    if (covers(R.timer)) this.timerBase = this.now;
    const isAlarm = offset < R.timerInterrupt + 4 && offset + size > R.timerInterrupt;
    if (covers(R.timer) || isAlarm) this.armTimer();
    if (covers(R.phyControl + 1) && (written(R.phyControl + 1) & (PhyControl.reset >> 8)) !== 0)
      this.registers.setWord(R.phyControl, PHY_CONTROL);
    // A frame begins when the byte with its owner is written: drivers write the whole word.
    if (this.isPlusMode(PlusCommand.transmit)) this.writePlus(covers, written);
    else
      for (let i = 0; i < SLOTS; i++) {
        if (covers(R.txStatus + 4 * i + 1)) this.startSlot(i);
      }
    if (covers(R.rxRing)) this.descriptors.rxMoved();
    if (this.options.isPlus && covers(R.txRing) && size === 4) this.descriptors.txMoved();
  }

  private writePlus(covers: (at: number) => boolean, written: (at: number) => number): void {
    if (covers(R.tally)) {
      const { registers, options } = this;
      const where = registers.dword(R.tally);
      if ((where & TALLY_DUMP) !== 0) {
        options.memory.write(((where & ~63) >>> 0) + registers.dword(R.tally + 4) * 2 ** 32, this.tally.dump());
        registers.setDword(R.tally, (where & ~TALLY_DUMP) >>> 0);
      }
    }
    if (!covers(R.poll)) return;
    const asked = written(R.poll);
    if ((asked & Poll.software) !== 0) this.raise(Cause.software);
    if ((asked & Poll.normal) !== 0 && this.has(Command.transmit) && this.pci.busMaster) this.descriptors.poll();
  }

  private startSlot(index: number): void {
    const { registers } = this;
    const at = R.txStatus + 4 * index;
    const status = registers.dword(at);
    this.waiting[index] = (status & TxStatus.own) === 0;
    if (!this.waiting[index]) return;
    registers.setDword(at, status & ~(TxStatus.ok | TxStatus.abort));
    this.transmit();
  }

  private writeCommand(value: number): void {
    if ((value & Command.reset) !== 0) this.softReset();
    // The slots start from the first one again when sending is switched on (datasheet 1.4, 5.6).
    if (!this.has(Command.transmit)) {
      this.slot = 0;
      this.waiting.fill(false);
    }
  }

  private writeEeprom(value: number): void {
    if (value >> 6 === EepromMode.program) this.eeprom.drive((value & 8) !== 0, (value & 4) !== 0, (value & 2) !== 0);
    else this.eeprom.drive(false, false, false);
    if (value >> 6 !== EepromMode.load) return;
    this.loadAddress();
    this.registers.bytes[R.eeprom] = 0;
  }

  private loadAddress(): void {
    for (let i = 0; i < 3; i++) this.registers.setWord(R.address + 2 * i, this.eeprom.words[7 + i]);
  }

  private get now(): number {
    return ticksAt(this.options.clock.now(), TIMER_HZ);
  }

  private get ticks(): number {
    return (this.now - this.timerBase) % 2 ** 32;
  }

  /** The interrupt comes when the timer reaches what its register says; zero is never (datasheet 1.4, 5.17). */
  private armTimer(): void {
    const target = this.registers.dword(R.timerInterrupt);
    this.alarm.cancel();
    if (target === 0) return;
    const ahead = (target - this.ticks + 2 ** 32) % 2 ** 32 || 2 ** 32;
    this.alarm.arm(timeOfTick(this.now + ahead, TIMER_HZ));
  }

  reset(): void {
    this.pci.reset();
    this.eeprom.reset();
    this.powerOn();
  }

  private powerOn(): void {
    const { bytes } = this.registers;
    bytes.fill(0);
    bytes[R.config1] = 0x0c;
    bytes[R.mediaStatus] = 0x10;
    bytes[R.config3] = 0x01;
    this.registers.setWord(R.phyControl, PHY_CONTROL);
    this.registers.setWord(R.advertisement, ADVERTISED);
    this.registers.setWord(R.expansion, 0x0001);
    this.registers.setWord(R.cable, 0x05c8);
    this.loadAddress();
    this.tally.reset();
    this.timerBase = this.now;
    this.softReset();
  }

  /** What the reset bit of the command register does: receiver, transmitter and interrupts; the address stays. */
  private softReset(): void {
    const { registers } = this;
    registers.bytes[R.command] = 0;
    registers.setWord(R.mask, 0);
    registers.setWord(R.cause, 0);
    registers.setDword(R.txConfig, this.options.isPlus ? MODELS.cPlus.version : MODELS.c.version);
    registers.setDword(R.rxConfig, 0);
    registers.setDword(R.rxBuffer, 0);
    registers.setDword(R.timerInterrupt, 0);
    registers.setWord(R.rxRead, 0x10000 - READ_OFFSET);
    registers.setWord(R.rxWritten, 0);
    registers.setWord(R.plusCommand, 0);
    for (let i = 0; i < SLOTS; i++) registers.setDword(R.txStatus + 4 * i, TxStatus.own);
    this.slot = 0;
    this.waiting.fill(false);
    this.descriptors.reset();
    this.alarm.cancel();
    this.updateInterrupt();
  }

  save(): SavedState {
    return {
      version: 1,
      pci: this.pci.save(),
      registers: this.registers.bytes.slice(),
      eeprom: this.eeprom.save(),
      descriptors: this.descriptors.save(),
      tally: [...this.tally.counts],
      timerBase: this.timerBase,
      slot: this.slot,
      waiting: this.waiting.map(Number),
      linkWasUp: this.linkWasUp,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('RTL8139', 1, state);
    const registers = reader.bytes('registers', REGISTER_BYTES);
    const tally = reader.integers('tally', 0, Number.MAX_SAFE_INTEGER, this.tally.counts.length);
    const waiting = reader.integers('waiting', 0, 1, SLOTS);
    const fields = {
      timerBase: reader.integer('timerBase', 0, Number.MAX_SAFE_INTEGER),
      slot: reader.integer('slot', 0, SLOTS - 1),
      linkWasUp: reader.boolean('linkWasUp'),
    };
    this.pci.restore(state.pci as SavedState);
    this.eeprom.restore(state.eeprom as SavedState);
    this.descriptors.restore(state.descriptors as SavedState);
    this.registers.bytes.set(registers);
    this.tally.counts.splice(0, tally.length, ...tally);
    waiting.forEach((value, index) => {
      this.waiting[index] = value === 1;
    });
    Object.assign(this, fields);
    this.armTimer();
    this.updateInterrupt();
  }
}
