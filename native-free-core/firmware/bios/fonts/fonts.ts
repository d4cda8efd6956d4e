// The fonts of the video BIOS: 256 characters of code page 437 in 8, 14 and 16 rows.
// Owns how they are put together: drawn glyphs, letters with accents, and boxes, shades and blocks by rule.
// Never knows where a display keeps them.

import { GLYPHS_8 } from './glyphs-8.ts';
import { GLYPHS_14 } from './glyphs-14.ts';

export type FontHeight = 8 | 14 | 16;

type Glyph = number[];

/** Reads strips of glyphs: a line of codes, then `height` rows, nine columns a glyph of which the last is a gap. */
function parseStrips(strips: string, height: number): Map<number, Glyph> {
  const glyphs = new Map<number, Glyph>();
  const lines = strips.split('\n').filter((line) => line !== '');
  for (let at = 0; at + height < lines.length; at += height + 1) {
    const header = lines[at];
    for (let column = 0; column * 9 < header.length; column++) {
      const code = Number.parseInt(header.slice(column * 9, column * 9 + 2), 16);
      const rows = lines.slice(at + 1, at + 1 + height).map((line) => {
        const row = line.slice(column * 9, column * 9 + 8);
        return [...row].reduce((bits, dot) => (bits << 1) | (dot === '#' ? 1 : 0), 0);
      });
      glyphs.set(code, rows);
    }
  }
  return glyphs;
}

const MARKS = {
  acute: { 14: [0x0c, 0x18, 0], 8: [0x0c, 0x18] },
  grave: { 14: [0x30, 0x18, 0], 8: [0x30, 0x18] },
  circumflex: { 14: [0x10, 0x38, 0x6c], 8: [0x38, 0x6c] },
  diaeresis: { 14: [0x6c, 0x6c, 0], 8: [0x6c, 0] },
  ring: { 14: [0x38, 0x28, 0x38], 8: [0x18, 0x18] },
  tilde: { 14: [0x76, 0xdc, 0], 8: [0x76, 0xdc] },
} as const;
type Mark = keyof typeof MARKS;

const ACCENTED: readonly (readonly [code: number, base: string, mark: Mark])[] = [
  [0x81, 'u', 'diaeresis'],
  [0x82, 'e', 'acute'],
  [0x83, 'a', 'circumflex'],
  [0x84, 'a', 'diaeresis'],
  [0x85, 'a', 'grave'],
  [0x86, 'a', 'ring'],
  [0x88, 'e', 'circumflex'],
  [0x89, 'e', 'diaeresis'],
  [0x8a, 'e', 'grave'],
  [0x8b, 'i', 'diaeresis'],
  [0x8c, 'i', 'circumflex'],
  [0x8d, 'i', 'grave'],
  [0x8e, 'A', 'diaeresis'],
  [0x8f, 'A', 'ring'],
  [0x90, 'E', 'acute'],
  [0x93, 'o', 'circumflex'],
  [0x94, 'o', 'diaeresis'],
  [0x95, 'o', 'grave'],
  [0x96, 'u', 'circumflex'],
  [0x97, 'u', 'grave'],
  [0x98, 'y', 'diaeresis'],
  [0x99, 'O', 'diaeresis'],
  [0x9a, 'U', 'diaeresis'],
  [0xa0, 'a', 'acute'],
  [0xa1, 'i', 'acute'],
  [0xa2, 'o', 'acute'],
  [0xa3, 'u', 'acute'],
  [0xa4, 'n', 'tilde'],
  [0xa5, 'N', 'tilde'],
];

/** Where letters stand: first rows of capitals and of small letters, and the row under the baseline. */
const METRICS = { 14: { capital: 1, small: 4, below: 11 }, 8: { capital: 0, small: 2, below: 7 } } as const;

/** A letter with an accent: a capital loses rows of its stems to make room. */
function accented(base: Glyph, isCapital: boolean, mark: Mark, height: 8 | 14): Glyph {
  const glyph = base.slice();
  const { capital, small } = METRICS[height];
  if (!isCapital) {
    // The dot of an i makes way.
    glyph.fill(0, 0, small);
    const rows = MARKS[mark][height];
    const first = height === 14 ? (rows[2] === 0 ? 1 : 0) : 0;
    rows.forEach((row, index) => {
      if (first + index < small) glyph[first + index] = row;
    });
    return glyph;
  }
  if (height === 14) {
    // Ten rows become eight: the second and the last but one, which repeat their neighbours.
    const rows = glyph.slice(capital, capital + 10);
    const kept = rows.filter((_, index) => index !== 3 && index !== 8);
    const marks = MARKS[mark][14];
    return [marks[0], marks[1], marks[2], ...kept, ...glyph.slice(capital + 10)];
  }
  // Seven rows become five or six.
  const rows = glyph.slice(0, 7);
  if (mark === 'diaeresis') return [0x6c, 0, rows[0], rows[1], rows[3], rows[4], rows[6], 0];
  if (mark === 'tilde') return [0x76, 0xdc, rows[0], rows[1], rows[2], rows[4], rows[6], 0];
  return [MARKS[mark][8][0], mark === 'ring' ? 0x18 : 0, rows[0], rows[1], rows[3], rows[4], rows[6], 0];
}

/** Lines from the middle of the cell up, down, left and right for each code from B3h to DAh: 0 none, 1 single, 2 double. */
const BOXES =
  '1100 1110 1120 2210 0210 0120 2220 2200 0220 2020 2010 1020 0110 1001 1011 0111 1101 0011 1111 1102 2201 2002 0202 2022 0222 2202 0022 2222 1022 2011 0122 0211 2001 1002 0102 0201 2211 1122 1010 0101'.split(
    ' ',
  );

