// The thread of the networks: carries frames between guests, and to other processes of the same home.
// Owns the switches and what is plugged into them.
// Never executes a guest, never waits for one, and never keeps a frame that a guest does not take.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { ControlBlock, ControlSlot } from '../../native-free-core/hypervisor/control-block.ts';
import type { Forward } from '../../native-free-core/network/nat/forwards.ts';
import type { HostListener } from '../../native-free-core/network/nat/host-sockets.ts';
import { Nat } from '../../native-free-core/network/nat/nat.ts';
import { PacketRing } from '../../native-free-core/network/packet-ring.ts';
import { Switch, type SwitchPort } from '../../native-free-core/network/switch.ts';
import { CaptureFile } from './capture-file.ts';
import type { FromNetworks, NetworkStart, ToNetworks } from './network-messages.ts';
import { nodeSockets } from './node-sockets.ts';
import { Trunk } from './trunk.ts';

/** Milliseconds between two looks at what is due by time in a translated network. */
const NAT_TICK = 100;

/** Frames taken from one guest before the next one's turn. */
const BATCH = 128;

/** A guest's card, as this end of its cable. */
class GuestPort {
  readonly #network: Network;
  readonly #port: SwitchPort;
  readonly #fromGuest: PacketRing;
  readonly #toGuest: PacketRing;
  readonly #slots: Int32Array;
  readonly #capture: CaptureFile | null;
  readonly #listeners: HostListener[] = [];
  #isClosed = false;

  constructor(network: Network, { network: name, cable, control, capture }: ToNetworks & { type: 'plug' }) {
    this.#network = network;
    this.#fromGuest = new PacketRing(cable.fromGuest);
    this.#toGuest = new PacketRing(cable.toGuest);
    this.#slots = new ControlBlock(control).slots;
    this.#capture = capture === null ? null : new CaptureFile(capture, name, tell);
    const deliver = (frame: Uint8Array, header?: Uint8Array): boolean => {
      const result = this.#toGuest.push(frame, header);
      if (result !== 'full') this.#capture?.add(frame, 'in');
      if (result === 'first') this.#wakeGuest();
      return result !== 'full';
    };
    this.#port = network.hub.connect(deliver, () => this.#toGuest.takes);
    this.#toGuest.isOpen = true;
    this.#wakeGuest();
  }

  /** Takes what the guest sent; gives whether there was anything. */
  carry(): boolean {
    for (let count = 0; count < BATCH; count++) {
      const frame = this.#fromGuest.next();
      if (frame === undefined) {
        this.#letSend();
        return count > 0;
      }
      this.#capture?.add(frame, 'out');
      this.#port.input(frame, this.#fromGuest.header);
      this.#fromGuest.advance();
    }
    this.#letSend();
    return true;
  }

  #letSend(): void {
    if (this.#fromGuest.takeWaiting()) this.#wakeGuest();
  }

  #wakeGuest(): void {
    Atomics.add(this.#slots, ControlSlot.doorbell, 1);
    Atomics.notify(this.#slots, ControlSlot.doorbell);
  }

  /** Opens the ports of the host that lead to this card; rejects with one sentence where one cannot be had. */
  async forward(forwards: readonly Forward[], station: Uint8Array): Promise<void> {
    for (const forward of forwards) {
      const listener = await this.#network.forward(forward, station);
      if (this.#isClosed) listener.close();
      else this.#listeners.push(listener);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const listener of this.#listeners) listener.close();
    // What the guest sent last is still on its way.
    while (this.carry());
    this.#toGuest.isOpen = false;
    this.#capture?.close();
    this.#port.close();
    this.#network.leave(this);
  }
}

/** One network of this process: a switch, and the way to the same network of other processes. */
class Network {
  readonly hub = new Switch({ now: () => performance.now() });
  readonly ports = new Set<GuestPort>();
  readonly #trunk: Trunk | null;
  readonly #ended: () => void;

  readonly #nat: Nat | null = null;
  readonly #ticks: NodeJS.Timeout | undefined;

  constructor(name: string, meeting: string | null, ended: () => void) {
    this.#ended = ended;
    this.#trunk = meeting === null ? null : new Trunk({ meeting, hub: this.hub, problem: tell });
    if (name !== 'nat' && name !== 'nat+host') return;
    const nat = new Nat({
      sockets: nodeSockets(),
      allowHost: name === 'nat+host',
      send: (frame) => gateway.input(frame),
    });
    const gateway = this.hub.connect((frame) => {
      nat.input(frame);
      return true;
    });
    this.#nat = nat;
    this.#ticks = setInterval(() => nat.tick(), NAT_TICK);
  }

  /** All that came at once has been carried. */
  flush(): void {
    this.#nat?.flush();
  }

  async forward(forward: Forward, station: Uint8Array): Promise<HostListener> {
    if (!this.#nat) throw new Error('Ports are forwarded to guests of a translated network only: of nat and nat+host.');
    return this.#nat.forward(forward, station);
  }

  leave(port: GuestPort): void {
    this.ports.delete(port);
    if (this.ports.size > 0) return;
    this.#trunk?.close();
    clearInterval(this.#ticks);
    this.#nat?.close();
    this.#ended();
  }
}

class NetworkThread {
  readonly #doorbell: Int32Array;
  readonly #networks = new Map<string, Network>();
  readonly #ports = new Map<number, GuestPort>();

  constructor({ doorbell }: NetworkStart) {
    this.#doorbell = new Int32Array(doorbell);
  }

  receive(message: ToNetworks): void {
    if (message.type === 'plug') this.#plug(message);
    else {
      this.#ports.get(message.id)?.close();
      this.#ports.delete(message.id);
    }
    // What a guest sent before its cable was plugged in has rung already.
    Atomics.add(this.#doorbell, 0, 1);
    Atomics.notify(this.#doorbell, 0);
  }

  #plug(message: ToNetworks & { type: 'plug' }): void {
    const { network: name, meeting, id } = message;
    let network = this.#networks.get(name);
    if (!network) this.#networks.set(name, (network = new Network(name, meeting, () => this.#networks.delete(name))));
    const port = new GuestPort(network, message);
    network.ports.add(port);
    this.#ports.set(id, port);
    const plugged = (problem: string | null): void =>
      parentPort!.postMessage({ type: 'plugged', id, problem } satisfies FromNetworks);
    port.forward(message.forwards, message.station).then(
      () => plugged(null),
      (error: Error) => plugged(error.message),
    );
  }

  /** Carries frames until the last cable is unplugged. */
  async run(): Promise<void> {
    do {
      const doorbell = Atomics.load(this.#doorbell, 0);
      let isBusy = false;
      for (const port of this.#ports.values()) isBusy = port.carry() || isBusy;
      for (const network of this.#networks.values()) network.flush();
      // Sockets and messages are served between turns of the event loop.
      if (isBusy) await nextTurn();
      else {
        const bell = Atomics.waitAsync(this.#doorbell, 0, doorbell);
        if (bell.async) await bell.value;
      }
    } while (this.#ports.size > 0);
  }
}

function tell(message: string): void {
  parentPort!.postMessage({ type: 'problem', message } satisfies FromNetworks);
}

if (!parentPort) throw new Error('This module is the thread of the networks; start it as a worker.');
const thread = new NetworkThread(workerData as NetworkStart);
const firstPlug = new Promise<void>((resolve) => {
  parentPort!.on('message', (message: ToNetworks) => {
    thread.receive(message);
    resolve();
  });
});
await firstPlug;
await thread.run();
parentPort.close();
