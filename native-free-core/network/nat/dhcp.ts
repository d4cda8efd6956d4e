// A DHCP server for one small network: an address a station, the same one for as long as there is room (RFC 2131, 2132).
// Owns the leases.
// Never looks at anything but DHCP messages.

import { type Address, dword, putDword, word } from './wire.ts';

const REQUEST = 1;
const REPLY = 2;
const MAGIC = 0x63825363;
const OPTIONS = 240;
/** Replies have at least this many bytes: old clients take no shorter ones. */
const REPLY_BYTES = 300;
const Option = {
  mask: 1,
  router: 3,
  dns: 6,
  domain: 15,
  broadcast: 28,
  wanted: 50,
  leaseTime: 51,
  type: 53,
  server: 54,
  end: 255,
} as const;
const Type = {
  discover: 1,
  offer: 2,
  request: 3,
  decline: 4,
  acknowledge: 5,
  refuse: 6,
  release: 7,
  inform: 8,
} as const;
/** Seconds. */
const LEASE = 86_400;

export interface DhcpOptions {
  /** Addresses that are given away: the first, and how many from there on. */
  first: Address;
  count: number;
  mask: Address;
  router: Address;
  dns: Address;
  /** What names without a dot are taken to be in. */
  domain: string;
}

/** What a DHCP server of either version knows a station by. */
export function stationKey(hardware: Uint8Array): string {
  return hardware.join();
}

export class DhcpServer {
  private readonly options: DhcpOptions;
  /** Addresses by station, heard of longest ago first. */
  private readonly leases = new Map<string, Address>();
  /** Addresses of guests' own cards: their leases are not taken from them, whatever others make up. */
  readonly cards = new Set<string>();

  constructor(options: DhcpOptions) {
    this.options = options;
  }

  /**
   * The reply to a message that came from `hardware`, and where it goes: to everybody unless the client can be told at its
   * address. Nobody asks for another station.
   */
  answer(message: Uint8Array, hardware: Uint8Array): { reply: Uint8Array; to: Address } | undefined {
    if (message.length < OPTIONS || message[0] !== REQUEST || message[1] !== 1 || message[2] !== 6) return undefined;
    if (dword(message, 236) !== MAGIC) return undefined;
    if (stationKey(message.subarray(28, 34)) !== stationKey(hardware)) return undefined;
    const options = readOptions(message);
    const type = options.get(Option.type)?.[0];
    const station = stationKey(hardware);
    const own = dword(message, 12);
    const asked = options.get(Option.wanted);
    const server = options.get(Option.server);
    const { router } = this.options;
    const isForUs = server === undefined || (server.length === 4 && dword(server, 0) === router);
    switch (type) {
      case Type.discover: {
        const address = this.lease(station);
        return address === undefined ? undefined : this.reply(message, Type.offer, address);
      }
      case Type.request: {
        if (!isForUs) return undefined;
        const wanted = asked?.length === 4 ? dword(asked, 0) : own;
        const address = this.lease(station);
        // Another address than ours is refused at once, so that the client begins anew and does not wait.
        if (address === undefined || wanted !== address) return this.reply(message, Type.refuse, 0);
        return this.reply(message, Type.acknowledge, address);
      }
      case Type.inform:
        return this.reply(message, Type.acknowledge, 0);
      case Type.decline:
      case Type.release:
        if (isForUs) this.leases.delete(station);
        return undefined;
      default:
        return undefined;
    }
  }

  /** The address that the station with this hardware address has; undefined where it has none. */
  addressOf(station: Uint8Array): Address | undefined {
    return this.leases.get(stationKey(station));
  }

  /** The station that has an address; undefined where nobody was given it. */
  holderOf(address: Address): string | undefined {
    for (const [station, leased] of this.leases) if (leased === address) return station;
    return undefined;
  }

  /** The station's address; where all are taken, that of the station which was not heard of for the longest time. */
  private lease(station: string): Address | undefined {
    const { first, count } = this.options;
    let address = this.leases.get(station);
    if (address === undefined) {
      const taken = new Set(this.leases.values());
      for (let each = first; each < first + count && address === undefined; each++)
        if (!taken.has(each)) address = each;
    }
    if (address === undefined) {
      const oldest = [...this.leases].find(([each]) => !this.cards.has(each));
      if (oldest === undefined) return undefined;
      this.leases.delete(oldest[0]);
      address = oldest[1];
    }
    this.leases.delete(station);
    this.leases.set(station, address);
    return address;
  }

  private reply(message: Uint8Array, type: number, address: Address): { reply: Uint8Array; to: Address } {
    const { mask, router, dns, domain } = this.options;
    const reply = new Uint8Array(REPLY_BYTES);
    reply.set([REPLY, 1, 6, 0]);
    reply.set(message.subarray(4, 8), 4);
    reply.set(message.subarray(10, 12), 10);
    if (type !== Type.refuse) reply.set(message.subarray(12, 16), 12);
    putDword(reply, 16, address);
    putDword(reply, 20, type === Type.refuse ? 0 : router);
    reply.set(message.subarray(24, 44), 24);
    putDword(reply, 236, MAGIC);
    let at = OPTIONS;
    const add = (option: number, ...value: number[]): void => {
      reply.set([option, value.length, ...value], at);
      at += 2 + value.length;
    };
    const bytes = (value: number): number[] => [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff);
    add(Option.type, type);
    add(Option.server, ...bytes(router));
    if (type !== Type.refuse) {
      add(Option.mask, ...bytes(mask));
      add(Option.router, ...bytes(router));
      add(Option.dns, ...bytes(dns));
      add(Option.domain, ...new TextEncoder().encode(domain));
      add(Option.broadcast, ...bytes((router | ~mask) >>> 0));
      if (address !== 0) add(Option.leaseTime, ...bytes(LEASE));
    }
    reply[at] = Option.end;
    // A client that has an address is told there; one without hears broadcasts (RFC 2131, 4.1).
    const own = dword(message, 12);
    const isBroadcast = type === Type.refuse || own === 0 || (word(message, 10) & 0x8000) !== 0;
    return { reply, to: isBroadcast ? 0xffffffff : own };
  }
}

/** The options of a message, as far as they are whole. */
function readOptions(message: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (let at = OPTIONS; at < message.length && message[at] !== Option.end; ) {
    if (message[at] === 0) {
      at++;
      continue;
    }
    const length = message[at + 1] ?? 0;
    if (at + 2 + length > message.length) break;
    if (!options.has(message[at])) options.set(message[at], message.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return options;
}
