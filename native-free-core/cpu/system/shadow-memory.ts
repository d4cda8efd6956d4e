// Firmware in ROM, and the RAM that can take its place below 1 MiB.
// Owns which of both reads and writes of each segment of C0000h to FFFFFh reach.
// Never knows the registers that say so: a host bridge's.

import type { DirectWindow } from './direct-memory.ts';
import { PageKind, type PhysicalMemory } from './physical.ts';

/** What one field of the host bridge's registers decides about. */
const SEGMENT = 0x4000;
const FIRST = 0xc0000;
const END = 0x100000;
const FOUR_GIB = 0x1_0000_0000;
/** So much of the image's end can be seen below 1 MiB. */
const LOW_IMAGE = 0x20000;
const LARGEST_IMAGE = 16 << 20;

export interface SegmentAccess {
  /** Reads find RAM; otherwise ROM, or a bus that nobody drives. */
  readonly readRam: boolean;
  /** Writes change RAM; otherwise nothing. */
  readonly writeRam: boolean;
}

interface Segment {
  /** What reads find that do not find RAM: an offset of the ROM's memory. */
  readonly offset: number;
  readonly isRom: boolean;
  /** The windows that show it: where writes do nothing, and where they change RAM. */
  readonly ignored: DirectWindow;
  readonly beneath: DirectWindow;
}

export class ShadowMemory {
  /** Host memory that it takes beside the image. */
  static readonly EXTRA_BYTES = SEGMENT;
  private readonly physical: PhysicalMemory;
  private readonly segments: readonly Segment[];

  /**
   * `image` ends at 4 GiB, and its last 128 KiB (all of it, if it is smaller) at 1 MiB as well. Its length is a multiple of
   * 16 KiB, 16 MiB at most (RangeError). C0000h to FFFFFh begin as after reset: reads find ROM, writes change nothing.
   */
  constructor(physical: PhysicalMemory, image: Uint8Array) {
    if (image.length === 0 || image.length % SEGMENT !== 0 || image.length > LARGEST_IMAGE)
      throw new RangeError(`a ROM of ${image.length} bytes cannot be mapped: multiples of 16 KiB, up to 16 MiB`);
    this.physical = physical;
    const rom = physical.allocate(image.length + ShadowMemory.EXTRA_BYTES);
    rom.bytes.set(image);
    // What a bus reads that nobody drives.
    rom.bytes.fill(0xff, image.length);
    rom.window('ignored').map(FOUR_GIB - image.length, 0, image.length);
    const low = END - Math.min(LOW_IMAGE, image.length);
    this.segments = Array.from({ length: (END - FIRST) / SEGMENT }, (_, index) => {
      const at = FIRST + index * SEGMENT;
      return {
        offset: at < low ? image.length : image.length - (END - at),
        isRom: at >= low,
        ignored: rom.window('ignored'),
        beneath: rom.window('beneath'),
      };
    });
    this.reset();
  }

  reset(): void {
    this.set(FIRST, END - FIRST, { readRam: false, writeRam: false });
  }

  /** Where accesses to `length` bytes from `physical` go; multiples of 16 KiB within C0000h to FFFFFh (RangeError). */
  set(physical: number, length: number, { readRam, writeRam }: SegmentAccess): void {
    if (physical < FIRST || physical + length > END || physical % SEGMENT !== 0 || length % SEGMENT !== 0)
      throw new RangeError('only multiples of 16 KiB of C0000h to FFFFFh can be shadowed');
    for (let at = physical; at < physical + length; at += SEGMENT) {
      const { offset, isRom, ignored, beneath } = this.segments[(at - FIRST) / SEGMENT];
      const shown = readRam ? undefined : writeRam ? beneath : isRom ? ignored : undefined;
      for (const window of [ignored, beneath]) if (window !== shown) window.unmap();
      shown?.map(at, offset, SEGMENT);
      // Where neither reads nor writes find RAM and there is no ROM, the bus answers.
      this.physical.setKind(at, SEGMENT, !readRam ? PageKind.mmio : writeRam ? PageKind.ram : PageKind.rom);
    }
  }
}
