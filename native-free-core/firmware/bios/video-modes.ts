// The standard modes of a VGA: register values, palettes, fonts, and how a mode is set.
// Owns the tables (IBM PS/2 Hardware Interface Technical Reference, Video Subsystem) and the order of the writes.
// Never knows an interrupt or the BIOS data area.

import { type FontHeight, font } from './fonts/fonts.ts';

/** The display adapter as the video BIOS reaches it: its ports, and memory as instructions of real mode reach it. */
export interface VideoAccess {
  readPort(port: number, size: 1 | 2 | 4): number;
  writePort(port: number, size: 1 | 2 | 4, value: number): void;
  read(address: number, into: Uint8Array): void;
  write(address: number, bytes: Uint8Array): void;
}

/** How memory is arranged: characters, CGA's pixels, planes, or a byte a pixel. */
export type MemoryModel = 'text' | 'cga' | 'planar' | 'packed';

export interface VideoMode {
  readonly number: number;
  readonly model: MemoryModel;
  readonly columns: number;
  readonly rows: number;
  readonly charHeight: FontHeight;
  /** Pixels, or dots of a text mode. */
  readonly width: number;
  readonly height: number;
  readonly bitsPerPixel: number;
  readonly isMono?: boolean;
  /** Segment of the window that the mode is written through, and bytes of a page. */
  readonly segment: number;
  readonly pageBytes: number;
  readonly pages: number;
  readonly misc: number;
  readonly sequencer: readonly number[];
  readonly crtc: readonly number[];
  readonly attribute: readonly number[];
  readonly graphics: readonly number[];
  readonly palette: 'ega' | 'cga' | 'mono' | 'vga';
}

const hex = (text: string) => text.split(' ').map((byte) => Number.parseInt(byte, 16));
const repeated = (value: number, count: number) => new Array<number>(count).fill(value);

// Horizontal timing, CRTC 0 to 5.
const TEXT_80 = hex('5f 4f 50 82 55 81');
const TEXT_40 = hex('2d 27 28 90 2b a0');
const GRAPHICS_80 = hex('5f 4f 50 82 54 80');
const GRAPHICS_40 = hex('2d 27 28 90 2b 80');
// Vertical timing: CRTC 6 and 7, then 10h to 12h, then 15h and 16h.
const LINES_400 = { total: hex('bf 1f'), retrace: hex('9c 8e 8f'), blank: hex('96 b9') };
const LINES_350 = { total: hex('bf 1f'), retrace: hex('83 85 5d'), blank: hex('63 ba') };
const LINES_480 = { total: hex('0b 3e'), retrace: hex('ea 8c df'), blank: hex('e7 04') };

/** The 25 CRTC registers: timing, then what is in between. `scan` is 9h (and cursor), `pitch` 13h, `underline` 14h. */
function crtc(
  horizontal: readonly number[],
  lines: typeof LINES_400,
  [scan, cursorStart, cursorEnd]: readonly [number, number, number],
  pitch: number,
  underline: number,
  mode: number,
): number[] {
  return [
    ...horizontal,
    ...lines.total,
    ...[0x00, scan, cursorStart, cursorEnd, 0, 0, 0, 0],
    ...lines.retrace,
    ...[pitch, underline],
    ...lines.blank,
    ...[mode, 0xff],
  ];
}

const EGA_ATTRIBUTES = hex('00 01 02 03 04 05 14 07 38 39 3a 3b 3c 3d 3e 3f');
const CGA_ATTRIBUTES = hex('00 01 02 03 04 05 06 07 10 11 12 13 14 15 16 17');
const MONO_ATTRIBUTES = hex('00 08 08 08 08 08 08 08 10 18 18 18 18 18 18 18');

