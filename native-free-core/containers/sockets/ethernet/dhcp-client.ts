// A DHCP client (RFC 2131): asks a network for an address, and for more time with it.
// Owns the states of a lease and what was told with it.
// Never sets an address: whoever starts it is told.

import { type Address, dword, putDword, putWord } from '../../../network/nat/wire.ts';

export const DHCP_CLIENT_PORT = 68;
export const DHCP_SERVER_PORT = 67;
const MAGIC = 0x63825363;
const OPTIONS = 240;
const MESSAGE_BYTES = 300;
const SECOND = 1e9;
/** Nanoseconds before a question is repeated: doubled each time, up to the last. */
const AGAIN_FIRST = 0.3 * SECOND;
const AGAIN_MAX = 16 * SECOND;
const LEASE_MIN = 60;
const Type = { discover: 1, offer: 2, request: 3, acknowledge: 5, refuse: 6 } as const;
const Option = {
  mask: 1,
  router: 3,
  names: 6,
  host: 12,
  domain: 15,
  wanted: 50,
  lease: 51,
  type: 53,
  server: 54,
  list: 55,
  end: 255,
} as const;

export interface Lease {
  readonly address: Address;
  /** Bits of the network's part. */
  readonly prefix: number;
  readonly router: Address | null;
  readonly nameServers: readonly Address[];
  readonly domain: string;
}

export interface DhcpWiring {
  readonly hardware: Uint8Array;
  readonly hostName: string;
  now(): number;
  at(time: number, act: () => void): () => void;
  random(): number;
  /** Sends a message to everybody's port of servers, from `source` (0: from no address). */
  send(message: Uint8Array, source: Address): void;
  /** There is an address, a new one, or none any more. */
  onLease(lease: Lease | null): void;
}

export class DhcpClient {
  private readonly wiring: DhcpWiring;
  private state: 'selecting' | 'requesting' | 'bound' = 'selecting';
  private transaction = 0;
  private offer: { address: Address; server: Address } | undefined;
  private lease: Lease | undefined;
  private leaseEnds = 0;
  private wait = AGAIN_FIRST;
  private stop: () => void = () => {};

  constructor(wiring: DhcpWiring) {
    this.wiring = wiring;
  }

  /** Begins, or begins anew. */
  start(): void {
    this.state = 'selecting';
    this.offer = undefined;
    this.transaction = this.wiring.random();
    this.wait = AGAIN_FIRST;
    this.ask();
  }

  private ask(): void {
    const { wiring } = this;
    this.stop();
    if (this.state === 'bound' && this.lease && wiring.now() >= this.leaseEnds) {
      this.lease = undefined;
      wiring.onLease(null);
      this.start();
      return;
    }
    if (this.state === 'selecting') wiring.send(this.message(Type.discover, 0), 0);
    else if (this.state === 'requesting') wiring.send(this.message(Type.request, 0), 0);
    else wiring.send(this.message(Type.request, this.lease!.address), this.lease!.address);
    this.stop = wiring.at(wiring.now() + this.wait, () => {
      // A server that offered and then fell silent: another may be there.
      if (this.state === 'requesting' && this.wait >= 4 * AGAIN_FIRST) this.start();
      else this.ask();
    });
    this.wait = Math.min(this.wait * 2, AGAIN_MAX);
  }

  /** A message to the port of clients. */
  receive(message: Uint8Array): void {
    if (message.length < OPTIONS || message[0] !== 2 || dword(message, 236) !== MAGIC) return;
    if (dword(message, 4) !== this.transaction) return;
    if (this.wiring.hardware.some((byte, at) => message[28 + at] !== byte)) return;
    const options = optionsOf(message);
    const server = options.get(Option.server);
    const type = options.get(Option.type)?.[0];
    const address = dword(message, 16);
    if (server?.length !== 4) return;
    if (type === Type.offer && this.state === 'selecting' && address !== 0) {
      this.offer = { address, server: dword(server, 0) };
      this.state = 'requesting';
      this.wait = AGAIN_FIRST;
      this.ask();
    } else if (type === Type.acknowledge && this.state !== 'selecting' && address !== 0) this.bind(address, options);
    else if (type === Type.refuse && this.state !== 'selecting') {
      if (this.lease) this.wiring.onLease(null);
      this.lease = undefined;
      this.start();
    }
  }

  private bind(address: Address, options: Map<number, Uint8Array>): void {
    const { wiring } = this;
    const addresses = (option: number): Address[] => {
      const value = options.get(option) ?? new Uint8Array(0);
      return Array.from({ length: value.length >> 2 }, (_, at) => dword(value, 4 * at));
    };
    const [mask = 0xffffff00] = addresses(Option.mask);
    const [seconds = 3600] = addresses(Option.lease);
    const domain = String.fromCharCode(...(options.get(Option.domain) ?? [])).replace(/[^\w.-]/g, '');
    const lease: Lease = {
      address,
      prefix: Math.clz32(~mask),
      router: addresses(Option.router)[0] ?? null,
      nameServers: addresses(Option.names).slice(0, 3),
      domain,
    };
    const isNew = JSON.stringify(lease) !== JSON.stringify(this.lease);
    this.lease = lease;
    this.state = 'bound';
    this.stop();
    const time = Math.max(LEASE_MIN, seconds) * SECOND;
    this.leaseEnds = seconds === 0xffffffff ? Infinity : wiring.now() + time;
    if (this.leaseEnds !== Infinity) {
      // Half of the time over, more of it is asked for (RFC 2131, 4.4.5).
      this.wait = AGAIN_MAX;
      this.stop = wiring.at(wiring.now() + time / 2, () => this.ask());
    }
    if (isNew) wiring.onLease(lease);
  }

  private message(type: number, own: Address): Uint8Array {
    const { hardware, hostName } = this.wiring;
    const message = new Uint8Array(MESSAGE_BYTES);
    message.set([1, 1, 6, 0]);
    putDword(message, 4, this.transaction);
    // Answers to everybody: without an address nothing else is heard.
    if (own === 0) putWord(message, 10, 0x8000);
    putDword(message, 12, own);
    message.set(hardware, 28);
    putDword(message, 236, MAGIC);
    let at = OPTIONS;
    const add = (option: number, value: readonly number[]): void => {
      message.set([option, value.length, ...value], at);
      at += 2 + value.length;
    };
    const bytes = (address: Address): number[] => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff);
    add(Option.type, [type]);
    if (type === Type.request && own === 0 && this.offer) {
      add(Option.wanted, bytes(this.offer.address));
      add(Option.server, bytes(this.offer.server));
    }
    const name = hostName.replace(/[^\w-]/g, '').slice(0, 20);
    if (name !== '') add(Option.host, [...new TextEncoder().encode(name)]);
    add(Option.list, [Option.mask, Option.router, Option.names, Option.domain, Option.lease]);
    message[at] = Option.end;
    return message;
  }
}

/** The options of a message, as far as they are whole. */
function optionsOf(message: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (let at = OPTIONS; at < message.length && message[at] !== Option.end; ) {
    const length = message[at] === 0 ? -1 : (message[at + 1] ?? 0);
    if (length >= 0 && at + 2 + length <= message.length)
      options.set(message[at], message.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}
