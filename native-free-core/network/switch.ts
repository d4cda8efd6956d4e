// A learning Ethernet switch: which address is behind which port, and copies of frames to those who should have them.
// Owns the table of addresses, the ports with their VLANs, and their counters (IEEE 802.1Q, 8.6 to 8.8).
// Never queues a frame: a port takes it or loses it, and never knows what a port leads to.

import { finish, frameHeader, Gso, MESSAGE_MAX, unfinishedKinds } from '../devices/offload.ts';

/** What a port does with a frame for it: false if it could not take it. `header`: of a frame that it takes unfinished. */
export type Deliver = (frame: Uint8Array, header?: Uint8Array) => boolean;

export interface PortCounters {
  framesIn: number;
  framesOut: number;
  bytesIn: number;
  bytesOut: number;
  /** Frames of this port that are no valid ones: too short, too long, from a group, with a tag that it may not have. */
  refused: number;
  /** Frames of this port in the name of others. */
  spoofed: number;
  /** Frames for this port that found no room, or were too long for it. */
  dropped: number;
}

export interface SwitchOptions {
  /** Milliseconds, of any clock that does not go back. */
  now(): number;
}

/** What a port leads to. */
export interface PortOptions {
  /** The VLAN of its frames; 0 where the network is not divided: tags are the stations' own then. */
  vlan?: number;
  /** Bytes of payload that its frames may have. */
  mtu?: number;
  /** It leads to another switch of the same network: frames of a VLAN carry its number in a service tag there. */
  isTrunk?: boolean;
  /** The address of its card: nobody else is heard under it. */
  station?: Uint8Array;
  /** Whether a frame that comes in here may go on; one that may not is in the name of somebody else. */
  admits?(frame: Uint8Array): boolean;
  /** Kinds of unfinished frames that it takes at the moment, bits of `Unfinished`; none where nothing is said. */
  takes?(): number;
  /** Addresses that are learned behind it, and heard, at most; others are spoofed. None: the oldest is forgotten. */
  stationsMax?: number;
}

/** Milliseconds after which an address that was silent is forgotten (IEEE 802.1D, table 7-5). */
const AGING = 300_000;
/** Addresses learned behind one port: who makes up more only displaces its own. */
const PORT_ADDRESSES = 1024;
/** Jumbo frames pass: who has a smaller MTU neither sends nor asks for them. */
export const DEFAULT_MTU = 9000;
/** VLANs that a port may be in (IEEE 802.1Q, table 9-2). */
export const VLAN_MAX = 4094;
const HEADER_BYTES = 14;
const TAG_BYTES = 4;
const CUSTOMER_TAG = 0x8100;
const SERVICE_TAG = 0x88a8;
const VLAN_MASK = 0xfff;

interface Learned {
  readonly port: SwitchPort;
  at: number;
}

export class SwitchPort {
  readonly counters: PortCounters = {
    ...{ framesIn: 0, framesOut: 0, bytesIn: 0, bytesOut: 0 },
    ...{ refused: 0, spoofed: 0, dropped: 0 },
  };
  /** @internal What is behind the port by VLAN and address, heard of longest ago first. */
  readonly addresses = new Map<string, { vlan: number; address: number }>();
  /** @internal */
  readonly options: PortOptions;
  /** @internal The longest frame. */
  readonly longest: number;
  private readonly owner: Switch;
  private readonly deliver: Deliver;

  constructor(owner: Switch, deliver: Deliver, options: PortOptions) {
    this.owner = owner;
    this.deliver = deliver;
    this.options = options;
    this.longest = (options.mtu ?? DEFAULT_MTU) + HEADER_BYTES + (options.isTrunk ? 2 : 1) * TAG_BYTES;
  }

  /** A frame comes in here, with its header if it is unfinished. Its bytes may be changed when this returns. */
  input(frame: Uint8Array, header?: Uint8Array): void {
    this.owner.forward(this, frame, header);
  }

  /** @internal A frame of a VLAN goes out here, finished unless the port takes it as it is. */
  output(vlan: number, frame: Uint8Array, header?: Uint8Array): void {
    if (header === undefined) {
      this.pass(vlan, frame);
      return;
    }
    const told = frameHeader(header);
    const kinds = unfinishedKinds(told);
    if ((kinds & ~(this.options.takes?.() ?? 0)) === 0) this.pass(vlan, frame, kinds === 0 ? undefined : header);
    // Other ports may take what is changed here as it was.
    else finish(told.gso === Gso.none ? frame.slice() : frame, told, (finished) => this.pass(vlan, finished));
  }

