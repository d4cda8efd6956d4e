// What a pointing device that tells positions is to the machine that feeds it.
// Owns the interface only: a USB tablet or a backdoor that guests' drivers ask implements it.
// Never knows a window or how large a guest's picture is.

/** Positions go from 0 to this over the whole width and height of the picture. */
export const POINTER_RANGE = 0xffff;

/** A device that tells a guest where the pointer is, rather than how far it moved. */
export interface AbsolutePointer {
  /** Whether the guest's driver listens to it at present; while it does not, movement goes to the PS/2 mouse. */
  readonly active: boolean;
  /**
   * The pointer's whole state: `x` and `y` from 0 (left, top) to {@link POINTER_RANGE}; buttons held now, bit 0 left,
   * 1 right, 2 middle; `wheel` in steps since the last report, positive towards the user.
   */
  report(x: number, y: number, buttons: number, wheel: number): void;
}
