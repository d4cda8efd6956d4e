// A split virtqueue: descriptor table, available ring and used ring (VIRTIO 1.2, 2.7).
// Owns how far each ring has been gone through; every index and length of the driver is checked before it is used.
// Never keeps a descriptor of the driver: a chain is a copy.

import { CHAIN_DESCRIPTORS_MAX, Chain, ChainSpans } from './chain.ts';
import { address64, QueueFault, type QueueMemory } from './memory.ts';
import {
  DESCRIPTOR_BYTES,
  DescriptorFlag,
  indirectEntries,
  type Ring,
  type RingFeatures,
  type RingPlaces,
} from './ring.ts';

const NO_INTERRUPT = 1;
const NO_NOTIFY = 1;

export class SplitRing implements Ring {
  readonly memory: QueueMemory;
  isDead = false;
  private readonly places: RingPlaces;
  private readonly features: RingFeatures;
  /** Free-running indices, 16 bits: next of the available ring to look at, next of the used ring to fill. */
  private available = 0;
  private used = 0;
  /** What {@link used} was when the driver was last thought about. */
  private told = 0;

  constructor(memory: QueueMemory, places: RingPlaces, features: RingFeatures) {
    if ((places.size & (places.size - 1)) !== 0)
      throw new QueueFault(`A split queue of ${places.size} entries is not a power of two.`);
    this.memory = memory;
    this.places = places;
    this.features = features;
  }

  private get waiting(): number {
    const { size, driver } = this.places;
    const waiting = (this.memory.u16(driver + 2) - this.available) & 0xffff;
    if (waiting > size) throw new QueueFault(`The driver made ${waiting} chains available in a queue of ${size}.`);
    return waiting;
  }

  get hasAvailable(): boolean {
    return this.waiting > 0;
  }

  pop(): Chain | undefined {
    const { size, driver } = this.places;
    if (this.waiting === 0) return undefined;
    if (((this.available - this.used) & 0xffff) >= size)
      throw new QueueFault(`The driver has more than the ${size} chains of its queue under way.`);
    const head = this.memory.u16(driver + 4 + 2 * (this.available & (size - 1)));
    this.available = (this.available + 1) & 0xffff;
    const spans = new ChainSpans();
    this.follow(spans, this.places.descriptors, size, head, false);
    return new Chain(this, head, 1, spans);
  }

  /** Goes through a table of `count` descriptors from `index` on. A chain longer than its table has a loop. */
  private follow(spans: ChainSpans, table: number, count: number, index: number, isIndirect: boolean): void {
    let at = index;
    const isShort = isIndirect && count <= CHAIN_DESCRIPTORS_MAX;
    const whole = isShort ? this.memory.table(table, count) : null;
    for (let steps = 0; ; steps++) {
      if (at >= count) throw new QueueFault(`A chain has descriptor ${at} of a table of ${count}.`);
      if (steps === count) throw new QueueFault(`A chain of a table of ${count} descriptors has a loop.`);
      const view = whole ?? this.memory.descriptor(table + DESCRIPTOR_BYTES * at);
      const from = whole ? DESCRIPTOR_BYTES * at : 0;
      const address = address64(view, from);
      const length = view.getUint32(from + 8, true);
      const flags = view.getUint16(from + 12, true);
      const next = view.getUint16(from + 14, true);
      if ((flags & DescriptorFlag.indirect) !== 0) {
        if (isIndirect) throw new QueueFault('An indirect table has an indirect descriptor.');
        this.follow(spans, address, indirectEntries(length, flags, this.features), 0, true);
        return;
      }
      spans.add(address, length, (flags & DescriptorFlag.write) !== 0);
      if ((flags & DescriptorFlag.next) === 0) return;
      at = next;
    }
  }

  push(chain: Chain, written: number): void {
    const { size, device } = this.places;
    const entry = device + 4 + 8 * (this.used & (size - 1));
    this.memory.setU32(entry, chain.id);
    this.memory.setU32(entry + 4, written);
    this.used = (this.used + 1) & 0xffff;
    this.memory.setU16(device + 2, this.used);
  }

  takeInterrupt(): boolean {
    const { size, driver } = this.places;
    const fresh = (this.used - this.told) & 0xffff;
    if (fresh === 0) return false;
    this.told = this.used;
    if (!this.features.eventIndex) return (this.memory.u16(driver) & NO_INTERRUPT) === 0;
    const event = this.memory.u16(driver + 4 + 2 * size);
    return ((this.used - event - 1) & 0xffff) < fresh;
  }

  wantNotifications(wanted: boolean): void {
    const { size, device } = this.places;
    if (!this.features.eventIndex) this.memory.setU16(device, wanted ? 0 : NO_NOTIFY);
    // An index that has been passed is not reached again for a long time.
    else this.memory.setU16(device + 4 + 8 * size, (this.available - (wanted ? 0 : 1)) & 0xffff);
  }

  save(): readonly number[] {
    return [this.available, this.used, this.told];
  }

  restore([available, used, told]: readonly number[]): void {
    this.available = available;
    this.used = used;
    this.told = told;
  }
}
