// Colours by INT 10h: palette and DAC (AH=10h), CGA's background and palette (AH=0Bh).
// Owns what the subfunctions mean.
// Never knows characters or modes.

import { getAttribute, getPalette, greyOf, setAttribute, setPalette } from './video-modes.ts';
import { VideoBda, type VideoState } from './video-state.ts';

const BORDER = 0x11;
const MODE_CONTROL = 0x10;
const COLOUR_SELECT = 0x14;
const BLINK = 0x08;
const SIXTEEN_PAGES = 0x80;
const COLOURS = 256;

/** Replaces colours by greys of their brightness. */
export function sumToGreys({ access }: VideoState, first: number, count: number): void {
  const within = Math.min(count, COLOURS - first);
  const colours = getPalette(access, first, within);
  const greys: number[] = [];
  for (let at = 0; at < colours.length; at += 3) {
    const grey = greyOf(colours.slice(at, at + 3));
    greys.push(grey, grey, grey);
  }
  setPalette(access, first, greys);
}

/** AH=0Bh. */
export function setCgaColours(state: VideoState, what: number, value: number): void {
  const { call, access } = state;
  const before = call.u8(VideoBda.cgaPalette);
  if (what === 0) {
    call.setU8(VideoBda.cgaPalette, (before & 0x20) | (value & 0x1f));
    const colour = (value & 7) | ((value & 8) << 1);
    setAttribute(access, BORDER, colour);
    if (state.modeNumber < 4) return;
    setAttribute(access, 0, colour);
    const bright = value & 0x10;
    for (let index = 1; index < 4; index++) setAttribute(access, index, (getAttribute(access, index) & ~0x10) | bright);
    return;
  }
  call.setU8(VideoBda.cgaPalette, (before & ~0x20) | ((value & 1) << 5));
  for (let index = 1; index < 4; index++) {
    setAttribute(access, index, (getAttribute(access, index) & ~1) | (value & 1));
  }
}

/** AH=10h. */
export function paletteFunction(state: VideoState): void {
  const { call, access } = state;
  switch (call.al) {
    case 0x00:
      if (call.bl <= COLOUR_SELECT) setAttribute(access, call.bl, call.bh);
      return;
    case 0x01:
      setAttribute(access, BORDER, call.bh);
      return;
    case 0x02: {
      const values = call.bytes(call.inEs(call.dx), 17);
      values.forEach((value, index) => {
        setAttribute(access, index === 16 ? BORDER : index, value);
      });
      return;
    }
    case 0x03: {
      const mode = getAttribute(access, MODE_CONTROL) & ~BLINK;
      setAttribute(access, MODE_CONTROL, mode | ((call.bl & 1) !== 0 ? BLINK : 0));
      return;
    }
    case 0x07:
      if (call.bl <= COLOUR_SELECT) call.bh = getAttribute(access, call.bl);
      return;
    case 0x08:
      call.bh = getAttribute(access, BORDER);
      return;
    case 0x09: {
      const values = Array.from({ length: 17 }, (_, index) => getAttribute(access, index === 16 ? BORDER : index));
      call.setBytes(call.inEs(call.dx), Uint8Array.from(values));
      return;
    }
    case 0x10:
      setPalette(access, call.bl, [call.dh, call.ch, call.cl]);
      return;
    case 0x12: {
      const count = Math.min(call.cx, COLOURS);
      setPalette(access, call.bl, call.bytes(call.inEs(call.dx), count * 3));
      return;
    }
    case 0x13:
      selectColourPage(state, call.bl, call.bh);
      return;
    case 0x15: {
      const [red, green, blue] = getPalette(access, call.bl, 1);
      [call.dh, call.ch, call.cl] = [red, green, blue];
      return;
    }
    case 0x17: {
      const count = Math.min(call.cx, COLOURS);
      call.setBytes(call.inEs(call.dx), Uint8Array.from(getPalette(access, call.bl, count)));
      return;
    }
    case 0x18:
      access.writePort(0x3c6, 1, call.bl);
      return;
    case 0x19:
      call.bl = access.readPort(0x3c6, 1);
      return;
    case 0x1a: {
      const isSixteen = (getAttribute(access, MODE_CONTROL) & SIXTEEN_PAGES) !== 0;
      const page = getAttribute(access, COLOUR_SELECT);
      call.bl = isSixteen ? 1 : 0;
      call.bh = isSixteen ? page & 15 : page >> 2;
      return;
    }
    case 0x1b:
      sumToGreys(state, call.bl, call.cx);
      return;
  }
}

/** AX=1013h: pages of 64 or of 16 colours, and which of them. */
function selectColourPage({ access }: VideoState, what: number, value: number): void {
  const mode = getAttribute(access, MODE_CONTROL);
  if (what === 0) setAttribute(access, MODE_CONTROL, (mode & ~SIXTEEN_PAGES) | ((value & 1) << 7));
  else setAttribute(access, COLOUR_SELECT, (mode & SIXTEEN_PAGES) !== 0 ? value & 15 : (value & 3) << 2);
}
