// What a picture of a screen shows, by its content: bars of a colour, and where two pictures differ.
// Owns the measuring.
// Never compares with a stored picture, and never depends on a single pixel.

import type { Picture } from './system-guest.ts';

export type Colour = readonly [red: number, green: number, blue: number];

/** The chosen line of the installer's boot menu, and that of its list of languages, as the two draw it. */
export const MENU_LINE: Colour = [118, 161, 208];
export const LIST_LINE: Colour = [41, 134, 126];

/** A horizontal band: rows from `top` up to `bottom`, which is not part of it. */
export interface Band {
  top: number;
  bottom: number;
}

/** Whether a pixel is of about that colour: each part at most `tolerance` away. */
function isNear({ pixels }: Picture, at: number, colour: Colour, tolerance: number): boolean {
  return colour.every((part, index) => Math.abs(pixels[at + index]! - part) <= tolerance);
}

/**
 * Bands of rows of which at least `share` is of about that colour: the selected line of a list or a menu, with whatever
 * text is in it. Bands lower than `height` rows are no such line.
 */
export function bandsOf(
  picture: Picture,
  colour: Colour,
  { tolerance = 24, share = 0.35, height = 8 }: { tolerance?: number; share?: number; height?: number } = {},
): Band[] {
  const bands: Band[] = [];
  let top = -1;
  for (let row = 0; row <= picture.height; row++) {
    let count = 0;
    for (let x = 0; row < picture.height && x < picture.width; x++)
      if (isNear(picture, (row * picture.width + x) * 4, colour, tolerance)) count++;
    const belongs = count >= share * picture.width;
    if (belongs && top < 0) top = row;
    if (!belongs && top >= 0) {
      if (row - top >= height) bands.push({ top, bottom: row });
      top = -1;
    }
  }
  return bands;
}

/** The smallest rectangle that holds all that differs between two pictures of one size; undefined if nothing does. */
export function difference(
  before: Picture,
  now: Picture,
): { x: number; y: number; width: number; height: number } | undefined {
  if (before.width !== now.width || before.height !== now.height)
    return { x: 0, y: 0, width: now.width, height: now.height };
  let [left, top, right, bottom] = [now.width, now.height, -1, -1];
  for (let y = 0; y < now.height; y++)
    for (let x = 0; x < now.width; x++) {
      const at = (y * now.width + x) * 4;
      if ([0, 1, 2].every((part) => before.pixels[at + part] === now.pixels[at + part])) continue;
      [left, top] = [Math.min(left, x), Math.min(top, y)];
      [right, bottom] = [Math.max(right, x), Math.max(bottom, y)];
    }
  return right < 0 ? undefined : { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
}
