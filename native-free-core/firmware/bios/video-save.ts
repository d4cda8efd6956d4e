// The display's state as programs save and restore it: INT 10h, AH=1Ch and AX=4F04h.
// Owns the layout of the buffer: hardware, data area, DAC, and the registers of the extension, as far as asked for.
// Never saves video memory: the specification leaves that to the program.

import { DispiEnable, DispiIndex } from '../../devices/display/dispi.ts';
import { readDispi, writeDispi } from './vbe-modes.ts';
import { getAttribute, getIndexed, getPalette, setAttribute, setIndexed, setPalette } from './video-modes.ts';
import type { VideoState } from './video-state.ts';

/** Bits of what is asked for. */
export const SavedPart = { hardware: 1, dataArea: 2, dac: 4, extension: 8 } as const;

const SEQUENCER = 5;
const CRTC = 25;
const GRAPHICS = 9;
const ATTRIBUTE = 21;
const HARDWARE_BYTES = 2 + SEQUENCER + CRTC + GRAPHICS + ATTRIBUTE;
/** Ranges of the data area: linear address and length. */
const DATA_AREA = [
  [0x449, 30],
  [0x484, 7],
  [0x4a8, 4],
  [0x4b9, 2],
  // Vectors of fonts.
  [0x1f * 4, 4],
  [0x43 * 4, 4],
] as const;
const DATA_BYTES = DATA_AREA.reduce((sum, [, length]) => sum + length, 0);
const DAC_BYTES = 1 + 768;
/** Size and depth before enable, and what needs a mode behind it. */
const EXTENSION = [
  DispiIndex.width,
  DispiIndex.height,
  DispiIndex.bitsPerPixel,
  DispiIndex.enable,
  DispiIndex.bank,
  DispiIndex.virtualWidth,
  DispiIndex.x,
  DispiIndex.y,
] as const;

/** Bytes that the parts take. */
export function saveStateBytes(parts: number): number {
  return (
    ((parts & SavedPart.hardware) !== 0 ? HARDWARE_BYTES : 0) +
    ((parts & SavedPart.dataArea) !== 0 ? DATA_BYTES : 0) +
    ((parts & SavedPart.dac) !== 0 ? DAC_BYTES : 0) +
    ((parts & SavedPart.extension) !== 0 ? EXTENSION.length * 2 : 0)
  );
}

export function saveVideoState(state: VideoState, parts: number): Uint8Array {
  const { call, access } = state;
  const bytes: number[] = [];
  const registers = (port: number, count: number) => {
    for (let index = 0; index < count; index++) bytes.push(getIndexed(access, port, index));
  };
  if ((parts & SavedPart.extension) !== 0) {
    for (const index of EXTENSION) {
      const value = readDispi(access, index);
      bytes.push(value & 0xff, value >> 8);
    }
  }
  if ((parts & SavedPart.hardware) !== 0) {
    bytes.push(access.readPort(0x3cc, 1), access.readPort(0x3ca, 1));
    registers(0x3c4, SEQUENCER);
    registers(state.crtcPort, CRTC);
    registers(0x3ce, GRAPHICS);
    for (let index = 0; index < ATTRIBUTE; index++) bytes.push(getAttribute(access, index));
  }
  if ((parts & SavedPart.dataArea) !== 0)
    for (const [address, length] of DATA_AREA) bytes.push(...call.bytes(address, length));
  if ((parts & SavedPart.dac) !== 0) bytes.push(access.readPort(0x3c6, 1), ...getPalette(access, 0, 256));
  return Uint8Array.from(bytes);
}

/** `bytes` is what {@link saveVideoState} gave for the same parts. */
export function restoreVideoState(state: VideoState, parts: number, bytes: Uint8Array): void {
  const { call, access } = state;
  let at = 0;
  const next = () => bytes[at++] ?? 0;
  if ((parts & SavedPart.extension) !== 0) {
    for (const index of EXTENSION) {
      const value = next() | (next() << 8);
      writeDispi(access, index, index === DispiIndex.enable ? value | DispiEnable.keepMemory : value);
    }
  }
  if ((parts & SavedPart.hardware) !== 0) {
    const misc = next();
    const feature = next();
    access.writePort(0x3c2, 1, misc);
    const crtc = (misc & 1) !== 0 ? 0x3d4 : 0x3b4;
    access.writePort(crtc + 6, 1, feature);
    const registers = (port: number, count: number) => {
      for (let index = 0; index < count; index++) setIndexed(access, port, index, next());
    };
    registers(0x3c4, SEQUENCER);
    setIndexed(access, crtc, 0x11, 0);
    registers(crtc, CRTC);
    registers(0x3ce, GRAPHICS);
    for (let index = 0; index < ATTRIBUTE; index++) setAttribute(access, index, next());
  }
  if ((parts & SavedPart.dataArea) !== 0) {
    for (const [address, length] of DATA_AREA) {
      call.setBytes(address, bytes.slice(at, at + length));
      at += length;
    }
  }
  if ((parts & SavedPart.dac) !== 0) {
    access.writePort(0x3c6, 1, next());
    setPalette(access, 0, bytes.slice(at, at + 768));
  }
}
