// Holes in the files of images: what a guest does not need any more is given back to the host.
// Owns how small a hole may be, and what is done where the host makes none.
// Never decides whether a range may be lost.

import type { HostFile } from './block.ts';

/** Smaller holes are not made (bytes): each is an act of the host that takes milliseconds, and blocks of hosts are whole. */
export const HOLE_MIN = 64 << 10;

const ZEROS_BYTES = 1 << 20;

/** Gives the range back to the host if it is large enough; answers whether it reads as zeros now, else it is as before. */
export async function punchHole(file: HostFile, offset: number, length: number): Promise<boolean> {
  return length >= HOLE_MIN && (await file.punch(offset, length));
}

/** Makes a range of the file read as zeros: by a hole where the host makes one, else by writing them. */
export async function zeroRange(file: HostFile, offset: number, length: number): Promise<void> {
  if (await punchHole(file, offset, length)) return;
  const zeros = new Uint8Array(Math.min(length, ZEROS_BYTES));
  for (let done = 0; done < length; done += zeros.length)
    await file.write(offset + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
}

/** Ranges put together where they are neighbours; sorted by where they begin. */
export function mergeRanges(ranges: readonly { at: number; length: number }[]): { at: number; length: number }[] {
  const merged: { at: number; length: number }[] = [];
  for (const { at, length } of [...ranges].sort((one, other) => one.at - other.at)) {
    const last = merged.at(-1);
    if (last && at <= last.at + last.length) last.length = Math.max(last.length, at + length - last.at);
    else merged.push({ at, length });
  }
  return merged;
}
