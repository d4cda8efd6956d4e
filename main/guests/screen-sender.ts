// A guest's screen on its way to main: what changed, when main is ready for it, and not more often than a window shows.
// Owns the pace of refreshing and what main was last told.
// Never refreshes a screen that nobody watches, and never has more than one change under way.

import { cutTile } from '../../native-free-core/devices/display/screen.ts';
import type { Guest } from '../../native-free-core/hypervisor/guest.ts';
import type { PointerKind } from '../../native-free-core/hypervisor/guest-input.ts';
import type { Picture, ScreenChange, ScreenWish } from './worker-messages.ts';

/** Milliseconds between two looks at a screen that changes: 60 pictures a second. */
const SHORTEST = 1000 / 60;
/** The same for one that does not: a cursor that blinks must be seen to. */
const LONGEST = 100;
/** How much longer the next wait is after a look that found nothing. */
const SLOWING = 1.5;

export class ScreenSender {
  readonly #send: (change: ScreenChange, buffer: ArrayBuffer) => void;
  #wish: ScreenWish = 'none';
  #interval = SHORTEST;
  #lookedAt = -Infinity;
  #toldText: string | null = null;
  #toldPointer: PointerKind | null = null;

  constructor(send: (change: ScreenChange, buffer: ArrayBuffer) => void) {
    this.#send = send;
  }

  /** What main is ready for. */
  wish(wish: ScreenWish): void {
    this.#wish = wish;
    if (wish === 'everything') this.hurry();
  }

  /** Something happened that the screen may show soon: a key, a movement. */
  hurry(): void {
    this.#interval = SHORTEST;
  }

  /** Milliseconds until {@link show} has something to do; Infinity while nobody watches. */
  dueIn(now: number): number {
    return this.#wish === 'none' ? Infinity : Math.max(0, this.#lookedAt + this.#interval - now);
  }

  /** Sends what changed if it is time to. Call between two slices. */
  show(guest: Guest, now: number): void {
    if (this.dueIn(now) > 0) return;
    this.#lookedAt = now;
    const isWhole = this.#wish === 'everything';
    const change = this.#change(guest, isWhole);
    if (change === null) {
      this.#interval = Math.min(this.#interval * SLOWING, LONGEST);
      return;
    }
    this.#interval = SHORTEST;
    this.#wish = 'none';
    this.#send(change, change.pixels.buffer);
  }

  #change({ screen, input }: Guest, isWhole: boolean): ScreenChange | null {
    const pointer = input?.pointer ?? 'none';
    const hasTurned = pointer !== this.#toldPointer;
    this.#toldPointer = pointer;
    if (!screen) {
      // There is nothing to wait for either, but the kind of pointer; both are told when somebody begins to watch.
      if (!isWhole) return null;
      return { width: 0, height: 0, tiles: [], pixels: new Uint8ClampedArray(0), text: null, pointer };
    }
    if (isWhole) screen.invalidate();
    const update = screen.refresh();
    if (update.tiles.length === 0 && !isWhole && !hasTurned) return null;
    const pixels = new Uint8ClampedArray(update.tiles.reduce((sum, { width, height }) => sum + width * height * 4, 0));
    let at = 0;
    for (const tile of update.tiles) {
      const cut = cutTile(update, tile);
      pixels.set(cut, at);
      at += cut.length;
    }
    const text = screen.text() ?? null;
    const isTextNew = isWhole || text !== this.#toldText;
    this.#toldText = text;
    const size = screen.textSize();
    const { width, height } = update;
    const tiles = update.tiles.map(({ x, y, width, height }) => ({ x, y, width, height }));
    const told = text === null || !size ? null : { ...size, text };
    return { width, height, tiles, pixels, text: isTextNew ? told : undefined, pointer };
  }
}

/** The screen as it is now, which leaves {@link ScreenSender} to tell the changes: null where there is none. */
export function takePicture({ screen }: Guest): Picture | null {
  if (!screen) return null;
  // All that is refreshed here is lost to the sender, which therefore gets everything again.
  const { width, height, pixels } = screen.refresh();
  const picture = { width, height, pixels: pixels.slice() };
  screen.invalidate();
  return picture;
}
