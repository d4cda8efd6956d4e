// The least of INT 10h: text of 80 by 25 in the memory of a colour display.
// Owns the cursor's position in the BIOS data area; used where a machine has no display of its own services.
// Never programs a display.

import type { BiosCall } from './call.ts';
import { Bda, RomOffset } from './layout.ts';
import type { BiosModule } from './service.ts';

const TEXT = 0xb8000;
const COLUMNS = 80;
const ROWS = 25;
const BLANK = 0x0720;

function cell(column: number, row: number): number {
  return TEXT + 2 * (row * COLUMNS + column);
}

function scroll(
  call: BiosCall,
  top: number,
  left: number,
  bottom: number,
  right: number,
  lines: number,
  fill: number,
): void {
  const height = bottom - top + 1;
  const move = Math.abs(lines) === 0 || Math.abs(lines) > height ? height : Math.abs(lines);
  for (let i = 0; i < height; i++) {
    const row = lines >= 0 ? top + i : bottom - i;
    const from = lines >= 0 ? row + move : row - move;
    for (let column = left; column <= right; column++) {
      const isInside = from >= top && from <= bottom;
      call.setU16(cell(column, row), isInside ? call.u16(cell(column, from)) : fill);
    }
  }
}

function teletype(call: BiosCall, character: number): void {
  let column = call.u8(Bda.cursor);
  let row = call.u8(Bda.cursor + 1);
  if (character === 0x0d) column = 0;
  else if (character === 0x0a) row++;
  else if (character === 0x08) column = Math.max(0, column - 1);
  else if (character !== 0x07) {
    call.setU8(cell(column, row), character);
    column++;
  }
  if (column >= COLUMNS) {
    column = 0;
    row++;
  }
  if (row >= ROWS) {
    scroll(call, 0, 0, ROWS - 1, COLUMNS - 1, 1, BLANK);
    row = ROWS - 1;
  }
  call.setU8(Bda.cursor, column);
  call.setU8(Bda.cursor + 1, row);
}

function handle(call: BiosCall): void {
  const at = () => cell(Math.min(call.u8(Bda.cursor), COLUMNS - 1), Math.min(call.u8(Bda.cursor + 1), ROWS - 1));
  switch (call.ah) {
    case 0x00:
      for (let i = 0; i < COLUMNS * ROWS; i++) call.setU16(TEXT + 2 * i, BLANK);
      call.setU16(Bda.cursor, 0);
      return;
    case 0x02:
      if (call.bh === 0) call.setU16(Bda.cursor, call.dx);
      return;
    case 0x03:
      call.dx = call.u16(Bda.cursor);
      call.cx = call.u16(Bda.cursorShape);
      return;
    case 0x06:
    case 0x07: {
      const [bottom, right] = [Math.min(call.dh, ROWS - 1), Math.min(call.dl, COLUMNS - 1)];
      scroll(call, call.ch, call.cl, bottom, right, call.ah === 0x06 ? call.al : -call.al, 0x20 | (call.bh << 8));
      return;
    }
    case 0x08:
      call.ax = call.u16(at());
      return;
    case 0x09:
    case 0x0a:
      for (let i = 0, to = at(); i < Math.min(call.cx, COLUMNS * ROWS); i++, to += 2) {
        call.setU8(to, call.al);
        if (call.ah === 0x09) call.setU8(to + 1, call.bl);
      }
      return;
    case 0x0e:
      teletype(call, call.al);
      return;
    case 0x0f:
      call.ax = (COLUMNS << 8) | 0x03;
      call.bh = 0;
      return;
  }
}

export function videoFallback(): BiosModule {
  return {
    interrupts: [{ vector: 0x10, at: RomOffset.video, handle }],
    powerOn({ registers }) {
      registers.setU8(Bda.videoMode, 3);
      registers.setU16(Bda.columns, COLUMNS);
      registers.setU16(Bda.cursorShape, 0x0607);
      registers.setU16(Bda.crtcPort, 0x3d4);
      registers.setU8(Bda.rows, ROWS - 1);
      for (let i = 0; i < COLUMNS * ROWS; i++) registers.setU16(TEXT + 2 * i, BLANK);
    },
  };
}
