// What the monitor of a guest says of itself: an EDID 1.4 block.
// Owns its name, the mode it prefers and the sizes it takes.
// Never knows the adapter it is plugged into.

export const EDID_BYTES = 128;

/** Sizes beside the established ones (640x480, 800x600, 1024x768), with their aspect as EDID 1.4, 3.9 codes it. */
const STANDARD_TIMINGS = [
  { width: 1920, aspect: 0 }, // 16:10, 1200 lines
  { width: 1920, aspect: 3 }, // 16:9, 1080
  { width: 1680, aspect: 0 }, // 1050
  { width: 1600, aspect: 1 }, // 4:3, 1200
  { width: 1440, aspect: 0 }, // 900
  { width: 1280, aspect: 2 }, // 5:4, 1024
  { width: 1280, aspect: 0 }, // 800
  { width: 1280, aspect: 3 }, // 720
];

/** 1024x768 at 60 Hz (VESA DMT), a size that an emulated processor redraws quickly. */
const PREFERRED = {
  clock10kHz: 6500,
  horizontal: { active: 1024, blank: 320, front: 24, sync: 136, millimetres: 271 },
  vertical: { active: 768, blank: 38, front: 3, sync: 6, millimetres: 203 },
};

/** Chromaticity coordinates of sRGB (EDID 1.4, 3.7). */
const SRGB = [0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54];

function detailedTiming(): number[] {
  const { clock10kHz, horizontal: h, vertical: v } = PREFERRED;
  const upper = (active: number, blank: number) => ((active >> 8) << 4) | (blank >> 8);
  return [
    ...[clock10kHz & 0xff, clock10kHz >> 8],
    ...[h.active & 0xff, h.blank & 0xff, upper(h.active, h.blank)],
    ...[v.active & 0xff, v.blank & 0xff, upper(v.active, v.blank)],
    ...[h.front & 0xff, h.sync & 0xff, ((v.front & 15) << 4) | (v.sync & 15)],
    ((h.front >> 8) << 6) | ((h.sync >> 8) << 4) | ((v.front >> 4) << 2) | (v.sync >> 4),
    ...[h.millimetres & 0xff, v.millimetres & 0xff, upper(h.millimetres, v.millimetres)],
    ...[0, 0],
    // Separate syncs, both negative.
    0x18,
  ];
}

function textDescriptor(tag: number, text: string): number[] {
  const padded = `${text}\n`.padEnd(13, ' ').slice(0, 13);
  return [0, 0, 0, tag, 0, ...new TextEncoder().encode(padded)];
}

/** The block, made anew. */
export function buildEdid(): Uint8Array {
  // Three letters of five bits, A is 1.
  const maker = [...'TRV'].reduce((value, letter) => (value << 5) | (letter.charCodeAt(0) - 64), 0);
  const block = Uint8Array.from([
    ...[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00],
    ...[maker >> 8, maker & 0xff],
    // Product code, serial number, week and year (from 1990 on) of manufacture, version 1.4.
    ...[0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 35, 1, 4],
    // Digital, 8 bits a colour; size in centimetres; gamma 2.2; sRGB, preferred timing is the native one.
    ...[0xa0, 27, 20, 120, 0x06],
    ...SRGB,
    // Established timings: 640x480, 800x600, 1024x768, all at 60 Hz.
    ...[0x21, 0x08, 0x00],
    ...STANDARD_TIMINGS.flatMap(({ width, aspect }) => [width / 8 - 31, aspect << 6]),
    ...detailedTiming(),
    // Range limits: 50 to 75 Hz, 30 to 100 kHz, 200 MHz, no secondary formula.
    ...[0, 0, 0, 0xfd, 0, 50, 75, 30, 100, 20, 0x01, 0x0a, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20],
    ...textDescriptor(0xfc, 'Trivisor'),
    ...textDescriptor(0xff, '1'),
    // No extension blocks; the checksum follows.
    0,
    0,
  ]);
  block[EDID_BYTES - 1] = -block.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return block;
}
