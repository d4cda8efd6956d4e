// What a Linux kernel that is loaded directly is told of the display: the screen_info of its boot_params.
// Owns the layout (include/uapi/linux/screen_info.h) and what `vga=` on a command line asks for.
// Never sets a mode itself.

import type { ByteRecord } from './boot.ts';

/** A text mode that is set, or a linear frame buffer. */
export type ScreenInfo =
  | {
      kind: 'text';
      columns: number;
      rows: number;
      charHeight: number;
      mode: number;
      cursor: { column: number; row: number };
    }
  | {
      kind: 'linear';
      width: number;
      height: number;
      bitsPerPixel: number;
      /** Bytes from one line to the next. */
      pitch: number;
      /** Guest-physical address, and bytes of the whole video memory. */
      base: number;
      memoryBytes: number;
      /** Size and position in bits of red, green, blue and the rest. */
      masks: readonly { size: number; position: number }[];
    };

/** Video modes of the boot protocol (Documentation/admin-guide/svga.rst). */
export const LinuxVideoMode = { ask: 0xfffd, extended: 0xfffe, normal: 0xffff } as const;

/** The mode that `vga=` on a command line names (the last one counts), or undefined without a valid one. */
export function commandLineVideoMode(commandLine: string): number | undefined {
  const value = commandLine
    .split(/\s+/)
    .findLast((word) => word.startsWith('vga='))
    ?.slice('vga='.length);
  if (value === undefined) return undefined;
  const named = { ask: LinuxVideoMode.ask, ext: LinuxVideoMode.extended, normal: LinuxVideoMode.normal }[value];
  if (named !== undefined) return named;
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(value)) return undefined;
  const number = Number(value);
  return number <= 0xffff ? number : undefined;
}

const TYPE_VGA_TEXT = 1;
const TYPE_LINEAR = 0x23;
/** orig_video_ega_bx of a colour adapter with 256 KiB; 10h would say that there is none. */
const EGA_MEMORY = 0x0003;

/** Writes screen_info to the start of boot_params. */
export function writeScreenInfo(params: ByteRecord, info: ScreenInfo): void {
  if (info.kind === 'text') {
    params.u8(0x00, info.cursor.column).u8(0x01, info.cursor.row);
    params.u8(0x06, info.mode).u8(0x07, info.columns).u16(0x0a, EGA_MEMORY);
    params.u8(0x0e, info.rows).u8(0x0f, TYPE_VGA_TEXT).u16(0x10, info.charHeight);
    return;
  }
  params.u8(0x07, 80).u8(0x0e, 25).u8(0x0f, TYPE_LINEAR).u16(0x10, 16);
  params.u16(0x12, info.width).u16(0x14, info.height).u16(0x16, info.bitsPerPixel);
  // The size is counted in 64 KiB.
  params
    .u32(0x18, info.base)
    .u32(0x1c, Math.floor(info.memoryBytes / 0x10000))
    .u16(0x24, info.pitch);
  info.masks.forEach(({ size, position }, index) => {
    params.u8(0x26 + 2 * index, size).u8(0x27 + 2 * index, position);
  });
  params.u16(0x32, 1);
}
