// Whom a page of memory is counted for.
// Owns only the interface: cgroups implement it, and the pool asks them.
// Never allocates.

export interface MemoryAccount {
  /** Counts one more page; false: its limit, or that of one it lies in, leaves no room. */
  charge(): boolean;
  /** One page less. */
  release(): void;
}
