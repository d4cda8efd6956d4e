// The video BIOS: INT 10h, its ROM at C0000h, and the display at power-on.
// Owns which function is which, modes and fonts of the data area, and what is told of the display.
// Never draws a character, and knows no mode beyond VGA's: those are other files.

import type { BiosCall } from './call.ts';
import type { FontHeight } from './fonts/fonts.ts';
import { font } from './fonts/fonts.ts';
import { RomOffset } from './layout.ts';
import type { BiosPorts } from './processor.ts';
import type { BiosModule } from './service.ts';
import { type VbeWiring, vbeFunction } from './vbe.ts';
import {
  readCharacter,
  readPixel,
  scroll,
  selectPage,
  setCursor,
  setCursorShape,
  teletype,
  writeCharacter,
  writePixel,
  writeString,
} from './video-characters.ts';
import { getIndexed, loadFont, setIndexed, setVideoMode, videoMode, withScanLines } from './video-modes.ts';
import { paletteFunction, setCgaColours, sumToGreys } from './video-palette.ts';
import { buildVideoRom, type FarPointer, type VideoRom } from './video-rom.ts';
import { restoreVideoState, saveStateBytes, saveVideoState } from './video-save.ts';
import { ControlBit, FlagBit, isFontHeight, PAGES, VideoBda, type VideoCall, VideoState } from './video-state.ts';

const VECTOR = 0x10;
const UPPER_FONT = 0x1f;
const GRAPHICS_FONT = 0x43;
/** The interrupt's second name. */
const VIDEO_ALIAS = 0x6d;
const SCREEN_OFF = 0x20;
const RAM_ENABLED = 0x02;
const BLOCK_BYTES = 64;
/** Display combination codes: a VGA with a colour or a monochrome monitor. */
const VGA_COLOUR = 0x08;
const VGA_MONO = 0x07;

class VideoServices {
  private readonly ports: BiosPorts;
  readonly rom: VideoRom;
  private readonly vbe: VbeWiring;

  constructor(ports: BiosPorts, rom: VideoRom) {
    this.ports = ports;
    this.rom = rom;
    this.vbe = { rom, setStandardMode: (state, number) => this.setMode(state, number) };
  }

  state(call: BiosCall): VideoState {
    const { ports } = this;
    return new VideoState(call, {
      readPort: (port, size) => ports.readPort(port, size),
      writePort: (port, size, value) => ports.writePort(port, size, value),
      read: (address, into) => into.set(call.bytes(address, into.length)),
      write: (address, bytes) => call.setBytes(address, bytes),
    });
  }

  handle(call: BiosCall): void {
    const state = this.state(call);
    switch (call.ah) {
      case 0x00: {
        const number = call.al & 0x7f;
        // What programs see in AL: the old adapters' way of telling that the mode was set.
        if (this.setMode(state, call.al)) call.al = number === 6 ? 0x3f : number < 8 ? 0x30 : 0x20;
        return;
      }
      case 0x01:
        setCursorShape(state, call.cx);
        return;
      case 0x02:
        setCursor(state, call.bh, call.dl, call.dh);
        return;
      case 0x03: {
        const { column, row } = state.cursor(call.bh);
        call.dx = (row << 8) | column;
        call.cx = call.u16(VideoBda.cursorShape);
        return;
      }
      case 0x05:
        if (call.al < PAGES) selectPage(state, call.al);
        return;
      case 0x06:
      case 0x07: {
        const window = { top: call.ch, left: call.cl, bottom: call.dh, right: call.dl };
        scroll(state, state.activePage, window, call.ah === 0x06 ? call.al : -call.al, call.bh);
        return;
      }
      case 0x08:
        call.ax = readCharacter(state, call.bh);
        return;
      case 0x09:
        writeCharacter(state, call.bh, call.al, call.bl, call.cx);
        return;
      case 0x0a:
        writeCharacter(state, call.bh, call.al, undefined, call.cx);
        return;
      case 0x0b:
        setCgaColours(state, call.bh, call.bl);
        return;
      case 0x0c:
        writePixel(state, call.bh, call.cx, call.dx, call.al);
        return;
      case 0x0d:
        call.al = readPixel(state, call.bh, call.cx, call.dx);
        return;
      case 0x0e:
        teletype(state, state.activePage, call.al);
        return;
      case 0x0f: {
        const cleared = call.u8(VideoBda.control) & ControlBit.notCleared;
        call.ax = (state.columns << 8) | state.modeNumber | cleared;
        call.bh = state.activePage;
        return;
      }
      case 0x10:
        paletteFunction(state);
        return;
      case 0x11:
        this.fontFunction(state, call);
        return;
      case 0x12:
        this.alternateSelect(state, call);
        return;
      case 0x13:
        writeString(state, call.al);
        return;
      case 0x1a:
        this.displayCombination(state, call);
        return;
      case 0x1b:
        this.functionality(state, call);
        return;
      case 0x1c:
        this.saveRestore(state, call);
        return;
      case 0x4f:
        vbeFunction(state, this.vbe);
        return;
    }
  }

