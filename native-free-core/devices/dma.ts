// Guest memory as a bus master reaches it.
// Owns the interface only; a machine passes its physical memory in.
// Never translates an address.

/** Guest memory as a device reaches it. Each gives whether all bytes were plain memory; others are left out. */
export interface DmaMemory {
  read(physical: number, into: Uint8Array): boolean;
  write(physical: number, bytes: Uint8Array): boolean;
}
