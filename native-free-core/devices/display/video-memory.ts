// What a display device needs of the memory that holds its picture: bytes, direct windows for the guest, dirty pages.
// Owns the interface, and a memory without direct windows for tests and for machines that have none.
// Never knows how a machine maps it.

/** Pages that writes are noticed by. */
export const VIDEO_PAGE = 4096;

/** A range of guest-physical addresses at which the guest reaches video memory without exits. */
export interface VideoWindow {
  /** All are multiples of {@link VIDEO_PAGE}. Mapping again moves the window. */
  map(physical: number, offset: number, length: number): void;
  unmap(): void;
}

export interface VideoMemory {
  /** A multiple of {@link VIDEO_PAGE}; its start is aligned to 4 bytes. */
  readonly bytes: Uint8Array;
  window(): VideoWindow;
  /** Says that the device itself changed bytes that the guest may have as code. */
  touch(offset: number, length: number): void;
  /** Calls `page` with the offset of each page between `from` and `to` that the guest wrote through a window since the last take. */
  takeDirty(from: number, to: number, page: (offset: number) => void): void;
}

/** Video memory that the guest reaches only through the device's handlers: mapping a window has no effect. */
export class PlainVideoMemory implements VideoMemory {
  readonly bytes: Uint8Array;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  window(): VideoWindow {
    return { map: () => {}, unmap: () => {} };
  }

  touch(): void {}

  takeDirty(): void {}
}
