// A virtio block device: requests of a driver, answered by a medium (VIRTIO 1.2, 5.2).
// Owns the requests under way and what they may take of the host's memory.
// Never knows files or image formats.

import type { SavedState } from '../device.ts';
import type { LentMemory } from '../dma.ts';
import type { ImageMedium } from '../storage/medium.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice } from './device.ts';
import { address64, QueueFault } from './memory.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

const F = {
  segmentsMax: 1n << 2n,
  readOnly: 1n << 5n,
  blockSize: 1n << 6n,
  flush: 1n << 9n,
  topology: 1n << 10n,
  writeCache: 1n << 11n,
  multiqueue: 1n << 12n,
  discard: 1n << 13n,
  writeZeroes: 1n << 14n,
} as const;

/** Types of requests (5.2.6). */
const Request = { read: 0, write: 1, flush: 4, id: 8, discard: 11, writeZeroes: 13 } as const;
const Answer = { ok: 0, error: 1, unsupported: 2 } as const;
const DONE = Uint8Array.of(Answer.ok);

const SECTOR = 512;
const HEADER_BYTES = 16;
const ID_BYTES = 20;
const RANGE_BYTES = 16;
/** Flag of a range of zeroes: it may as well be unmapped. It is the only one, and of zeroes alone. */
const RANGE_UNMAP = 1;
/** So that a request of 1 MiB in single pages is one chain. */
const QUEUE_SIZE = 512;
const QUEUES_MAX = 8;

/** Where fields of the configuration are (5.2.4). */
const Config = {
  capacity: 0,
  segmentsMax: 12,
  blockSize: 20,
  physicalBlockExponent: 24,
  optimalSectors: 28,
  writeCache: 32,
  queues: 34,
  discardSectorsMax: 36,
  discardRangesMax: 40,
  discardAlignment: 44,
  zeroesSectorsMax: 48,
  zeroesRangesMax: 52,
  zeroesMayUnmap: 56,
} as const;
const CONFIG_BYTES = 60;

/** Descriptors of data in a request; one less than an indirect table that also holds header and answer needs. */
const SEGMENTS_MAX = QUEUE_SIZE - 2;
const RANGES_MAX = 16;
const DISCARD_SECTORS_MAX = 1 << 22;
const ZEROES_SECTORS_MAX = 1 << 22;
/** A request is carried out in pieces: bytes that one holds of the host's memory at a time. */
const PIECE_BYTES = 1 << 20;
/** Buffers of a whole piece that are kept, and the least that is worth one. */
const BUFFERS_KEPT = 8;
const KEPT_BYTES_LEAST = 64 << 10;
/** Requests that may be under way, and the bytes that they may hold. */
const UNDER_WAY_MAX = 128;
const UNDER_WAY_BYTES_MAX = 16 << 20;
/** Bytes that are moved at one notification while the guest stands still. */
const AT_ONCE_BYTES_MAX = 8 << 20;

export interface VirtioBlockOptions {
  memory: LentMemory;
  medium: ImageMedium;
  /** Up to 20 characters, by which a driver tells disks apart. */
  serial: string;
  /** Queues, usually one a vCPU. */
  queues?: number;
  /** Whether requests are answered while the driver notifies of them, where the medium can. */
  atOnce?: boolean;
  /** Counts a whole request as under way; it never rejects. */
  follow(work: Promise<void>): void;
}

/** A range of a discard or of zeroes. */
interface Range {
  offset: number;
  length: number;
}

export class VirtioBlock extends VirtioDevice {
  private readonly memory: LentMemory;
  private readonly medium: ImageMedium;
  private readonly atOnce: boolean;
  private readonly serial: string;
  private readonly follow: VirtioBlockOptions['follow'];
  private readonly buffers: Uint8Array[] = [];
  private readonly header = new Uint8Array(HEADER_BYTES);
  private readonly headerView = new DataView(this.header.buffer);
  /** Where the data of a request lies in the host's memory: address and length by turns. */
  private readonly runs: number[] = [];
  /** Bytes that may still be moved at this notification. */
  private bytesAtOnce = 0;
  /** Whether what was written may wait for a flush; undefined: to be looked up. */
  private mayWait: boolean | undefined;
  private underWay = 0;
  private underWayBytes = 0;

