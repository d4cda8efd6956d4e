// A virtio 9P transport (VIRTIO 1.2, 5.9 leaves it to the 9P protocol): one queue of requests and their answers.
// Owns the mount tag and the way of a message through a chain.
// Never knows what a message says: that is the server's.

import type { SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { VirtioDevice } from './device.ts';
import { QueueFault } from './memory.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

const F = { mountTag: 1n << 0n } as const;
/** Linux puts a message of as many pages into a chain. */
const QUEUE_SIZE = 128;
const TAG_LENGTH_BYTES = 2;

/** What answers the messages of one client, each at once. */
export interface MessageServer {
  /** Bytes of the longest request that it takes now. */
  readonly requestMax: number;
  /** The answer, of at most `room` bytes; undefined where what came is no message. */
  answer(request: Uint8Array, room: number): Uint8Array | undefined;
  /** The client's session, as plain data. Throws where it cannot be that now. */
  save(): SavedState;
  restore(state: SavedState): void;
  /** The client is gone. */
  reset(): void;
}

export class VirtioFilesystem9p extends VirtioDevice {
  readonly tag: string;
  private readonly server: MessageServer;

  /** `tag`: what a guest mounts it by; ASCII. */
  constructor({ memory, tag, server }: { memory: DmaMemory; tag: string; server: MessageServer }) {
    super({
      type: DeviceType.filesystem9p,
      name: 'file share',
      memory,
      features: F.mountTag,
      packed: false,
      queues: [QUEUE_SIZE],
      configBytes: TAG_LENGTH_BYTES + tag.length,
    });
    this.tag = tag;
    this.server = server;
    this.configView.setUint16(0, tag.length, true);
    new TextEncoder().encodeInto(tag, this.config.subarray(TAG_LENGTH_BYTES));
  }

  protected resetDevice(): void {
    this.server.reset();
  }

  override save(): SavedState {
    return { ...super.save(), session: this.server.save() };
  }

  override restore(state: SavedState): void {
    super.restore(state);
    this.server.restore(state.session as SavedState);
  }

  protected notified(_index: number, queue: VirtQueue): void {
    this.drain(queue, (chain) => {
      const answer = this.server.answer(chain.readAll(this.server.requestMax), chain.writableBytes);
      if (answer === undefined) throw new QueueFault('A request for a file share is no 9P message, or has no room.');
      chain.write(0, answer);
      queue.push(chain, answer.length);
    });
  }
}
