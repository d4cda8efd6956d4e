// What a person at a guest's keyboard and pointer does, as the host passes it on.
// Owns the types only; `machines/` implements them over the guest's devices.
// Never knows a keyboard layout or a scan code.

/**
 * A key that goes down or up. `code` is a key's place as W3C's `KeyboardEvent.code` names it (UI Events
 * KeyboardEvent code Values): independent of the host's layout and system, what every page gets from its browser, and
 * what the PS/2 keyboard's table is written in.
 */
export interface KeyStroke {
  readonly code: string;
  readonly pressed: boolean;
}

/** What the guest's driver listens to: nothing, a mouse that tells movements, or a device that tells positions. */
export type PointerKind = 'none' | 'relative' | 'absolute';

/** Keyboard and pointer of a guest. Called between two slices of the guest, by the thread that runs it. */
export interface GuestInput {
  /** A key goes down (also again, when it repeats) or up, at once. False where the guest has no such key or takes none. */
  key(code: string, pressed: boolean): boolean;
  /**
   * Types strokes in order, as fast as the guest takes them and no faster than a quick typist, on the guest's clock: so
   * no buffer of its overflows, and a deterministic run types at the same instructions every time. False, and nothing
   * is typed, where what is still to be typed leaves no room.
   */
  type(strokes: readonly KeyStroke[]): boolean;
  /** Strokes that are still to be typed. */
  readonly typing: number;
  /**
   * Moves the pointer: `dx` to the right, `dy` down, in counts of a mouse; `wheel` in steps, positive towards the user.
   */
  move(dx: number, dy: number, wheel: number): void;
  /** What the guest listens to at present: {@link move} reaches a mouse, {@link moveTo} only an absolute device. */
  readonly pointer: PointerKind;
  /** Puts the pointer to a place of the picture: 0 (left, top) to 65535. */
  moveTo(x: number, y: number): void;
  /** Buttons held now: bit 0 left, 1 right, 2 middle. */
  buttons(held: number): void;
}
