// The pair of 8237A DMA controllers of a PC, with their page registers.
// Owns ports 00h-0Fh, 81h-8Fh and C0h-DFh: seven channels, and where each one's transfer stands.
// Never knows a device: it moves what the device on a channel gives or takes, within the channel's page.

import type { AccessSize, Bus, Device, PortHandler, SavedState } from '../device.ts';
import type { DmaMemory, IsaDmaChannel, IsaDmaResult } from '../dma.ts';
import { openState, type StateReader } from '../saved-state.ts';

/** Mode register (8237A, figure 6). */
const Mode = { transfer: 0x0c, verify: 0x00, toMemory: 0x04, fromMemory: 0x08, autoInit: 0x10, down: 0x20 } as const;
const MODE_KIND = 0xc0;
const CASCADE = 0xc0;
/** Command register: the controller is disabled. */
const DISABLED = 0x04;

/** The channel through which the first controller's requests pass. */
const CASCADE_CHANNEL = 4;
const CHANNELS = 8;
/** Offsets from 80h of each channel's page register; that of channel 4 is the refresh address's. */
const PAGE_OF_CHANNEL = [0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa] as const;
const PAGE_REGISTERS = 16;
/** Units of a page: addresses count to 16 bits and begin again. */
const PAGE_UNITS = 0x10000;

const NOTHING: IsaDmaResult = { moved: 0, terminal: false };

class Channel implements IsaDmaChannel {
  onReady: () => void = () => {};
  baseAddress = 0;
  baseCount = 0;
  address = 0;
  count = 0;
  mode = 0;
  masked = true;
  /** DREQ as the device holds it; `software`: the request register's bit. */
  dreq = false;
  software = false;
  terminal = false;
  private readonly pair: DmaControllers;
  private readonly index: number;

  constructor(pair: DmaControllers, index: number) {
    this.pair = pair;
    this.index = index;
  }

  get isReady(): boolean {
    return !this.masked && (this.mode & MODE_KIND) !== CASCADE && this.pair.isEnabled(this.index);
  }

  request(asserted: boolean): void {
    this.dreq = asserted;
  }

  toMemory(bytes: Uint8Array): IsaDmaResult {
    return this.move(bytes, Mode.toMemory);
  }

  fromMemory(into: Uint8Array): IsaDmaResult {
    return this.move(into, Mode.fromMemory);
  }

  /** Moves `bytes` while the channel takes part; a transfer of the other kind is counted and moves nothing. */
  private move(bytes: Uint8Array, kind: number): IsaDmaResult {
    if (!this.isReady) return NOTHING;
    const unit = this.index > CASCADE_CHANNEL ? 2 : 1;
    const page = this.pair.page(this.index, unit);
    const isMoved = (this.mode & Mode.transfer) === kind;
    const isDown = (this.mode & Mode.down) !== 0;
    let done = 0;
    while (done + unit <= bytes.length) {
      // Up to the terminal count or the page's end, whichever comes first; downwards one by one.
      const toEdge = isDown ? 1 : PAGE_UNITS - this.address;
      const units = Math.min(Math.floor((bytes.length - done) / unit), this.count + 1, toEdge);
      const part = bytes.subarray(done, done + units * unit);
      if (!isMoved) {
        if (kind === Mode.fromMemory) part.fill(0);
      } else if (kind === Mode.toMemory) this.pair.memory.write(page + this.address * unit, part);
      else {
        // Where there is no memory, the bus floats.
        part.fill(0xff);
        this.pair.memory.read(page + this.address * unit, part);
      }
      done += part.length;
      this.address = (this.address + (isDown ? -units : units)) & 0xffff;
      if (this.count >= units) this.count -= units;
      else {
        this.reachTerminalCount();
        return { moved: done, terminal: true };
      }
    }
    return { moved: done, terminal: false };
  }

  private reachTerminalCount(): void {
    this.terminal = true;
    this.software = false;
    if ((this.mode & Mode.autoInit) !== 0) {
      this.address = this.baseAddress;
      this.count = this.baseCount;
    } else {
      this.count = 0xffff;
      this.masked = true;
    }
  }

  /** Master clear leaves addresses, counts and modes as they are (8237A, "Software Commands"). */
  clear(): void {
    this.masked = true;
    this.software = false;
    this.terminal = false;
  }

  reset(): void {
    this.clear();
    Object.assign(this, { baseAddress: 0, baseCount: 0, address: 0, count: 0, mode: 0 });
  }

  save(): Record<string, unknown> {
    const { baseAddress, baseCount, address, count, mode, masked, dreq, software, terminal } = this;
    return { baseAddress, baseCount, address, count, mode, masked, dreq, software, terminal };
  }

  restore(reader: StateReader): void {
    this.baseAddress = reader.word('baseAddress');
    this.baseCount = reader.word('baseCount');
    this.address = reader.word('address');
    this.count = reader.word('count');
    this.mode = reader.byte('mode') & 0xfc;
    this.masked = reader.boolean('masked');
    this.dreq = reader.boolean('dreq');
    this.software = reader.boolean('software');
    this.terminal = reader.boolean('terminal');
  }
}

/** Both controllers, behind which a device sees one channel each ({@link channel}). */
export class DmaControllers implements Device, PortHandler {
  readonly memory: DmaMemory;
  private readonly channels: readonly Channel[];
  private readonly pages = new Uint8Array(PAGE_REGISTERS);
  /** By controller: the command register, and whether the next byte of a 16-bit register is the high one. */
  private readonly commands = [0, 0];
  private readonly high = [false, false];

  constructor(memory: DmaMemory) {
    this.memory = memory;
    this.channels = Array.from({ length: CHANNELS }, (_, index) => new Channel(this, index));
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimPorts(0x00, 0x0f, this);
    // Port 80h, a page register that no channel uses, is where systems write their progress.
    bus.claimPorts(0x81, 0x8f, this);
    bus.claimPorts(0xc0, 0xdf, this);
  }

