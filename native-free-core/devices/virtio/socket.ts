// A virtio socket device (VIRTIO 1.2, 5.10): streams between a guest, the host and other guests, by CID.
// Owns the way of packets through the queues, and the packet that waits for buffers of the driver.
// Never knows a connection: whoever is behind its port does.

import type { SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import type { NetworkCard, PacketPort } from '../packets.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice } from './device.ts';
import { QueueFault } from './memory.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

/** The event that all connections are gone, and that the guest may have another CID (5.10.6.8.2). */
const TRANSPORT_RESET = Uint8Array.of(0, 0, 0, 0);
const Queue = { receive: 0, send: 1, event: 2 } as const;
const QUEUE_SIZE = 128;
const EVENT_QUEUE_SIZE = 16;
const CONFIG_BYTES = 8;
/** A packet's header, and where it tells the length of the data behind it. */
const HEADER_BYTES = 44;
const LENGTH = 24;
/** The most data of a packet. */
const DATA_MAX = 0x10000;
/** Packets given to the driver before the guest executes again. */
const RECEIVE_BATCH = 256;

export interface VirtioSocketOptions {
  memory: DmaMemory;
  cid: number;
  /** Takes and gives whole packets, header and data. */
  port: PacketPort;
}

export class VirtioSocket extends VirtioDevice implements NetworkCard {
  private readonly port: PacketPort;
  /** A packet that the port had no room for; its queue waits. */
  private unsent: { chain: Chain; packet: Uint8Array } | null = null;
  private readonly cid: number;
  /** The driver is to be told that its connections are gone. */
  private hasBeenMoved = false;
  /** Bytes of data of the port's first packet that the driver has been given. */
  private given = 0;

  constructor({ memory, cid, port }: VirtioSocketOptions) {
    super({
      type: DeviceType.socket,
      name: 'socket device',
      memory,
      packed: false,
      queues: [QUEUE_SIZE, QUEUE_SIZE, EVENT_QUEUE_SIZE],
      configBytes: CONFIG_BYTES,
    });
    this.port = port;
    this.cid = cid;
    this.configView.setBigUint64(0, BigInt(cid), true);
  }

  protected resetDevice(): void {
    this.unsent = null;
    this.hasBeenMoved = false;
    // The rest of a packet is of no use to a driver that begins anew.
    if (this.given > 0) this.port.advance();
    this.given = 0;
  }

  protected notified(index: number, queue: VirtQueue): void {
    if (index === Queue.send) this.send(queue);
    else if (index === Queue.receive) this.receive();
  }

  /** Connections are nobody's any more, and the address is the one that the guest has now. */
  override restore(state: SavedState): void {
    super.restore(state);
    this.configView.setBigUint64(0, BigInt(this.cid), true);
    this.hasBeenMoved = true;
  }

  private tellOfMove(): void {
    const queue = this.queues[Queue.event];
    const chain = queue.isRunning ? queue.pop() : undefined;
    if (chain === undefined) return;
    this.hasBeenMoved = false;
    chain.write(0, TRANSPORT_RESET);
    this.give(queue, chain, TRANSPORT_RESET.length);
  }

  poll(): void {
    if (!this.isReady) {
      // Nobody listens.
      for (let i = 0; i < RECEIVE_BATCH && this.port.next() !== undefined; i++) this.port.advance();
      return;
    }
    this.guard(() => {
      if (this.hasBeenMoved) this.tellOfMove();
      if (this.unsent !== null && this.sendRest() && this.queues[Queue.send].isRunning)
        this.send(this.queues[Queue.send]);
      this.receive();
    });
  }

  private send(queue: VirtQueue): void {
    this.drain(
      queue,
      (chain) => {
        const packet = chain.readAll(HEADER_BYTES + DATA_MAX);
        if (packet.length < HEADER_BYTES) throw new QueueFault('A packet of a socket is shorter than its header.');
        this.unsent = { chain, packet };
        this.sendRest();
      },
      () => this.unsent === null,
    );
  }

  /** Sends what waits for the port; true when it is out. */
  private sendRest(): boolean {
    if (this.unsent === null) return true;
    const { chain, packet } = this.unsent;
    if (!this.port.send(packet)) return false;
    this.unsent = null;
    this.queues[Queue.send].push(chain, 0);
    return true;
  }

  /** Gives the driver packets, in as many pieces as its buffers need: data is a stream, so that is the same to it. */
  private receive(): void {
    const queue = this.queues[Queue.receive];
    if (!queue.isRunning) return;
    for (let i = 0; i < RECEIVE_BATCH; i++) {
      const packet = this.port.next();
      if (packet === undefined) break;
      const chain = queue.pop();
      if (chain === undefined) break;
      const room = chain.writableBytes - HEADER_BYTES;
      const left = packet.length - HEADER_BYTES - this.given;
      if (room < 0 || (room === 0 && left > 0)) throw new QueueFault('A buffer for packets of a socket is too small.');
      const part = Math.min(room, left);
      const header = packet.slice(0, HEADER_BYTES);
      new DataView(header.buffer).setUint32(LENGTH, part, true);
      chain.write(0, header);
      if (part > 0) {
        const from = HEADER_BYTES + this.given;
        chain.write(HEADER_BYTES, packet.slice(from, from + part));
      }
      queue.push(chain, HEADER_BYTES + part);
      this.given += part;
      if (part < left) continue;
      this.given = 0;
      this.port.advance();
    }
    // Buffers are looked for when a packet comes.
    queue.wantNotifications(this.port.next() !== undefined);
    this.interrupt(queue);
  }
}
