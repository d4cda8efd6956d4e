// A virtio memory balloon: pages that a guest gives back and takes again, and what it tells of its memory (VIRTIO 1.2, 5.5).
// Owns which pages are in the balloon, the target, and the guest's last statistics.
// Never touches a page: what becomes of those in the balloon is the machine's business.

import type { SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { openState } from '../saved-state.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice } from './device.ts';
import { QueueFault } from './memory.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

const F = { statistics: 1n << 1n, deflateOnOom: 1n << 2n, hinting: 1n << 3n, reporting: 1n << 5n } as const;
const Config = { target: 0, actual: 4, hintCommand: 8 } as const;
const CONFIG_BYTES = 12;
/** Queues in their order. */
const Queue = { inflate: 0, deflate: 1, statistics: 2, hinting: 3, reporting: 4 } as const;
/** Commands of hinting that are no number of a request (5.5.6.6): the driver's last word, and that its pages are its own again. */
const HINTS_END = 0;
const HINTS_DONE = 1;
const FIRST_COMMAND = 2;
const QUEUE_SIZE = 128;

/** Bytes of a page of the balloon, whatever the guest's own have. */
export const BALLOON_PAGE = 4096;
/** Page numbers that there may be: more than any guest has memory, the hole below 4 GiB included. */
const PAGES_MAX = 1 << 22;
/** Bytes of a request: page numbers of 32 bits, statistics of 10 bytes. */
const REQUEST_MAX = 1 << 16;
const STATISTIC_BYTES = 10;

/** Statistics by their tags (5.5.6.4): bytes, but for faults, which are counts. */
const statisticNames = [
  'swappedIn',
  'swappedOut',
  'majorFaults',
  'minorFaults',
  'free',
  'total',
  'available',
  'caches',
  'hugePageAllocations',
  'hugePageFailures',
] as const;
export type BalloonStatistics = Partial<Record<(typeof statisticNames)[number], number>>;

export interface VirtioBalloonOptions {
  memory: DmaMemory;
  /** What the guest has: more cannot be free. */
  memoryBytes?: number;
  /** Clears memory that the guest needs no more. */
  clear?(address: number, length: number): void;
}

function bitsOf(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

export class VirtioBalloon extends VirtioDevice {
  /** A bit a page that is in the balloon. */
  private readonly held = new Uint32Array(PAGES_MAX / 32);
  private heldPages = 0;
  /** Bytes that the guest has reported as free so far; it may use them again without saying so. */
  reportedBytes = 0;
  /** What the guest told last, and the pages that were in the balloon then. */
  statistics: BalloonStatistics = {};
  pagesAtStatistics = 0;
  /** How often it has told. */
  tellings = 0;
  private readonly memoryBytes: number;
  private readonly clear: (address: number, length: number) => void;
  /** How many bytes may still be hinted at, and whether the driver has begun with that request. */
  private hints: { left: number; hasBegun: boolean } | null = null;
  private lastCommand = FIRST_COMMAND - 1;
  /** The buffer in which the guest told it: given back, it asks for the next. */
  private statisticsChain: Chain | null = null;

  constructor({ memory, memoryBytes = 0, clear = () => {} }: VirtioBalloonOptions) {
    super({
      type: DeviceType.balloon,
      name: 'balloon',
      memory,
      features: F.statistics | F.deflateOnOom | F.hinting | F.reporting,
      packed: false,
      queues: [QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE, QUEUE_SIZE],
      configBytes: CONFIG_BYTES,
    });
    this.memoryBytes = memoryBytes;
    this.clear = clear;
  }

  /** Pages that the guest is asked to keep in the balloon; it may take them back when it is out of memory. */
  get target(): number {
    return this.configView.getUint32(Config.target, true);
  }

  set target(pages: number) {
    if (!(Number.isInteger(pages) && pages >= 0 && pages < PAGES_MAX))
      throw new RangeError(`a balloon cannot have ${pages} pages`);
    if (pages === this.target) return;
    this.configView.setUint32(Config.target, pages, true);
    this.configChanged();
  }

  /** Pages that are in it. */
  get pages(): number {
    return this.heldPages;
  }

  /** Asks the guest for its statistics, which come later. */
  askStatistics(): void {
    const chain = this.statisticsChain;
    if (chain === null) return;
    this.statisticsChain = null;
    this.guard(() => this.give(this.queues[Queue.statistics], chain, 0));
  }

  /**
   * Asks the guest which of its memory is free: that is cleared, as its content is needed no more. The guest keeps it aside until
   * {@link endHints}. False where its driver cannot tell.
   */
  clearFree(): boolean {
    if (!this.isReady || !this.has(F.hinting)) return false;
    this.lastCommand = this.lastCommand >= 0x7fff_ffff ? FIRST_COMMAND : this.lastCommand + 1;
    this.hints = { left: this.memoryBytes, hasBegun: false };
    this.command(this.lastCommand);
    return true;
  }

  /** Whether there may be more to hear of what {@link clearFree} asked. */
  get isHinting(): boolean {
    return this.hints !== null;
  }

  /** The guest may have its free memory back. */
  endHints(): void {
    this.hints = null;
    if (this.isReady && this.configView.getUint32(Config.hintCommand, true) >= FIRST_COMMAND) this.command(HINTS_DONE);
  }

  private command(command: number): void {
    this.configView.setUint32(Config.hintCommand, command, true);
    this.configChanged();
  }

  protected resetDevice(): void {
    this.hints = null;
    this.configView.setUint32(Config.hintCommand, HINTS_END, true);
    // A guest that starts over has all of its memory.
    this.held.fill(0);
    this.heldPages = 0;
    this.statistics = {};
    this.statisticsChain = null;
    this.configView.setUint32(Config.actual, 0, true);
  }

  override save(): SavedState {
    // Bytes up to the last page that is in it.
    const bytes = new Uint8Array(this.held.buffer);
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
    const asks = this.statisticsChain !== null;
    return { ...super.save(), held: bytes.slice(0, end), asks };
  }

  override restore(state: SavedState): void {
    super.restore(state);
    // Whoever asked before has what he heard.
    this.hints = null;
    const reader = openState('virtio balloon', 1, state);
    const { held } = state;
    if (!(held instanceof Uint8Array) || held.length > PAGES_MAX / 8)
      throw new Error('the saved state of the virtio balloon has no valid pages');
    new Uint8Array(this.held.buffer).set(held);
    this.heldPages = this.held.reduce((sum, word) => sum + bitsOf(word), 0);
    // The buffer for statistics was the device's: it takes it out of the queue once more.
    if (!reader.boolean('asks')) return;
    this.queues[Queue.statistics].takeBack();
    this.notify(Queue.statistics);
  }

  /** The driver tells how many pages it believes are in the balloon. */
  protected override configWritten(offset: number, size: number, value: number): void {
    if (offset === Config.actual && size === 4) this.configView.setUint32(offset, value, true);
  }

  protected notified(index: number, queue: VirtQueue): void {
    this.drain(queue, (chain) => {
      if (index === Queue.statistics) {
        this.takeStatistics(queue, chain);
        return;
      }
      if (index === Queue.reporting) this.reportedBytes += Math.min(chain.writableBytes, PAGES_MAX * BALLOON_PAGE);
      else if (index === Queue.hinting) this.takeHint(chain);
      else this.move(chain, index === Queue.inflate);
      queue.push(chain, 0);
    });
  }

  /** The number of the request that the driver begins with, its end, or memory that is free. */
  private takeHint(chain: Chain): void {
    const { hints } = this;
    if (chain.readableBytes >= 4) {
      const number = new Uint8Array(4);
      chain.read(0, number);
      const command = new DataView(number.buffer).getUint32(0, true);
      if (hints && command === this.lastCommand) hints.hasBegun = true;
      // The end of an earlier request says nothing of this one.
      else if (hints?.hasBegun && command === HINTS_END) this.hints = null;
      return;
    }
    if (!hints?.hasBegun) return;
    for (const { address, length } of chain.writable) {
      if (length > hints.left) return;
      hints.left -= length;
      this.clear(address, length);
    }
  }

  private move(chain: Chain, isIn: boolean): void {
    const bytes = chain.readAll(REQUEST_MAX);
    if (bytes.length % 4 !== 0) throw new QueueFault(`A list of ${bytes.length} bytes is none of page numbers.`);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += 4) {
      const page = view.getUint32(at, true);
      if (page >= PAGES_MAX) throw new QueueFault(`There is no page ${page}.`);
      const bit = 1 << (page & 31);
      const wasIn = (this.held[page >>> 5] & bit) !== 0;
      if (wasIn === isIn) continue;
      this.held[page >>> 5] ^= bit;
      this.heldPages += isIn ? 1 : -1;
    }
  }

  private takeStatistics(queue: VirtQueue, chain: Chain): void {
    const bytes = chain.readAll(REQUEST_MAX);
    const view = new DataView(bytes.buffer);
    const statistics: BalloonStatistics = {};
    for (let at = 0; at + STATISTIC_BYTES <= bytes.length; at += STATISTIC_BYTES) {
      const name = statisticNames[view.getUint16(at, true)];
      if (name !== undefined) statistics[name] = Number(view.getBigUint64(at + 2, true));
    }
    this.statistics = statistics;
    this.pagesAtStatistics = this.heldPages;
    this.tellings++;
    // The device keeps one; a driver that sends another has the first back.
    if (this.statisticsChain) queue.push(this.statisticsChain, 0);
    this.statisticsChain = chain;
  }
}
