// The driver's side of virtio devices for unit tests: memory, queues of both layouts, a transport that counts.
// Owns what a driver keeps: free descriptors, wrap counters, what it waits for.
// Never used outside tests.

import type { LentMemory } from '../dma.ts';
import type { VirtioDevice } from './device.ts';
import { DescriptorFlag } from './ring.ts';
import { Feature, Status, type VirtioTransport } from './standard.ts';

/** Plain memory from address 0 on; beyond its end there is none. */
export class TestMemory implements LentMemory {
  readonly bytes: Uint8Array;
  readonly view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  private has(physical: number, length: number): boolean {
    return physical >= 0 && physical + length <= this.bytes.length;
  }

  read(physical: number, into: Uint8Array): boolean {
    if (!this.has(physical, into.length)) return false;
    into.set(this.bytes.subarray(physical, physical + into.length));
    return true;
  }

  write(physical: number, bytes: Uint8Array): boolean {
    if (!this.has(physical, bytes.length)) return false;
    this.bytes.set(bytes, physical);
    return true;
  }

  locate(physical: number, length: number, _toWrite: boolean, runs: number[]): boolean {
    if (!this.has(physical, length)) return false;
    const last = runs.length - 2;
    if (last >= 0 && runs[last] + runs[last + 1] === physical) runs[last + 1] += length;
    else runs.push(physical, length);
    return true;
  }

  lend(host: number, length: number): Uint8Array {
    return this.bytes.subarray(host, host + length);
  }

  /** Ranges that a device said it has written without a copy. */
  readonly changes: string[] = [];

  written(host: number, length: number): void {
    this.changes.push(`${host} ${length}`);
  }
}

/** Counts what a device tells its driver. */
export class TestTransport implements VirtioTransport {
  interrupts = 0;
  changes = 0;

  queueUsed(): void {
    this.interrupts++;
  }

  configChanged(): void {
    this.changes++;
  }
}

/** What a driver offers a device: bytes to read, or room to write. */
export type Piece = { bytes: Uint8Array } | { room: number };

export interface UsedChain {
  id: number;
  written: number;
}

export interface DriverQueue {
  /** Makes a chain available and gives its number; `indirect` puts its descriptors into a table of their own. */
  add(pieces: readonly Piece[], indirect?: boolean): number;
  /** Chains that the device gave back since the last call. */
  take(): UsedChain[];
  /** Bytes of room number `index` of a chain. */
  room(id: number, index?: number): Uint8Array;
  /** Asks for an interrupt at the next chain that is given back, or for none. */
  wantInterrupt(wanted: boolean): void;
  /** Whether the device asks to be notified of the chain that was added last. */
  readonly isNotificationWanted: boolean;
}

interface Placed {
  address: number;
  length: number;
  isRoom: boolean;
}

export type Layout = 'split' | 'packed';

/** Gives out memory for buffers and tables. */
class Heap {
  private next: number;

  constructor(start: number) {
    this.next = start;
  }

  take(bytes: number): number {
    const at = this.next;
    this.next += (bytes + 15) & ~15;
    return at;
  }
}

/** A driver that negotiated features with a device and set all its queues up. */
export class TestDriver {
  readonly memory: TestMemory;
  readonly device: VirtioDevice;
  readonly transport = new TestTransport();
  readonly queues: DriverQueue[];

  /** `early`: what the driver does before it says that it is ready. */
  constructor(
    memory: TestMemory,
    device: VirtioDevice,
    layout: Layout,
    features = 0n,
    size = 8,
    early: (queues: readonly DriverQueue[]) => void = () => {},
  ) {
    this.memory = memory;
    this.device = device;
    device.transport = this.transport;
    device.setStatus(0);
    device.setStatus(Status.acknowledge | Status.driver);
    const wanted =
      (features | Feature.version1 | Feature.indirect | (layout === 'packed' ? Feature.packed : 0n)) & device.features;
    device.accept(0, Number(wanted & 0xffff_ffffn));
    device.accept(1, Number(wanted >> 32n));
    device.setStatus(Status.acknowledge | Status.driver | Status.featuresOk);
    if ((device.deviceStatus & Status.featuresOk) === 0) throw new Error('the device refused the features');
    const heap = new Heap(0x1000);
    this.queues = device.queues.map((queue) => {
      queue.size = size;
      queue.descriptors = heap.take(16 * size);
      queue.driver = heap.take(6 + 2 * size);
      queue.device = heap.take(6 + 8 * size);
      queue.isEnabled = true;
      const places = { size, descriptors: queue.descriptors, driver: queue.driver, device: queue.device };
      const hasEvents = (wanted & Feature.eventIndex) !== 0n;
      const isPacked = (wanted & Feature.packed) !== 0n;
      return isPacked
        ? new PackedDriver(memory, places, heap, hasEvents)
        : new SplitDriver(memory, places, heap, hasEvents);
    });
    early(this.queues);
    device.setStatus(Status.acknowledge | Status.driver | Status.featuresOk | Status.driverOk);
  }

