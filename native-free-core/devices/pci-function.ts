// One PCI function: its configuration space, its base address registers and its interrupt pin.
// Owns its 256 or 4096 bytes, which of their bits the guest may write, and where its BARs are mapped.
// Never knows the bus it sits on beyond the claims it makes and the interrupt line it is given.

import { ClaimOverlapError } from './bus.ts';
import type { AccessSize, Bus, InterruptLine, MmioHandler, PortHandler, SavedState } from './device.ts';
import { unconnectedLine } from './lines.ts';
import { type MessageSink, Msi, Msix, type MsixPlaces } from './message-signalled.ts';
import { openState } from './saved-state.ts';

/** Offsets in the configuration header (PCI Local Bus 3.0, 6.1). */
export const PciRegister = {
  vendor: 0x00,
  device: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  interface: 0x09,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendor: 0x2c,
  subsystem: 0x2e,
  rom: 0x30,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
} as const;

export const PciCommand = { io: 0x001, memory: 0x002, busMaster: 0x004, interruptDisable: 0x400 } as const;
const COMMAND_WRITABLE = 0x0547;
const STATUS_INTERRUPT = 0x0008;
const STATUS_CAPABILITIES = 0x0010;
/** Status bits that are cleared by writing ones. */
const STATUS_CLEARABLE = 0xf900;
const BAR_COUNT = 6;
/** The expansion ROM's register stands where a ninth BAR would; its lowest bit lets it decode (PCI Local Bus 3.0, 6.2.5.2). */
const ROM_INDEX = 8;
const ROM_ENABLE = 1;
const ROM_LEAST = 0x800;
const FIRST_CAPABILITY = 0x40;
/** Physical addresses beyond this are nowhere: a 64-bit BAR there is not mapped. */
const MAX_PHYSICAL = 2 ** 46;

/**
 * A base address register. A handler is called with offsets from the start of the range, for ports too. A size is a
 * power of two, at least 4 (ports) or 16 (memory).
 */
export type BarSpec =
  | { kind: 'io'; size: number; handler: PortHandler }
  | { kind: 'memory' | 'memory64'; size: number; prefetchable?: boolean; handler: MmioHandler };

export interface PciFunctionSpec {
  vendor: number;
  device: number;
  /** Class, subclass and programming interface as one 24-bit number. */
  classCode: number;
  revision?: number;
  subsystemVendor?: number;
  subsystem?: number;
  multifunction?: boolean;
  /** Whether the configuration space has 4096 bytes, as those of PCI Express do, rather than 256. */
  extended?: boolean;
  /** 0 none, 1 INTA to 4 INTD. */
  interruptPin?: number;
  /** By BAR index; a 64-bit one takes two. */
  bars?: Readonly<Record<number, BarSpec>>;
  /** A BAR was mapped at `base`, moved, or unmapped (undefined): for devices whose memory is more than a handler. */
  onMap?(bar: number, base: number | undefined): void;
  /** The guest is about to read configuration bytes `offset` to `offset + size - 1`. */
  onConfigRead?(offset: number, size: number): void;
  /** The guest wrote configuration bytes `offset` to `offset + size - 1`, after the standard header was dealt with. */
  onConfigWrite?(offset: number, size: number): void;
}

interface Bar {
  readonly spec: BarSpec;
  readonly index: number;
  /** Where it is claimed now, or undefined. */
  base: number | undefined;
}

/** Configuration space of one function. Devices own one and pass it to {@link PciBus.add}. */
export class PciFunction {
  readonly config: Uint8Array;
  /** Bits that the guest may write, beyond the header registers that have rules of their own. */
  readonly writable: Uint8Array;
  private readonly spec: PciFunctionSpec;
  private readonly bars: Bar[] = [];
  private bus: Bus | undefined;
  private line: InterruptLine = unconnectedLine;
  private asserted = false;
  private nextCapability = FIRST_CAPABILITY;
  private msi: Msi | undefined;
  private msix: Msix | undefined;

  constructor(spec: PciFunctionSpec) {
    this.spec = spec;
    this.config = new Uint8Array(spec.extended ? 4096 : 256);
    this.writable = new Uint8Array(this.config.length);
    for (const [key, bar] of Object.entries(spec.bars ?? {})) {
      const index = Number(key);
      const least = bar.kind === 'io' ? 4 : 16;
      const slots = bar.kind === 'memory64' ? 2 : 1;
      if (bar.size < least || (bar.size & (bar.size - 1)) !== 0 || index + slots > BAR_COUNT) {
        throw new RangeError(`BAR ${index} of ${bar.size} bytes is not a power of two, too small, or one too many`);
      }
      this.bars.push({ spec: bar, index, base: undefined });
    }
    this.reset();
  }

