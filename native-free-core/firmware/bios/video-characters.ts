// Characters and pixels on the display: INT 10h, functions 01h to 0Eh and 13h, in text and graphics modes.
// Owns cursor, pages, scrolling, teletype, and how a glyph is put into planes, CGA's pixels or bytes.
// Never sets a mode or a palette.

import { type MemoryModel, setIndexed, type VideoMode } from './video-modes.ts';
import { ControlBit, PAGES, VideoBda, type VideoState } from './video-state.ts';

const BELL = 0x07;
const BACKSPACE = 0x08;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** Interrupt vectors that are pointers to glyphs: of characters from 128 on in CGA's modes, and of graphics modes. */
const UPPER_FONT = 0x1f * 4;
const GRAPHICS_FONT = 0x43 * 4;
/** In graphics modes: the glyph is combined with what is there. */
const XOR = 0x80;
const ODD_LINES = 0x2000;

// ---- cursor and pages

/** AH=01h. In CX: first line in CH (bit 5: none), last line in CL, as if characters had eight. */
export function setCursorShape(state: VideoState, shape: number): void {
  const { call, access } = state;
  call.setU16(VideoBda.cursorShape, shape);
  let [start, end] = [shape >> 8, shape & 0x1f];
  const height = state.charHeight;
  const isEmulated = (call.u8(VideoBda.control) & ControlBit.cursorEmulationOff) === 0;
  if (isEmulated && height > 8 && (start & 0x20) === 0 && (start & 0x1f) < 8 && end < 8) {
    const first = start & 0x1f;
    const scaled = (line: number) => Math.floor(((line + 1) * height) / 8);
    // An underline stays as thick as it is; anything else is stretched.
    start = end === first + 1 ? scaled(end) - 2 : scaled(first) - 1;
    end = scaled(end) - 1;
  }
  setIndexed(access, state.crtcPort, 0x0a, start & 0x3f);
  setIndexed(access, state.crtcPort, 0x0b, end & 0x1f);
}

/** AH=02h. */
export function setCursor(state: VideoState, page: number, column: number, row: number): void {
  const { call } = state;
  const index = page & (PAGES - 1);
  call.setU8(VideoBda.cursors + 2 * index, column);
  call.setU8(VideoBda.cursors + 2 * index + 1, row);
  if (index === state.activePage) showCursor(state);
}

function showCursor(state: VideoState): void {
  const { column, row } = state.cursor(state.activePage);
  const cell = (state.call.u16(VideoBda.pageStart) >> 1) + row * state.columns + column;
  setIndexed(state.access, state.crtcPort, 0x0e, (cell >> 8) & 0xff);
  setIndexed(state.access, state.crtcPort, 0x0f, cell & 0xff);
}

/** AH=05h. */
export function selectPage(state: VideoState, page: number): void {
  const { mode } = state;
  if (mode === undefined || page >= mode.pages) return;
  const start = page * state.pageBytes;
  state.call.setU8(VideoBda.page, page);
  state.call.setU16(VideoBda.pageStart, start);
  // The CRT controller counts words in text and CGA's modes.
  const counted = mode.model === 'planar' ? start : start >> 1;
  setIndexed(state.access, state.crtcPort, 0x0c, (counted >> 8) & 0xff);
  setIndexed(state.access, state.crtcPort, 0x0d, counted & 0xff);
  showCursor(state);
}

// ---- where things are

/** Linear address of a character cell of a text mode. */
function cellAddress(state: VideoState, mode: VideoMode, page: number, column: number, row: number): number {
  return mode.segment * 16 + (((page & (PAGES - 1)) * state.pageBytes + (row * state.columns + column) * 2) & 0x7fff);
}

/** Linear address of the byte of line `y` at byte `column` of a line: a byte is 8 dots, 4 in mode 4 and 5, or 1. */
function lineAddress(state: VideoState, mode: VideoMode, page: number, column: number, y: number): number {
  const base = mode.segment * 16;
  if (mode.model === 'cga') return base + (y >> 1) * 80 + (y & 1) * ODD_LINES + column;
  if (mode.model === 'packed') return base + y * mode.width + column;
  return base + (((page % mode.pages) * state.pageBytes + y * (mode.width >> 3) + column) & 0xffff);
}

/** Bytes of a line that a character's glyph takes. */
const glyphBytes = (mode: VideoMode) => ({ text: 2, cga: mode.bitsPerPixel, planar: 1, packed: 8 })[mode.model];

function glyph(state: VideoState, mode: VideoMode, code: number): Uint8Array {
  const { call } = state;
  const height = state.charHeight;
  const isUpper = mode.model === 'cga' && code >= 128;
  const vector = isUpper ? UPPER_FONT : GRAPHICS_FONT;
  const font = call.u16(vector + 2) * 16 + call.u16(vector);
  return call.bytes(font + (isUpper ? code - 128 : code) * height, Math.min(height, 32));
}

