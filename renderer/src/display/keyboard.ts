// The host's keyboard as the guest's: which keys are held, and the one key that stays the host's.
// Owns the keys held in the guest, so that none stays down when the window loses them.
// Never knows a character or a page: it is fed with places of keys.

import { keyCodes } from '../contract.ts';

export interface KeyboardEvents {
  key(code: string, pressed: boolean): void;
  /** The host key was pressed and released alone. */
  host(): void;
  /** A key was pressed while the host key was held. */
  hostWith(code: string): void;
}

/** macOS tells of no release while Command is held; a Mac's Caps Lock tells of one press or one release at a time. */
const META = new Set(['MetaLeft', 'MetaRight']);

export class GuestKeyboard {
  readonly #events: KeyboardEvents;
  readonly #isMac: boolean;
  readonly #held = new Set<string>();
  #isHostHeld = false;
  #wasHostUsed = false;
  /** The place of the key that is the host's. */
  hostKey: string;

  constructor(hostKey: string, events: KeyboardEvents, isMac = false) {
    this.hostKey = hostKey;
    this.#events = events;
    this.#isMac = isMac;
  }

  /** A key went down, or repeats. False: the guest's keyboard has no such key, and the page may have it. */
  down(code: string, isRepeat: boolean): boolean {
    if (code === this.hostKey) {
      if (!isRepeat) this.#wasHostUsed = false;
      this.#isHostHeld = true;
      return true;
    }
    if (this.#isHostHeld) {
      this.#wasHostUsed = true;
      if (!isRepeat) this.#events.hostWith(code);
      return true;
    }
    if (!keyCodes.has(code)) return false;
    this.#held.add(code);
    this.#events.key(code, true);
    if (this.#isMac && code === 'CapsLock') this.up(code);
    return true;
  }

  up(code: string): boolean {
    if (code === this.hostKey) {
      if (this.#isHostHeld && !this.#wasHostUsed) this.#events.host();
      this.#isHostHeld = false;
      return true;
    }
    if (this.#isMac && code === 'CapsLock' && !this.#held.has(code)) return this.down(code, false);
    // Pressed while the host key was held, or before the window had the keyboard.
    if (!this.#held.delete(code)) return keyCodes.has(code);
    this.#events.key(code, false);
    if (this.#isMac && META.has(code)) this.releaseAll();
    return true;
  }

  /** Releases whatever is held: the keyboard belongs to somebody else now. */
  releaseAll(): void {
    const held = [...this.#held].reverse();
    this.#held.clear();
    this.#isHostHeld = false;
    for (const code of held) this.#events.key(code, false);
  }
}

/** Keys that may be the host's, by their places. */
export const hostKeys = ['ControlRight', 'AltRight', 'MetaRight', 'ScrollLock', 'Pause', 'F12'] as const;
export type HostKey = (typeof hostKeys)[number];