  /** Gives the function an expansion ROM, before it is plugged in: firmware looks for code of its own there. */
  plugRom(rom: Uint8Array): void {
    this.bars.push({ spec: romSpec(rom), index: ROM_INDEX, base: undefined });
  }

  private word(offset: number): number {
    return this.config[offset] | (this.config[offset + 1] << 8);
  }

  private setWord(offset: number, value: number): void {
    this.config[offset] = value & 0xff;
    this.config[offset + 1] = (value >> 8) & 0xff;
  }

  private dword(offset: number): number {
    return (this.word(offset) | (this.word(offset + 2) << 16)) >>> 0;
  }

  private setDword(offset: number, value: number): void {
    this.setWord(offset, value & 0xffff);
    this.setWord(offset + 2, value >>> 16);
  }

  /** Plugs the function in; `line` is where its interrupt pin leads. Called by the bus. */
  connect(bus: Bus, line: InterruptLine): void {
    this.bus = bus;
    this.line = line;
    this.updateMapping();
  }

  get command(): number {
    return this.word(PciRegister.command);
  }

  get interruptPin(): number {
    return this.spec.interruptPin ?? 0;
  }

  /** Whether the function may do DMA. */
  get busMaster(): boolean {
    return (this.command & PciCommand.busMaster) !== 0;
  }

  /** The function's INTx, in place of which a message is sent at its rise while the guest has MSI enabled. */
  readonly interrupt: InterruptLine = {
    set: (asserted) => {
      const rose = asserted && !this.asserted;
      this.asserted = asserted;
      this.updateInterrupt();
      if (rose) this.msi?.send(0);
    },
  };

  /** Gives the function an MSI capability of `vectors` (a power of two up to 32). Asserting its interrupt sends vector 0. */
  addMsi(sink: MessageSink, vectors = 1): Msi {
    this.msi = new Msi(this, sink, vectors);
    return this.msi;
  }

  /** Gives the function an MSI-X capability; the handler of the BAR that holds its table passes those accesses on to it. */
  addMsix(sink: MessageSink, places: MsixPlaces): Msix {
    this.msix = new Msix(this, sink, places);
    return this.msix;
  }

  /** Whether the guest has taken messages in place of the pin. */
  private get isMessaging(): boolean {
    return this.msi?.enabled === true || this.msix?.enabled === true;
  }

  private updateInterrupt(): void {
    const status = this.word(PciRegister.status) & ~STATUS_INTERRUPT;
    this.setWord(PciRegister.status, status | (this.asserted ? STATUS_INTERRUPT : 0));
    const isPin = (this.command & PciCommand.interruptDisable) === 0 && !this.isMessaging;
    this.line.set(this.asserted && isPin);
  }

  /**
   * Appends a capability of `length` bytes (id and next pointer included) and gives its offset. Capabilities are laid
   * out in the order they are added, from 40h.
   */
  addCapability(id: number, length: number): number {
    const offset = this.nextCapability;
    if (offset + length > 0x100) throw new RangeError('the capabilities of a PCI function do not fit its 256 bytes');
    this.nextCapability = (offset + length + 3) & ~3;
    // Find the last link of the list.
    let link: number = PciRegister.capabilities;
    while (this.config[link] !== 0) link = this.config[link] + 1;
    this.config[link] = offset;
    this.config[offset] = id;
    this.setWord(PciRegister.status, this.word(PciRegister.status) | STATUS_CAPABILITIES);
    return offset;
  }

  readConfig(offset: number, size: AccessSize): number {
    this.spec.onConfigRead?.(offset, size);
    let value = 0;
    // Beyond the end nobody answers.
    for (let i = 0; i < size; i++) value += (this.config[offset + i] ?? 0xff) * 2 ** (8 * i);
    return value;
  }

