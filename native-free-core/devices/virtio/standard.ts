// Numbers of the virtio standard that all devices share, and the seam between a device and its transport.
// Owns status bits, feature bits and device types (VIRTIO 1.2).
// Never does anything.

import type { VirtQueue } from './queue.ts';

/** Bits of the device status (2.1). */
export const Status = {
  acknowledge: 1,
  driver: 2,
  driverOk: 4,
  featuresOk: 8,
  needsReset: 0x40,
  failed: 0x80,
} as const;

/** Feature bits that are no device's own (6). */
export const Feature = {
  indirect: 1n << 28n,
  eventIndex: 1n << 29n,
  version1: 1n << 32n,
  packed: 1n << 34n,
  inOrder: 1n << 35n,
} as const;

/** Device types (5). */
export const DeviceType = {
  net: 1,
  block: 2,
  console: 3,
  entropy: 4,
  balloon: 5,
  filesystem9p: 9,
  gpu: 16,
  input: 18,
  socket: 19,
} as const;

/** What a device tells its driver through the transport. */
export interface VirtioTransport {
  /** A queue has used buffers that the driver wants to hear of. */
  queueUsed(queue: VirtQueue): void;
  /** The configuration, or the status, has changed. */
  configChanged(): void;
}