  get needsReset(): boolean {
    return (this.device.deviceStatus & Status.needsReset) !== 0;
  }
}

interface Places {
  size: number;
  descriptors: number;
  driver: number;
  device: number;
}

abstract class AnyDriver {
  protected readonly memory: TestMemory;
  protected readonly view: DataView;
  readonly places: Places;
  private readonly heap: Heap;
  protected readonly hasEvents: boolean;
  private readonly rooms = new Map<number, Placed[]>();

  constructor(memory: TestMemory, places: Places, heap: Heap, hasEvents: boolean) {
    this.memory = memory;
    this.view = memory.view;
    this.places = places;
    this.heap = heap;
    this.hasEvents = hasEvents;
  }

  protected place(pieces: readonly Piece[]): Placed[] {
    return pieces.map((piece) => {
      const length = 'room' in piece ? piece.room : piece.bytes.length;
      const address = this.heap.take(length);
      if ('bytes' in piece) this.memory.bytes.set(piece.bytes, address);
      return { address, length, isRoom: 'room' in piece };
    });
  }

  protected remember(id: number, placed: readonly Placed[]): void {
    const rooms = placed.filter(({ isRoom }) => isRoom);
    this.rooms.set(id, rooms);
  }

  room(id: number, index = 0): Uint8Array {
    const { address, length } = this.rooms.get(id)![index];
    return this.memory.bytes.subarray(address, address + length);
  }

  protected table(entries: number): number {
    return this.heap.take(16 * entries);
  }

  protected descriptor(at: number, { address, length }: Placed, last: number, flags: number): void {
    this.view.setBigUint64(at, BigInt(address), true);
    this.view.setUint32(at + 8, length, true);
    // Flags and the other word change places between the layouts.
    this.writeWords(at, last, flags);
  }

  protected abstract writeWords(at: number, word: number, flags: number): void;
}

class SplitDriver extends AnyDriver implements DriverQueue {
  private readonly free: number[];
  private readonly chains = new Map<number, number[]>();
  private added = 0;
  private addedBefore = 0;
  private taken = 0;

  constructor(memory: TestMemory, places: Places, heap: Heap, hasEvents: boolean) {
    super(memory, places, heap, hasEvents);
    this.free = Array.from({ length: places.size }, (_, index) => index);
  }

  protected writeWords(at: number, next: number, flags: number): void {
    this.view.setUint16(at + 12, flags, true);
    this.view.setUint16(at + 14, next, true);
  }

  add(pieces: readonly Piece[], indirect = false): number {
    const { size, descriptors, driver } = this.places;
    const placed = this.place(pieces);
    const own = this.free.splice(0, indirect ? 1 : placed.length);
    const flag = ({ isRoom }: Placed, isLast: boolean) =>
      (isRoom ? DescriptorFlag.write : 0) | (isLast ? 0 : DescriptorFlag.next);
    if (indirect) {
      const table = this.table(placed.length);
      placed.forEach((each, index) => {
        this.descriptor(table + 16 * index, each, index + 1, flag(each, index === placed.length - 1));
      });
      const whole = { address: table, length: 16 * placed.length, isRoom: false };
      this.descriptor(descriptors + 16 * own[0], whole, 0, DescriptorFlag.indirect);
    } else
      placed.forEach((each, index) => {
        const isLast = index === placed.length - 1;
        this.descriptor(descriptors + 16 * own[index], each, own[index + 1] ?? 0, flag(each, isLast));
      });
    this.chains.set(own[0], own);
    this.remember(own[0], placed);
    this.view.setUint16(driver + 4 + 2 * (this.added % size), own[0], true);
    this.addedBefore = this.added;
    this.added = (this.added + 1) & 0xffff;
    this.view.setUint16(driver + 2, this.added, true);
    return own[0];
  }

