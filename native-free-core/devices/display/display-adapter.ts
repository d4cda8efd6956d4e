// The display adapter of a PC: a VGA with the Bochs and QEMU extensions ("stdvga"), as a PCI function and as a screen.
// Owns how its parts are put together: registers, memory, windows, picture.
// Never draws a line itself, and never knows who looks at the screen.

import type { AccessSize, Bus, Device, MmioHandler, PortHandler, SavedState } from '../device.ts';
import { PciCommand, PciFunction, PciRegister } from '../pci-function.ts';
import { openState } from '../saved-state.ts';
import { Dispi } from './dispi.ts';
import { buildEdid, EDID_BYTES } from './edid.ts';
import { LinearRaster } from './linear-raster.ts';
import { Picture } from './picture.ts';
import type { Screen, ScreenCell, ScreenUpdate } from './screen.ts';
import { APERTURE_BASE, APERTURE_BYTES, SHADOW_BYTES, VgaAperture } from './vga-aperture.ts';
import { VgaRaster } from './vga-raster.ts';
import { VgaRegisters } from './vga-registers.ts';
import { VIDEO_PAGE, type VideoMemory, type VideoWindow } from './video-memory.ts';

/** Memory of the usual adapter: enough for the largest mode. */
export const VIDEO_MEMORY_BYTES = 16 << 20;
/** What {@link DisplayAdapterWiring.memory} needs beside the video memory itself. */
export const VIDEO_MEMORY_EXTRA = SHADOW_BYTES;

/** Ids by which drivers know the interface. */
const PCI_IDS = { vendor: 0x1234, device: 0x1111, subsystemVendor: 0x1af4, subsystem: 0x1100, revision: 2 };
const FRAME_BUFFER_BAR = 0;
const REGISTER_BAR = 2;
const REGISTER_BYTES = 4096;
/** Parts of the register BAR: the VGA ports from 3C0h on, the DISPI registers, and registers of the extension. */
const VGA_PORTS = { offset: 0x400, count: 0x20, first: 0x3c0 };
const DISPI = { offset: 0x500, bytes: 22 };
const EXTENSION_SIZE = 0x600;
const BYTE_ORDER = 0x604;
const LITTLE_ENDIAN = 0x1e1e1e1e;
const BIG_ENDIAN = 0xbebebebe;
/** Frames of a cursor's and of a character's half blink. */
const CURSOR_FRAMES = 8;
const TEXT_FRAMES = 16;

export interface DisplayAdapterWiring {
  clock: { now(): number };
  /** A power of two, at least 1 MiB, of video memory, and {@link VIDEO_MEMORY_EXTRA} bytes behind. */
  memory: VideoMemory;
}

export class DisplayAdapter implements Device, Screen {
  readonly pci: PciFunction;
  readonly registers: VgaRegisters;
  private readonly memory: VideoMemory;
  /** Bytes of video memory. */
  private readonly size: number;
  private readonly frameBuffer: VideoWindow;
  private readonly dispi: Dispi;
  private readonly aperture: VgaAperture;
  private readonly raster: VgaRaster;
  private readonly linear: LinearRaster;
  private readonly picture = new Picture();
  private readonly edid = buildEdid();
  private isBigEndian = false;
  /** Bumped by every change of the extension's registers. */
  private version = 0;
  /** What the picture was last rendered for; everything is rendered again when it differs. */
  private rendered = '';

  constructor({ clock, memory }: DisplayAdapterWiring) {
    this.memory = memory;
    this.size = memory.bytes.length - VIDEO_MEMORY_EXTRA;
    if (this.size < 1 << 20 || (this.size & (this.size - 1)) !== 0)
      throw new RangeError(`${this.size} bytes of video memory are not a power of two from 1 MiB on`);
    this.frameBuffer = memory.window();
    this.registers = new VgaRegisters({
      clock,
      onMemoryMode: () => this.aperture?.update(),
      latch: (plane) => (this.aperture.latches >>> (8 * plane)) & 0xff,
    });
    this.dispi = new Dispi({
      memoryBytes: this.size,
      onEnable: (keep) => this.enterMode(keep),
      onChange: () => {
        this.version++;
        this.aperture?.update();
      },
    });
    this.aperture = new VgaAperture(this.registers, this.dispi, memory);
    this.raster = new VgaRaster(this.registers, memory.bytes.subarray(0, 0x40000));
    this.linear = new LinearRaster(memory.bytes.subarray(0, this.size));
    this.pci = new PciFunction({
      ...PCI_IDS,
      classCode: 0x030000,
      bars: {
        [FRAME_BUFFER_BAR]: { kind: 'memory', size: this.size, prefetchable: true, handler: this.memoryHandler },
        [REGISTER_BAR]: { kind: 'memory', size: REGISTER_BYTES, handler: this.registerHandler },
      },
      onMap: (bar, base) => {
        if (bar !== FRAME_BUFFER_BAR) return;
        if (base === undefined) this.frameBuffer.unmap();
        else this.frameBuffer.map(base, 0, this.size);
      },
    });
  }

