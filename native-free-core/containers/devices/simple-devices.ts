// Character devices without state: null, zero, full, random.
// Owns what each reads and takes (null(4), full(4), random(4)).
// Never has a number: devices.ts gives them theirs.

import { errno } from '../errno.ts';
import { type Inode, OpenFile } from '../vfs/types.ts';

export class SimpleDevice extends OpenFile {
  readonly inode: Inode;
  private readonly reads: (into: Uint8Array) => number;
  private readonly isFull: boolean;

  constructor(inode: Inode, reads: (into: Uint8Array) => number, isFull = false) {
    super();
    this.inode = inode;
    this.reads = reads;
    this.isFull = isFull;
  }

  override read(into: Uint8Array): number {
    return this.reads(into);
  }

  override write(from: Uint8Array): number {
    if (this.isFull && from.length > 0) throw errno('ENOSPC');
    return from.length;
  }
}

export const readsNothing = (): number => 0;
export const readsZeros = (into: Uint8Array): number => {
  into.fill(0);
  return into.length;
};
