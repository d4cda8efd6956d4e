// A guest's serial console on the host's side: what it sent lately, and who is listening.
// Owns the scrollback and the list of listeners.
// Never holds more than its bound, and never waits for a listener.

/** Bytes of scrollback kept for a console: about 3,000 full lines. */
export const SCROLLBACK_BYTES = 256 * 1024;

/** Fans output out to listeners, who first get what was there before them. */
export class SerialConsole {
  readonly #limit: number;
  readonly #listeners = new Map<(bytes: Uint8Array) => void, () => void>();
  #pieces: Uint8Array[] = [];
  #length = 0;
  /** Bytes that the guest has sent since it was first started here. */
  written = 0;

  constructor(limit = SCROLLBACK_BYTES) {
    this.#limit = limit;
  }

  /** Output of the guest; the buffer is this console's to keep. */
  write(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    this.written += bytes.length;
    while (this.#length - this.#pieces[0]!.length >= this.#limit) this.#length -= this.#pieces.shift()!.length;
    for (const listener of [...this.#listeners.keys()]) listener(bytes);
  }

  /** The last bytes the guest sent. */
  scrollback(): Uint8Array {
    const whole = new Uint8Array(this.#length);
    let offset = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, offset);
      offset += piece.length;
    }
    return whole.subarray(Math.max(0, this.#length - this.#limit));
  }

  /** The last `limit` bytes of the scrollback at most. */
  tail(limit: number): Uint8Array {
    const pieces: Uint8Array[] = [];
    let wanted = limit;
    for (let at = this.#pieces.length - 1; at >= 0 && wanted > 0; at--) {
      pieces.unshift(this.#pieces[at]!.subarray(-wanted));
      wanted -= pieces[0]!.length;
    }
    return Buffer.concat(pieces);
  }

  /** Listens from now on, beginning with the scrollback; the answer stops. `closed` is called when the guest is removed. */
  attach(listener: (bytes: Uint8Array) => void, closed: () => void): () => void {
    this.#listeners.set(listener, closed);
    if (this.#length > 0) listener(this.scrollback());
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** The guest is gone for good. */
  close(): void {
    const closed = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const tell of closed) tell();
  }
}