  /** An access does not cross a 4-byte boundary: the bus splits one that does. */
  writeConfig(offset: number, size: AccessSize, value: number): void {
    if (offset + size > this.config.length) return;
    const bytes: number[] = [];
    for (let i = 0; i < size; i++) bytes.push((value >>> (8 * i)) & 0xff);
    const isBar = offset >= PciRegister.bar0 && offset < PciRegister.bar0 + 4 * BAR_COUNT;
    if (isBar || (offset & ~3) === PciRegister.rom) {
      this.writeBar(offset, bytes);
    } else {
      bytes.forEach((byte, i) => {
        this.writeByte(offset + i, byte);
      });
    }
    if (offset <= PciRegister.command + 1 && offset + size > PciRegister.command) {
      this.updateMapping();
      this.updateInterrupt();
    }
    if (offset >= FIRST_CAPABILITY && (this.msi !== undefined || this.msix !== undefined)) {
      this.updateInterrupt();
      this.msi?.configWritten(offset, size);
      this.msix?.configWritten(offset, size);
    }
    this.spec.onConfigWrite?.(offset, size);
  }

  private writeByte(offset: number, byte: number): void {
    if (offset === PciRegister.status || offset === PciRegister.status + 1) {
      const shift = 8 * (offset - PciRegister.status);
      this.config[offset] &= ~(byte & (STATUS_CLEARABLE >> shift));
      return;
    }
    const mask = this.writable[offset];
    this.config[offset] = (this.config[offset] & ~mask) | (byte & mask);
  }

  private writeBar(offset: number, bytes: readonly number[]): void {
    const register = offset & ~3;
    const index = (register - PciRegister.bar0) >> 2;
    const bar = this.bars.find(
      (each) => each.index === index || (each.spec.kind === 'memory64' && each.index + 1 === index),
    );
    if (bar === undefined) return;
    bytes.forEach((byte, i) => {
      this.config[offset + i] = byte;
    });
    if (bar.index === index) {
      // The bits below the size read as zero, which is how a guest finds the size; the lowest tell the kind.
      const mask = bar.spec.size >= 2 ** 32 ? 0 : -bar.spec.size >>> 0;
      const enable = index === ROM_INDEX ? this.dword(register) & ROM_ENABLE : 0;
      this.setDword(register, ((this.dword(register) & mask) | this.kindBits(bar.spec) | enable) >>> 0);
    } else {
      const mask = bar.spec.size > 2 ** 32 ? -(bar.spec.size / 2 ** 32) >>> 0 : 0xffffffff;
      this.setDword(register, (this.dword(register) & mask) >>> 0);
    }
    this.updateMapping();
  }

  private kindBits(spec: BarSpec): number {
    if (spec.kind === 'io') return 1;
    return (spec.kind === 'memory64' ? 4 : 0) | (spec.prefetchable ? 8 : 0);
  }

  /** Programs a BAR as firmware does: `base` must be a multiple of the size. */
  assignBar(index: number, base: number): void {
    const register = PciRegister.bar0 + 4 * index;
    const bar = this.bars.find((each) => each.index === index);
    if (bar === undefined || base % bar.spec.size !== 0) throw new RangeError(`BAR ${index} cannot be at ${base}`);
    this.setDword(register, ((base % 2 ** 32) | this.kindBits(bar.spec)) >>> 0);
    if (bar.spec.kind === 'memory64') this.setDword(register + 4, Math.floor(base / 2 ** 32));
    this.updateMapping();
  }

  /** Guest-physical base (or port) of a BAR while the guest has it enabled. */
  barBase(index: number): number | undefined {
    return this.bars.find((each) => each.index === index)?.base;
  }

  private wantedBase(bar: Bar): number | undefined {
    const { spec } = bar;
    const enabled = (this.command & (spec.kind === 'io' ? PciCommand.io : PciCommand.memory)) !== 0;
    if (!enabled) return undefined;
    const register = PciRegister.bar0 + 4 * bar.index;
    if (bar.index === ROM_INDEX && (this.dword(register) & ROM_ENABLE) === 0) return undefined;
    if (spec.kind === 'io') {
      const port = (this.dword(register) & ~3) >>> 0;
      return port !== 0 && port + spec.size <= 0x10000 ? port : undefined;
    }
    let base = (this.dword(register) & ~15) >>> 0;
    if (spec.kind === 'memory64') base += this.dword(register + 4) * 2 ** 32;
    // All ones is a guest asking for the size, not placing the BAR.
    const end = base + spec.size;
    const limit = spec.kind === 'memory64' ? MAX_PHYSICAL : 2 ** 32 - 1;
    return base !== 0 && end <= limit ? base : undefined;
  }

