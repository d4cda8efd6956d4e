// The seams every device is written against: port and memory ranges, interrupt lines, timers.
// Owns the interfaces only; the machine that wires a device implements them.
// Never knows a CPU, a machine or another device.

/** Access width in bytes. Port I/O never uses 8. */
export type AccessSize = 1 | 2 | 4 | 8;

/**
 * Something that answers port I/O. Values are unsigned, `size` bytes wide. A device is asked only for ports it
 * registered; an access wider than the device decodes is its own business (most split it into bytes).
 */
export interface PortHandler {
  readPort(port: number, size: AccessSize): number;
  writePort(port: number, size: AccessSize, value: number): void;
}

/**
 * Something that answers memory-mapped I/O. `offset` is relative to the registered base. 8-byte accesses reach a
 * device as two 4-byte ones, low half first.
 */
export interface MmioHandler {
  readMmio(offset: number, size: AccessSize): number;
  writeMmio(offset: number, size: AccessSize, value: number): void;
}

/** Where a device claims its addresses. Overlapping claims are an error of the machine's wiring and throw. */
export interface Bus {
  /** Claims ports `first` to `last`, both included. */
  claimPorts(first: number, last: number, handler: PortHandler): void;
  releasePorts(first: number, last: number): void;
  /** Claims guest-physical bytes `base` to `base + length - 1`. */
  claimMmio(base: number, length: number, handler: MmioHandler): void;
  releaseMmio(base: number): void;
}

/** One interrupt input of a controller. Setting it to the level it has is harmless. */
export interface InterruptLine {
  set(asserted: boolean): void;
}

/** A one-shot timer on the guest's clock. */
export interface Timer {
  /** Fires once when the guest's clock reaches `deadline` (nanoseconds since power-on); re-arming replaces it. */
  arm(deadline: number): void;
  cancel(): void;
}

/** Makes timers. Callbacks run between guest instructions, never inside a device access. */
export interface Timers {
  create(fire: (deadline: number) => void): Timer;
}

/** A device's whole state as plain data that survives structured cloning; versioned by the device. */
export type SavedState = { readonly version: number } & Readonly<Record<string, unknown>>;

/** What every device offers beside its handlers. */
export interface Device {
  /** Power-on state, as the datasheet says. */
  reset(): void;
  save(): SavedState;
  /** Throws an Error with one clear sentence if the state is of another version or out of bounds. */
  restore(state: SavedState): void;
}