  /** Channel 0 to 3 (bytes) or 5 to 7 (words), for the device on it. */
  channel(index: number): IsaDmaChannel {
    if (index === CASCADE_CHANNEL) throw new RangeError('channel 4 is the cascade of the DMA controllers');
    return this.channels[index];
  }

  /** @internal Whether a channel's controller works; the first needs the second, through which its requests pass. */
  isEnabled(index: number): boolean {
    const controller = index >> 2;
    if ((this.commands[controller] & DISABLED) !== 0) return false;
    if (controller === 1) return true;
    const cascade = this.channels[CASCADE_CHANNEL];
    return (this.commands[1] & DISABLED) === 0 && !cascade.masked && (cascade.mode & MODE_KIND) === CASCADE;
  }

  /** @internal Physical address of a channel's page: 64 KiB, or 128 KiB for words. */
  page(index: number, unit: number): number {
    const page = this.pages[PAGE_OF_CHANNEL[index]];
    return (unit === 2 ? page & 0xfe : page) * 0x10000;
  }

  readPort(port: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.readByte(port + i) * 2 ** (8 * i);
    return value;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte(port + i, (value >>> (8 * i)) & 0xff);
  }

  private readByte(port: number): number {
    if (port >= 0x80 && port <= 0x8f) return this.pages[port - 0x80];
    if (port > 0x0f && (port < 0xc0 || port > 0xdf)) return 0xff;
    const controller = port < 0x80 ? 0 : 1;
    const register = controller === 0 ? port : (port - 0xc0) >> 1;
    if (register < 8) {
      const channel = this.channels[4 * controller + (register >> 1)];
      const value = (register & 1) === 0 ? channel.address : channel.count;
      return this.flip(controller) ? value >> 8 : value & 0xff;
    }
    const four = this.channels.slice(4 * controller, 4 * controller + 4);
    if (register === 8) {
      let status = 0;
      four.forEach((channel, i) => {
        if (channel.terminal) status |= 1 << i;
        if (channel.dreq || channel.software) status |= 0x10 << i;
        channel.terminal = false;
      });
      return status;
    }
    if (register === 15) return 0xf0 | four.reduce((mask, channel, i) => mask | (channel.masked ? 1 << i : 0), 0);
    // The temporary register: there are no transfers from memory to memory on a PC.
    return register === 13 ? 0 : 0xff;
  }

  private flip(controller: number): boolean {
    const isHigh = this.high[controller];
    this.high[controller] = !isHigh;
    return isHigh;
  }

  private writeByte(port: number, value: number): void {
    if (port >= 0x80 && port <= 0x8f) {
      this.pages[port - 0x80] = value;
      return;
    }
    if (port > 0x0f && (port < 0xc0 || port > 0xdf)) return;
    const controller = port < 0x80 ? 0 : 1;
    const register = controller === 0 ? port : (port - 0xc0) >> 1;
    const first = 4 * controller;
    if (register < 8) this.writeTransfer(this.channels[first + (register >> 1)], controller, register, value);
    else this.writeControl(controller, register, value);
    // A device that waits may go on now.
    for (const channel of this.channels) if (channel.isReady && channel.dreq) channel.onReady();
  }

  private writeTransfer(channel: Channel, controller: number, register: number, value: number): void {
    const isHigh = this.flip(controller);
    const merge = (old: number) => (isHigh ? (old & 0xff) | (value << 8) : (old & 0xff00) | value);
    if ((register & 1) === 0) channel.address = channel.baseAddress = merge(channel.baseAddress);
    else channel.count = channel.baseCount = merge(channel.baseCount);
  }

  private writeControl(controller: number, register: number, value: number): void {
    const first = 4 * controller;
    const channel = this.channels[first + (value & 3)];
    switch (register) {
      case 8:
        this.commands[controller] = value;
        return;
      case 9:
        channel.software = (value & 4) !== 0;
        return;
      case 10:
        channel.masked = (value & 4) !== 0;
        return;
      case 11:
        channel.mode = value & 0xfc;
        return;
      case 12:
        this.high[controller] = false;
        return;
      case 13:
        this.commands[controller] = 0;
        this.high[controller] = false;
        for (let i = 0; i < 4; i++) this.channels[first + i].clear();
        return;
      case 14:
        for (let i = 0; i < 4; i++) this.channels[first + i].masked = false;
        return;
      case 15:
        for (let i = 0; i < 4; i++) this.channels[first + i].masked = (value & (1 << i)) !== 0;
    }
  }

  /** As firmware leaves them for an operating system: the first controller is cascaded into the second. */
  program(): void {
    this.channels[CASCADE_CHANNEL].mode = CASCADE;
    this.channels[CASCADE_CHANNEL].masked = false;
  }

  reset(): void {
    for (const channel of this.channels) channel.reset();
    this.pages.fill(0);
    this.commands.fill(0);
    this.high.fill(false);
  }

  save(): SavedState {
    return {
      version: 1,
      pages: this.pages.slice(),
      commands: [...this.commands],
      high: this.high.map(Number),
      channels: this.channels.map((channel) => channel.save()),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('DMA controllers', 1, state);
    const pages = reader.bytes('pages', PAGE_REGISTERS);
    const commands = reader.integers('commands', 0, 0xff, 2);
    const high = reader.integers('high', 0, 1, 2);
    reader.records('channels', CHANNELS).forEach((saved, index) => {
      this.channels[index].restore(saved);
    });
    this.pages.set(pages);
    for (const index of [0, 1]) {
      this.commands[index] = commands[index];
      this.high[index] = high[index] === 1;
    }
  }
}
