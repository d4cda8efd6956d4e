// A virtqueue: what the driver says of it through a transport, and the ring that this makes in guest memory.
// Owns the choice of ring, the order in which chains are given back, and whether the driver is interrupted and may notify.
// Never knows what a chain asks for.

import type { SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';
import type { Chain } from './chain.ts';
import { QueueFault, type QueueMemory } from './memory.ts';
import { PackedRing } from './packed-ring.ts';
import type { Ring, RingFeatures } from './ring.ts';
import { SplitRing } from './split-ring.ts';

/** Vector of a queue that has none (VIRTIO 1.2, 4.1.5.1.2). */
export const NO_VECTOR = 0xffff;
const RING_POSITIONS_MAX = 6;

export interface QueueFeatures extends RingFeatures {
  packed: boolean;
  inOrder: boolean;
}

/** A chain that was popped, in the order of popping, and what it came to. */
interface Outstanding {
  chain: Chain;
  written: number | undefined;
}

export class VirtQueue {
  readonly sizeMax: number;
  // As the driver set them.
  size: number;
  isEnabled = false;
  descriptors = 0;
  driver = 0;
  device = 0;
  /** The MSI-X vector of a PCI transport. */
  vector = NO_VECTOR;
  private readonly memory: QueueMemory;
  private features: QueueFeatures = { indirect: false, eventIndex: false, packed: false, inOrder: false };
  private ring: Ring | null = null;
  /** Only where chains must be given back in the order they came in. */
  private order: Outstanding[] = [];
  private hasNotifications = true;

  constructor(memory: QueueMemory, sizeMax: number) {
    this.memory = memory;
    this.sizeMax = sizeMax;
    this.size = sizeMax;
  }

  reset(): void {
    if (this.ring) this.ring.isDead = true;
    this.ring = null;
    this.order = [];
    this.hasNotifications = true;
    this.size = this.sizeMax;
    this.isEnabled = false;
    this.descriptors = this.driver = this.device = 0;
    this.vector = NO_VECTOR;
  }

  /** The driver is ready: from now on the queue is as it set it. Throws a {@link QueueFault} where that is none. */
  start(features: QueueFeatures): void {
    const { size, sizeMax, descriptors, driver, device } = this;
    if (!this.isEnabled || this.ring) return;
    if (size < 1 || size > sizeMax) throw new QueueFault(`A queue of ${size} entries is not one of 1 to ${sizeMax}.`);
    this.features = features;
    const places = { size, descriptors, driver, device };
    this.ring = features.packed
      ? new PackedRing(this.memory, places, features)
      : new SplitRing(this.memory, places, features);
  }

  /** No chain is taken or given back any more, until a reset. */
  stop(): void {
    if (this.ring) this.ring.isDead = true;
    this.ring = null;
    this.order = [];
  }

  get isRunning(): boolean {
    return this.ring !== null;
  }

  /** The next chain that the driver made available. Throws a {@link QueueFault} where it broke the rules. */
  pop(): Chain | undefined {
    const chain = this.ring?.pop();
    if (chain && this.features.inOrder) this.order.push({ chain, written: undefined });
    return chain;
  }

  /** Where the next chain comes from, for {@link rewind}. */
  get position(): readonly number[] {
    return this.ring?.save() ?? [];
  }

  /** Puts the last `count` chains back that were popped since `position`; none may have been given back. */
  rewind(position: readonly number[], count: number): void {
    this.ring?.restore(position);
    if (this.features.inOrder) this.order.length -= count;
  }

  get hasAvailable(): boolean {
    return this.ring?.hasAvailable === true;
  }

  /** Gives a chain back; one from before a reset is forgotten. */
  push(chain: Chain, written: number): void {
    const { ring } = this;
    if (ring === null || !chain.isOf(ring)) return;
    if (!this.features.inOrder) {
      ring.push(chain, written);
      return;
    }
    const place = this.order.find((each) => each.chain === chain);
    if (place) place.written = written;
    while (this.order.length > 0 && this.order[0].written !== undefined) {
      const [first] = this.order.splice(0, 1);
      ring.push(first.chain, first.written ?? 0);
    }
  }

  /** Whether the driver is to be interrupted for what was given back since this was last asked. */
  takeInterrupt(): boolean {
    return this.ring?.takeInterrupt() === true;
  }

  /**
   * Asks the driver to notify of the next chain, or not to because the device looks by itself. Gives whether a chain has
   * come meanwhile, of which it will not notify.
   */
  wantNotifications(wanted: boolean): boolean {
    const { ring } = this;
    if (ring === null) return false;
    // With event indices, each time they are wanted the index is another one.
    if (wanted || this.hasNotifications) ring.wantNotifications(wanted);
    this.hasNotifications = wanted;
    return wanted && ring.hasAvailable;
  }

  /** The chain that was popped last, and not given back before the queue was saved, is popped once more. For split rings. */
  takeBack(): void {
    if (!(this.ring instanceof SplitRing)) return;
    const [available, ...others] = this.ring.save();
    this.ring.restore([(available - 1) & 0xffff, ...others]);
  }

  /** Throws where a chain is under way: what it waits for cannot be saved. */
  save(): SavedState {
    const { size, isEnabled, descriptors, driver, device, vector } = this;
    const places = { size, isEnabled, descriptors, driver, device, vector };
    return { version: 1, ...places, isRunning: this.isRunning, positions: this.ring ? [...this.ring.save()] : [] };
  }

  restore(state: SavedState, features: QueueFeatures): void {
    const reader = openState('virtio queue', 1, state);
    this.reset();
    this.size = reader.integer('size', 0, 0xffff);
    this.isEnabled = reader.boolean('isEnabled');
    this.descriptors = reader.integer('descriptors', 0, Number.MAX_SAFE_INTEGER);
    this.driver = reader.integer('driver', 0, Number.MAX_SAFE_INTEGER);
    this.device = reader.integer('device', 0, Number.MAX_SAFE_INTEGER);
    this.vector = reader.word('vector');
    const positions = reader.integers('positions', 0, 0xffff, 0, RING_POSITIONS_MAX);
    if (!reader.boolean('isRunning')) return;
    this.start(features);
    if (this.ring === null || positions.length !== this.ring.save().length)
      throw new Error('the saved state of the virtio queue has no valid positions');
    this.ring.restore(positions);
  }
}