  take(): UsedChain[] {
    const { size, device } = this.places;
    const used: UsedChain[] = [];
    for (
      const end = this.view.getUint16(device + 2, true);
      this.taken !== end;
      this.taken = (this.taken + 1) & 0xffff
    ) {
      const at = device + 4 + 8 * (this.taken % size);
      const id = this.view.getUint32(at, true);
      this.free.push(...(this.chains.get(id) ?? []));
      this.chains.delete(id);
      used.push({ id, written: this.view.getUint32(at + 4, true) });
    }
    return used;
  }

  wantInterrupt(wanted: boolean): void {
    const { size, driver } = this.places;
    if (!this.hasEvents) this.view.setUint16(driver, wanted ? 0 : 1, true);
    else if (wanted) this.view.setUint16(driver + 4 + 2 * size, this.taken, true);
  }

  get isNotificationWanted(): boolean {
    const { size, device } = this.places;
    if (!this.hasEvents) return (this.view.getUint16(device, true) & 1) === 0;
    const event = this.view.getUint16(device + 4 + 8 * size, true);
    return ((this.added - event - 1) & 0xffff) < ((this.added - this.addedBefore) & 0xffff);
  }
}

class PackedDriver extends AnyDriver implements DriverQueue {
  private readonly slots = new Map<number, number>();
  private ids = 0;
  private at = 0;
  private wrap = true;
  private takenAt = 0;
  private takenWrap = true;
  private addedAt = 0;
  private addedWrap = true;

  protected writeWords(at: number, id: number, flags: number): void {
    this.view.setUint16(at + 12, id, true);
    this.view.setUint16(at + 14, flags, true);
  }

  add(pieces: readonly Piece[], indirect = false): number {
    const { size, descriptors } = this.places;
    const placed = this.place(pieces);
    const id = this.ids++ % 0x10000;
    let entries: { placed: Placed; flags: number }[];
    if (indirect) {
      const table = this.table(placed.length);
      placed.forEach((each, index) => {
        this.descriptor(table + 16 * index, each, 0, each.isRoom ? DescriptorFlag.write : 0);
      });
      const whole = { address: table, length: 16 * placed.length, isRoom: false };
      entries = [{ placed: whole, flags: DescriptorFlag.indirect }];
    } else
      entries = placed.map((each, index) => ({
        placed: each,
        flags: (each.isRoom ? DescriptorFlag.write : 0) | (index === placed.length - 1 ? 0 : DescriptorFlag.next),
      }));
    this.addedAt = this.at;
    this.addedWrap = this.wrap;
    for (const entry of entries) {
      const marks = this.wrap ? 1 << 7 : 1 << 15;
      this.descriptor(descriptors + 16 * this.at, entry.placed, id, entry.flags | marks);
      if (++this.at === size) {
        this.at = 0;
        this.wrap = !this.wrap;
      }
    }
    this.slots.set(id, entries.length);
    this.remember(id, placed);
    return id;
  }

  take(): UsedChain[] {
    const { size, descriptors } = this.places;
    const used: UsedChain[] = [];
    for (;;) {
      const at = descriptors + 16 * this.takenAt;
      const flags = this.view.getUint16(at + 14, true);
      const isAvailable = (flags & (1 << 7)) !== 0;
      const isUsed = (flags & (1 << 15)) !== 0;
      if (isAvailable !== isUsed || isUsed !== this.takenWrap) return used;
      const id = this.view.getUint16(at + 12, true);
      const slots = this.slots.get(id);
      if (slots === undefined) return used;
      this.slots.delete(id);
      used.push({ id, written: this.view.getUint32(at + 8, true) });
      this.takenAt += slots;
      if (this.takenAt < size) continue;
      this.takenAt -= size;
      this.takenWrap = !this.takenWrap;
    }
  }

  wantInterrupt(wanted: boolean): void {
    const { driver } = this.places;
    if (wanted) this.view.setUint16(driver, this.takenAt | (Number(this.takenWrap) << 15), true);
    this.view.setUint16(driver + 2, !wanted ? 1 : this.hasEvents ? 2 : 0, true);
  }

  get isNotificationWanted(): boolean {
    const { device } = this.places;
    const flags = this.view.getUint16(device + 2, true);
    if (flags !== 2) return flags === 0;
    const event = this.view.getUint16(device, true);
    return (event & 0x7fff) === this.addedAt && event >> 15 === Number(this.addedWrap);
  }
}
