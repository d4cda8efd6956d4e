// The display of a PC: the adapter, its memory, and the state in which firmware leaves it.
// Owns where its BARs are put, and the mode at power-on of a guest without firmware of its own.
// Never draws, and implements no register.

import type { PhysicalMemory } from '../../cpu/system/physical.ts';
import { PageKind } from '../../cpu/system/physical.ts';
import type { IoBus } from '../../devices/bus.ts';
import { DisplayAdapter, VIDEO_MEMORY_BYTES, VIDEO_MEMORY_EXTRA } from '../../devices/display/display-adapter.ts';
import { APERTURE_BASE, APERTURE_BYTES } from '../../devices/display/vga-aperture.ts';
import { bytesOfLine, colourMasks, setVbeMode, vbeMode } from '../../firmware/bios/vbe-modes.ts';
import { setVideoMode, type VideoAccess, videoMode } from '../../firmware/bios/video-modes.ts';
import { LinuxVideoMode, type ScreenInfo } from '../../firmware/boot/screen-info.ts';

/** Where firmware puts the frame buffer and the registers: at the end of the window for PCI memory. */
const FRAME_BUFFER = 0xfd000000;
const REGISTERS = 0xfea00000;
/** Linux's numbers for VBE modes are their own plus this; for 80 by 50 characters, one of its own. */
const LINUX_VBE = 0x200;
const LINUX_80X50 = 0x0f01;

export interface DisplayWiring {
  clock: { now(): number };
  bus: IoBus;
  memory: PhysicalMemory;
}

export class Display {
  readonly adapter: DisplayAdapter;
  private readonly bus: IoBus;

  constructor({ clock, bus, memory }: DisplayWiring) {
    this.bus = bus;
    this.adapter = new DisplayAdapter({ clock, memory: memory.allocate(VIDEO_MEMORY_BYTES + VIDEO_MEMORY_EXTRA) });
    this.adapter.attach(bus);
    // What RAM there is behind the window of a VGA is not to be seen.
    memory.setKind(APERTURE_BASE, APERTURE_BYTES, PageKind.mmio);
  }

  /** Ports and memory as an instruction would reach them: for firmware that is not executed by the guest. */
  private get access(): VideoAccess {
    const { bus } = this;
    return {
      readPort: (port, size) => bus.readPort(port, size),
      writePort: (port, size, value) => bus.writePort(port, size, value),
      read: (address, into) => {
        for (let i = 0; i < into.length; i++) into[i] = bus.readMmio(address + i, 1);
      },
      write: (address, bytes) => {
        for (let i = 0; i < bytes.length; i++) bus.writeMmio(address + i, 1, bytes[i]);
      },
    };
  }

  /** Resources and text mode as firmware leaves them. */
  program(): void {
    this.adapter.program(FRAME_BUFFER, REGISTERS);
    setVideoMode(this.access, videoMode(3)!);
  }

  /**
   * Sets the mode that a Linux kernel which is loaded directly asks for by `vga=`, and tells of it; text of 80 by 25
   * characters where it asks for none, or for one that there is not.
   */
  setLinuxMode(number: number = LinuxVideoMode.normal): ScreenInfo {
    const mode = number >= LINUX_VBE + 0x100 ? vbeMode(number - LINUX_VBE) : undefined;
    if (mode !== undefined && mode.bitsPerPixel !== 4) {
      setVbeMode(this.access, mode);
      return {
        kind: 'linear',
        ...{ width: mode.width, height: mode.height, bitsPerPixel: mode.bitsPerPixel },
        pitch: bytesOfLine(mode.width, mode.bitsPerPixel),
        base: FRAME_BUFFER,
        memoryBytes: VIDEO_MEMORY_BYTES,
        masks: colourMasks(mode.bitsPerPixel),
      };
    }
    const text = videoMode(3)!;
    const isDense = number === LinuxVideoMode.extended || number === LINUX_80X50;
    if (isDense) setVideoMode(this.access, denseText());
    const [rows, charHeight] = isDense ? [50, 8] : [text.rows, text.charHeight];
    return { kind: 'text', columns: text.columns, rows, charHeight, mode: 3, cursor: { column: 0, row: 0 } };
  }
}

/** 80 by 50 characters of eight lines in 400 lines. */
function denseText() {
  const mode = videoMode(3)!;
  const crtc = mode.crtc.slice();
  // Eight lines a character, and the cursor in the last two.
  crtc.splice(9, 3, 0x47, 0x06, 0x07);
  return { ...mode, charHeight: 8 as const, crtc };
}