/** Leaves the graphics controller as modes begin: writes replace what is there, in all planes. */
function plainWrites({ access }: VideoState): void {
  setIndexed(access, 0x3ce, 0, 0x00);
  setIndexed(access, 0x3ce, 1, 0x00);
  setIndexed(access, 0x3ce, 3, 0x00);
  setIndexed(access, 0x3ce, 5, 0x00);
  setIndexed(access, 0x3ce, 8, 0xff);
  setIndexed(access, 0x3c4, 2, 0x0f);
}

/** The dots of a row of a glyph as bytes of CGA's or of a byte-a-pixel mode. */
function expand(bits: number, mode: VideoMode, colour: number): Uint8Array {
  if (mode.model === 'packed') return Uint8Array.from({ length: 8 }, (_, x) => ((bits >> (7 - x)) & 1 ? colour : 0));
  if (mode.bitsPerPixel === 1) return Uint8Array.of((colour & 1) !== 0 ? bits : 0);
  let wide = 0;
  for (let x = 0; x < 8; x++) if ((bits >> (7 - x)) & 1) wide |= (colour & 3) << (14 - 2 * x);
  return Uint8Array.of(wide >> 8, wide & 0xff);
}

function drawGlyph(
  state: VideoState,
  mode: VideoMode,
  page: number,
  column: number,
  row: number,
  code: number,
  colour: number,
) {
  const { call, access } = state;
  const rows = glyph(state, mode, code);
  const top = row * state.charHeight;
  const isXor = (colour & XOR) !== 0 && mode.model !== 'packed';
  if (mode.model === 'planar') {
    plainWrites(state);
    if (isXor) setIndexed(access, 0x3ce, 3, 0x18);
    for (let plane = 0; plane < 4; plane++) {
      const isSet = ((colour >> plane) & 1) !== 0;
      if (isXor && !isSet) continue;
      setIndexed(access, 0x3c4, 2, 1 << plane);
      rows.forEach((bits, y) => {
        const at = lineAddress(state, mode, page, column, top + y);
        // What is combined comes from the latches, which a read fills.
        if (isXor) call.u8(at);
        call.setU8(at, isSet ? bits : 0);
      });
    }
    plainWrites(state);
    return;
  }
  const width = glyphBytes(mode);
  rows.forEach((bits, y) => {
    const at = lineAddress(state, mode, page, column * width, top + y);
    const bytes = expand(bits, mode, isXor ? colour & 0x7f : colour);
    const before = isXor ? call.bytes(at, bytes.length) : new Uint8Array(bytes.length);
    call.setBytes(
      at,
      bytes.map((byte, index) => byte ^ before[index]),
    );
  });
}

// ---- characters

/** AH=09h (`attribute` given) and AH=0Ah: a character `count` times from the cursor on, which stays. */
export function writeCharacter(
  state: VideoState,
  page: number,
  code: number,
  attribute: number | undefined,
  count: number,
): void {
  const { mode, columns, rows } = state;
  if (mode === undefined) return;
  let { column, row } = state.cursor(page);
  for (let left = Math.min(count, columns * rows); left > 0 && row < rows; left--) {
    putCharacter(state, mode, page, column, row, code, attribute);
    if (++column >= columns) {
      column = 0;
      row++;
    }
  }
}

/** In graphics modes an attribute is a colour, and there always is one. */
function putCharacter(
  state: VideoState,
  mode: VideoMode,
  page: number,
  column: number,
  row: number,
  code: number,
  attribute: number | undefined,
): void {
  if (mode.model !== 'text') {
    drawGlyph(state, mode, page, column, row, code, attribute ?? state.call.bl);
    return;
  }
  const at = cellAddress(state, mode, page, column, row);
  if (attribute === undefined) state.call.setU8(at, code);
  else state.call.setU16(at, code | (attribute << 8));
}

/** AH=08h: the character at the cursor, with its attribute in the high byte; 0 where no glyph is like what is there. */
export function readCharacter(state: VideoState, page: number): number {
  const { mode, call } = state;
  if (mode === undefined) return 0;
  const { column, row } = state.cursor(page);
  if (mode.model === 'text') return call.u16(cellAddress(state, mode, page, column, row));
  const shape = readShape(state, mode, page, column, row);
  for (let code = 0; code < 256; code++) {
    if (glyph(state, mode, code).every((bits, y) => bits === shape[y])) return code;
  }
  return 0;
}

