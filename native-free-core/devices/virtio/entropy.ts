// A virtio entropy source: buffers filled with random bytes (VIRTIO 1.2, 5.4).
// Owns how much a request is given.
// Never knows where randomness comes from.

import type { Randomness } from '../../host.ts';
import type { DmaMemory } from '../dma.ts';
import { VirtioDevice } from './device.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

const QUEUE_SIZE = 64;
/** Bytes that a request is given; a driver that wants more asks again. */
const REQUEST_BYTES_MAX = 4096;

export class VirtioEntropy extends VirtioDevice {
  private readonly randomness: Randomness;

  constructor({ memory, randomness }: { memory: DmaMemory; randomness: Randomness }) {
    // Split rings alone: a source of this little traffic gains nothing from packed ones.
    super({ type: DeviceType.entropy, name: 'entropy source', memory, packed: false, queues: [QUEUE_SIZE] });
    this.randomness = randomness;
  }

  protected resetDevice(): void {}

  protected notified(_index: number, queue: VirtQueue): void {
    this.drain(queue, (chain) => {
      const bytes = new Uint8Array(Math.min(chain.writableBytes, REQUEST_BYTES_MAX));
      this.randomness(bytes);
      chain.write(0, bytes);
      queue.push(chain, bytes.length);
    });
  }
}
