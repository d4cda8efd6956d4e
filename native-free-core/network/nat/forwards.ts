// Ports of the host that lead to guests of a translated network.
// Owns the sockets that listen, and who is answered through which of the gateway's ports.
// Never lets a guest choose what is listened to: its settings do.

import type { HostListener, HostSockets, HostTcp, HostTcpEvents, HostUdp } from './host-sockets.ts';
import type { IpAddress } from './wire.ts';

/** Strangers whose datagrams go to guests at once; whoever was silent for longest is forgotten for another. */
const STRANGERS_MAX = 256;
/** Milliseconds of silence after which one is forgotten (RFC 4787, REQ-5). */
const STRANGER_IDLE = 120_000;
/** The gateway's ports that stand for them, and for connections (RFC 6335, 6). */
const FIRST_PORT = 49_152;
const PORTS = 0x10000 - FIRST_PORT;

/** Where the host listens, and which guest and port hear it. */
export interface Forward {
  protocol: 'tcp' | 'udp';
  address: string;
  port: number;
  guestPort: number;
}

export interface ForwardsWiring {
  sockets: HostSockets;
  /** Where the guest with this hardware address is now, in IPv4 if it has that; undefined where nobody knows. */
  find(station: Uint8Array): IpAddress | undefined;
  /** Calls a guest's TCP port from one of the gateway's; false where there is no room for another connection. */
  call(guest: { address: IpAddress; port: number }, from: number, connect: (events: HostTcpEvents) => HostTcp): boolean;
  /** Sends a datagram to a guest from one of the gateway's ports. */
  send(guest: { address: IpAddress; port: number }, from: number, bytes: Uint8Array): void;
}

/** Somebody outside who sent a datagram to a forwarded port. */
interface Stranger {
  key: string;
  guest: IpAddress;
  guestPort: number;
  usedAt: number;
  answer(bytes: Uint8Array): void;
}

export class Forwards {
  private readonly wiring: ForwardsWiring;
  /** By the gateway's port that stands for them, heard of longest ago first. */
  private readonly strangers = new Map<number, Stranger>();
  private readonly ports = new Map<string, number>();
  private last = FIRST_PORT;

  constructor(wiring: ForwardsWiring) {
    this.wiring = wiring;
  }

  /**
   * Listens for the guest with hardware address `station` until the answer is closed. Rejects with an Error of one sentence
   * where nobody can listen there.
   */
  async add(forward: Forward, station: Uint8Array): Promise<HostListener> {
    const { sockets } = this.wiring;
    const { protocol, address, port } = forward;
    if (protocol === 'tcp')
      return sockets.listenTcp(address, port, (connect) => this.connected(forward, station, connect));
    const listening: { socket?: HostUdp } = {};
    listening.socket = await sockets.listenUdp(address, port, (bytes, from, fromPort) => {
      const key = `${address}:${port}<${from}:${fromPort}`;
      this.received(forward, station, key, bytes, (answer) => listening.socket?.send(answer, from, fromPort));
    });
    return listening.socket;
  }

  /** A port of the gateway that none of `isTaken` is. */
  private freePort(isTaken: (port: number) => boolean): number {
    do this.last = FIRST_PORT + ((this.last + 1 - FIRST_PORT) % PORTS);
    while (isTaken(this.last));
    return this.last;
  }

  private connected({ guestPort }: Forward, station: Uint8Array, connect: (events: HostTcpEvents) => HostTcp): void {
    const address = this.wiring.find(station);
    // Connections are fewer than ports: with another one each time, none is taken when it comes round.
    const from = this.freePort((port) => this.strangers.has(port));
    if (address !== undefined && this.wiring.call({ address, port: guestPort }, from, connect)) return;
    connect({ connected() {}, data() {}, drained() {}, ended() {}, closed() {} }).destroy();
  }

  private received(
    { guestPort }: Forward,
    station: Uint8Array,
    key: string,
    bytes: Uint8Array,
    answer: (bytes: Uint8Array) => void,
  ): void {
    const guest = this.wiring.find(station);
    if (guest === undefined) return;
    let port = this.ports.get(key);
    if (port === undefined) {
      if (this.strangers.size >= STRANGERS_MAX) this.forget(this.strangers.keys().next().value!);
      port = this.freePort((each) => this.strangers.has(each));
    }
    this.strangers.delete(port);
    this.strangers.set(port, { key, guest, guestPort, usedAt: this.wiring.sockets.now(), answer });
    this.ports.set(key, port);
    this.wiring.send({ address: guest, port: guestPort }, port, bytes);
  }

  /** A guest's datagram to a port of the gateway; whether it was an answer to somebody. */
  answered(guest: IpAddress, guestPort: number, port: number, bytes: Uint8Array): boolean {
    const stranger = this.strangers.get(port);
    if (stranger === undefined || stranger.guest !== guest || stranger.guestPort !== guestPort) return false;
    stranger.usedAt = this.wiring.sockets.now();
    stranger.answer(bytes);
    return true;
  }

  /** Forgets who was silent for long. */
  tick(now: number): void {
    for (const [port, { usedAt }] of this.strangers) if (now - usedAt > STRANGER_IDLE) this.forget(port);
  }

  private forget(port: number): void {
    const stranger = this.strangers.get(port);
    if (stranger) this.ports.delete(stranger.key);
    this.strangers.delete(port);
  }
}
