// The DP8390 network controller with the memory and ports of an NE2000 around it.
// Owns the registers of its pages, the packet memory and both of its DMA channels (National DP8390D/NS32490D, July 1995;
// Novell NE2000 as its drivers know it).
// Never knows the bus its card sits on.

import type { AccessSize, InterruptLine, SavedState } from '../device.ts';
import {
  CRC_BYTES,
  FRAME_MAX,
  FRAME_MIN,
  frameCheck,
  isBroadcast,
  isFor,
  multicastBit,
  type PacketPort,
} from '../packets.ts';
import { openState } from '../saved-state.ts';

/** Ports of a card: sixteen registers, the data port, the reset port. */
export const PORTS = 32;
const DATA_PORT = 0x10;
const RESET_PORT = 0x18;

const Command = { stop: 0x01, start: 0x02, transmit: 0x04, read: 0x08, write: 0x10, abort: 0x20 } as const;
const REMOTE_MASK = 0x38;
const SEND_PACKET = 0x18;
const PAGE_SHIFT = 6;
const Status = { received: 0x01, sent: 0x02, remoteDone: 0x40, reset: 0x80 } as const;
const DataConfig = { words: 0x01 } as const;
const ReceiveConfig = { broadcast: 0x04, multicast: 0x08, promiscuous: 0x10, monitor: 0x20 } as const;
const TransmitConfig = { loopback: 0x06 } as const;
const RxStatus = { whole: 0x01, group: 0x20 } as const;
const SENT_WELL = 0x01;

const PAGE = 256;
const HEADER_BYTES = 4;
const MEMORY_BYTES = 0x10000;
/** The address PROM, each byte twice, as a card of 16 bits shows it; behind it 'W', by which drivers know that. */
const PROM_BYTES = 32;
const RAM_START = 0x4000;
/** What the RTL8029 answers in page 0 in place of two write-only registers. */
const REALTEK_ID = [0x50, 0x43] as const;
/** What a tagged frame has more. */
const TAG_BYTES = 4;

export interface Dp8390Options {
  line: InterruptLine;
  port: PacketPort;
  /** The six bytes of its address. */
  address: Uint8Array;
  /** Bytes of packet memory from 4000h on: 16 KiB of an NE2000, 32 KiB of an RTL8029. */
  memoryBytes: number;
  /** Answer as the chip of the PCI card does. */
  isRealtek: boolean;
}

export class Dp8390 {
  private readonly options: Dp8390Options;
  private readonly memory = new Uint8Array(MEMORY_BYTES);
  private readonly ramEnd: number;
  private readonly address = new Uint8Array(6);
  private readonly multicast = new Uint8Array(8);
  private command = 0;
  /** First page of the receive ring, and the one behind its last. */
  private first = 0;
  private stop = 0;
  /** The last page that the guest has read, and the one that is written next. */
  private boundary = 0;
  private current = 0;
  private txPage = 0;
  private txCount = 0;
  private txStatus = 0;
  private status = 0;
  private remoteAddress = 0;
  private remoteCount = 0;
  private rxConfig = 0;
  private txConfig = 0;
  private dataConfig = 0;
  private mask = 0;
  private rxStatus = 0;

  constructor(options: Dp8390Options) {
    this.options = options;
    this.ramEnd = RAM_START + options.memoryBytes;
    for (let i = 0; i < PROM_BYTES; i++) this.memory[i] = i >> 1 < 6 ? options.address[i >> 1] : 0x57;
    this.powerOn();
  }

  /** Takes what waits at the port, goes on sending. */
  poll(): void {
    this.transmit();
    const { port } = this.options;
    for (let frame = port.next(); frame !== undefined; frame = port.next()) {
      if (!this.receive(frame)) return;
      port.advance();
    }
  }

  private get isRunning(): boolean {
    return (this.command & (Command.start | Command.stop)) === Command.start;
  }

  private transmit(): void {
    if ((this.command & Command.transmit) === 0 || !this.isRunning) return;
    const from = this.txPage * PAGE;
    const length = Math.min(this.txCount, FRAME_MAX + TAG_BYTES);
    const isInside = from >= RAM_START && from + length <= this.ramEnd;
    // A frame in loopback goes no further than the chip.
    if (isInside && length > 0 && (this.txConfig & TransmitConfig.loopback) === 0) {
      if (!this.options.port.send(this.memory.slice(from, from + length))) return;
    }
    this.command &= ~Command.transmit;
    this.txStatus = SENT_WELL;
    this.raise(Status.sent);
  }