  /** AH=00h: bit 7 of the number leaves memory as it is. False for a mode that there is not, which changes nothing. */
  setMode(state: VideoState, value: number): boolean {
    const base = videoMode(value & 0x7f);
    if (base === undefined) return false;
    const { call } = state;
    const mode = withScanLines(base, state.scanLines);
    const keepMemory = (value & 0x80) !== 0;
    const flags = call.u8(VideoBda.flags);
    setVideoMode(state.access, mode, {
      keepMemory,
      keepPalette: (flags & FlagBit.paletteOff) !== 0,
      greys: (flags & FlagBit.greys) !== 0,
    });
    state.enter(mode, keepMemory);
    this.setVector(call, UPPER_FONT, this.upperFont);
    this.setVector(call, GRAPHICS_FONT, this.rom.fonts[mode.charHeight]);
    if (mode.model === 'text') setCursorShape(state, 0x0607);
    return true;
  }

  /** Characters from 128 on, in eight rows. */
  private get upperFont(): FarPointer {
    const { segment, offset } = this.rom.fonts[8];
    return { segment, offset: offset + 128 * 8 };
  }

  private setVector(call: VideoCall, vector: number, { segment, offset }: FarPointer): void {
    call.setU16(vector * 4, offset);
    call.setU16(vector * 4 + 2, segment);
  }

  // ---- fonts, AH=11h

  private fontFunction(state: VideoState, call: BiosCall): void {
    const { al } = call;
    const heights: Record<number, FontHeight> = { 1: 14, 2: 8, 4: 16 };
    if (al === 0x03) {
      setIndexed(state.access, 0x3c4, 3, call.bl & 0x3f);
      return;
    }
    if (al < 0x20) {
      const height = (al & 0x0f) === 0 ? call.bh : heights[al & 0x0f];
      if (height === undefined || height < 1 || height > 32) return;
      const [first, count] = (al & 0x0f) === 0 ? [call.dx & 0xff, Math.min(call.cx, 256)] : [0, 256];
      const own = (al & 0x0f) !== 0 && isFontHeight(height);
      const glyphs = own ? font(height) : call.bytes(call.inEs(call.bp), count * height);
      if (state.mode?.model !== 'text') return;
      loadFont(state.access, call.bl & 7, first, height, glyphs);
      if (al >= 0x10) this.setCharHeight(state, call, height);
      return;
    }
    if (al < 0x30) {
      const graphics: Record<number, number> = { 33: call.cx & 0xff, 34: 14, 35: 8, 36: 16 };
      this.graphicsFont(state, call, graphics[al] ?? 8);
      return;
    }
    if (al === 0x30) this.fontInformation(state, call);
  }

