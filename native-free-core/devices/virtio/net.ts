// A virtio network device: frames out, frames in, and the control queue (VIRTIO 1.2, 5.1).
// Owns the pairs of queues and the frame that waits for room at either end.
// Never knows what its port leads to.

import type { DmaMemory } from '../dma.ts';
import {
  checkOffload,
  finish,
  frameHeader,
  Gso,
  MESSAGE_MAX,
  NET_HEADER_BYTES,
  NetFlag,
  OffloadError,
  Unfinished,
  unfinishedKinds,
} from '../offload.ts';
import { FRAME_MIN, HEADER_BYTES, JUMBO_MAX, type NetworkCard, type PacketPort } from '../packets.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice } from './device.ts';
import { QueueFault } from './memory.ts';
import { NetFilter } from './net-filter.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

const F = {
  checksum: 1n << 0n,
  guestChecksum: 1n << 1n,
  mtu: 1n << 3n,
  mac: 1n << 5n,
  guestTcp4: 1n << 7n,
  guestTcp6: 1n << 8n,
  hostTcp4: 1n << 11n,
  hostTcp6: 1n << 12n,
  mergeable: 1n << 15n,
  status: 1n << 16n,
  control: 1n << 17n,
  controlReceive: 1n << 18n,
  controlVlan: 1n << 19n,
  multiqueue: 1n << 22n,
  controlAddress: 1n << 23n,
} as const;

const Config = { mac: 0, status: 6, pairs: 8, mtu: 10 } as const;
const CONFIG_BYTES = 12;
const LINK_UP = 1;
const MTU = 1500;
const QUEUE_SIZE = 256;
const CONTROL_QUEUE_SIZE = 64;
export const NET_PAIRS_MAX = 8;
/** Class and command of "use so many pairs" (5.1.6.5.5). */
const MULTIQUEUE_CLASS = 4;
const COMMAND_MAX = 4096;
const Acknowledge = { ok: 0, error: 1 } as const;
/** Frames taken from the port before the guest executes again. */
const RECEIVE_BATCH = 512;
/** Buffers that a frame is spread over. */
const MERGED_MAX = 64;

export interface VirtioNetOptions {
  memory: DmaMemory;
  port: PacketPort;
  /** The six bytes of its address. */
  address: Uint8Array;
  /** Pairs of queues, usually one a vCPU. */
  pairs?: number;
}

export class VirtioNet extends VirtioDevice implements NetworkCard {
  private readonly port: PacketPort;
  private readonly filter: NetFilter;
  private readonly pairsMax: number;
  private pairs = 1;
  private isUp: boolean;
  /** What the driver takes unfinished. */
  private taken = 0;
  /** The header before the frame that the driver is given. */
  private readonly header = new Uint8Array(NET_HEADER_BYTES);
  /** What is read of the driver: the message under way. */
  private message: Uint8Array | null = null;
  /** Frames that the port had no room for, of the message under way; its queue waits. `header`: of one to be finished elsewhere. */
  private unsent: { queue: VirtQueue; chain: Chain; frames: Uint8Array[]; header: Uint8Array | null } | null = null;

  constructor({ memory, port, address, pairs = 1 }: VirtioNetOptions) {
    const pairsMax = Math.min(pairs, NET_PAIRS_MAX);
    const { checksum, mtu, mac, hostTcp4, hostTcp6, mergeable, status } = F;
    super({
      type: DeviceType.net,
      name: 'network device',
      memory,
      features:
        checksum |
        mtu |
        mac |
        hostTcp4 |
        hostTcp6 |
        mergeable |
        status |
        // Whoever cannot be given unfinished frames is given finished ones all the same.
        F.guestChecksum |
        F.guestTcp4 |
        F.guestTcp6 |
        F.control |
        F.controlReceive |
        F.controlVlan |
        F.controlAddress |
        (pairsMax > 1 ? F.multiqueue : 0n),
      queues: [...Array.from({ length: 2 * pairsMax }, () => QUEUE_SIZE), CONTROL_QUEUE_SIZE],
      configBytes: CONFIG_BYTES,
    });
    this.port = port;
    this.pairsMax = pairsMax;
    this.filter = new NetFilter(address);
    this.isUp = port.isUp;
    this.config.set(address, Config.mac);
    this.configView.setUint16(Config.status, this.isUp ? LINK_UP : 0, true);
    this.configView.setUint16(Config.pairs, pairsMax, true);
    this.configView.setUint16(Config.mtu, MTU, true);
  }