  /** False if the frame has to wait for room. */
  private receive(frame: Uint8Array): boolean {
    if (!this.isRunning || (this.rxConfig & ReceiveConfig.monitor) !== 0) return true;
    if (!this.wants(frame) || frame.length > FRAME_MAX + TAG_BYTES) return true;
    const pages = this.stop - this.first;
    const isRing = pages > 1 && this.current >= this.first && this.current < this.stop;
    if (!isRing || this.first * PAGE < RAM_START || this.stop * PAGE > this.ramEnd) return true;
    const length = Math.max(frame.length, FRAME_MIN);
    const count = length + CRC_BYTES;
    const needed = Math.ceil((HEADER_BYTES + count) / PAGE);
    const free = (pages + this.boundary - this.current) % pages || pages;
    // The writer never comes to stand on the boundary: then the ring would look empty.
    if (needed >= pages) return true;
    if (free <= needed || free > pages) return false;
    const record = new Uint8Array(HEADER_BYTES + count);
    record.set(frame, HEADER_BYTES);
    const check = frameCheck(record.subarray(HEADER_BYTES), length);
    for (let i = 0; i < CRC_BYTES; i++) record[HEADER_BYTES + length + i] = check >>> (8 * i);
    const next = this.first + ((this.current - this.first + needed) % pages);
    this.rxStatus = RxStatus.whole | ((frame[0] & 1) !== 0 ? RxStatus.group : 0);
    record.set([this.rxStatus, next, count & 0xff, count >> 8]);
    const room = (this.stop - this.current) * PAGE;
    this.memory.set(record.subarray(0, room), this.current * PAGE);
    if (record.length > room) this.memory.set(record.subarray(room), this.first * PAGE);
    this.current = next;
    this.raise(Status.received);
    return true;
  }

  private wants(frame: Uint8Array): boolean {
    const { rxConfig, multicast } = this;
    if ((frame[0] & 1) === 0) return (rxConfig & ReceiveConfig.promiscuous) !== 0 || isFor(frame, this.address);
    if (isBroadcast(frame)) return (rxConfig & ReceiveConfig.broadcast) !== 0;
    const bit = multicastBit(frame);
    return (rxConfig & ReceiveConfig.multicast) !== 0 && ((multicast[bit >> 3] >> (bit & 7)) & 1) !== 0;
  }

  private raise(status: number): void {
    this.status |= status;
    this.updateInterrupt();
  }

  private updateInterrupt(): void {
    this.options.line.set((this.status & this.mask & 0x7f) !== 0);
  }

  /** Reads port `offset` of the card. */
  read(offset: number, size: AccessSize): number {
    if (offset >= RESET_PORT) {
      this.powerOn();
      return 0;
    }
    if (offset >= DATA_PORT) return this.readData(size);
    let value = 0;
    for (let i = 0; i < size; i++)
      value += (offset + i < DATA_PORT ? this.readRegister(offset + i) : 0xff) * 2 ** (8 * i);
    return value;
  }

  /** Writes port `offset` of the card. */
  write(offset: number, size: AccessSize, value: number): void {
    // Reading the reset port resets; a write ends the reset, which is over already.
    if (offset >= RESET_PORT) return;
    if (offset >= DATA_PORT) {
      this.writeData(size, value);
      return;
    }
    for (let i = 0; i < size && offset + i < DATA_PORT; i++) this.writeRegister(offset + i, (value >>> (8 * i)) & 0xff);
  }

  private get page(): number {
    return this.command >> PAGE_SHIFT;
  }

  private readRegister(register: number): number {
    if (register === 0) return this.command;
    if (this.page === 0) return this.readPage0(register);
    if (this.page === 1) {
      if (register <= 6) return this.address[register - 1];
      return register === 7 ? this.current : this.multicast[register - 8];
    }
    if (this.page === 3) return 0;
    const { first, stop, txPage, rxConfig, txConfig, dataConfig, mask } = this;
    const registers: Record<number, number> = {
      ...{
        1: first,
        2: stop,
        4: txPage,
        12: rxConfig | 0xc0,
        13: txConfig | 0xe0,
        14: dataConfig | 0x80,
        15: mask | 0x80,
      },
    };
    return registers[register] ?? 0;
  }

  private readPage0(register: number): number {
    switch (register) {
      case 1:
      case 8:
        return this.remoteAddress & 0xff;
      case 2:
      case 9:
        return this.remoteAddress >> 8;
      case 3:
        return this.boundary;
      case 4:
        return this.txStatus;
      case 7:
        return this.status;
      case 10:
      case 11:
        return this.options.isRealtek ? REALTEK_ID[register - 10] : 0xff;
      case 12:
        return this.rxStatus;
      default:
        // Collisions, the FIFO and the error counters: none of that happens here.
        return 0;
    }
  }

  private writeRegister(register: number, value: number): void {
    if (register === 0) this.writeCommand(value);
    else if (this.page === 0) this.writePage0(register, value);
    else if (this.page === 1) {
      if (register <= 6) this.address[register - 1] = value;
      else if (register === 7) this.current = value;
      else this.multicast[register - 8] = value;
    }
  }

