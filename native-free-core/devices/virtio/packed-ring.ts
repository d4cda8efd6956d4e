// A packed virtqueue: one ring of descriptors that both sides write, with a wrap counter each (VIRTIO 1.2, 2.8).
// Owns the positions of both sides in it; every length of the driver is checked before it is used.
// Never keeps a descriptor of the driver: a chain is a copy.

import { CHAIN_DESCRIPTORS_MAX, Chain, ChainSpans, tooLong } from './chain.ts';
import { address64, QueueFault, type QueueMemory } from './memory.ts';
import {
  DESCRIPTOR_BYTES,
  DescriptorFlag,
  indirectEntries,
  type Ring,
  type RingFeatures,
  type RingPlaces,
} from './ring.ts';

const AVAILABLE = 1 << 7;
const USED = 1 << 15;
/** Values of the flags of an event suppression structure (2.8.10). */
const Events = { enable: 0, disable: 1, descriptor: 2 } as const;

/** A place in the ring, and the wrap counter of the side that is there. */
interface Position {
  at: number;
  wrap: boolean;
}

export class PackedRing implements Ring {
  readonly memory: QueueMemory;
  isDead = false;
  private readonly places: RingPlaces;
  private readonly features: RingFeatures;
  private readonly available: Position = { at: 0, wrap: true };
  private readonly used: Position = { at: 0, wrap: true };
  /** Descriptors that the device has and has not given back. */
  private underWay = 0;
  /** Descriptors given back since the driver was last thought about. */
  private fresh = 0;

  constructor(memory: QueueMemory, places: RingPlaces, features: RingFeatures) {
    this.memory = memory;
    this.places = places;
    this.features = features;
  }

  private advance(position: Position, slots: number): void {
    position.at += slots;
    if (position.at < this.places.size) return;
    position.at -= this.places.size;
    position.wrap = !position.wrap;
  }

  get hasAvailable(): boolean {
    const { at, wrap } = this.available;
    const flags = this.memory.u16(this.places.descriptors + DESCRIPTOR_BYTES * at + 14);
    return ((flags & AVAILABLE) !== 0) === wrap && ((flags & USED) !== 0) !== wrap;
  }

  pop(): Chain | undefined {
    if (!this.hasAvailable) return undefined;
    const { size, descriptors } = this.places;
    const spans = new ChainSpans();
    let at = this.available.at;
    let slots = 0;
    for (;;) {
      if (this.underWay + ++slots > size)
        throw new QueueFault(`The driver has more than the ${size} descriptors of its queue under way.`);
      const view = this.memory.descriptor(descriptors + DESCRIPTOR_BYTES * at);
      const address = address64(view, 0);
      const length = view.getUint32(8, true);
      const id = view.getUint16(12, true);
      const flags = view.getUint16(14, true);
      if ((flags & DescriptorFlag.indirect) !== 0) this.table(spans, address, length, flags);
      else spans.add(address, length, (flags & DescriptorFlag.write) !== 0);
      at = at + 1 === size ? 0 : at + 1;
      if ((flags & DescriptorFlag.next) !== 0) continue;
      this.advance(this.available, slots);
      this.underWay += slots;
      return new Chain(this, id, slots, spans);
    }
  }

  /** Descriptors of an indirect table follow each other; of their flags only the direction counts (2.8.7). */
  private table(spans: ChainSpans, table: number, length: number, flags: number): void {
    const count = indirectEntries(length, flags, this.features);
    if (count > CHAIN_DESCRIPTORS_MAX) throw tooLong();
    const view = this.memory.table(table, count);
    for (let at = 0; at < DESCRIPTOR_BYTES * count; at += DESCRIPTOR_BYTES) {
      const isWritable = (view.getUint16(at + 14, true) & DescriptorFlag.write) !== 0;
      spans.add(address64(view, at), view.getUint32(at + 8, true), isWritable);
    }
  }

  push(chain: Chain, written: number): void {
    const { at, wrap } = this.used;
    const entry = this.places.descriptors + DESCRIPTOR_BYTES * at;
    this.memory.setU32(entry + 8, written);
    this.memory.setU16(entry + 12, chain.id);
    const flags = (wrap ? AVAILABLE | USED : 0) | (written > 0 ? DescriptorFlag.write : 0);
    this.memory.setU16(entry + 14, flags);
    this.advance(this.used, chain.slots);
    this.underWay -= chain.slots;
    this.fresh += chain.slots;
  }

  takeInterrupt(): boolean {
    const { size, driver } = this.places;
    const { fresh } = this;
    if (fresh === 0) return false;
    this.fresh = 0;
    const flags = this.memory.u16(driver + 2) & 3;
    if (flags !== Events.descriptor || !this.features.eventIndex) return flags !== Events.disable;
    const event = this.memory.u16(driver);
    const isThisRound = event >> 15 === Number(this.used.wrap);
    const passed = this.used.at - ((event & 0x7fff) - (isThisRound ? 0 : size)) - 1;
    return passed >= 0 && passed < fresh;
  }

  wantNotifications(wanted: boolean): void {
    const { device } = this.places;
    const { at, wrap } = this.available;
    if (!wanted) this.memory.setU16(device + 2, Events.disable);
    else {
      this.memory.setU16(device, at | (Number(wrap) << 15));
      this.memory.setU16(device + 2, this.features.eventIndex ? Events.descriptor : Events.enable);
    }
  }

  save(): readonly number[] {
    const { available, used, underWay, fresh } = this;
    return [available.at, Number(available.wrap), used.at, Number(used.wrap), underWay, fresh];
  }

  restore([availableAt, availableWrap, usedAt, usedWrap, underWay, fresh]: readonly number[]): void {
    const { size } = this.places;
    this.available.at = availableAt % size;
    this.available.wrap = availableWrap !== 0;
    this.used.at = usedAt % size;
    this.used.wrap = usedWrap !== 0;
    this.underWay = underWay;
    this.fresh = fresh;
  }
}
