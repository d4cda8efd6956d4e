// The virtio sockets of the guests of this process: their cables at the switch, and the host's end.
// Owns what is plugged in.
// Never looks into a stream.

import { ControlBlock, ControlSlot } from '../../native-free-core/hypervisor/control-block.ts';
import { PacketRing } from '../../native-free-core/network/packet-ring.ts';
import { type VsockPort, VsockSwitch } from '../../native-free-core/network/vsock/vsock-switch.ts';
import type { ToNetworks } from './network-messages.ts';
import { VsockHost } from './vsock-host.ts';

/** Packets taken from one guest before the next one's turn. */
const BATCH = 128;

export class VirtioSockets {
  readonly #hub = new VsockSwitch();
  readonly #host: VsockHost;
  readonly #problem: (sentence: string) => void;

  /** `problem` is told what cannot be, in a sentence; `ring` is called when a socket of the host gave guests something. */
  constructor(problem: (sentence: string) => void, ring: () => void) {
    this.#problem = problem;
    this.#host = new VsockHost(this.#hub, ring);
  }

  plug({ cid, cable, control, path }: ToNetworks & { type: 'plugSocket' }): SocketPort {
    const close = path === null ? () => {} : this.#host.open(cid, path, this.#problem);
    return new SocketPort(this.#hub, cid, cable, new ControlBlock(control).slots, close);
  }
}

/** A guest's socket device, as this end of its cable. */
export class SocketPort {
  readonly #port: VsockPort;
  readonly #fromGuest: PacketRing;
  readonly #slots: Int32Array;
  readonly #closed: () => void;

  constructor(
    hub: VsockSwitch,
    cid: number,
    cable: { fromGuest: SharedArrayBuffer; toGuest: SharedArrayBuffer },
    slots: Int32Array,
    closed: () => void,
  ) {
    this.#fromGuest = new PacketRing(cable.fromGuest);
    this.#slots = slots;
    this.#closed = closed;
    const toGuest = new PacketRing(cable.toGuest);
    toGuest.isOpen = true;
    this.#port = hub.connect(cid, (packet) => {
      const result = toGuest.push(packet);
      if (result === 'first') this.#wakeGuest();
      return result !== 'full';
    });
  }

  carry(): boolean {
    this.#port.flush();
    let count = 0;
    for (; count < BATCH; count++) {
      const packet = this.#fromGuest.next();
      if (packet === undefined) break;
      this.#port.input(packet);
      this.#fromGuest.advance();
    }
    if (this.#fromGuest.takeWaiting()) this.#wakeGuest();
    return count > 0;
  }

  #wakeGuest(): void {
    Atomics.add(this.#slots, ControlSlot.doorbell, 1);
    Atomics.notify(this.#slots, ControlSlot.doorbell);
  }

  close(): void {
    this.#port.close();
    this.#closed();
  }
}