  constructor({ memory, medium, serial, queues = 1, atOnce = false, follow }: VirtioBlockOptions) {
    const count = Math.min(queues, QUEUES_MAX);
    const forWriting = medium.isReadOnly ? F.readOnly : F.discard | F.writeZeroes;
    super({
      type: DeviceType.block,
      name: 'disk',
      memory,
      features:
        F.segmentsMax |
        F.blockSize |
        F.flush |
        F.topology |
        F.writeCache |
        forWriting |
        (count > 1 ? F.multiqueue : 0n),
      queues: Array.from({ length: count }, () => QUEUE_SIZE),
      configBytes: CONFIG_BYTES,
    });
    this.memory = memory;
    this.medium = medium;
    this.atOnce = atOnce && medium.readNow !== undefined;
    this.serial = serial;
    this.follow = follow;
    const view = this.configView;
    view.setBigUint64(Config.capacity, BigInt(Math.floor(medium.size / SECTOR)), true);
    view.setUint32(Config.segmentsMax, SEGMENTS_MAX, true);
    view.setUint32(Config.blockSize, SECTOR, true);
    // Host files have blocks of 4 KiB, mostly.
    view.setUint8(Config.physicalBlockExponent, 3);
    view.setUint32(Config.optimalSectors, PIECE_BYTES / SECTOR, true);
    view.setUint16(Config.queues, count, true);
    view.setUint32(Config.discardSectorsMax, DISCARD_SECTORS_MAX, true);
    view.setUint32(Config.discardRangesMax, RANGES_MAX, true);
    view.setUint32(Config.discardAlignment, 8, true);
    view.setUint32(Config.zeroesSectorsMax, ZEROES_SECTORS_MAX, true);
    view.setUint32(Config.zeroesRangesMax, RANGES_MAX, true);
    view.setUint8(Config.zeroesMayUnmap, 0);
    this.resetDevice();
  }

  protected resetDevice(): void {
    this.mayWait = undefined;
    this.config[Config.writeCache] = 1;
  }

  protected override configWritten(offset: number, size: number, value: number): void {
    if (offset === Config.writeCache && size === 1 && this.has(F.writeCache)) this.config[offset] = value & 1;
    this.mayWait = undefined;
  }

  /** Whether what was written may wait for a flush; a driver that cannot flush takes it for written (5.2.6.2). */
  private get isCached(): boolean {
    this.mayWait ??= this.has(F.writeCache) ? this.config[Config.writeCache] === 1 : this.has(F.flush);
    return this.mayWait;
  }

  protected notified(_index: number, queue: VirtQueue): void {
    this.bytesAtOnce = this.atOnce ? AT_ONCE_BYTES_MAX : 0;
    this.drain(
      queue,
      (chain) => this.begin(queue, chain),
      () => this.underWay < UNDER_WAY_MAX && this.underWayBytes < UNDER_WAY_BYTES_MAX,
    );
  }

  private begin(queue: VirtQueue, chain: Chain): void {
    if (chain.readableBytes < HEADER_BYTES || chain.writableBytes < 1)
      throw new QueueFault('A request of a disk has no header, or no room for its answer.');
    chain.read(0, this.header);
    if (this.bytesAtOnce > 0 && this.answerAtOnce(queue, chain)) return;
    const header = this.header.slice();
    const bytes = Math.min(Math.max(chain.readableBytes, chain.writableBytes), PIECE_BYTES);
    this.underWay++;
    this.underWayBytes += bytes;
    const work = this.carryOut(chain, new DataView(header.buffer)).then((answer) => {
      this.underWay--;
      this.underWayBytes -= bytes;
      this.guard(() => {
        if (answer instanceof QueueFault) throw answer;
        if (chain.isLive) this.finish(queue, chain, answer);
        // Requests from before a reset may have kept others waiting.
        for (const each of this.queues) if (each.isRunning && this.isReady) this.notified(0, each);
      });
    });
    this.follow(work);
  }

  /**
   * Reads or writes while the driver waits for its notification to be over, straight into or out of its memory. Gives whether that
   * was possible. The driver is interrupted when all chains have been taken.
   */
  private answerAtOnce(queue: VirtQueue, chain: Chain): boolean {
    const { medium, memory, runs, headerView } = this;
    const type = headerView.getUint32(0, true);
    const isRead = type === Request.read;
    if (!isRead && (type !== Request.write || medium.isReadOnly || !this.isCached)) return false;
    const offset = address64(headerView, 8) * SECTOR;
    const length = isRead ? chain.writableBytes - 1 : chain.readableBytes - HEADER_BYTES;
    if (length > this.bytesAtOnce || !this.isRange(offset, length)) return false;
    runs.length = 0;
    if (!chain.locate(memory, isRead, isRead ? 0 : HEADER_BYTES, length, runs)) return false;
    const buffers: Uint8Array[] = [];
    for (let run = 0; run < runs.length; run += 2) buffers.push(memory.lend(runs[run], runs[run + 1]));
    const isDone = isRead ? medium.readNow?.(offset, buffers) : medium.writeNow?.(offset, buffers);
    if (isRead) for (let run = 0; run < runs.length; run += 2) memory.written(runs[run], runs[run + 1]);
    if (isDone !== true) return false;
    this.bytesAtOnce -= length;
    chain.write(chain.writableBytes - 1, DONE);
    queue.push(chain, isRead ? length + 1 : 1);
    return true;
  }

  private finish(queue: VirtQueue, chain: Chain, { status, written }: { status: number; written: number }): void {
    chain.write(chain.writableBytes - 1, Uint8Array.of(status));
    this.give(queue, chain, written + 1);
  }

