// The host's pointer as the guest's: movements gathered up to one message a picture, buttons and wheel in step with them.
// Owns what has moved since the last message.
// Never knows a page: it is fed with numbers.

import type { DisplayInput } from '../contract.ts';

/** What a wheel's event counts in (`WheelEvent.deltaMode`), as steps of a mouse's wheel: pixels, lines, pages. */
const STEPS = [1 / 100, 1 / 3, 1];

export class GuestPointer {
  readonly #send: (input: DisplayInput) => void;
  #dx = 0;
  #dy = 0;
  #wheel = 0;
  #place: { x: number; y: number } | null = null;
  #held = 0;

  constructor(send: (input: DisplayInput) => void) {
    this.#send = send;
  }

  /** A movement in counts, to the right and down. */
  move(dx: number, dy: number): void {
    this.#dx += dx;
    this.#dy += dy;
  }

  /** A place in the picture: 0 to 1 from the left and from the top. */
  moveTo(x: number, y: number): void {
    this.#place = { x: Math.round(clamp(x) * 0xffff), y: Math.round(clamp(y) * 0xffff) };
  }

  /** A turn of the wheel, positive towards the user; `mode` is the event's `deltaMode`. */
  turn(delta: number, mode: number): void {
    this.#wheel += delta * (STEPS[mode] ?? 1);
  }

  /** Buttons held now, as `MouseEvent.buttons` has them: bit 0 left, 1 right, 2 middle. */
  buttons(held: number): void {
    const now = held & 7;
    if (now === this.#held) return;
    // Where the button was pressed comes before that it was.
    this.flush();
    this.#held = now;
    this.#send({ type: 'buttons', held: now });
  }

  /** Sends what has moved; fractions are kept for the next time. */
  flush(): void {
    if (this.#place) this.#send({ type: 'moveTo', ...this.#place });
    this.#place = null;
    // Not the negative zero that a small movement leaves.
    const [dx, dy, wheel] = [this.#dx, this.#dy, this.#wheel].map((value) => Math.trunc(value) || 0) as [
      number,
      number,
      number,
    ];
    this.#dx -= dx;
    this.#dy -= dy;
    this.#wheel -= wheel;
    if (dx !== 0 || dy !== 0 || wheel !== 0) this.#send({ type: 'move', dx, dy, wheel });
  }

  /** Releases the buttons and forgets what has moved. */
  releaseAll(): void {
    this.#dx = this.#dy = this.#wheel = 0;
    this.#place = null;
    this.buttons(0);
  }
}

const clamp = (value: number): number => Math.min(Math.max(value, 0), 1);