function textMode(number: number, columns: 40 | 80, isMono = false): VideoMode {
  const timing = columns === 80 ? TEXT_80 : TEXT_40;
  return {
    number,
    ...{ model: 'text', columns, rows: 25, charHeight: 16, width: columns * 9, height: 400, bitsPerPixel: 4, isMono },
    ...{ segment: isMono ? 0xb000 : 0xb800, pageBytes: columns === 80 ? 0x1000 : 0x800, pages: 8 },
    misc: isMono ? 0x66 : 0x67,
    sequencer: hex(columns === 80 ? '00 03 00 02' : '08 03 00 02'),
    crtc: crtc(timing, LINES_400, [0x4f, 0x0d, 0x0e], columns / 2, isMono ? 0x0f : 0x1f, 0xa3),
    attribute: isMono ? [...MONO_ATTRIBUTES, ...hex('0e 00 0f 08')] : [...EGA_ATTRIBUTES, ...hex('0c 00 0f 08')],
    graphics: hex(`00 00 00 00 00 10 ${isMono ? '0a' : '0e'} 0f ff`),
    palette: isMono ? 'mono' : 'ega',
  };
}

function cgaMode(number: number, width: 320 | 640): VideoMode {
  const wide = width === 640;
  return {
    number,
    ...{ model: 'cga', columns: width / 8, rows: 25, charHeight: 8, width, height: 200, bitsPerPixel: wide ? 1 : 2 },
    ...{ segment: 0xb800, pageBytes: 0x4000, pages: 1, misc: 0x63 },
    sequencer: hex(wide ? '01 01 00 06' : '09 03 00 02'),
    crtc: crtc(wide ? GRAPHICS_80 : GRAPHICS_40, LINES_400, [0xc1, 0, 0], width / 16, 0x00, wide ? 0xc2 : 0xa2),
    attribute: wide
      ? [0x00, ...repeated(0x17, 15), ...hex('01 00 01 00')]
      : hex('00 13 15 17 02 04 06 07 10 11 12 13 14 15 16 17 01 00 03 00'),
    graphics: hex(wide ? '00 00 00 00 00 00 0d 0f ff' : '00 00 00 00 00 30 0f 0f ff'),
    palette: 'cga',
  };
}

interface PlanarShape {
  number: number;
  width: 320 | 640;
  height: 200 | 350 | 480;
  misc: number;
  attribute: readonly number[];
  palette: VideoMode['palette'];
  colourPlanes?: number;
  isMono?: boolean;
}

function planarMode({
  number,
  width,
  height,
  misc,
  attribute,
  palette,
  colourPlanes = 15,
  isMono,
}: PlanarShape): VideoMode {
  const charHeight = height === 350 ? 14 : height === 480 ? 16 : 8;
  const lines = height === 350 ? LINES_350 : height === 480 ? LINES_480 : LINES_400;
  const columns = width / 8;
  const pageBytes = { 200: columns === 40 ? 0x2000 : 0x4000, 350: 0x8000, 480: 0xa000 }[height];
  return {
    number,
    ...{ model: 'planar', columns, rows: Math.floor(height / charHeight), charHeight, width, height },
    bitsPerPixel: colourPlanes === 15 && number !== 0x11 ? 4 : 1,
    ...{ segment: 0xa000, pageBytes, pages: Math.floor(0x10000 / pageBytes), misc },
    sequencer: hex(columns === 40 ? '09 0f 00 06' : '01 0f 00 06'),
    crtc: crtc(
      columns === 40 ? GRAPHICS_40 : GRAPHICS_80,
      lines,
      [height === 200 ? 0xc0 : 0x40, 0, 0],
      columns / 2,
      height === 350 ? 0x0f : 0x00,
      0xe3,
    ),
    attribute,
    graphics: [...hex('00 00 00 00 00 00 05'), colourPlanes, 0xff],
    palette,
    ...(isMono ? { isMono } : {}),
  };
}

const CGA_PLANES = [...CGA_ATTRIBUTES, ...hex('01 00 0f 00')];
const EGA_PLANES = [...EGA_ATTRIBUTES, ...hex('01 00 0f 00')];