  /** Claims the ports of a VGA, 1CEh to 1D1h, and the window at A0000h. */
  attach(bus: Bus): void {
    this.registers.attach(bus);
    bus.claimPorts(0x1ce, 0x1d1, this.dispiPorts);
    bus.claimMmio(APERTURE_BASE, APERTURE_BYTES, this.aperture);
  }

  /** Leaves the function as firmware does: frame buffer and registers at these addresses, memory and ports decoded. */
  program(frameBuffer: number, registers: number): void {
    this.pci.assignBar(FRAME_BUFFER_BAR, frameBuffer);
    this.pci.assignBar(REGISTER_BAR, registers);
    this.pci.writeConfig(PciRegister.command, 2, PciCommand.io | PciCommand.memory);
  }

  /** The data register is 16 bits wide at 1CFh, and at 1D0h for those who cannot reach odd addresses. */
  private readonly dispiPorts: PortHandler = {
    readPort: (port, size) => {
      const value = this.dispi.readPort(port);
      return size === 1 ? value & 0xff : value;
    },
    writePort: (port, _size, value) => this.dispi.writePort(port, value & 0xffff),
  };

  /** The linear frame buffer where no window reaches it. */
  private readonly memoryHandler: MmioHandler = {
    readMmio: (offset, size) => {
      let value = 0;
      for (let i = 0; i < size; i++) value += (this.memory.bytes[(offset + i) & (this.size - 1)] ?? 0) * 2 ** (8 * i);
      return value;
    },
    writeMmio: (offset, size, value) => {
      for (let i = 0; i < size; i++) {
        const at = (offset + i) & (this.size - 1);
        this.memory.bytes[at] = (value >>> (8 * i)) & 0xff;
        this.aperture.dirty[Math.floor(at / VIDEO_PAGE)] = 1;
      }
    },
  };

  private readonly registerHandler: MmioHandler = {
    readMmio: (offset, size) => {
      let value = 0;
      for (let i = 0; i < size; ) {
        const width = this.registerWidth(offset + i, size - i);
        value += this.readRegister(offset + i, width) * 2 ** (8 * i);
        i += width;
      }
      return value;
    },
    writeMmio: (offset, size, value) => {
      for (let i = 0; i < size; ) {
        const width = this.registerWidth(offset + i, size - i);
        const part = Math.floor(value / 2 ** (8 * i)) % 2 ** (8 * width);
        this.writeRegister(offset + i, width, part);
        i += width;
      }
    },
  };

  /** Bytes of an access at `offset` that belong to one register, at most `left`. */
  private registerWidth(offset: number, left: number): 1 | 2 | 4 {
    if (offset >= EXTENSION_SIZE && offset % 4 === 0 && left >= 4) return 4;
    return offset >= DISPI.offset && offset % 2 === 0 && left >= 2 ? 2 : 1;
  }

  private readRegister(offset: number, width: AccessSize): number {
    if (offset < EDID_BYTES) return this.edid[offset];
    if (offset >= VGA_PORTS.offset && offset < VGA_PORTS.offset + VGA_PORTS.count)
      return this.registers.readPort(VGA_PORTS.first + offset - VGA_PORTS.offset, 1);
    if (offset >= DISPI.offset && offset < DISPI.offset + DISPI.bytes) {
      const value = this.dispi.read((offset - DISPI.offset) >> 1);
      return width === 1 ? (value >> (8 * (offset & 1))) & 0xff : value;
    }
    if (width === 4 && offset === EXTENSION_SIZE) return 8;
    if (width === 4 && offset === BYTE_ORDER) return this.isBigEndian ? BIG_ENDIAN : LITTLE_ENDIAN;
    return 0;
  }

