// The thread of the networks: carries frames between guests, and to other processes of the same home.
// Owns the switches and what is plugged into them.
// Never executes a guest, never waits for one, and never keeps a frame that a guest does not take.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { finish, frameHeader, Unfinished } from '../../native-free-core/devices/offload.ts';
import { ControlBlock, ControlSlot } from '../../native-free-core/hypervisor/control-block.ts';
import { type LinkConditions, LinkDirection, type LinkHost, perfectLink } from '../../native-free-core/network/link.ts';
import type { Forward } from '../../native-free-core/network/nat/forwards.ts';
import type { HostListener } from '../../native-free-core/network/nat/host-sockets.ts';
import { GATEWAY_HARDWARE, Nat } from '../../native-free-core/network/nat/nat.ts';
import { PacketRing } from '../../native-free-core/network/packet-ring.ts';
import type { Direction } from '../../native-free-core/network/pcapng.ts';
import { type PortOptions, Switch, type SwitchPort } from '../../native-free-core/network/switch.ts';
import { CaptureFile } from './capture-file.ts';
import type { FromNetworks, NetworkStart, NetworkStatus, PortStatus, ToNetworks } from './network-messages.ts';
import { nodeSockets } from './node-sockets.ts';
import { Trunk } from './trunk.ts';
import { type SocketPort, VirtioSockets } from './virtio-sockets.ts';

/** Milliseconds between two looks at what is due by time in a translated network. */
const NAT_TICK = 100;

/** Frames taken from one guest before the next one's turn. */
const BATCH = 128;

/** Stations that are heard behind one card of a translated network: its own, and some that it bridges. */
const NAT_STATIONS = 8;

const linkHost: LinkHost = {
  now: () => performance.now(),
  random: Math.random,
  after: (milliseconds, act) => void setTimeout(act, milliseconds),
};

/** A recording that begins and ends while frames pass. */
class Recording {
  #file: CaptureFile | null = null;

  get file(): string | null {
    return this.#file?.file ?? null;
  }

  add(frame: Uint8Array, direction: Direction | null): void {
    this.#file?.add(frame, direction);
  }

  /** Ends the present one, which is whole then, and begins another. */
  async set(file: string | null, name: string): Promise<void> {
    const old = this.#file;
    this.#file = file === null ? null : new CaptureFile(file, name, tell);
    await old?.close();
  }
}

/** A guest's card, as this end of its cable. */
class GuestPort {
  readonly id: number;
  readonly #network: Network;
  readonly #port: SwitchPort;
  readonly #fromGuest: PacketRing;
  readonly #toGuest: PacketRing;
  readonly #slots: Int32Array;
  readonly #station: Uint8Array;
  readonly #listeners: HostListener[] = [];
  readonly #outward: LinkDirection;
  readonly #inward: LinkDirection;
  readonly recording = new Recording();
  /** What the guest's end of the cable has taken. */
  readonly #given = { framesOut: 0, bytesOut: 0 };
  #link = perfectLink;
  #isClosed = false;