const MODES: readonly VideoMode[] = [
  textMode(0x00, 40),
  textMode(0x01, 40),
  textMode(0x02, 80),
  textMode(0x03, 80),
  cgaMode(0x04, 320),
  cgaMode(0x05, 320),
  cgaMode(0x06, 640),
  textMode(0x07, 80, true),
  planarMode({ number: 0x0d, width: 320, height: 200, misc: 0x63, attribute: CGA_PLANES, palette: 'cga' }),
  planarMode({ number: 0x0e, width: 640, height: 200, misc: 0x63, attribute: CGA_PLANES, palette: 'cga' }),
  planarMode({
    ...{ number: 0x0f, width: 640, height: 350, misc: 0xa2, palette: 'mono', colourPlanes: 0x05, isMono: true },
    attribute: hex('00 08 00 00 18 18 00 00 00 08 00 00 00 18 00 00 0b 00 05 00'),
  }),
  planarMode({ number: 0x10, width: 640, height: 350, misc: 0xa3, attribute: EGA_PLANES, palette: 'ega' }),
  planarMode({
    ...{ number: 0x11, width: 640, height: 480, misc: 0xe3, palette: 'ega' },
    attribute: [0x00, ...repeated(0x3f, 15), ...hex('01 00 0f 00')],
  }),
  planarMode({ number: 0x12, width: 640, height: 480, misc: 0xe3, attribute: EGA_PLANES, palette: 'ega' }),
  {
    ...{
      number: 0x13,
      model: 'packed',
      columns: 40,
      rows: 25,
      charHeight: 8,
      width: 320,
      height: 200,
      bitsPerPixel: 8,
    },
    ...{ segment: 0xa000, pageBytes: 0x10000, pages: 1, misc: 0x63 },
    sequencer: hex('01 0f 00 0e'),
    crtc: crtc(GRAPHICS_80, LINES_400, [0x41, 0, 0], 40, 0x40, 0xa3),
    attribute: [...Array.from({ length: 16 }, (_, index) => index), ...hex('41 00 0f 00')],
    graphics: hex('00 00 00 00 00 40 05 0f ff'),
    palette: 'vga',
  },
];

/** A standard mode by its number, or undefined. */
export function videoMode(number: number): VideoMode | undefined {
  return MODES.find((mode) => mode.number === number);
}

// ---- palettes, 6 bits a component

/** A colour of six bits rgbRGB, as an EGA's monitor takes it. */
function egaColour(index: number): number[] {
  const level = (bit: number) => ((index >> bit) & 1) * 0x2a + ((index >> (bit + 3)) & 1) * 0x15;
  return [level(2), level(1), level(0)];
}

/** A colour of a CGA's monitor: bit 4 is intensity, and dark yellow is brown. */
function cgaColour(index: number): number[] {
  const bright = (index & 0x10) !== 0 ? 0x15 : 0;
  const [red, green, blue] = [2, 1, 0].map((bit) => ((index >> bit) & 1) * 0x2a + bright);
  return [red, (index & 0x17) === 6 ? 0x15 : green, blue];
}

function monoColour(index: number): number[] {
  const level = ((index >> 3) & 1) * 0x2a + ((index >> 4) & 1) * 0x15;
  return [level, level, level];
}

const GREYS = hex('00 05 08 0b 0e 11 14 18 1c 20 24 28 2d 32 38 3f');
/** Five levels of each ring of hues of mode 13h: three brightnesses, each in three saturations. */
const RINGS = [
  '00 10 1f 2f 3f',
  '1f 27 2f 37 3f',
  '2d 31 36 3a 3f',
  '00 07 0e 15 1c',
  '0e 11 15 18 1c',
  '14 16 18 1a 1c',
  '00 04 08 0c 10',
  '08 0a 0c 0e 10',
  '0b 0c 0d 0f 10',
].map(hex);
const HUES = 24;

/** Hues go from blue over red and green back, four steps from corner to corner of the cube. */
function ringColour(hue: number, levels: readonly number[]): number[] {
  const step = hue % 4;
  const [up, down] = [levels[step], levels[4 - step]];
  const [low, high] = [levels[0], levels[4]];
  return [
    [up, low, high],
    [high, low, down],
    [high, up, low],
    [down, high, low],
    [low, high, up],
    [low, down, high],
  ][Math.floor(hue / 4)];
}

function vgaColour(index: number): number[] {
  if (index < 16) return cgaColour((index & 7) | ((index & 8) << 1));
  if (index < 32) return repeated(GREYS[index - 16], 3);
  const ring = Math.floor((index - 32) / HUES);
  return ring < RINGS.length ? ringColour((index - 32) % HUES, RINGS[ring]) : [0, 0, 0];
}