  private updateMapping(): void {
    const { bus } = this;
    if (bus === undefined) return;
    const moved = this.bars.filter((bar) => this.wantedBase(bar) !== bar.base);
    for (const bar of moved) this.unmap(bus, bar);
    for (const bar of moved) this.map(bus, bar, this.wantedBase(bar));
  }

  private unmap(bus: Bus, bar: Bar): void {
    if (bar.base === undefined) return;
    if (bar.spec.kind === 'io') bus.releasePorts(bar.base, bar.base + bar.spec.size - 1);
    else bus.releaseMmio(bar.base);
    bar.base = undefined;
    this.spec.onMap?.(bar.index, undefined);
  }

  private map(bus: Bus, bar: Bar, base: number | undefined): void {
    if (base === undefined) return;
    const { spec } = bar;
    try {
      if (spec.kind === 'io') {
        const { handler } = spec;
        bus.claimPorts(base, base + spec.size - 1, {
          readPort: (port, size) => handler.readPort(port - base, size),
          writePort: (port, size, value) => handler.writePort(port - base, size, value),
        });
      } else bus.claimMmio(base, spec.size, spec.handler);
    } catch (error) {
      // A guest may place a BAR over another device; what answers then is undefined, here the device that was first.
      if (error instanceof ClaimOverlapError) return;
      throw error;
    }
    bar.base = base;
    this.spec.onMap?.(bar.index, base);
  }

  /** Bus reset: decoding off, BARs at zero. Capability contents are the device's own to reset. */
  reset(): void {
    const { spec, config, writable } = this;
    if (this.bus !== undefined) for (const bar of this.bars) this.unmap(this.bus, bar);
    this.setWord(PciRegister.vendor, spec.vendor);
    this.setWord(PciRegister.device, spec.device);
    this.setWord(PciRegister.command, 0);
    this.setWord(PciRegister.status, this.word(PciRegister.status) & STATUS_CAPABILITIES);
    config[PciRegister.revision] = spec.revision ?? 0;
    config[PciRegister.interface] = spec.classCode & 0xff;
    this.setWord(PciRegister.interface + 1, spec.classCode >> 8);
    config[PciRegister.headerType] = spec.multifunction ? 0x80 : 0;
    this.setWord(PciRegister.subsystemVendor, spec.subsystemVendor ?? 0);
    this.setWord(PciRegister.subsystem, spec.subsystem ?? 0);
    config[PciRegister.interruptLine] = 0;
    config[PciRegister.interruptPin] = this.interruptPin;
    for (let i = 0; i < BAR_COUNT; i++) this.setDword(PciRegister.bar0 + 4 * i, 0);
    for (const bar of this.bars) this.setDword(PciRegister.bar0 + 4 * bar.index, this.kindBits(bar.spec));
    writable[PciRegister.command] = COMMAND_WRITABLE & 0xff;
    writable[PciRegister.command + 1] = COMMAND_WRITABLE >> 8;
    writable[0x0c] = 0xff; // cache line size
    writable[0x0d] = 0xff; // latency timer
    writable[PciRegister.interruptLine] = 0xff;
    this.asserted = false;
    this.msi?.reset();
    this.msix?.reset();
    this.updateInterrupt();
  }

  save(): SavedState {
    const msix = this.msix === undefined ? {} : { msix: this.msix.save() };
    return { version: 1, config: this.config.slice(), asserted: this.asserted, ...msix };
  }

  restore(state: SavedState): void {
    const reader = openState('PCI configuration space', 1, state);
    const config = reader.bytes('config', this.config.length);
    if ((config[0] | (config[1] << 8)) !== this.spec.vendor || (config[2] | (config[3] << 8)) !== this.spec.device) {
      throw new Error('the saved state of the PCI configuration space is that of another device');
    }
    this.config.set(config);
    this.asserted = reader.boolean('asserted');
    this.msix?.restore(state.msix as SavedState);
    this.updateMapping();
    this.updateInterrupt();
  }
}

/** A ROM as a BAR: as large as the power of two that holds it, read-only, all ones behind its end. */
function romSpec(rom: Uint8Array): BarSpec {
  let size = ROM_LEAST;
  while (size < rom.length) size *= 2;
  return {
    kind: 'memory',
    size,
    handler: {
      readMmio: (offset, bytes) => {
        let value = 0;
        for (let i = 0; i < bytes; i++) value += (rom[offset + i] ?? 0xff) * 2 ** (8 * i);
        return value;
      },
      writeMmio: () => {},
    },
  };
}