  /** AX=111xh: as many rows as fit the lines that there are. */
  private setCharHeight(state: VideoState, call: BiosCall, height: number): void {
    const { access, crtcPort } = state;
    const isDoubled = (getIndexed(access, crtcPort, 9) & 0x80) !== 0;
    const lines = state.scanLines;
    const rows = Math.max(1, Math.floor(lines / height));
    setIndexed(access, crtcPort, 9, (getIndexed(access, crtcPort, 9) & 0xe0) | (height - 1));
    const last = rows * height * (isDoubled ? 2 : 1) - 1;
    const overflow = getIndexed(access, crtcPort, 7) & ~0x42;
    setIndexed(access, crtcPort, 0x12, last & 0xff);
    setIndexed(access, crtcPort, 7, overflow | ((last >> 7) & 2) | ((last >> 3) & 0x40));
    if (state.mode?.isMono) setIndexed(access, crtcPort, 0x14, height - 1);
    call.setU16(VideoBda.charHeight, height);
    call.setU8(VideoBda.rows, rows - 1);
    // A page is what is seen and a little room.
    call.setU16(VideoBda.pageBytes, rows * state.columns * 2 + 0x100);
    setCursorShape(state, call.u16(VideoBda.cursorShape));
  }

  /** AX=112xh: pointers to the glyphs of graphics modes. */
  private graphicsFont(state: VideoState, call: BiosCall, height: number): void {
    if (call.al === 0x20) {
      this.setVector(call, UPPER_FONT, { segment: call.es, offset: call.bp });
      return;
    }
    const isOwn = call.al !== 0x21;
    if (height < 1 || height > 32) return;
    const pointer = isOwn && isFontHeight(height) ? this.rom.fonts[height] : { segment: call.es, offset: call.bp };
    this.setVector(call, GRAPHICS_FONT, pointer);
    call.setU16(VideoBda.charHeight, height);
    const rows = call.bl === 0 ? call.dl : ({ 1: 14, 2: 25, 3: 43 }[call.bl] ?? state.rows);
    if (rows > 0) call.setU8(VideoBda.rows, rows - 1);
  }

  /** AX=1130h. */
  private fontInformation(state: VideoState, call: BiosCall): void {
    const { fonts, noAlternates } = this.rom;
    const vector = (number: number) => ({ segment: call.u16(number * 4 + 2), offset: call.u16(number * 4) });
    const pointers = [
      vector(UPPER_FONT),
      vector(GRAPHICS_FONT),
      fonts[14],
      fonts[8],
      this.upperFont,
      noAlternates,
      fonts[16],
      noAlternates,
    ];
    const pointer = pointers[call.bh];
    if (pointer === undefined) return;
    call.es = pointer.segment;
    call.bp = pointer.offset;
    call.cx = state.charHeight;
    call.dl = state.rows - 1;
  }

  // ---- AH=12h

  private alternateSelect(state: VideoState, call: BiosCall): void {
    const { access } = state;
    const { al } = call;
    const flags = call.u8(VideoBda.flags);
    const setFlag = (bit: number, isOn: boolean) => call.setU8(VideoBda.flags, isOn ? flags | bit : flags & ~bit);
    switch (call.bl) {
      case 0x10:
        call.bx = state.mode?.isMono ? 0x0103 : 0x0003;
        call.cx = call.u8(VideoBda.switches) & 0x0f;
        return;
      case 0x20:
        return;
      case 0x30: {
        if (al > 2) return;
        const lines = [FlagBit.lines200, 0, FlagBit.lines400][al];
        call.setU8(VideoBda.flags, (flags & ~(FlagBit.lines200 | FlagBit.lines400)) | lines);
        break;
      }
      case 0x31:
        setFlag(FlagBit.paletteOff, (al & 1) !== 0);
        break;
      case 0x32: {
        const misc = access.readPort(0x3cc, 1) & ~RAM_ENABLED;
        access.writePort(0x3c2, 1, misc | ((al & 1) === 0 ? RAM_ENABLED : 0));
        break;
      }
      case 0x33:
        setFlag(FlagBit.greys, (al & 1) === 0);
        if ((al & 1) === 0) sumToGreys(state, 0, 256);
        break;
      case 0x34: {
        const control = call.u8(VideoBda.control) & ~ControlBit.cursorEmulationOff;
        call.setU8(VideoBda.control, control | ((al & 1) !== 0 ? ControlBit.cursorEmulationOff : 0));
        break;
      }
      case 0x35:
        break;
      case 0x36: {
        const clocking = getIndexed(access, 0x3c4, 1) & ~SCREEN_OFF;
        setIndexed(access, 0x3c4, 1, clocking | ((al & 1) !== 0 ? SCREEN_OFF : 0));
        break;
      }
      default:
        return;
    }
    call.al = 0x12;
  }