/** The colours that a mode begins with: 64 or 256, three components each. */
export function defaultPalette(kind: VideoMode['palette']): number[] {
  const colour = { ega: egaColour, cga: cgaColour, mono: monoColour, vga: vgaColour }[kind];
  return Array.from({ length: kind === 'vga' ? 256 : 64 }, (_, index) => colour(index)).flat();
}

/** What a colour is in grey (INT 10h, AX=101Bh): 30 % red, 59 % green, 11 % blue. */
export function greyOf([red, green, blue]: readonly number[]): number {
  return Math.min(0x3f, Math.floor((red * 77 + green * 151 + blue * 28 + 0x80) / 256));
}

// ---- registers

export function setIndexed(access: VideoAccess, port: number, index: number, value: number): void {
  access.writePort(port, 1, index);
  access.writePort(port + 1, 1, value);
}

export function getIndexed(access: VideoAccess, port: number, index: number): number {
  access.writePort(port, 1, index);
  return access.readPort(port + 1, 1);
}

/** 3D4h or 3B4h, by the miscellaneous output register. */
export function crtcPort(access: VideoAccess): number {
  return (access.readPort(0x3cc, 1) & 1) !== 0 ? 0x3d4 : 0x3b4;
}

/** Writes an attribute register and leaves the palette connected to the display. */
export function setAttribute(access: VideoAccess, index: number, value: number): void {
  access.readPort(crtcPort(access) + 6, 1);
  access.writePort(0x3c0, 1, index);
  access.writePort(0x3c0, 1, value);
  access.writePort(0x3c0, 1, 0x20);
}

export function getAttribute(access: VideoAccess, index: number): number {
  const status = crtcPort(access) + 6;
  access.readPort(status, 1);
  access.writePort(0x3c0, 1, index);
  const value = access.readPort(0x3c1, 1);
  access.readPort(status, 1);
  access.writePort(0x3c0, 1, 0x20);
  return value;
}

/** Sets colours from number `first` on; `components` holds three of each. */
export function setPalette(access: VideoAccess, first: number, components: Iterable<number>): void {
  access.writePort(0x3c8, 1, first);
  for (const component of components) access.writePort(0x3c9, 1, component);
}

export function getPalette(access: VideoAccess, first: number, count: number): number[] {
  access.writePort(0x3c7, 1, first);
  return Array.from({ length: count * 3 }, () => access.readPort(0x3c9, 1));
}

const FONT_OFFSETS = [0x0000, 0x4000, 0x8000, 0xc000, 0x2000, 0x6000, 0xa000, 0xe000];

/** Loads glyphs of `height` bytes into font `block` from character `first` on, while a text mode is set or being set. */
export function loadFont(access: VideoAccess, block: number, first: number, height: number, glyphs: Uint8Array): void {
  const before = {
    mapMask: getIndexed(access, 0x3c4, 2),
    memoryMode: getIndexed(access, 0x3c4, 4),
    readMap: getIndexed(access, 0x3ce, 4),
    mode: getIndexed(access, 0x3ce, 5),
    miscellaneous: getIndexed(access, 0x3ce, 6),
  };
  setIndexed(access, 0x3c4, 2, 0x04);
  setIndexed(access, 0x3c4, 4, 0x07);
  setIndexed(access, 0x3ce, 4, 0x02);
  setIndexed(access, 0x3ce, 5, 0x00);
  setIndexed(access, 0x3ce, 6, 0x04);
  const count = Math.min(Math.floor(glyphs.length / height), 256 - first);
  for (let index = 0; index < count; index++) {
    const rows = new Uint8Array(32);
    rows.set(glyphs.subarray(index * height, index * height + Math.min(height, 32)));
    access.write(0xa0000 + FONT_OFFSETS[block & 7] + (first + index) * 32, rows);
  }
  setIndexed(access, 0x3c4, 2, before.mapMask);
  setIndexed(access, 0x3c4, 4, before.memoryMode);
  setIndexed(access, 0x3ce, 4, before.readMap);
  setIndexed(access, 0x3ce, 5, before.mode);
  setIndexed(access, 0x3ce, 6, before.miscellaneous);
}

/** Text modes come in three vertical resolutions (INT 10h, AX=1200h, BL=30h). */
export type ScanLines = 200 | 350 | 400;

