// A guest's display on the host's side: the present picture, and the windows that show it.
// Owns a copy of the picture while somebody watches, what each window has yet to get, and the keys it holds down.
// Never waits for a window and keeps nothing for a slow one but which parts changed: its memory has a bound.

import {
  type DisplayInput,
  type DisplayPointer,
  type DisplayText,
  decodeDisplayInput,
  encodeFrameEnd,
  encodePointer,
  encodeSize,
  encodeText,
  encodeTiles,
  TILES_BYTES_MAX,
} from '../display/display-frames.ts';
import type { Picture, ScreenChange, ScreenWish } from './worker-messages.ts';

/** Side of the squares in which changes are noted, in pixels: 4 KiB each. */
const CELL = 32;

type GuestAction = Exclude<DisplayInput, { type: 'taken' }>;

/** The run that the display belongs to at present. */
export interface DisplaySource {
  wishScreen(wish: ScreenWish): void;
  control(action: GuestAction): void;
}

/** One window's way in. */
export interface DisplayWindow {
  /** A message of the window; what is none is ignored. */
  receive(bytes: Uint8Array): void;
  /** The window is gone: its keys and buttons are released. */
  detach(): void;
}

/** Milliseconds after which a display that nobody has glanced at again is not drawn any more. */
const GLANCE_LASTS = 5000;

/** One window's present state. */
interface Watcher {
  /** Null for what only glances: the picture itself is what it wants. */
  send: ((bytes: Uint8Array) => void) | null;
  closed(): void;
  /** Squares that changed since they were sent, row by row. */
  dirty: Uint8Array;
  isSizeDue: boolean;
  isTextDue: boolean;
  isPointerDue: boolean;
  hasDirt: boolean;
  /** The picture under way; 0: none, it is ready for the next. */
  awaited: number;
  sequence: number;
  keys: Set<string>;
  buttons: number;
}

export class GuestDisplay {
  readonly #watchers = new Set<Watcher>();
  #source: DisplaySource | null = null;
  #picture: Picture | null = null;
  #text: DisplayText | null = null;
  #pointer: DisplayPointer = 'none';
  /** What the present run was asked for last and has not answered yet. */
  #asked: ScreenWish = 'none';
  /** Who glances now and then, and until when it counts as somebody. */
  #glancer: Watcher | null = null;
  #glanceTimer: NodeJS.Timeout | undefined;
  /** Changes drawn so far, in all runs: names the picture. */
  #drawn = 0;