  // ---- what there is: AH=1Ah, 1Bh, 1Ch

  private displayCombination(state: VideoState, call: BiosCall): void {
    if (call.al > 1) return;
    if (call.al === 1) call.setU8(VideoBda.combination, call.bl);
    else call.bx = state.mode?.isMono ? VGA_MONO : VGA_COLOUR;
    call.al = 0x1a;
  }

  private functionality(state: VideoState, call: BiosCall): void {
    if (call.bx !== 0) return;
    const block = new Uint8Array(BLOCK_BYTES);
    const view = new DataView(block.buffer);
    const { functionality } = this.rom;
    const { mode } = state;
    view.setUint16(0, functionality.offset, true);
    view.setUint16(2, functionality.segment, true);
    block.set(call.bytes(VideoBda.mode, 30), 0x04);
    view.setUint8(0x22, state.rows);
    view.setUint16(0x23, state.charHeight, true);
    view.setUint8(0x25, state.mode?.isMono ? VGA_MONO : VGA_COLOUR);
    view.setUint16(0x27, mode === undefined || mode.model === 'text' ? 16 : 2 ** mode.bitsPerPixel, true);
    view.setUint8(0x29, mode?.pages ?? 1);
    const lines = mode?.model === 'text' ? state.scanLines : (mode?.height ?? 480);
    view.setUint8(0x2a, ({ 200: 0, 350: 1, 400: 2 } as Record<number, number>)[lines] ?? 3);
    const select = getIndexed(state.access, 0x3c4, 3);
    view.setUint8(0x2b, ((select >> 3) & 4) | ((select >> 2) & 3));
    view.setUint8(0x2c, ((select >> 2) & 4) | (select & 3));
    // All modes on all monitors; cursor emulation; blinking.
    const emulates = (call.u8(VideoBda.control) & ControlBit.cursorEmulationOff) === 0;
    view.setUint8(0x2d, 0x21 | (emulates ? 0x10 : 0));
    view.setUint8(0x31, 3);
    call.setBytes(call.inEs(call.di), block);
    call.al = 0x1b;
  }

  private saveRestore(state: VideoState, call: BiosCall): void {
    const parts = call.cx & 0x07;
    switch (call.al) {
      case 0:
        call.bx = Math.ceil(saveStateBytes(parts) / BLOCK_BYTES);
        break;
      case 1:
        call.setBytes(call.inEs(call.bx), saveVideoState(state, parts));
        break;
      case 2:
        restoreVideoState(state, parts, call.bytes(call.inEs(call.bx), saveStateBytes(parts)));
        break;
      default:
        return;
    }
    call.al = 0x1c;
  }

  /** Vectors, data area, and 80 by 25 characters. */
  powerOn(call: BiosCall): void {
    const { entry, savePointers } = this.rom;
    this.setVector(call, VECTOR, entry);
    this.setVector(call, VIDEO_ALIAS, entry);
    call.setU8(VideoBda.flags, FlagBit.active | FlagBit.lines400);
    call.setU16(VideoBda.savePointer, savePointers.offset);
    call.setU16(VideoBda.savePointer + 2, savePointers.segment);
    this.setMode(this.state(call), 3);
  }
}

/** INT 10h for a machine with our display adapter. */
export function videoModule(): BiosModule {
  let services: VideoServices | undefined;
  const handle = (call: BiosCall) => services?.handle(call);
  return {
    interrupts: [{ vector: VECTOR, at: RomOffset.video, handle }],
    place(context) {
      const rom = buildVideoRom((builder) => context.interruptEntry(builder, handle));
      context.addRom(rom.rom);
      services = new VideoServices(context.machine.ports, rom);
    },
    powerOn({ machine, registers }) {
      if (services === undefined) return;
      const { base, bytes } = services.rom.rom;
      machine.memory.protect(base, bytes.length, false);
      machine.memory.write(base, bytes);
      machine.memory.protect(base, bytes.length, true);
      services.powerOn(registers);
    },
  };
}