/** Which dots of a cell are not background. */
function readShape(state: VideoState, mode: VideoMode, page: number, column: number, row: number): number[] {
  const { call, access } = state;
  const width = glyphBytes(mode);
  if (mode.model === 'planar') {
    // Read mode 1: where all planes are zero.
    setIndexed(access, 0x3ce, 5, 0x08);
    setIndexed(access, 0x3ce, 2, 0x00);
    setIndexed(access, 0x3ce, 7, 0x0f);
  }
  const shape = Array.from({ length: state.charHeight }, (_, y) => {
    const at = lineAddress(state, mode, page, column * width, row * state.charHeight + y);
    const bytes = call.bytes(at, width);
    if (mode.model === 'planar') return ~bytes[0] & 0xff;
    if (mode.model === 'packed') return bytes.reduce((bits, byte) => (bits << 1) | (byte !== 0 ? 1 : 0), 0);
    if (width === 1) return bytes[0];
    const wide = (bytes[0] << 8) | bytes[1];
    let bits = 0;
    for (let x = 0; x < 8; x++) bits = (bits << 1) | (((wide >> (14 - 2 * x)) & 3) !== 0 ? 1 : 0);
    return bits;
  });
  if (mode.model === 'planar') {
    setIndexed(access, 0x3ce, 5, 0x00);
    setIndexed(access, 0x3ce, 7, mode.graphics[7]);
  }
  return shape;
}

// ---- scrolling

