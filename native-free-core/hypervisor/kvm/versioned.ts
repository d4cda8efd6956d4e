// Structures in guest memory that the guest reads while the hypervisor may write them.
// Owns the protocol: the version is odd while the rest changes, and another even number afterwards.
// Never decides when.

import type { ParavirtMemory } from '../paravirt.ts';

/** Writes a structure of which 32 bits at `versionAt` are the version. What the guest left there is counted on from. */
export function writeVersioned(
  memory: ParavirtMemory,
  address: number,
  structure: DataView<ArrayBuffer>,
  versionAt: number,
): void {
  const version = new DataView(new ArrayBuffer(4));
  const bytes = new Uint8Array(version.buffer);
  memory.read(address + versionAt, bytes);
  // A guest's own odd number would look like a write under way.
  const odd = (version.getUint32(0, true) | 1) >>> 0;
  version.setUint32(0, odd, true);
  memory.write(address + versionAt, bytes);
  structure.setUint32(versionAt, odd, true);
  memory.write(address, new Uint8Array(structure.buffer));
  version.setUint32(0, (odd + 1) >>> 0, true);
  memory.write(address + versionAt, bytes);
}
