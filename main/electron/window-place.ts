// Where the manager's window was: kept in a file of the home, and taken up where the screens of today still show it.
// Owns the file and the judgement of what is in it.
// Never imports Electron, so that it can be tested alone.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

export interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

const coordinate = z.int().min(-1e6).max(1e6);
const WindowPlace = z.strictObject({
  x: coordinate,
  y: coordinate,
  width: z.int().min(1).max(1e5),
  height: z.int().min(1).max(1e5),
  isMaximized: z.boolean(),
});
export type WindowPlace = z.output<typeof WindowPlace>;

/** So much of a window is on a screen at least, so that it can be grasped there (pixels). */
const GRASP = { width: 120, height: 40 } as const;

const placeFile = (home: string): string => join(home, 'window.json');

/** Where the window was, if `screens` show its upper edge still; null: nobody knows, or nowhere that can be seen. */
export function readPlace(home: string, screens: readonly Rectangle[]): WindowPlace | null {
  let text: string;
  try {
    text = readFileSync(placeFile(home), 'utf8');
  } catch {
    // None yet, or one that cannot be read: the window comes as at the first time.
    return null;
  }
  let place: WindowPlace;
  try {
    place = WindowPlace.parse(JSON.parse(text));
  } catch {
    return null;
  }
  const isSeen = screens.some(({ x, y, width, height }) => {
    const across = Math.min(place.x + place.width, x + width) - Math.max(place.x, x);
    return across >= GRASP.width && place.y >= y && place.y + GRASP.height <= y + height;
  });
  return isSeen ? place : null;
}

/** Notes where the window is. A home that cannot be written to keeps nobody from closing it. */
export function writePlace(home: string, place: WindowPlace): void {
  const file = placeFile(home);
  try {
    writeFileSync(`${file}.partial`, JSON.stringify(place));
    renameSync(`${file}.partial`, file);
  } catch (error) {
    process.emitWarning(`The window's place could not be kept: ${(error as Error).message}`);
  }
}
