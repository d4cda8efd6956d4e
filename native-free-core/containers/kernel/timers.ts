// What is to happen at a time: sleeps, timeouts, alarms.
// Owns the queue by kernel time in nanoseconds.
// Never reads a clock: whoever runs it does.

interface Entry {
  readonly time: number;
  readonly act: () => void;
}

export class Timers {
  /** A binary heap: the earliest first. */
  private readonly heap: Entry[] = [];

  /** Calls `act` at a time; the answer takes it back. */
  at(time: number, act: () => void): () => void {
    const entry = { time, act };
    const { heap } = this;
    heap.push(entry);
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (heap[parent].time <= heap[at].time) break;
      [heap[parent], heap[at]] = [heap[at], heap[parent]];
      at = parent;
    }
    return () => this.remove(entry);
  }

  /** Time of the next; Infinity: none. */
  get next(): number {
    return this.heap[0]?.time ?? Infinity;
  }

  /** Does what is due. */
  run(now: number): void {
    while (this.heap.length > 0 && this.heap[0].time <= now) {
      const { act } = this.heap[0];
      this.removeAt(0);
      act();
    }
  }

  private remove(entry: Entry): void {
    const at = this.heap.indexOf(entry);
    if (at >= 0) this.removeAt(at);
  }

  private removeAt(at: number): void {
    const { heap } = this;
    const last = heap.pop()!;
    if (at === heap.length) return;
    heap[at] = last;
    let here = at;
    while (here > 0 && heap[(here - 1) >> 1].time > heap[here].time) {
      const parent = (here - 1) >> 1;
      [heap[parent], heap[here]] = [heap[here], heap[parent]];
      here = parent;
    }
    for (;;) {
      const left = 2 * here + 1;
      const child = left + 1 < heap.length && heap[left + 1].time < heap[left].time ? left + 1 : left;
      if (child >= heap.length || heap[child].time >= heap[here].time) break;
      [heap[child], heap[here]] = [heap[here], heap[child]];
      here = child;
    }
  }
}
