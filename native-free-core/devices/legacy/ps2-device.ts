// What a PS/2 keyboard or mouse is to the controller that it is plugged into.
// Owns the interface and the bounded queue of bytes both kinds of device send.
// Never knows the controller.

/** A device on a PS/2 connector. */
export interface Ps2Device {
  /** A byte from the controller: a command or its argument. */
  write(byte: number): void;
  /** Whether a byte waits to be sent. */
  readonly ready: boolean;
  /** The next byte; call only when {@link ready}. */
  take(): number;
  /** Set by the controller: called when `ready` may have become true. */
  onReady: () => void;
}

/** The output buffer of a PS/2 device. Answers to commands always fit; events are dropped when it is full. */
export class Ps2Queue {
  private bytes: number[] = [];
  private readonly limit: number;

  /** `limit`: most bytes of events, as the device's own small buffer has. */
  constructor(limit: number) {
    this.limit = limit;
  }

  get length(): number {
    return this.bytes.length;
  }

  /** An answer to a command: goes out whatever is queued. A guest that never reads only overwrites its own answers. */
  answer(...bytes: readonly number[]): void {
    if (this.bytes.length + bytes.length > 4 * this.limit) this.bytes = [];
    this.bytes.push(...bytes);
  }

  /** An event: all of its bytes or none; whether there was room. */
  event(bytes: readonly number[]): boolean {
    if (this.bytes.length + bytes.length > this.limit) return false;
    this.bytes.push(...bytes);
    return true;
  }

  take(): number {
    return this.bytes.shift() ?? 0;
  }

  clear(): void {
    this.bytes = [];
  }

  save(): number[] {
    return [...this.bytes];
  }

  restore(bytes: readonly number[]): void {
    this.bytes = [...bytes];
  }

  /** Most bytes that a saved state may hold. */
  get capacity(): number {
    return 4 * this.limit;
  }
}