  private writePage0(register: number, value: number): void {
    switch (register) {
      case 1:
        this.first = value;
        return;
      case 2:
        this.stop = value;
        return;
      case 3:
        this.boundary = value;
        return;
      case 4:
        this.txPage = value;
        return;
      case 5:
        this.txCount = (this.txCount & 0xff00) | value;
        return;
      case 6:
        this.txCount = (this.txCount & 0xff) | (value << 8);
        return;
      case 7:
        this.status &= ~(value & 0x7f);
        this.updateInterrupt();
        return;
      case 8:
        this.remoteAddress = (this.remoteAddress & 0xff00) | value;
        return;
      case 9:
        this.remoteAddress = (this.remoteAddress & 0xff) | (value << 8);
        return;
      case 10:
        this.remoteCount = (this.remoteCount & 0xff00) | value;
        return;
      case 11:
        this.remoteCount = (this.remoteCount & 0xff) | (value << 8);
        return;
      case 12:
        this.rxConfig = value & 0x3f;
        return;
      case 13:
        this.txConfig = value & 0x1f;
        return;
      case 14:
        this.dataConfig = value & 0x7f;
        return;
      case 15:
        this.mask = value & 0x7f;
        this.updateInterrupt();
    }
  }

  private writeCommand(value: number): void {
    // A transmission goes on until it is over; only stopping ends it.
    const underWay = (value & Command.stop) === 0 ? this.command & Command.transmit : 0;
    this.command = value | underWay;
    if ((value & Command.stop) !== 0) {
      this.command &= ~Command.transmit;
      this.status |= Status.reset;
      return;
    }
    if ((value & Command.start) !== 0) this.status &= ~Status.reset;
    const remote = value & REMOTE_MASK;
    if (remote === SEND_PACKET) {
      // Reads the frame behind the boundary; its length stands in its header (DP8390D, 7.2).
      const at = this.boundary * PAGE;
      this.remoteAddress = at;
      this.remoteCount = this.load(at + 2) | (this.load(at + 3) << 8);
    }
    if ((remote === Command.read || remote === Command.write) && this.remoteCount === 0) this.raise(Status.remoteDone);
    this.transmit();
  }

  private readData(size: AccessSize): number {
    const width = (this.dataConfig & DataConfig.words) !== 0 ? size : 1;
    let value = 0;
    for (let i = 0; i < width; i++) {
      value += this.load(this.remoteAddress) * 2 ** (8 * i);
      this.step();
    }
    this.count(width);
    return value;
  }

  private writeData(size: AccessSize, value: number): void {
    const width = (this.dataConfig & DataConfig.words) !== 0 ? size : 1;
    // Without a count there is no transfer, and memory stays as it is.
    if (this.remoteCount === 0) return;
    for (let i = 0; i < width; i++) {
      const at = this.remoteAddress;
      if (at >= RAM_START && at < this.ramEnd) this.memory[at] = (value >>> (8 * i)) & 0xff;
      this.step();
    }
    this.count(width);
  }

  private load(at: number): number {
    return at < PROM_BYTES || (at >= RAM_START && at < this.ramEnd) ? this.memory[at] : 0xff;
  }

  /** The remote address moves on, within the ring where it is in it. */
  private step(): void {
    this.remoteAddress = (this.remoteAddress + 1) & 0xffff;
    if (this.remoteAddress === this.stop * PAGE) this.remoteAddress = this.first * PAGE;
  }

  private count(bytes: number): void {
    if (this.remoteCount === 0) return;
    this.remoteCount = Math.max(0, this.remoteCount - bytes);
    if (this.remoteCount === 0) this.raise(Status.remoteDone);
  }

  /** What power-on and the reset port do; the packet memory keeps what it holds. */
  powerOn(): void {
    this.command = Command.stop | Command.abort;
    this.status = Status.reset;
    this.mask = 0;
    this.dataConfig = 0;
    this.txConfig = 0;
    this.txStatus = 0;
    this.rxStatus = 0;
    this.remoteCount = 0;
    this.updateInterrupt();
  }

  save(): SavedState {
    const { command, first, stop, boundary, current, txPage, txCount, txStatus, status } = this;
    const { remoteAddress, remoteCount, rxConfig, txConfig, dataConfig, mask, rxStatus } = this;
    return {
      version: 1,
      ...{ command, first, stop, boundary, current, txPage, txCount, txStatus, status },
      ...{ remoteAddress, remoteCount, rxConfig, txConfig, dataConfig, mask, rxStatus },
      address: this.address.slice(),
      multicast: this.multicast.slice(),
      memory: this.memory.slice(RAM_START, this.ramEnd),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('NE2000', 1, state);
    const bytes = [
      ...['command', 'first', 'stop', 'boundary', 'current', 'txPage', 'txStatus', 'status', 'rxConfig', 'txConfig'],
      ...['dataConfig', 'mask', 'rxStatus'],
    ];
    const fields = Object.fromEntries([
      ...bytes.map((name) => [name, reader.byte(name)]),
      ...['txCount', 'remoteAddress', 'remoteCount'].map((name) => [name, reader.word(name)]),
    ]);
    const memory = reader.bytes('memory', this.ramEnd - RAM_START);
    const address = reader.bytes('address', 6);
    const multicast = reader.bytes('multicast', 8);
    Object.assign(this, fields);
    this.memory.set(memory, RAM_START);
    this.address.set(address);
    this.multicast.set(multicast);
    this.updateInterrupt();
  }
}