  private writeRegister(offset: number, width: AccessSize, value: number): void {
    if (offset >= VGA_PORTS.offset && offset < VGA_PORTS.offset + VGA_PORTS.count)
      this.registers.writePort(VGA_PORTS.first + offset - VGA_PORTS.offset, 1, value);
    else if (offset >= DISPI.offset && offset < DISPI.offset + DISPI.bytes && width === 2)
      this.dispi.write((offset - DISPI.offset) >> 1, value);
    else if (width === 4 && offset === BYTE_ORDER && (value === LITTLE_ENDIAN || value === BIG_ENDIAN)) {
      this.isBigEndian = value === BIG_ENDIAN;
      this.version++;
    }
  }

  private enterMode(keep: boolean): void {
    // What a text mode still holds must be carried over first, or it would appear in the new mode's memory.
    this.aperture.update();
    if (keep) return;
    this.memory.bytes.fill(0, 0, this.size);
    this.memory.touch(0, this.size);
    this.aperture.dirty.fill(1);
  }

  get width(): number {
    return this.dispi.mode()?.width ?? this.raster.width;
  }

  get height(): number {
    return this.dispi.mode()?.height ?? this.raster.height;
  }

  private blinkPhase(): { cursor: boolean; text: boolean } {
    const frames = this.registers.timing.retraces;
    return {
      cursor: Math.floor(frames / CURSOR_FRAMES) % 2 === 0,
      text: Math.floor(frames / TEXT_FRAMES) % 2 === 0,
    };
  }

  refresh(): ScreenUpdate {
    const { picture, registers, raster, dispi, aperture } = this;
    const { dirty } = aperture;
    aperture.carryOver();
    this.memory.takeDirty(0, this.size, (offset) => {
      dirty[offset / VIDEO_PAGE] = 1;
    });
    const mode = dispi.mode();
    picture.resize(mode?.width ?? raster.width, mode?.height ?? raster.height);
    const phase = this.blinkPhase();
    const blinks = mode === undefined && raster.isText ? `${phase.cursor} ${phase.text}` : '';
    const state = `${registers.version} ${this.version} ${blinks}`;
    const isAll = state !== this.rendered;
    this.rendered = state;
    const isDirty = (from: number, to: number) => isAll || this.isAnyDirty(from, to);
    if (isAll) raster.loadColours(dispi.hasWideDac);
    if (!registers.isShowing) {
      if (isAll) picture.fill(mode === undefined ? raster.border : 0xff000000);
    } else if (mode === undefined) raster.render(picture, phase, isDirty);
    else this.linear.render(picture, mode, this.isBigEndian, raster.colours, raster.sixteen, isDirty);
    dirty.fill(0);
    return { width: picture.width, height: picture.height, pixels: picture.bytes, tiles: picture.takeChanges() };
  }

  private isAnyDirty(from: number, to: number): boolean {
    const { dirty } = this.aperture;
    for (let page = Math.floor(from / VIDEO_PAGE); page * VIDEO_PAGE < to; page++) if (dirty[page] === 1) return true;
    return false;
  }

  invalidate(): void {
    this.picture.invalidate();
  }

  private get isText(): boolean {
    return !this.dispi.isEnabled && this.raster.isText;
  }

  text(): string | undefined {
    if (!this.isText) return undefined;
    this.aperture.carryOver();
    return this.raster.text();
  }

  textSize(): { columns: number; rows: number } | undefined {
    return this.isText ? this.raster.textSize() : undefined;
  }

  cursor(): ScreenCell | undefined {
    return this.isText ? this.raster.cursor() : undefined;
  }

  reset(): void {
    this.pci.reset();
    this.dispi.reset();
    this.registers.reset();
    this.isBigEndian = false;
    this.aperture.latches = 0;
    this.memory.bytes.fill(0);
    this.memory.touch(0, this.memory.bytes.length);
    this.aperture.forget();
    this.version++;
  }

  /** Without the video memory, which is saved and filled with the guest's, in that order. */
  save(): SavedState {
    this.aperture.carryOver();
    return {
      version: 1,
      pci: this.pci.save(),
      registers: this.registers.save(),
      dispi: this.dispi.save(),
      isBigEndian: this.isBigEndian,
      latches: this.aperture.latches >>> 0,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('display adapter', 1, state);
    const latches = reader.dword('latches');
    const isBigEndian = reader.boolean('isBigEndian');
    this.pci.restore(state.pci as SavedState);
    this.memory.touch(0, this.memory.bytes.length);
    // The copy that text modes use is made anew from the planes: what it held must not be carried over to them.
    this.aperture.forget();
    this.registers.restore(reader.record('registers'));
    this.dispi.restore(reader.record('dispi'));
    this.isBigEndian = isBigEndian;
    this.aperture.latches = latches;
    this.aperture.forget();
    this.version++;
  }
}
