// A virtio device, whatever it is plugged in by: status, feature negotiation, configuration, its queues (VIRTIO 1.2, 2).
// Owns what all devices share, and what happens to one whose driver breaks the rules: it needs a reset, nothing else.
// Never knows a transport's registers.

import type { Device, SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { openState } from '../saved-state.ts';
import type { Chain } from './chain.ts';
import { QueueFault, QueueMemory } from './memory.ts';
import { type QueueFeatures, VirtQueue } from './queue.ts';
import { Feature, Status, type VirtioTransport } from './standard.ts';

const nobody: VirtioTransport = { queueUsed: () => {}, configChanged: () => {} };

export interface VirtioSpec {
  type: number;
  /** What a person is told it is. */
  name: string;
  memory: DmaMemory;
  /** Bits of its own; those of the queues are added. */
  features?: bigint;
  /** Whether packed rings are offered beside split ones. */
  packed?: boolean;
  /** The most entries of each queue, powers of two. */
  queues: readonly number[];
  /** Bytes of its configuration. */
  configBytes?: number;
}

export abstract class VirtioDevice implements Device {
  readonly type: number;
  readonly name: string;
  /** What is offered. */
  readonly features: bigint;
  readonly queues: readonly VirtQueue[];
  /** Little-endian fields, as the standard lays them out. */
  readonly config: Uint8Array;
  protected readonly configView: DataView;
  transport: VirtioTransport = nobody;
  /** What broke the rules, since the last reset. */
  problem: string | null = null;
  /** What the driver accepted. */
  protected accepted = 0n;
  private status = 0;
  /** Queues of which the driver notified before it was ready. */
  private readonly early = new Set<number>();
  /** Changes whenever the configuration does. */
  private generation = 0;

  constructor(spec: VirtioSpec) {
    this.type = spec.type;
    this.name = spec.name;
    const { indirect, eventIndex, version1, packed, inOrder } = Feature;
    this.features =
      (spec.features ?? 0n) | indirect | eventIndex | version1 | inOrder | (spec.packed === false ? 0n : packed);
    const memory = new QueueMemory(spec.memory);
    this.queues = spec.queues.map((size) => new VirtQueue(memory, size));
    this.config = new Uint8Array(spec.configBytes ?? 0);
    this.configView = new DataView(this.config.buffer);
  }

  /** There may be chains in a queue: the driver notified. Not called before the driver is ready. */
  protected abstract notified(index: number, queue: VirtQueue): void;

  /** Back to what it was at power-on; what is under way is forgotten. The queues are reset already. */
  protected abstract resetDevice(): void;

  /** The driver is ready: features are settled, queues may be used. */
  protected ready(): void {}

  /** The driver wrote configuration bytes, which stay as they were unless the device takes them. */
  protected configWritten(_offset: number, _size: number, _value: number): void {}

  has(feature: bigint): boolean {
    return (this.accepted & feature) === feature;
  }

  get isReady(): boolean {
    return (this.status & (Status.driverOk | Status.needsReset)) === Status.driverOk;
  }

  // ---- the transport's side

  get deviceStatus(): number {
    return this.status;
  }

  get configGeneration(): number {
    return this.generation;
  }

  /** Writes the status; 0 resets. */
  setStatus(value: number): void {
    if (value === 0) {
      this.reset();
      return;
    }
    const rising = value & ~this.status;
    // The driver cannot take back what it has said, nor lift the device's own bit.
    let status = this.status | value;
    if ((value & Status.needsReset) !== 0) status = (status & ~Status.needsReset) | (this.status & Status.needsReset);
    if ((rising & Status.featuresOk) !== 0 && !this.isAcceptable) status &= ~Status.featuresOk;
    this.status = status;
    if ((rising & Status.driverOk) === 0) return;
    this.guard(() => {
      if ((status & Status.featuresOk) === 0) throw new QueueFault('The driver began without settled features.');
      for (const queue of this.queues) queue.start(this.queueFeatures);
      this.ready();
      for (const index of this.early) this.notify(index);
      this.early.clear();
    });
  }

  /** Everything accepted was offered, and the driver is none of those from before version 1. */
  private get isAcceptable(): boolean {
    return (this.accepted & ~this.features) === 0n && this.has(Feature.version1);
  }

  private get queueFeatures(): QueueFeatures {
    return {
      indirect: this.has(Feature.indirect),
      eventIndex: this.has(Feature.eventIndex),
      packed: this.has(Feature.packed),
      inOrder: this.has(Feature.inOrder),
    };
  }

  /** 32 of the offered features; there are 64. */
  offered(select: number): number {
    return select > 1 ? 0 : Number((this.features >> BigInt(32 * select)) & 0xffff_ffffn);
  }

  /** 32 of the accepted features. */
  acceptedPart(select: number): number {
    return select > 1 ? 0 : Number((this.accepted >> BigInt(32 * select)) & 0xffff_ffffn);
  }

  accept(select: number, value: number): void {
    // Settled features stay.
    if (select > 1 || (this.status & Status.featuresOk) !== 0) return;
    const shift = BigInt(32 * select);
    this.accepted = (this.accepted & ~(0xffff_ffffn << shift)) | (BigInt(value >>> 0) << shift);
  }

  readConfig(offset: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += (this.config[offset + i] ?? 0) * 2 ** (8 * i);
    return value;
  }

  writeConfig(offset: number, size: number, value: number): void {
    if (offset + size <= this.config.length) this.guard(() => this.configWritten(offset, size, value));
  }

  /** The driver notified of a queue; one that there is not, or that is not running, is nobody's. */
  notify(index: number): void {
    const queue = this.queues[index];
    // Linux' balloon driver notifies of its first buffer before it says that it is ready.
    if (queue?.isEnabled && (this.status & (Status.driverOk | Status.needsReset)) === 0) this.early.add(index);
    if (queue?.isRunning && this.isReady) this.guard(() => this.notified(index, queue));
  }

  // ---- the device's side

  /** Does what may find that the driver broke the rules: then the device stops until it is reset. */
  protected guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof QueueFault)) throw error;
      this.fail(error.message);
    }
  }

  private fail(problem: string): void {
    this.problem ??= problem;
    for (const queue of this.queues) queue.stop();
    this.status |= Status.needsReset;
    if ((this.status & Status.driverOk) !== 0) this.transport.configChanged();
  }

  /** Gives a chain back and interrupts the driver if it wants that. */
  protected give(queue: VirtQueue, chain: Chain, written: number): void {
    queue.push(chain, written);
    this.interrupt(queue);
  }

  /** Interrupts the driver for what was pushed, if it wants that. */
  protected interrupt(queue: VirtQueue): void {
    if (queue.takeInterrupt()) this.transport.queueUsed(queue);
  }

  /**
   * Takes chains until there are none, and lets the driver notify of the next one; or until `more` says no: then the device
   * comes back by itself. The driver stands still meanwhile, so a queue that does not end is of its making.
   */
  protected drain(queue: VirtQueue, act: (chain: Chain) => void, more: () => boolean = () => true): void {
    queue.wantNotifications(false);
    let taken = 0;
    do {
      for (;;) {
        if (!more()) {
          this.interrupt(queue);
          return;
        }
        const chain = queue.pop();
        if (chain === undefined) break;
        if (++taken > queue.size) throw new QueueFault('A queue never ends: what the device writes makes it longer.');
        act(chain);
      }
      this.interrupt(queue);
    } while (queue.wantNotifications(true));
  }

  /** Tells the driver that {@link config} has changed. */
  protected configChanged(): void {
    this.generation = (this.generation + 1) & 0xff;
    if ((this.status & Status.driverOk) !== 0) this.transport.configChanged();
  }

  reset(): void {
    this.status = 0;
    this.accepted = 0n;
    this.problem = null;
    this.early.clear();
    for (const queue of this.queues) queue.reset();
    this.resetDevice();
  }

  save(): SavedState {
    const { status, accepted, generation, config } = this;
    const queues = this.queues.map((queue) => queue.save());
    return { version: 1, status, accepted, generation, config: config.slice(), queues };
  }

  restore(state: SavedState): void {
    const reader = openState(`virtio ${this.name}`, 1, state);
    this.reset();
    this.status = reader.byte('status');
    this.accepted = reader.bigint('accepted') & this.features;
    this.generation = reader.byte('generation');
    this.config.set(reader.bytes('config', this.config.length));
    const queues = state.queues;
    if (!Array.isArray(queues) || queues.length !== this.queues.length)
      throw new Error(`the saved state of the virtio ${this.name} has no valid queues`);
    this.queues.forEach((queue, index) => {
      queue.restore(queues[index] as SavedState, this.queueFeatures);
    });
  }
}