  protected resetDevice(): void {
    this.unsent = null;
    this.pairs = 1;
    this.filter.reset();
    this.taken = 0;
    this.port.take?.(0);
  }

  protected override ready(): void {
    this.filter.filtersVlans = this.has(F.controlVlan);
    // A message of 64 KiB needs buffers that can be merged.
    const takesMessages = this.has(F.guestChecksum | F.mergeable);
    this.taken =
      (this.has(F.guestChecksum) ? Unfinished.checksum : 0) |
      (takesMessages && this.has(F.guestTcp4) ? Unfinished.tcp4 : 0) |
      (takesMessages && this.has(F.guestTcp6) ? Unfinished.tcp6 : 0);
    this.port.take?.(this.taken);
  }

  /** The control queue is behind all pairs where those were accepted, and else behind the first. */
  private get controlIndex(): number {
    return this.has(F.multiqueue) ? 2 * this.pairsMax : 2;
  }

  protected notified(index: number, queue: VirtQueue): void {
    if (index === this.controlIndex) this.drain(queue, (chain) => this.control(queue, chain));
    else if ((index & 1) === 1) this.transmit(queue);
    else this.receive();
  }

  poll(): void {
    if (this.isUp !== this.port.isUp) {
      this.isUp = this.port.isUp;
      this.configView.setUint16(Config.status, this.isUp ? LINK_UP : 0, true);
      this.configChanged();
    }
    if (!this.isReady) {
      // Nobody listens.
      for (let i = 0; i < RECEIVE_BATCH && this.port.next() !== undefined; i++) this.port.advance();
      return;
    }
    this.guard(() => {
      if (this.unsent !== null && this.sendRest())
        for (let pair = 0; pair < this.pairs && this.unsent === null; pair++) {
          const queue = this.queues[2 * pair + 1];
          if (queue.isRunning) this.transmit(queue);
        }
      this.receive();
    });
  }

  // ---- out

  private transmit(queue: VirtQueue): void {
    this.drain(
      queue,
      (chain) => this.send(queue, chain),
      () => this.unsent === null,
    );
  }

  private send(queue: VirtQueue, chain: Chain): void {
    const { readableBytes } = chain;
    if (readableBytes > MESSAGE_MAX + NET_HEADER_BYTES)
      throw new QueueFault(`A message of ${readableBytes} bytes is longer than any that can be cut.`);
    this.message ??= new Uint8Array(MESSAGE_MAX + NET_HEADER_BYTES);
    const bytes = this.message.subarray(0, readableBytes);
    chain.read(0, bytes);
    if (bytes.length < NET_HEADER_BYTES + HEADER_BYTES) throw new QueueFault('A frame is shorter than its headers.');
    const header = frameHeader(bytes);
    const message = bytes.subarray(NET_HEADER_BYTES);
    if (header.gso !== Gso.none) {
      const offered = header.gso === Gso.tcp4 ? F.hostTcp4 : header.gso === Gso.tcp6 ? F.hostTcp6 : undefined;
      if (offered === undefined || !this.has(offered))
        throw new QueueFault(`A message is to be cut by kind ${header.gso}, which was not negotiated.`);
    } else if (message.length > JUMBO_MAX) throw new QueueFault(`A frame has ${message.length} bytes.`);
    const frame = message.length < FRAME_MIN ? padded(message) : message;
    try {
      checkOffload(frame, header);
    } catch (error) {
      throw error instanceof OffloadError ? new QueueFault(error.message) : error;
    }
    const frames: Uint8Array[] = [];
    const isWhole = unfinishedKinds(header) === 0;
    // Finished where its receiver is known, if the port leads to somebody who does that.
    const isPassed = !isWhole && this.port.sendUnfinished !== undefined;
    if (isWhole || isPassed) frames.push(frame);
    else finish(frame, header, (finished) => frames.push(finished.slice()));
    this.unsent = { queue, chain, frames, header: isPassed ? ownHeader(bytes) : null };
    this.sendRest();
  }

  /** Sends what the port has room for; true when all of it is out, and its chain given back. */
  private sendRest(): boolean {
    if (this.unsent === null) return true;
    const { queue, chain, frames, header } = this.unsent;
    const send = (frame: Uint8Array) =>
      header === null ? this.port.send(frame) : this.port.sendUnfinished?.(frame, header) === true;
    while (frames.length > 0 && send(frames[0])) frames.shift();
    if (frames.length > 0) return false;
    this.unsent = null;
    queue.push(chain, 0);
    return true;
  }

