// The ROM of the video BIOS at C0000h: header, fonts, tables and the entry of INT 10h.
// Owns where everything is in it.
// Never implements a service.

import { font } from './fonts/fonts.ts';
import { OPTION_ROM } from './layout.ts';
import { RomBuilder, setChecksum } from './rom-builder.ts';

const VIDEO_ROM_BYTES = 0x8000;
const ROM_UNIT = 512;
/** PCI ids of the display adapter that the ROM is for. */
const PCI_VENDOR = 0x1234;
const PCI_DEVICE = 0x1111;

/** A place in real-mode memory. */
export interface FarPointer {
  readonly segment: number;
  readonly offset: number;
}

/** What the ROM holds that services tell of. */
export interface VideoRom {
  readonly rom: RomBuilder;
  readonly entry: FarPointer;
  readonly fonts: Readonly<Record<8 | 14 | 16, FarPointer>>;
  /** No characters are different in nine columns. */
  readonly noAlternates: FarPointer;
  readonly functionality: FarPointer;
  readonly savePointers: FarPointer;
  readonly vendor: FarPointer;
  readonly product: FarPointer;
  readonly revision: FarPointer;
}

/**
 * Static functionality table (INT 10h, AH=1Bh): modes 0 to 7 and 0Dh to 13h, 200, 350 and 400 lines, eight fonts of which
 * two are shown at once, and what the services can do.
 */
const FUNCTIONALITY = [0xff, 0xe0, 0x0f, 0, 0, 0, 0, 0x07, 0x02, 0x08, 0xe7, 0x0c, 0, 0, 0, 0];

/** Builds the ROM; `emitEntry` puts INT 10h at the builder's place. */
export function buildVideoRom(emitEntry: (rom: RomBuilder) => void): VideoRom {
  const rom = new RomBuilder(OPTION_ROM.first, VIDEO_ROM_BYTES, 0x40);
  const here = (): FarPointer => ({ segment: rom.segment, offset: rom.here });
  // Nothing to initialize when called: power-on has done it.
  rom.at(0).emit(0x55, 0xaa, VIDEO_ROM_BYTES / ROM_UNIT, 0xcb);
  rom.place(24, 4);
  const pci = rom.here;
  rom.text('PCIR').word(PCI_VENDOR, PCI_DEVICE, 0, 24).emit(0, 0x00, 0x00, 0x03);
  rom
    .word(VIDEO_ROM_BYTES / ROM_UNIT, 0)
    .emit(0, 0x80)
    .word(0);
  rom.at(0x18).word(pci);
  // Programs of old look for this word to tell an EGA or VGA.
  rom.at(0x1e).text('IBM');
  const table = (bytes: ArrayLike<number>, align = 1) => {
    rom.place(bytes.length, align);
    const at = here();
    rom.emit(...Array.from(bytes));
    return at;
  };
  const text = (characters: string) => table([...characters, '\0'].map((character) => character.charCodeAt(0)));
  const fonts = { 8: table(font(8), 16), 14: table(font(14), 16), 16: table(font(16), 16) };
  const noAlternates = table([0]);
  const functionality = table(FUNCTIONALITY);
  const savePointers = table(new Uint8Array(28));
  const vendor = text('Trivisor');
  const product = text('Trivisor VGA');
  const revision = text('1.0');
  rom.place(32, 4);
  const entry = here();
  emitEntry(rom);
  rom.finish();
  setChecksum(rom.bytes, VIDEO_ROM_BYTES - 1, 0, VIDEO_ROM_BYTES);
  return { rom, entry, fonts, noAlternates, functionality, savePointers, vendor, product, revision };
}
