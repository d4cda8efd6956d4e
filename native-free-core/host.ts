// What the core needs of its host: small interfaces that whoever runs the core passes in.
// Owns no state; only types. Everything here is implemented outside (Node, Electron, a browser tab) or by a test.
// Never imports anything.

/** Guest-visible time. Nanoseconds since the guest was powered on, monotonic, fractional digits allowed. */
export interface Clock {
  /** Nanoseconds since power-on. In deterministic mode a function of the instruction count alone. */
  now(): number;
}

/** Wall time for the real-time clock, read once at power-on: milliseconds since the Unix epoch, UTC. */
export type WallTime = () => number;

/** Fills a buffer with random bytes; seeded in deterministic mode. */
export type Randomness = (into: Uint8Array) => void;

/** A line that carries bytes out of a guest, such as a serial port's transmitter. */
export type ByteSink = (byte: number) => void;