  // ---- in

  private receive(): void {
    for (let i = 0; i < RECEIVE_BATCH; i++) {
      const frame = this.port.next();
      if (frame === undefined) break;
      if (this.filter.takes(frame) && !this.deliver(frame, this.port.header)) break;
      this.port.advance();
    }
    for (let pair = 0; pair < this.pairs; pair++) {
      // The driver need not tell of buffers: they are looked for when a frame comes.
      this.queues[2 * pair].wantNotifications(false);
      this.interrupt(this.queues[2 * pair]);
    }
  }

  /** Gives the driver a frame; false where it has no buffers for it. */
  private deliver(frame: Uint8Array, header: Uint8Array | undefined): boolean {
    // One that came for the driver before this one, which took more, is lost.
    if (header && (unfinishedKinds(frameHeader(header)) & ~this.taken) !== 0) return true;
    const queue = this.queues[2 * (this.pairs === 1 ? 0 : flow(frame) % this.pairs)];
    const whole = NET_HEADER_BYTES + frame.length;
    const chains: Chain[] = [];
    const { position } = queue;
    let room = 0;
    while (room < whole) {
      const chain = queue.pop();
      if (chain === undefined && chains.length > 0) {
        // The driver is about to bring more; what all its buffers together have no room for is lost.
        queue.rewind(position, chains.length);
        return chains.length >= queue.size;
      }
      if (chain === undefined) {
        // Whoever polls comes back; a queue that the driver has not set up takes nothing at all.
        return !queue.isRunning;
      }
      room += chain.writableBytes;
      chains.push(chain);
      if (chain.writableBytes < NET_HEADER_BYTES || chains.length > MERGED_MAX)
        throw new QueueFault('The buffers for frames are too small.');
      if (room < whole && !this.has(F.mergeable)) {
        // A frame that is too long for the only buffer it may have is lost.
        queue.push(chain, 0);
        return true;
      }
    }
    // What its sender's driver said of it holds for its receiver's.
    if (header) this.header.set(header);
    else this.header.fill(0);
    this.header[10] = chains.length;
    this.header[11] = 0;
    let done = 0;
    for (const [index, chain] of chains.entries()) {
      const before = index === 0 ? NET_HEADER_BYTES : 0;
      if (before > 0) chain.write(0, this.header);
      const part = frame.subarray(done, done + chain.writableBytes - before);
      chain.write(before, part);
      queue.push(chain, before + part.length);
      done += part.length;
    }
    return true;
  }

  // ---- control

  private control(queue: VirtQueue, chain: Chain): void {
    const bytes = chain.readAll(COMMAND_MAX);
    if (bytes.length < 2 || chain.writableBytes < 1)
      throw new QueueFault('A command of a network device is too short.');
    const data = bytes.subarray(2);
    const isDone =
      bytes[0] === MULTIQUEUE_CLASS ? this.setPairs(bytes[1], data) : this.filter.command(bytes[0], bytes[1], data);
    this.config.set(this.filter.address, Config.mac);
    chain.write(0, Uint8Array.of(isDone ? Acknowledge.ok : Acknowledge.error));
    queue.push(chain, 1);
  }

  private setPairs(command: number, data: Uint8Array): boolean {
    const pairs = data.length === 2 ? data[0] | (data[1] << 8) : 0;
    if (command !== 0 || pairs < 1 || pairs > this.pairsMax || !this.has(F.multiqueue)) return false;
    this.pairs = pairs;
    return true;
  }
}

/** The header of an unfinished frame without what was not negotiated. */
function ownHeader(bytes: Uint8Array): Uint8Array {
  const header = bytes.slice(0, NET_HEADER_BYTES);
  header[0] &= NetFlag.needsChecksum;
  header[1] = frameHeader(bytes).gso;
  return header;
}

function padded(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_MIN);
  bytes.set(frame);
  return bytes;
}

/** A number that the frames of one flow of IPv4 share, in both directions. */
function flow(frame: Uint8Array): number {
  if (((frame[12] << 8) | frame[13]) !== 0x0800) return 0;
  let sum = 0;
  for (let at = 26; at < 38; at += 2) sum ^= (frame[at] << 8) | frame[at + 1];
  return (sum ^ (sum >> 8)) & 0xff;
}