  constructor(network: Network, plug: ToNetworks & { type: 'plug' }) {
    const { cable, control, capture, station, vlan, mtu } = plug;
    this.id = plug.id;
    this.#network = network;
    this.#station = station;
    this.#fromGuest = new PacketRing(cable.fromGuest);
    this.#toGuest = new PacketRing(cable.toGuest);
    this.#slots = new ControlBlock(control).slots;
    void this.recording.set(capture, plug.network);
    this.#inward = new LinkDirection(linkHost, (frame, header) => this.#give(frame, header));
    this.#port = network.hub.connect((frame, header) => this.#inward.send(frame, header), {
      ...{ vlan, mtu, station },
      ...network.guards,
      // A link with faults has them of single frames.
      takes: () => (this.#inward.isPerfect ? this.#toGuest.takes : 0),
    });
    this.#outward = new LinkDirection(linkHost, (frame, header) => {
      this.#port.input(frame, header);
      return true;
    });
    network.nat?.plug(station, plug.name);
    this.setLink(plug.link);
  }

  #give(frame: Uint8Array, header: Uint8Array | undefined): boolean {
    const result = this.#toGuest.push(frame, header);
    if (result !== 'full') {
      this.recording.add(frame, 'in');
      this.#given.framesOut++;
      this.#given.bytesOut += frame.length;
    }
    if (result === 'first') this.#wakeGuest();
    return result !== 'full';
  }

  setLink(link: LinkConditions): void {
    this.#link = link;
    this.#inward.set(link);
    this.#outward.set(link);
    this.#toGuest.isOpen = link.isUp && !this.#isClosed;
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
      this.recording.add(frame, 'out');
      const { header } = this.#fromGuest;
      if (header === undefined || this.#outward.isPerfect) this.#outward.send(frame, header);
      else finish(frame, frameHeader(header), (finished) => void this.#outward.send(finished));
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

  status(): PortStatus {
    return {
      id: this.id,
      // What a cable loses has left the switch, and has not reached the guest.
      counters: { ...this.#port.counters, ...this.#given },
      lost: this.#inward.lost + this.#outward.lost,
      link: this.#link,
      addresses: this.#network.nat?.addressesOf(this.#station) ?? [],
      capture: this.recording.file,
    };
  }

  close(): void {
    this.#isClosed = true;
    for (const listener of this.#listeners) listener.close();
    // What the guest sent last is still on its way.
    while (this.carry());
    this.#network.flush();
    this.#toGuest.isOpen = false;
    void this.recording.set(null, '');
    this.#port.close();
    this.#network.nat?.unplug(this.#station);
    this.#network.leave(this);
  }
}

/** One network of this process: a switch, and the way to the same network of other processes. */
class Network {
  readonly name: string;
  readonly hub = new Switch({ now: () => performance.now() });
  readonly ports = new Set<GuestPort>();
  readonly recording = new Recording();
  readonly nat: Nat | null = null;
  /** What ports of guests are held to. */
  readonly guards: Pick<PortOptions, 'admits' | 'stationsMax'>;
  #isFlushDue = false;
  readonly #trunk: Trunk | null;
  readonly #ended: () => void;
  readonly #ticks: NodeJS.Timeout | undefined;

  constructor(name: string, meeting: string | null, ended: () => void) {
    this.name = name;
    this.#ended = ended;
    this.guards = {};
    this.#trunk = meeting === null ? null : new Trunk({ meeting, hub: this.hub, problem: tell });
    if (name !== 'nat' && name !== 'nat+host') return;
    const nat = new Nat({
      sockets: nodeSockets(),
      allowHost: name === 'nat+host',
      send: (frame, header) => gateway.input(frame, header),
      wantsFlush: () => this.flushSoon(),
    });
    const gateway = this.hub.connect(
      (frame, header) => {
        nat.input(frame, header);
        return true;
      },
      { station: GATEWAY_HARDWARE, takes: () => Unfinished.checksum | Unfinished.tcp4 | Unfinished.tcp6 },
    );
    this.nat = nat;
    this.guards = { admits: (frame) => !nat.isForged(frame), stationsMax: NAT_STATIONS };
    this.#ticks = setInterval(() => nat.tick(), NAT_TICK);
  }

  /** All that came at once has been carried. */
  flush(): void {
    this.nat?.flush();
  }

  /** The same when all sockets have been read that there is something to read of now. */
  flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      this.flush();
    });
  }

  /** Records what passes the switch, until it is told not to. */
  async record(file: string | null): Promise<void> {
    this.hub.tap = file === null ? undefined : (frame) => this.recording.add(frame, null);
    await this.recording.set(file, this.name);
  }

  async forward(forward: Forward, station: Uint8Array): Promise<HostListener> {
    if (!this.nat) throw new Error('Ports are forwarded to guests of a translated network only: of nat and nat+host.');
    return this.nat.forward(forward, station);
  }

  status(): NetworkStatus {
    return {
      network: this.name,
      ports: [...this.ports].map((port) => port.status()),
      nat: this.nat && { open: this.nat.size, counters: this.nat.counters },
      capture: this.recording.file,
    };
  }

  leave(port: GuestPort): void {
    this.ports.delete(port);
    if (this.ports.size > 0) return;
    void this.recording.set(null, '');
    this.#trunk?.close();
    clearInterval(this.#ticks);
    this.nat?.close();
    this.#ended();
  }
}

class NetworkThread {
  readonly #doorbell: Int32Array;
  readonly #networks = new Map<string, Network>();
  readonly #ports = new Map<number, GuestPort>();
  readonly #socketPorts = new Map<number, SocketPort>();
  #sockets: VirtioSockets | null = null;

  constructor({ doorbell }: NetworkStart) {
    this.#doorbell = new Int32Array(doorbell);
  }

  receive(message: ToNetworks): void {
    if (message.type === 'plug') this.#plug(message);
    else if (message.type === 'ask') void this.#answer(message);
    else if (message.type === 'plugSocket') this.#plugSocket(message);
    else {
      for (const ports of [this.#ports, this.#socketPorts]) {
        ports.get(message.id)?.close();
        ports.delete(message.id);
      }
    }
    this.ring();
  }

  /** Wakes {@link run}. What a guest sent before its cable was plugged in has rung already. */
  ring(): void {
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

  async #answer({ id, ask }: ToNetworks & { type: 'ask' }): Promise<void> {
    if (ask.type === 'link') this.#ports.get(ask.id)?.setLink(ask.link);
    else if (ask.type === 'capture') {
      if (typeof ask.of === 'string') await this.#networks.get(ask.of)?.record(ask.file);
      else await this.#ports.get(ask.of)?.recording.set(ask.file, 'card');
    }
    const status = [...this.#networks.values()].map((network) => network.status());
    parentPort!.postMessage({ type: 'answer', id, status } satisfies FromNetworks);
  }

  #plugSocket(message: ToNetworks & { type: 'plugSocket' }): void {
    this.#sockets ??= new VirtioSockets(tell, () => this.ring());
    this.#socketPorts.set(message.id, this.#sockets.plug(message));
    parentPort!.postMessage({ type: 'plugged', id: message.id, problem: null } satisfies FromNetworks);
  }

  /** Carries frames until the last cable is unplugged. */
  async run(): Promise<void> {
    do {
      const doorbell = Atomics.load(this.#doorbell, 0);
      let isBusy = false;
      for (const ports of [this.#ports, this.#socketPorts])
        for (const port of ports.values()) isBusy = port.carry() || isBusy;
      for (const network of this.#networks.values()) network.flush();
      // Sockets and messages are served between turns of the event loop.
      if (isBusy) await nextTurn();
      else {
        const bell = Atomics.waitAsync(this.#doorbell, 0, doorbell);
        if (bell.async) await bell.value;
      }
    } while (this.#ports.size + this.#socketPorts.size > 0);
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
