// What a guest plays, on the host's side: who listens, and so whether the guest makes any sound.
// Owns the list of listeners.
// Never keeps a piece of sound: what nobody takes at once is gone.

/** The run that plays at present. */
export interface SoundSource {
  listen(listening: boolean): void;
}

/** Fans sound out to listeners. */
export class GuestSound {
  readonly #listeners = new Map<(bytes: Uint8Array) => void, () => void>();
  #source: SoundSource | null = null;

  /** A run begins. */
  begin(source: SoundSource): void {
    this.#source = source;
    if (this.#listeners.size > 0) source.listen(true);
  }

  /** The run is over. */
  end(): void {
    this.#source = null;
  }

  /** A piece of sound, as the contract's stream has it. */
  play(bytes: Uint8Array): void {
    for (const listener of [...this.#listeners.keys()]) listener(bytes);
  }

  /** Listens from now on; the answer stops. `closed` is called when the guest is removed. */
  attach(listener: (bytes: Uint8Array) => void, closed: () => void): () => void {
    this.#listeners.set(listener, closed);
    if (this.#listeners.size === 1) this.#source?.listen(true);
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#source?.listen(false);
    };
  }

  /** The guest is gone for good. */
  close(): void {
    const closed = [...this.#listeners.values()];
    this.#listeners.clear();
    for (const tell of closed) tell();
  }
}
