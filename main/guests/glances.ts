// Guests at a glance: a small picture of a display, or the last lines of a console where there is none.
// Owns the scaling and what is left of a terminal's output without its control sequences.
// Never asks a guest for anything, and never makes again what its reader has.

import { encodePng } from '../display/png.ts';
import type { Picture } from './worker-messages.ts';

/** Samples of the picture, each way, that a pixel of the small one is the mean of: text stays grey lines, not noise. */
const SAMPLES = 3;
/** Bytes of a console that its last lines are looked for in: colours take several times what they colour. */
export const TAIL_BYTES = 4096;

/** The picture, `width` pixels across at most, as a PNG. */
export function smallPicture(picture: Picture, width: number): Promise<Uint8Array> {
  const small = scaled(picture, width);
  return encodePng(small.width, small.height, small.pixels);
}

/** A picture scaled down to `width` pixels across, its shape kept; one that is narrower stays as it is. */
export function scaled(picture: Picture, across: number): Picture {
  const { width, height, pixels } = picture;
  if (width <= across) return picture;
  const down = Math.max(1, Math.round((height * across) / width));
  const small = new Uint8ClampedArray(across * down * 4);
  for (let y = 0, to = 0; y < down; y++) {
    for (let x = 0; x < across; x++, to += 4) {
      const sum = [0, 0, 0];
      for (let sample = 0; sample < SAMPLES * SAMPLES; sample++) {
        const column = Math.floor(((x + ((sample % SAMPLES) + 0.5) / SAMPLES) * width) / across);
        const row = Math.floor(((y + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES) * height) / down);
        const from = (row * width + column) * 4;
        for (let channel = 0; channel < 3; channel++) sum[channel]! += pixels[from + channel]!;
      }
      for (let channel = 0; channel < 3; channel++) small[to + channel] = sum[channel]! / (SAMPLES * SAMPLES);
      small[to + 3] = 0xff;
    }
  }
  return { width: across, height: down, pixels: small };
}

/** Control sequences: CSI, OSC and other strings, and escapes of two or three characters (ECMA-48, 5.3 to 5.6). */
const CONTROL_SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]/g;
/** A screen that is cleared, or another that takes its place: what was there is gone. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const CLEARED = /\x1b\[[23]J|\x1bc|\x1b\[\?1049[hl]/;

/** The last lines of a terminal's output that hold anything, each cut to `columns`; how it was coloured is left out. */
export function lastLines(bytes: Uint8Array, rows: number, columns: number): string[] {
  const text = new TextDecoder().decode(bytes).split(CLEARED).at(-1)!.replaceAll(CONTROL_SEQUENCES, '');
  const lines = text.split('\n').map((line) => overwritten(line, columns).trimEnd());
  while (lines.length > 0 && lines.at(-1) === '') lines.pop();
  return lines.slice(-rows);
}

/** A line as it looks once carriage returns and backspaces have moved back over it. */
function overwritten(line: string, columns: number): string {
  const cells: string[] = [];
  let at = 0;
  for (const character of line) {
    if (character === '\r') at = 0;
    else if (character === '\b') at = Math.max(0, at - 1);
    else if (character === '\t') at = Math.min(columns, (at | 7) + 1);
    else if (character >= ' ' && character !== '\x7f' && at < columns) cells[at++] = character;
  }
  return Array.from(cells, (cell) => cell ?? ' ').join('');
}
