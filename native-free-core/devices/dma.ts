// Guest memory as a bus master reaches it, and the ISA DMA controller as the device on one of its channels does.
// Owns the interfaces only; a machine passes its physical memory in.
// Never translates an address.

/** Guest memory as a device reaches it. Each gives whether all bytes were plain memory; others are left out. */
export interface DmaMemory {
  read(physical: number, into: Uint8Array): boolean;
  write(physical: number, bytes: Uint8Array): boolean;
}

/** The same for a device that has the host fill guest memory, or take from it, without a copy in between. */
export interface LentMemory extends DmaMemory {
  /**
   * Appends to `runs` where bytes lie, as host address and length by turns, joined with the run before where they follow it.
   * False, with a part of them appended, where not all are plain memory that can be read, or with `toWrite` written.
   */
  locate(physical: number, length: number, toWrite: boolean, runs: number[]): boolean;
  /** The bytes of a run. They are the guest's: whoever keeps them longer than the present act sees what the guest makes of them. */
  lend(host: number, length: number): Uint8Array;
  /** Says that bytes of a run were written. */
  written(host: number, length: number): void;
}

/** What a transfer over a channel of the ISA DMA controller came to. */
export interface IsaDmaResult {
  /** Bytes that were moved: the channel may stop taking part at any of them. */
  moved: number;
  /** Terminal count: the channel's last byte was among them. */
  terminal: boolean;
}

/**
 * A channel of the ISA DMA controller, as the device on it sees it. Lengths are bytes; on a 16-bit channel an odd last
 * byte is not moved.
 */
export interface IsaDmaChannel {
  /** Whether a request would be granted now: the channel is not masked, and programmed for transfers. */
  readonly isReady: boolean;
  /** Called whenever {@link isReady} may have become true; for the device to set. */
  onReady: () => void;
  /** DREQ, which the controller's status shows. */
  request(asserted: boolean): void;
  /** The device gives data for memory. */
  toMemory(bytes: Uint8Array): IsaDmaResult;
  /** The device takes data of memory. */
  fromMemory(into: Uint8Array): IsaDmaResult;
}
