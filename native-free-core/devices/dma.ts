// Guest memory as a bus master reaches it, and the ISA DMA controller as the device on one of its channels does.
// Owns the interfaces only; a machine passes its physical memory in.
// Never translates an address.

/** Guest memory as a device reaches it. Each gives whether all bytes were plain memory; others are left out. */
export interface DmaMemory {
  read(physical: number, into: Uint8Array): boolean;
  write(physical: number, bytes: Uint8Array): boolean;
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
