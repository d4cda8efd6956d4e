// A learning Ethernet switch: which address is behind which port, and copies of frames to those who should have them.
// Owns the table of addresses, the ports and their counters (IEEE 802.1D, 7.7 to 7.9).
// Never queues a frame: a port takes it or loses it, and never knows what a port leads to.

import { finish, frameHeader, Gso, MESSAGE_MAX, unfinishedKinds } from '../devices/offload.ts';

/** What a port does with a frame for it: false if it could not take it. `header`: of a frame that it takes unfinished. */
export type Deliver = (frame: Uint8Array, header?: Uint8Array) => boolean;

export interface PortCounters {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
  /** Frames of this port that are no valid ones: too short, too long, from a group. */
  refused: number;
  /** Frames for this port that found no room. */
  dropped: number;
}

export interface SwitchOptions {
  /** Milliseconds, of any clock that does not go back. */
  now(): number;
  /** Bytes of payload that a frame may have. */
  mtu?: number;
}

/** Milliseconds after which an address that was silent is forgotten (IEEE 802.1D, table 7-5). */
const AGING = 300_000;
/** Addresses learned behind one port: who makes up more only displaces its own. */
const PORT_ADDRESSES = 1024;
/** Jumbo frames pass: who has a smaller MTU neither sends nor asks for them. */
const DEFAULT_MTU = 9000;
const HEADER_BYTES = 14;
const TAG_BYTES = 4;

interface Learned {
  readonly port: SwitchPort;
  at: number;
}

export class SwitchPort {
  readonly counters: PortCounters = { framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0, refused: 0, dropped: 0 };
  /** @internal What is behind the port, the address heard of longest ago first. */
  readonly addresses = new Set<number>();
  private readonly owner: Switch;
  private readonly deliver: Deliver;
  private readonly takes: () => number;

  constructor(owner: Switch, deliver: Deliver, takes: () => number) {
    this.owner = owner;
    this.deliver = deliver;
    this.takes = takes;
  }

  /** A frame comes in here, with its header if it is unfinished. Its bytes may be changed when this returns. */
  input(frame: Uint8Array, header?: Uint8Array): void {
    this.owner.forward(this, frame, header);
  }

  /** @internal A frame goes out here, finished unless the port takes it as it is. */
  output(frame: Uint8Array, header?: Uint8Array): void {
    if (header === undefined) {
      this.pass(frame);
      return;
    }
    const told = frameHeader(header);
    const kinds = unfinishedKinds(told);
    if ((kinds & ~this.takes()) === 0) this.pass(frame, kinds === 0 ? undefined : header);
    // Other ports may take what is changed here as it was.
    else finish(told.gso === Gso.none ? frame.slice() : frame, told, (finished) => this.pass(finished));
  }

  private pass(frame: Uint8Array, header?: Uint8Array): void {
    const { counters } = this;
    if (!this.deliver(frame, header)) {
      counters.dropped++;
      return;
    }
    counters.framesOut++;
    counters.bytesOut += frame.length;
  }

  /** Unplugs it. */
  close(): void {
    this.owner.remove(this);
  }
}

export class Switch {
  private readonly options: SwitchOptions;
  private readonly longest: number;
  private readonly ports = new Set<SwitchPort>();
  /** By the 48-bit address as a number. */
  private readonly table = new Map<number, Learned>();

  constructor(options: SwitchOptions) {
    this.options = options;
    this.longest = (options.mtu ?? DEFAULT_MTU) + HEADER_BYTES + TAG_BYTES;
  }

  get portCount(): number {
    return this.ports.size;
  }

  /** `takes`: kinds of unfinished frames that the port takes at the moment, bits of `Unfinished`. */
  connect(deliver: Deliver, takes: () => number = () => 0): SwitchPort {
    const port = new SwitchPort(this, deliver, takes);
    this.ports.add(port);
    return port;
  }

  /** Addresses that are known. */
  get addressCount(): number {
    return this.table.size;
  }

  /** @internal */
  remove(port: SwitchPort): void {
    this.ports.delete(port);
    for (const address of port.addresses) this.table.delete(address);
    port.addresses.clear();
  }

  /** @internal */
  forward(from: SwitchPort, frame: Uint8Array, header?: Uint8Array): void {
    if (!this.ports.has(from)) return;
    const { counters } = from;
    const longest = header !== undefined && frameHeader(header).gso !== Gso.none ? MESSAGE_MAX : this.longest;
    // A group as the source is no station (IEEE 802.3, 3.2.3).
    if (frame.length < HEADER_BYTES || frame.length > longest || (frame[6] & 1) !== 0) {
      counters.refused++;
      return;
    }
    counters.framesIn++;
    counters.bytesIn += frame.length;
    const now = this.options.now();
    this.learn(addressAt(frame, 6), from, now);
    if ((frame[0] & 1) === 0) {
      const learned = this.table.get(addressAt(frame, 0));
      if (learned !== undefined && now - learned.at <= AGING) {
        if (learned.port !== from) learned.port.output(frame, header);
        return;
      }
    }
    for (const port of this.ports) if (port !== from) port.output(frame, header);
  }

  private learn(address: number, port: SwitchPort, now: number): void {
    const known = this.table.get(address);
    if (known?.port === port) {
      known.at = now;
      return;
    }
    // The station moved, or is new.
    known?.port.addresses.delete(address);
    if (port.addresses.size >= PORT_ADDRESSES) {
      const [oldest] = port.addresses;
      port.addresses.delete(oldest);
      this.table.delete(oldest);
    }
    port.addresses.add(address);
    this.table.set(address, { port, at: now });
  }
}

/** Six bytes as a number. */
export function addressAt(bytes: Uint8Array, at: number): number {
  const high = (bytes[at] << 8) | bytes[at + 1];
  const low = ((bytes[at + 2] << 24) | (bytes[at + 3] << 16) | (bytes[at + 4] << 8) | bytes[at + 5]) >>> 0;
  return high * 2 ** 32 + low;
}