/** A text mode with other characters: 8 rows in 200 lines, 14 in 350. */
export function withScanLines(mode: VideoMode, lines: ScanLines): VideoMode {
  if (mode.model !== 'text' || lines === 400) return mode;
  const isEga = lines === 350;
  const charHeight = isEga ? 14 : 8;
  const horizontal = mode.crtc.slice(0, 6);
  // 200 lines are 400 doubled; 350 lines are told to the monitor by the polarity of the synchronization.
  const scan: [number, number, number] = isEga ? [0x4d, 0x0b, 0x0c] : [0xc7, 0x06, 0x07];
  return {
    ...mode,
    ...{ charHeight, height: isEga ? 350 : 200 },
    misc: isEga ? (mode.misc & 0x3f) | 0x80 : mode.misc,
    // Eight dots a character, as on the adapters of that time.
    sequencer: [mode.sequencer[0] | 1, ...mode.sequencer.slice(1)],
    width: mode.columns * 8,
    crtc: crtc(
      horizontal,
      isEga ? LINES_350 : LINES_400,
      scan,
      mode.columns / 2,
      mode.isMono ? charHeight - 1 : 0x1f,
      0xa3,
    ),
    attribute: mode.attribute.map((value, index) => (index === 0x13 ? 0 : value)),
  };
}

export interface SetModeOptions {
  /** Memory keeps what it holds. */
  keepMemory?: boolean;
  /** The palette keeps its colours (INT 10h, AX=1200h, BL=31h). */
  keepPalette?: boolean;
  /** Colours become greys (BL=33h). */
  greys?: boolean;
}

/** Programs a standard mode: registers, palette, memory cleared, and its font in text modes. */
export function setVideoMode(access: VideoAccess, mode: VideoMode, options: SetModeOptions = {}): void {
  // Modes of the extension go first, or VGA's registers would have no effect.
  access.writePort(0x1ce, 2, 4);
  access.writePort(0x1cf, 2, 0);
  const crtcIndex = mode.isMono ? 0x3b4 : 0x3d4;
  access.readPort(0x3da, 1);
  access.readPort(0x3ba, 1);
  // The display is off until everything is set.
  access.writePort(0x3c0, 1, 0x00);
  access.writePort(0x3c0, 1, mode.attribute[0]);
  setIndexed(access, 0x3c4, 0, 0x01);
  access.writePort(0x3c2, 1, mode.misc);
  mode.sequencer.forEach((value, index) => {
    setIndexed(access, 0x3c4, index + 1, value);
  });
  setIndexed(access, 0x3c4, 0, 0x03);
  setIndexed(access, crtcIndex, 0x11, 0x00);
  mode.crtc.forEach((value, index) => {
    setIndexed(access, crtcIndex, index, value);
  });
  mode.graphics.forEach((value, index) => {
    setIndexed(access, 0x3ce, index, value);
  });
  access.readPort(crtcIndex + 6, 1);
  [...mode.attribute.slice(0, 0x14), 0].forEach((value, index) => {
    access.writePort(0x3c0, 1, index);
    access.writePort(0x3c0, 1, value);
  });
  access.writePort(0x3c6, 1, 0xff);
  if (!options.keepPalette) {
    const palette = defaultPalette(mode.palette);
    const colours = palette.length / 3;
    if (options.greys) {
      for (let at = 0; at < palette.length; at += 3) palette.fill(greyOf(palette.slice(at, at + 3)), at, at + 3);
    }
    setPalette(access, 0, palette);
    if (colours < 256) setPalette(access, colours, repeated(0, (256 - colours) * 3));
  }
  if (!options.keepMemory) clearMemory(access, mode);
  if (mode.model === 'text') loadFont(access, 0, 0, mode.charHeight, font(mode.charHeight));
  access.writePort(0x3c0, 1, 0x20);
}

/** Blanks in text modes, zeros in graphics modes: all that the mode's window reaches. */
function clearMemory(access: VideoAccess, mode: VideoMode): void {
  const bytes = new Uint8Array(mode.segment === 0xa000 ? 0x10000 : 0x8000);
  if (mode.model === 'text') {
    for (let at = 0; at < bytes.length; at += 2) {
      bytes[at] = 0x20;
      bytes[at + 1] = 0x07;
    }
  }
  access.write(mode.segment * 16, bytes);
}
