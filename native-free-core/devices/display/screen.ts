// What a display device shows, as windows, screenshots and watchers of the text see it.
// Owns the interface only; devices in this folder implement it.
// Never knows a window, a picture format or how the guest drives the device.

/** A rectangle in pixels. */
export interface ScreenTile {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** What {@link Screen.refresh} found. */
export interface ScreenUpdate {
  /** Size of the picture in pixels; at least 1, at most {@link MAX_SCREEN_WIDTH} and {@link MAX_SCREEN_HEIGHT}. */
  readonly width: number;
  readonly height: number;
  /**
   * The whole picture: red, green, blue, alpha (always 255) in bytes, rows without gaps, exactly `width * height * 4`
   * bytes. It is the device's own buffer and holds until the next refresh; copy what shall last longer.
   */
  readonly pixels: Uint8ClampedArray<ArrayBuffer>;
  /** What changed since the last refresh: rectangles within the picture that do not overlap; all of it after a change of mode. */
  readonly tiles: readonly ScreenTile[];
}

/** A cell of a text mode, counted from 0. */
export interface ScreenCell {
  readonly column: number;
  readonly row: number;
}

/** No mode of a display device is larger. */
export const MAX_SCREEN_WIDTH = 2560;
export const MAX_SCREEN_HEIGHT = 1600;

/** A picture that a guest shows. All methods are called between two slices of the guest, by the thread that runs it. */
export interface Screen {
  /** Size of the present mode in pixels, without a refresh. */
  readonly width: number;
  readonly height: number;
  /** Brings the picture up to date, and says what changed since the last call; costs little when nothing did. */
  refresh(): ScreenUpdate;
  /** Lets the next refresh report the whole picture, for a window that has just been opened. */
  invalidate(): void;
  /**
   * The rows of a text mode joined by newlines, trailing blanks of each row trimmed, decoded from code page 437 to
   * Unicode; undefined in a graphics mode. Rows stay as many as the mode has. Works without a refresh.
   */
  text(): string | undefined;
  /** Columns and rows of a text mode; undefined in a graphics mode. */
  textSize(): { readonly columns: number; readonly rows: number } | undefined;
  /** Where a text mode's cursor is; undefined when it is off, outside the screen, or in a graphics mode. */
  cursor(): ScreenCell | undefined;
}

/** Cuts a tile's bytes out of a picture: rows without gaps, to be sent elsewhere. */
export function cutTile({ pixels, width }: ScreenUpdate, tile: ScreenTile): Uint8ClampedArray<ArrayBuffer> {
  const bytes = new Uint8ClampedArray(tile.width * tile.height * 4);
  for (let row = 0; row < tile.height; row++) {
    const from = ((tile.y + row) * width + tile.x) * 4;
    bytes.set(pixels.subarray(from, from + tile.width * 4), row * tile.width * 4);
  }
  return bytes;
}
