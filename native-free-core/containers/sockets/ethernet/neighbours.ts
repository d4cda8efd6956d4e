// Which hardware address an IPv4 address of a network has (RFC 826), and packets that wait to know it.
// Owns the table, the questions and their repetition.
// Never sends a packet itself: its link does.

import { type Address, dword, ETHERNET_BYTES, EtherType, putDword, putWord } from '../../../network/nat/wire.ts';

const ARP_BYTES = 28;
const FRAME_BYTES = 60;
const REQUEST = 1;
const REPLY = 2;
/** Neighbours that are known, packets that wait for one, and neighbours that are asked for: each bounded. */
const KNOWN_MAX = 1024;
const WAITING_MAX = 16;
const ASKED_MAX = 64;
/** How often a neighbour is asked for, and nanoseconds between. */
const TRIES = 3;
const AGAIN = 1e9;
/** Nanoseconds for which an answer holds. */
const LIFE = 60e9;

export const EVERYBODY = new Uint8Array(6).fill(0xff);

export interface NeighbourWiring {
  readonly hardware: Uint8Array;
  now(): number;
  at(time: number, act: () => void): () => void;
  /** The address that questions come from; undefined: there is none yet. */
  own(): Address | undefined;
  isOwn(address: Address): boolean;
  send(frame: Uint8Array): void;
}

/** What waits for a neighbour. */
export interface Waiting {
  go(hardware: Uint8Array): void;
  /** Nobody has answered. */
  fail(): void;
}

interface Asked {
  readonly waiting: Waiting[];
  tries: number;
  stop: () => void;
}

export class Neighbours {
  private readonly wiring: NeighbourWiring;
  /** The longest known first. */
  private readonly known = new Map<Address, { hardware: Uint8Array; until: number }>();
  private readonly asked = new Map<Address, Asked>();

  constructor(wiring: NeighbourWiring) {
    this.wiring = wiring;
  }

  /** Goes on as soon as the address of a neighbour is known. */
  resolve(address: Address, waiting: Waiting): void {
    const found = this.known.get(address);
    if (found && found.until > this.wiring.now()) {
      waiting.go(found.hardware);
      return;
    }
    let asked = this.asked.get(address);
    if (!asked) {
      if (this.asked.size >= ASKED_MAX) {
        waiting.fail();
        return;
      }
      asked = { waiting: [], tries: 0, stop: () => {} };
      this.asked.set(address, asked);
      this.ask(address, asked);
    }
    // The oldest makes room.
    if (asked.waiting.length >= WAITING_MAX) asked.waiting.shift();
    asked.waiting.push(waiting);
  }

  private ask(address: Address, asked: Asked): void {
    const own = this.wiring.own();
    if (asked.tries++ >= TRIES || own === undefined) {
      this.asked.delete(address);
      for (const each of asked.waiting) each.fail();
      return;
    }
    this.wiring.send(this.frame(REQUEST, EVERYBODY, own, address));
    asked.stop = this.wiring.at(this.wiring.now() + AGAIN, () => this.ask(address, asked));
  }

  /** Tells everybody who has an address (RFC 5227, 2.3). */
  announce(address: Address): void {
    this.wiring.send(this.frame(REQUEST, EVERYBODY, address, address));
  }

  /** An ARP frame. */
  receive(frame: Uint8Array): void {
    const message = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + ARP_BYTES);
    if (message.length < ARP_BYTES || dword(message, 0) !== 0x00010800 || message[4] !== 6 || message[5] !== 4) return;
    const sender = dword(message, 14);
    const wanted = dword(message, 24);
    const hardware = message.slice(8, 14);
    const isForUs = this.wiring.isOwn(wanted);
    if (sender !== 0 && (isForUs || this.known.has(sender) || this.asked.has(sender))) this.learn(sender, hardware);
    if (message[7] === REQUEST && isForUs && !this.wiring.isOwn(sender))
      this.wiring.send(this.frame(REPLY, hardware, wanted, sender));
  }

  private learn(address: Address, hardware: Uint8Array): void {
    this.known.delete(address);
    this.known.set(address, { hardware, until: this.wiring.now() + LIFE });
    if (this.known.size > KNOWN_MAX) this.known.delete(this.known.keys().next().value!);
    const asked = this.asked.get(address);
    if (!asked) return;
    asked.stop();
    this.asked.delete(address);
    for (const each of asked.waiting) each.go(hardware);
  }

  private frame(operation: number, to: Uint8Array, own: Address, address: Address): Uint8Array {
    const { hardware } = this.wiring;
    const frame = new Uint8Array(FRAME_BYTES);
    frame.set(to);
    frame.set(hardware, 6);
    putWord(frame, 12, EtherType.arp);
    const message = frame.subarray(ETHERNET_BYTES);
    putDword(message, 0, 0x00010800);
    putDword(message, 4, 0x06040000 | operation);
    message.set(hardware, 8);
    putDword(message, 14, own);
    if (operation === REPLY) message.set(to, 18);
    putDword(message, 24, address);
    return frame;
  }
}