export interface ScrollWindow {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

/** AH=06h and 07h: moves a window's rows up (`lines` > 0) or down; 0 blanks it. `attribute` fills what becomes free. */
export function scroll(state: VideoState, page: number, window: ScrollWindow, lines: number, attribute: number): void {
  const { mode } = state;
  if (mode === undefined) return;
  const left = window.left;
  const right = Math.min(window.right, state.columns - 1);
  const bottom = Math.min(window.bottom, state.rows - 1);
  const { top } = window;
  if (left > right || top > bottom) return;
  const height = bottom - top + 1;
  const distance = Math.abs(lines) === 0 || Math.abs(lines) > height ? height : Math.abs(lines);
  const kept = height - distance;
  const up = lines >= 0;
  // Rows are moved in the order in which none is overwritten before it was read.
  const unit = mode.model === 'text' ? 1 : state.charHeight;
  const move = mode.model === 'text' ? moveText : mode.model === 'planar' ? movePlanes : moveBytes;
  const fill = mode.model === 'text' ? fillText : mode.model === 'planar' ? fillPlanes : fillBytes;
  const area = { state, mode, page, left, width: right - left + 1 };
  if (mode.model === 'planar') plainWrites(state);
  for (let index = 0; index < kept * unit; index++) {
    const to = up ? top * unit + index : (bottom + 1) * unit - 1 - index;
    move(area, up ? to + distance * unit : to - distance * unit, to);
  }
  const first = up ? (top + kept) * unit : top * unit;
  for (let index = 0; index < distance * unit; index++) fill(area, first + index, attribute);
  if (mode.model === 'planar') plainWrites(state);
}

interface Area {
  state: VideoState;
  mode: VideoMode;
  page: number;
  left: number;
  width: number;
}

/** One row of a text mode. */
function moveText({ state, mode, page, left, width }: Area, from: number, to: number): void {
  const cells = state.call.bytes(cellAddress(state, mode, page, left, from), width * 2);
  state.call.setBytes(cellAddress(state, mode, page, left, to), cells);
}

function fillText({ state, mode, page, left, width }: Area, row: number, attribute: number): void {
  const cells = Uint8Array.from({ length: width * 2 }, (_, index) => (index & 1 ? attribute : 0x20));
  state.call.setBytes(cellAddress(state, mode, page, left, row), cells);
}

/** One line of dots, through the latches: write mode 1. */
function movePlanes({ state, mode, page, left, width }: Area, from: number, to: number): void {
  const { call, access } = state;
  setIndexed(access, 0x3ce, 5, 0x01);
  const source = lineAddress(state, mode, page, left, from);
  const target = lineAddress(state, mode, page, left, to);
  for (let x = 0; x < width; x++) {
    call.u8(source + x);
    call.setU8(target + x, 0);
  }
}

/** Write mode 2: a colour in all eight dots. */
function fillPlanes({ state, mode, page, left, width }: Area, y: number, colour: number): void {
  setIndexed(state.access, 0x3ce, 5, 0x02);
  state.call.setBytes(lineAddress(state, mode, page, left, y), new Uint8Array(width).fill(colour & 15));
}

function moveBytes({ state, mode, page, left, width }: Area, from: number, to: number): void {
  const bytes = glyphBytes(mode);
  const line = state.call.bytes(lineAddress(state, mode, page, left * bytes, from), width * bytes);
  state.call.setBytes(lineAddress(state, mode, page, left * bytes, to), line);
}

function fillBytes({ state, mode, page, left, width }: Area, y: number, colour: number): void {
  const bytes = glyphBytes(mode);
  const value = mode.model === 'packed' ? colour : mode.bitsPerPixel === 1 ? (colour & 1) * 0xff : (colour & 3) * 0x55;
  state.call.setBytes(lineAddress(state, mode, page, left * bytes, y), new Uint8Array(width * bytes).fill(value));
}

// ---- teletype

/** AH=0Eh, and each character of AH=13h (`attribute` given): writes, moves the cursor, scrolls at the bottom. */
export function teletype(state: VideoState, page: number, code: number, attribute?: number): void {
  const { mode, columns, rows } = state;
  if (mode === undefined) return;
  let { column, row } = state.cursor(page);
  switch (code) {
    case BELL:
      return;
    case BACKSPACE:
      if (column > 0) column--;
      break;
    case CARRIAGE_RETURN:
      column = 0;
      break;
    case LINE_FEED:
      row++;
      break;
    default:
      if (row < rows && column < columns) putCharacter(state, mode, page, column, row, code, attribute);
      if (++column >= columns) {
        column = 0;
        row++;
      }
  }
  if (row >= rows) {
    row = rows - 1;
    // New lines look as the last one did, which only text modes can tell.
    const last = mode.model === 'text' ? state.call.u8(cellAddress(state, mode, page, column, row) + 1) : 0;
    scroll(state, page, { top: 0, left: 0, bottom: row, right: columns - 1 }, 1, last);
  }
  setCursor(state, page, column, row);
}

/** AH=13h: a string at ES:BP. Bit 0 of `how`: the cursor moves; bit 1: characters and attributes alternate. */
export function writeString(state: VideoState, how: number): void {
  const { call } = state;
  const [page, attribute, count] = [call.bh, call.bl, call.cx];
  const [column, row] = [call.dl === 0xff && call.dh === 0xff ? state.cursor(page).column : call.dl, call.dh];
  const before = state.cursor(page);
  if (call.dh !== 0xff) setCursor(state, page, column, row);
  const step = (how & 2) !== 0 ? 2 : 1;
  for (let index = 0; index < count; index++) {
    const at = call.bp + index * step;
    const code = call.u8(call.inEs(at));
    teletype(state, page, code, step === 2 ? call.u8(call.inEs(at + 1)) : attribute);
  }
  if ((how & 1) === 0) setCursor(state, page, before.column, before.row);
}

// ---- pixels

/** Bits of a pixel within its byte, and where that byte is. */
function pixelPlace(state: VideoState, mode: VideoMode, page: number, x: number, y: number) {
  const perByte: Record<MemoryModel, number> = { text: 0, cga: 8 / mode.bitsPerPixel, planar: 8, packed: 1 };
  const count = perByte[mode.model];
  const at = lineAddress(state, mode, page, Math.floor(x / count), y);
  const bits = 8 / count;
  const shift = (count - 1 - (x % count)) * bits;
  return { at, shift, mask: ((1 << bits) - 1) << shift };
}

/** AH=0Ch; bit 7 of the colour combines it with what is there. Pixels outside the picture are ignored. */
export function writePixel(state: VideoState, page: number, x: number, y: number, colour: number): void {
  const { mode, call, access } = state;
  if (mode === undefined || mode.model === 'text' || x >= mode.width || y >= mode.height) return;
  const { at, shift, mask } = pixelPlace(state, mode, page, x, y);
  if (mode.model === 'planar') {
    plainWrites(state);
    setIndexed(access, 0x3ce, 5, 0x02);
    setIndexed(access, 0x3ce, 8, mask);
    if ((colour & XOR) !== 0) setIndexed(access, 0x3ce, 3, 0x18);
    call.u8(at);
    call.setU8(at, colour & 15);
    plainWrites(state);
    return;
  }
  if (mode.model === 'packed') {
    call.setU8(at, colour);
    return;
  }
  const before = call.u8(at);
  const bits = (colour << shift) & mask;
  call.setU8(at, (colour & XOR) !== 0 ? before ^ bits : (before & ~mask) | bits);
}

/** AH=0Dh. */
export function readPixel(state: VideoState, page: number, x: number, y: number): number {
  const { mode, call, access } = state;
  if (mode === undefined || mode.model === 'text' || x >= mode.width || y >= mode.height) return 0;
  const { at, shift, mask } = pixelPlace(state, mode, page, x, y);
  if (mode.model !== 'planar') return (call.u8(at) & mask) >> shift;
  let colour = 0;
  setIndexed(access, 0x3ce, 5, 0x00);
  for (let plane = 0; plane < 4; plane++) {
    setIndexed(access, 0x3ce, 4, plane);
    if ((call.u8(at) & mask) !== 0) colour |= 1 << plane;
  }
  setIndexed(access, 0x3ce, 4, 0);
  return colour;
}
