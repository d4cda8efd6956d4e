// Putting together the bytes of firmware's tables.
// Owns nothing.
// Never knows a table.

import { littleEndian as little } from '../acpi/aml.ts';

export { concat, littleEndian } from '../acpi/aml.ts';

/** The bytes of ASCII text, filled up with spaces to `length`. */
export function ascii(text: string, length = text.length): Uint8Array {
  return Uint8Array.from(text.padEnd(length).slice(0, length), (character) => character.charCodeAt(0));
}

/** Sets the byte at `at` so that bytes `from` to `to - 1` sum to zero. */
export function makeSumZero(bytes: Uint8Array, at: number, from = 0, to = bytes.length): void {
  bytes[at] = 0;
  let sum = 0;
  for (let i = from; i < to; i++) sum += bytes[i];
  bytes[at] = -sum & 0xff;
}

/** A word. */
export const word = (value: number): number[] => little(value, 2);
/** A double word. */
export const dword = (value: number): number[] => little(value, 4);