  /** A run begins: what the windows show is of the last one until it has drawn something. */
  begin(source: DisplaySource): void {
    this.#source = source;
    this.#picture = null;
    this.#asked = 'none';
    for (const watcher of this.#watchers) watcher.hasDirt = false;
    this.#ask();
  }

  /** The run is over; windows keep what they show. */
  end(): void {
    this.#source = null;
    for (const watcher of this.#watchers) {
      watcher.keys.clear();
      watcher.buttons = 0;
    }
  }

  /** The run's screen changed. */
  change(change: ScreenChange): void {
    this.#asked = 'none';
    // On its way when the last window closed.
    if (this.#watchers.size === 0) return;
    const { width, height } = change;
    if (this.#picture?.width !== width || this.#picture.height !== height) {
      const pixels = new Uint8ClampedArray(width * height * 4);
      new Uint32Array(pixels.buffer).fill(BLACK);
      this.#picture = { width, height, pixels };
      for (const watcher of this.#watchers) this.#makeWhole(watcher);
    }
    this.#draw(change);
    this.#drawn++;
    for (const watcher of this.#watchers) {
      if (change.text !== undefined) watcher.isTextDue = watcher.hasDirt = true;
      if (change.pointer !== this.#pointer) watcher.isPointerDue = watcher.hasDirt = true;
    }
    if (change.text !== undefined) this.#text = change.text;
    this.#pointer = change.pointer;
    for (const watcher of this.#watchers) this.#serve(watcher);
    this.#ask();
  }

  /**
   * The picture as it was drawn last, and its number. Null while there is none; the guest is asked for what comes next. It is
   * only asked when it is glanced at: a list of guests costs each a picture a glance.
   */
  glance(): { picture: Picture; drawn: number } | null {
    clearTimeout(this.#glanceTimer);
    this.#glanceTimer = setTimeout(() => this.#stopGlancing(), GLANCE_LASTS).unref();
    if (this.#glancer) this.#glancer.awaited = 0;
    else this.#glancer = this.#add(null, () => {});
    this.#serve(this.#glancer);
    this.#glancer.awaited = 0;
    this.#ask();
    this.#glancer.awaited = 1;
    return this.#picture && { picture: this.#picture, drawn: this.#drawn };
  }

  #stopGlancing(): void {
    clearTimeout(this.#glanceTimer);
    if (this.#glancer) this.#detach(this.#glancer);
    this.#glancer = null;
  }

  /** Shows the display in a window from now on. `closed` is called when the guest is removed. */
  attach(send: (bytes: Uint8Array) => void, closed: () => void): DisplayWindow {
    const watcher = this.#add(send, closed);
    this.#ask();
    return { receive: (bytes) => this.#receive(watcher, bytes), detach: () => this.#detach(watcher) };
  }

  #add(send: Watcher['send'], closed: () => void): Watcher {
    const watcher: Watcher = {
      send,
      closed,
      dirty: new Uint8Array(0),
      isSizeDue: false,
      isTextDue: false,
      isPointerDue: false,
      hasDirt: false,
      awaited: 0,
      sequence: 0,
      keys: new Set(),
      buttons: 0,
    };
    this.#watchers.add(watcher);
    if (this.#picture) {
      this.#makeWhole(watcher);
      this.#serve(watcher);
    }
    return watcher;
  }

  /** The guest is gone for good. */
  close(): void {
    this.#stopGlancing();
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    this.#picture = null;
    for (const { closed } of watchers) closed();
  }

  #detach(watcher: Watcher): void {
    if (!this.#watchers.delete(watcher)) return;
    for (const code of watcher.keys) this.#source?.control({ type: 'key', code, pressed: false });
    if (watcher.buttons !== 0) this.#source?.control({ type: 'buttons', held: 0 });
    if (this.#watchers.size > 0) return;
    // Nobody watches: the picture is the guest's own affair again.
    this.#picture = null;
    this.#text = null;
    this.#asked = 'none';
    this.#source?.wishScreen('none');
  }

  #receive(watcher: Watcher, bytes: Uint8Array): void {
    const input = decodeDisplayInput(bytes);
    if (!input || !this.#watchers.has(watcher)) return;
    if (input.type === 'taken') {
      if (input.sequence !== watcher.awaited) return;
      watcher.awaited = 0;
      this.#serve(watcher);
      this.#ask();
      return;
    }
    if (!this.#source) return;
    if (input.type === 'key') {
      if (input.pressed) watcher.keys.add(input.code);
      else watcher.keys.delete(input.code);
    } else if (input.type === 'buttons') watcher.buttons = input.held;
    this.#source.control(input);
  }

  /** Asks the run for what changes next, if a window is ready for it. */
  #ask(): void {
    if (!this.#source || this.#asked !== 'none') return;
    if (![...this.#watchers].some(({ awaited, hasDirt }) => awaited === 0 && !hasDirt)) return;
    this.#asked = this.#picture ? 'changes' : 'everything';
    this.#source.wishScreen(this.#asked);
  }

  #makeWhole(watcher: Watcher): void {
    const { width, height } = this.#picture!;
    watcher.dirty = new Uint8Array(Math.ceil(width / CELL) * Math.ceil(height / CELL)).fill(1);
    watcher.isSizeDue = watcher.isTextDue = watcher.isPointerDue = watcher.hasDirt = true;
  }

  #draw({ tiles, pixels }: ScreenChange): void {
    const picture = this.#picture!;
    const columns = Math.ceil(picture.width / CELL);
    let at = 0;
    for (const { x, y, width, height } of tiles) {
      for (let row = 0; row < height; row++, at += width * 4)
        picture.pixels.set(pixels.subarray(at, at + width * 4), ((y + row) * picture.width + x) * 4);
      for (const watcher of this.#watchers) {
        watcher.hasDirt = true;
        for (let row = Math.floor(y / CELL); row * CELL < y + height; row++)
          watcher.dirty.fill(1, row * columns + Math.floor(x / CELL), row * columns + Math.ceil((x + width) / CELL));
      }
    }
  }

  /** Sends a window all it has yet to get, if it has taken what it got before. */
  #serve(watcher: Watcher): void {
    if (!watcher.hasDirt || watcher.awaited !== 0 || !this.#picture) return;
    if (!watcher.send) {
      watcher.dirty.fill(0);
      watcher.isSizeDue = watcher.isTextDue = watcher.isPointerDue = watcher.hasDirt = false;
      return;
    }
    const { width, height } = this.#picture;
    if (watcher.isSizeDue) watcher.send(encodeSize(width, height));
    for (const bytes of this.#dirtyTiles(watcher)) watcher.send(bytes);
    if (watcher.isTextDue) watcher.send(encodeText(this.#text));
    if (watcher.isPointerDue) watcher.send(encodePointer(this.#pointer));
    watcher.sequence = (watcher.sequence % 0xffff_ffff) + 1;
    watcher.awaited = watcher.sequence;
    watcher.isSizeDue = watcher.isTextDue = watcher.isPointerDue = watcher.hasDirt = false;
    watcher.send(encodeFrameEnd(watcher.sequence));
  }

  /** The dirty squares of a window as messages, none longer than a frame takes; they are clean then. */
  *#dirtyTiles({ dirty }: Watcher): Generator<Uint8Array> {
    const { width, height, pixels } = this.#picture!;
    const columns = Math.ceil(width / CELL);
    let tiles: { x: number; y: number; width: number; height: number }[] = [];
    let bytes = 0;
    for (let index = dirty.indexOf(1); index >= 0; index = dirty.indexOf(1, index + 1)) {
      const [x, y] = [(index % columns) * CELL, Math.floor(index / columns) * CELL];
      const tile = { x, y, width: Math.min(CELL, width - x), height: Math.min(CELL, height - y) };
      tiles.push(tile);
      bytes += tile.width * tile.height * 4;
      if (bytes < TILES_BYTES_MAX) continue;
      yield encodeTiles(pixels, width, tiles);
      tiles = [];
      bytes = 0;
    }
    if (tiles.length > 0) yield encodeTiles(pixels, width, tiles);
    dirty.fill(0);
  }
}

/** Opaque black as a little-endian word; all hosts that Node runs on are little-endian. */
const BLACK = 0xff00_0000;