  /** Never rejects: what the medium cannot do is an error of the request, what the driver did wrong a {@link QueueFault}. */
  private async carryOut(chain: Chain, header: DataView): Promise<{ status: number; written: number } | QueueFault> {
    const done = (status: number, written = 0) => ({ status, written });
    const offset = address64(header, 8) * SECTOR;
    try {
      switch (header.getUint32(0, true)) {
        case Request.read: {
          const length = chain.writableBytes - 1;
          if (!this.isRange(offset, length)) return done(Answer.error);
          await this.read(chain, offset, length);
          return done(Answer.ok, length);
        }
        case Request.write: {
          const length = chain.readableBytes - HEADER_BYTES;
          if (this.medium.isReadOnly || !this.isRange(offset, length)) return done(Answer.error);
          await this.write(chain, offset, length);
          return done(Answer.ok);
        }
        case Request.flush:
          await this.medium.flush();
          return done(Answer.ok);
        case Request.id: {
          const id = new Uint8Array(Math.min(ID_BYTES, chain.writableBytes - 1));
          new TextEncoder().encodeInto(this.serial, id);
          chain.write(0, id);
          return done(Answer.ok, id.length);
        }
        case Request.discard:
          return done(await this.discard(chain));
        case Request.writeZeroes:
          return done(await this.writeZeroes(chain));
        default:
          return done(Answer.unsupported);
      }
    } catch (error) {
      return error instanceof QueueFault ? error : done(Answer.error);
    }
  }

  private isRange(offset: number, length: number): boolean {
    return length % SECTOR === 0 && offset <= this.medium.size && length <= this.medium.size - offset;
  }

  private async read(chain: Chain, offset: number, length: number): Promise<void> {
    for (let done = 0; done < length && chain.isLive; done += PIECE_BYTES)
      await this.withBuffer(Math.min(PIECE_BYTES, length - done), async (piece) => {
        await this.medium.read(offset + done, piece);
        if (chain.isLive) chain.write(done, piece);
      });
  }

  private async write(chain: Chain, offset: number, length: number): Promise<void> {
    for (let done = 0; done < length && chain.isLive; done += PIECE_BYTES)
      await this.withBuffer(Math.min(PIECE_BYTES, length - done), (piece) => {
        chain.read(HEADER_BYTES + done, piece);
        return this.medium.write(offset + done, piece);
      });
    if (!this.isCached) await this.medium.flush();
  }

  /** Lends a buffer, which is the medium's until it has answered. Long ones are kept: fresh memory costs more than a copy. */
  private async withBuffer(length: number, act: (piece: Uint8Array) => Promise<void>): Promise<void> {
    if (length < KEPT_BYTES_LEAST) {
      await act(new Uint8Array(length));
      return;
    }
    const buffer = this.buffers.pop() ?? new Uint8Array(PIECE_BYTES);
    try {
      await act(buffer.subarray(0, length));
    } finally {
      if (this.buffers.length < BUFFERS_KEPT) this.buffers.push(buffer);
    }
  }

  private async discard(chain: Chain): Promise<number> {
    const ranges = this.ranges(chain, DISCARD_SECTORS_MAX, 0);
    if (typeof ranges === 'number') return ranges;
    for (const { offset, length } of ranges) if (chain.isLive) await this.medium.discard(offset, length);
    return Answer.ok;
  }

  private async writeZeroes(chain: Chain): Promise<number> {
    const ranges = this.ranges(chain, ZEROES_SECTORS_MAX, RANGE_UNMAP);
    if (typeof ranges === 'number') return ranges;
    for (const { offset, length } of ranges) if (chain.isLive) await this.medium.writeZeros(offset, length);
    if (!this.isCached) await this.medium.flush();
    return Answer.ok;
  }

  /** The ranges of a request, or the answer where they are not what is offered. */
  private ranges(chain: Chain, sectorsMax: number, flags: number): Range[] | number {
    const count = (chain.readableBytes - HEADER_BYTES) / RANGE_BYTES;
    if (this.medium.isReadOnly || !Number.isInteger(count) || count < 1 || count > RANGES_MAX) return Answer.error;
    const bytes = new Uint8Array(count * RANGE_BYTES);
    chain.read(HEADER_BYTES, bytes);
    const view = new DataView(bytes.buffer);
    const ranges: Range[] = [];
    for (let at = 0; at < bytes.length; at += RANGE_BYTES) {
      if ((view.getUint32(at + 12, true) & ~flags) !== 0) return Answer.unsupported;
      const offset = address64(view, at) * SECTOR;
      const sectors = view.getUint32(at + 8, true);
      if (sectors > sectorsMax || !this.isRange(offset, sectors * SECTOR)) return Answer.error;
      ranges.push({ offset, length: sectors * SECTOR });
    }
    return ranges;
  }

  /** Throws while a request is under way. */
  override save(): SavedState {
    if (this.underWay > 0) throw new Error('the virtio disk waits for its medium and cannot be saved now');
    return super.save();
  }
}