/**
 * Draws a box character in `height` rows. A double line is a band with its inside taken out along each arm; a single
 * one crosses a double one where it goes on behind it, and ends at its edge where it does not.
 */
function box(arms: string, height: number): Glyph {
  const [up, down, left, right] = [...arms].map(Number);
  const middle = (height >> 1) - 1;
  const cells = Array.from({ length: height }, () => new Uint8Array(8));
  const paint = (x0: number, x1: number, y0: number, y1: number, value: number) => {
    for (let y = Math.max(0, y0); y <= Math.min(height - 1, y1); y++) cells[y].fill(value, x0, x1 + 1);
  };
  const [top, bottom] = [middle - 1, middle + 1];
  const hasDoubleRows = left === 2 || right === 2;
  const hasDoubleColumns = up === 2 || down === 2;
  // Bands reach to the far edge of the band that they meet, or to the middle of a single line.
  if (up === 2) paint(1, 6, 0, hasDoubleRows ? bottom : middle, 1);
  if (down === 2) paint(1, 6, hasDoubleRows ? top : middle, height - 1, 1);
  if (left === 2) paint(0, hasDoubleColumns ? 6 : 4, top, bottom, 1);
  if (right === 2) paint(hasDoubleColumns ? 1 : 3, 7, top, bottom, 1);
  if (up === 2) paint(3, 4, 0, middle, 0);
  if (down === 2) paint(3, 4, middle, height - 1, 0);
  if (left === 2) paint(0, hasDoubleColumns ? 4 : 4, middle, middle, 0);
  if (right === 2) paint(3, 7, middle, middle, 0);
  if (up === 1 || down === 1) {
    const isThrough = up === 1 && down === 1;
    // A single stem on one side of a double row starts at its near edge, at a double corner at its far one.
    const from = up === 1 ? 0 : hasDoubleRows ? (left === 2 && right === 2 ? bottom : top) : middle;
    const to = down === 1 ? height - 1 : hasDoubleRows ? (left === 2 && right === 2 ? top : bottom) : middle;
    paint(3, 4, isThrough ? 0 : from, isThrough ? height - 1 : to, 1);
  }
  if (left === 1 || right === 1) {
    const isThrough = left === 1 && right === 1;
    const passes = up === 2 && down === 2;
    const from = left === 1 ? 0 : hasDoubleColumns ? (passes ? 5 : 1) : 3;
    const to = right === 1 ? 7 : hasDoubleColumns ? (passes ? 2 : 6) : 4;
    paint(isThrough ? 0 : from, isThrough ? 7 : to, middle, middle, 1);
  }
  return cells.map((row) => row.reduce((bits, dot) => (bits << 1) | dot, 0));
}

/** Shades, boxes and blocks: B0h to DFh. */
function graphicGlyph(code: number, height: number): Glyph {
  const rows = Array.from({ length: height }, (_, row) => row);
  const half = height >> 1;
  switch (code) {
    case 0xb0:
      return rows.map((row) => (row & 1 ? 0x22 : 0x88));
    case 0xb1:
      return rows.map((row) => (row & 1 ? 0xaa : 0x55));
    case 0xb2:
      return rows.map((row) => (row & 1 ? 0xdd : 0x77));
    case 0xdb:
      return rows.map(() => 0xff);
    case 0xdc:
      return rows.map((row) => (row >= half ? 0xff : 0));
    case 0xdd:
      return rows.map(() => 0xf0);
    case 0xde:
      return rows.map(() => 0x0f);
    case 0xdf:
      return rows.map((row) => (row < half ? 0xff : 0));
    default:
      return box(BOXES[code - 0xb3], height);
  }
}

function withCedilla(base: Glyph, height: 8 | 14): Glyph {
  const glyph = base.slice();
  const { below } = METRICS[height];
  if (height === 14) glyph.splice(below, 2, 0x18, 0x70);
  else glyph[below] = 0x30;
  return glyph;
}

/** All 256 glyphs in 8 or 14 rows, as they are drawn. */
function drawnGlyphs(height: 8 | 14): Glyph[] {
  const drawn = parseStrips(height === 14 ? GLYPHS_14 : GLYPHS_8, height);
  const blank = new Array<number>(height).fill(0);
  const glyphs = Array.from({ length: 256 }, (_, code) => drawn.get(code) ?? blank);
  const letter = (character: string) => glyphs[character.charCodeAt(0)];
  for (const [code, base, mark] of ACCENTED) {
    glyphs[code] = accented(letter(base), base === base.toUpperCase(), mark, height);
  }
  glyphs[0x80] = withCedilla(letter('C'), height);
  glyphs[0x87] = withCedilla(letter('c'), height);
  return glyphs;
}

const inverted = (glyph: Glyph) => glyph.map((row) => ~row & 0xff);

function buildFont(height: FontHeight): Uint8Array {
  const isTall = height === 16;
  const glyphs = drawnGlyphs(isTall ? 14 : height).map((glyph, code) => {
    if (code >= 0xb0 && code <= 0xdf) return graphicGlyph(code, height);
    if (!isTall) return glyph;
    // Halves of the integral sign go on into the character above or below.
    return [code === 0xf5 ? glyph[0] : 0, ...glyph, code === 0xf4 ? glyph[13] : 0];
  });
  glyphs[0x08] = inverted(glyphs[0x07]);
  glyphs[0x0a] = inverted(glyphs[0x09]);
  return Uint8Array.from(glyphs.flat());
}

const built = new Map<FontHeight, Uint8Array>();

/** 256 glyphs of `height` bytes, the leftmost dot in the highest bit. Not to be written to. */
export function font(height: FontHeight): Uint8Array {
  let bytes = built.get(height);
  if (bytes === undefined) {
    bytes = buildFont(height);
    built.set(height, bytes);
  }
  return bytes;
}