  private pass(vlan: number, frame: Uint8Array, header?: Uint8Array): void {
    const { counters } = this;
    const isTagged = this.options.isTrunk === true && vlan !== 0;
    // A message that is not cut yet is as long as its segments will be.
    const told = header && frameHeader(header);
    const length = told === undefined || told.gso === Gso.none ? frame.length : Math.min(frame.length, told.segment);
    if (length > this.longest || !this.deliver(isTagged ? tagged(frame, vlan) : frame, header)) {
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
  private readonly ports = new Set<SwitchPort>();
  /** By VLAN, then by the 48-bit address as a number. */
  private readonly tables = new Map<number, Map<number, Learned>>();
  /** Cards' addresses and their ports. */
  private readonly cards = new Map<number, SwitchPort>();
  /** Sees each frame that passes, once; for recordings. */
  tap: ((frame: Uint8Array) => void) | undefined;

  constructor(options: SwitchOptions) {
    this.options = options;
  }

  get portCount(): number {
    return this.ports.size;
  }

  connect(deliver: Deliver, options: PortOptions = {}): SwitchPort {
    const port = new SwitchPort(this, deliver, options);
    this.ports.add(port);
    if (options.station) {
      const address = addressAt(options.station, 0);
      // Two cards with one address are both heard: that was somebody's wish.
      if (!this.cards.has(address)) this.cards.set(address, port);
    }
    return port;
  }

  /** Addresses that are known. */
  get addressCount(): number {
    return [...this.tables.values()].reduce((sum, table) => sum + table.size, 0);
  }

  /** @internal */
  remove(port: SwitchPort): void {
    this.ports.delete(port);
    for (const { vlan, address } of port.addresses.values()) this.forget(vlan, address);
    port.addresses.clear();
    for (const [address, owner] of this.cards) if (owner === port) this.cards.delete(address);
  }

  /** @internal */
  forward(from: SwitchPort, frame: Uint8Array, header?: Uint8Array): void {
    if (!this.ports.has(from)) return;
    const { counters, options } = from;
    const isTrunk = options.isTrunk === true;
    const type = (frame[12] << 8) | frame[13];
    const isServiceTagged = type === SERVICE_TAG;
    const isTagged = type === CUSTOMER_TAG && (((frame[14] << 8) | frame[15]) & VLAN_MASK) !== 0;
    const ownVlan = options.vlan ?? 0;
    // A group as the source is no station (IEEE 802.3, 3.2.3). Who is in a VLAN cannot choose another; nobody but a switch
    // chooses that of a frame.
    const isWrongTag = isTrunk ? false : isServiceTagged || (ownVlan !== 0 && isTagged);
    const longest = header !== undefined && frameHeader(header).gso !== Gso.none ? MESSAGE_MAX : from.longest;
    if (frame.length < HEADER_BYTES + (isServiceTagged ? TAG_BYTES : 0) || frame.length > longest) {
      counters.refused++;
      return;
    }
    if ((frame[6] & 1) !== 0 || isWrongTag) {
      counters.refused++;
      return;
    }
    const vlan = isServiceTagged ? ((frame[14] << 8) | frame[15]) & VLAN_MASK : ownVlan;
    const plain = isServiceTagged ? untagged(frame) : frame;
    const source = addressAt(frame, 6);
    const card = this.cards.get(source);
    const isOthers = card !== undefined && card !== from && !isSameStation(card, from);
    if (isOthers || options.admits?.(plain) === false || !this.learn(source, vlan, from)) {
      counters.spoofed++;
      return;
    }
    counters.framesIn++;
    counters.bytesIn += frame.length;
    this.tap?.(plain);
    if ((frame[0] & 1) === 0) {
      const learned = this.tables.get(vlan)?.get(addressAt(frame, 0));
      if (learned !== undefined && this.options.now() - learned.at <= AGING) {
        if (learned.port !== from && mayHear(learned.port, vlan)) learned.port.output(vlan, plain, header);
        return;
      }
    }
    for (const port of this.ports) if (port !== from && mayHear(port, vlan)) port.output(vlan, plain, header);
  }

  /** False where the port has no room for another station. */
  private learn(address: number, vlan: number, port: SwitchPort): boolean {
    const now = this.options.now();
    let table = this.tables.get(vlan);
    const known = table?.get(address);
    if (known?.port === port) {
      known.at = now;
      return true;
    }
    const { stationsMax } = port.options;
    const isCard = this.cards.get(address) === port;
    if (stationsMax !== undefined && !isCard && port.addresses.size >= stationsMax) return false;
    // The station moved, or is new.
    const key = `${vlan}/${address}`;
    known?.port.addresses.delete(key);
    if (port.addresses.size >= PORT_ADDRESSES) {
      const [oldestKey, oldest] = port.addresses.entries().next().value!;
      port.addresses.delete(oldestKey);
      this.forget(oldest.vlan, oldest.address);
    }
    port.addresses.set(key, { vlan, address });
    // What was forgotten last may have been the table's only one.
    table = this.tables.get(vlan);
    if (table === undefined) this.tables.set(vlan, (table = new Map()));
    table.set(address, { port, at: now });
    return true;
  }

  private forget(vlan: number, address: number): void {
    const table = this.tables.get(vlan);
    table?.delete(address);
    if (table?.size === 0) this.tables.delete(vlan);
  }
}

function mayHear({ options }: SwitchPort, vlan: number): boolean {
  return options.isTrunk === true || (options.vlan ?? 0) === vlan;
}

function isSameStation(left: SwitchPort, right: SwitchPort): boolean {
  const [a, b] = [left.options.station, right.options.station];
  return a !== undefined && b !== undefined && addressAt(a, 0) === addressAt(b, 0);
}

/** A frame with a service tag behind its addresses. */
function tagged(frame: Uint8Array, vlan: number): Uint8Array {
  const bytes = new Uint8Array(frame.length + TAG_BYTES);
  bytes.set(frame.subarray(0, 12));
  bytes.set([SERVICE_TAG >> 8, SERVICE_TAG & 0xff, vlan >> 8, vlan & 0xff], 12);
  bytes.set(frame.subarray(12), 12 + TAG_BYTES);
  return bytes;
}

function untagged(frame: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(frame.length - TAG_BYTES);
  bytes.set(frame.subarray(0, 12));
  bytes.set(frame.subarray(12 + TAG_BYTES), 12);
  return bytes;
}

/** Six bytes as a number. */
export function addressAt(bytes: Uint8Array, at: number): number {
  const high = (bytes[at] << 8) | bytes[at + 1];
  const low = ((bytes[at + 2] << 24) | (bytes[at + 3] << 16) | (bytes[at + 4] << 8) | bytes[at + 5]) >>> 0;
  return high * 2 ** 32 + low;
}
