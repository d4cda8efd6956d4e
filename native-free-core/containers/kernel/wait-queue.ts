// Who waits for something to change.
// Owns the list of waiters of one thing; each is called on every change until it takes itself off.
// Never decides whether a wait is over: who waits looks again.

export class WaitQueue {
  private readonly waiters = new Set<() => void>();

  /** Calls `waiter` at each {@link wake} until the function that is returned is called. */
  add(waiter: () => void): () => void {
    // Each subscription is one of its own, also of the same function.
    const entry = (): void => waiter();
    this.waiters.add(entry);
    return () => void this.waiters.delete(entry);
  }

  wake(): void {
    if (this.waiters.size === 0) return;
    for (const waiter of [...this.waiters]) waiter();
  }

  get isEmpty(): boolean {
    return this.waiters.size === 0;
  }
}
