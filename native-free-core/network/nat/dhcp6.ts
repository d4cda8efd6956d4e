// A DHCPv6 server for one small network: one address a client, and the name server (RFC 8415, 3646).
// Owns the leases.
// Never looks at anything but DHCPv6 messages.

import { domainName } from './neighbour-discovery.ts';
import { type Address6, dword, putAddress6, putDword, putWord, readAddress6, word } from './wire.ts';

const Type = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  informationRequest: 11,
} as const;
const Option = {
  client: 1,
  server: 2,
  addresses: 3,
  address: 5,
  status: 13,
  rapidCommit: 14,
  dns: 23,
  domain: 24,
} as const;
const Status = { success: 0, noAddresses: 2, noBinding: 3, notOnLink: 4 } as const;
const HEADER_BYTES = 4;
/** A DUID has at most 130 bytes (RFC 8415, 11.1). */
const CLIENT_BYTES_MAX = 130;
/** Seconds. */
const LEASE = 86_400;

export interface Dhcp6Options {
  hardware: Uint8Array;
  /** The address of place `index`, from 0 on. */
  addressOf(index: number): Address6;
  count: number;
  dns: Address6;
  domain: string;
}

export class Dhcp6Server {
  private readonly options: Dhcp6Options;
  /** Our own name: made of the hardware address (DUID-LL). */
  private readonly server: Uint8Array;
  /** Places by hardware address, heard of longest ago first. */
  private readonly leases = new Map<string, number>();
  /** Addresses of guests' own cards: their leases stay. */
  readonly cards = new Set<string>();

  constructor(options: Dhcp6Options) {
    this.options = options;
    this.server = Uint8Array.of(0, 3, 0, 1, ...options.hardware);
  }

  /** The address that a station was given. */
  addressOf(station: string): Address6 | undefined {
    const place = this.leases.get(station);
    return place === undefined ? undefined : this.options.addressOf(place);
  }

  /** The station that has an address; undefined where nobody was given it. */
  holderOf(address: Address6): string | undefined {
    for (const [station, place] of this.leases) if (this.options.addressOf(place) === address) return station;
    return undefined;
  }

  /** The reply to a message of the station; undefined where there is none. */
  answer(message: Uint8Array, station: string): Uint8Array | undefined {
    if (message.length < HEADER_BYTES) return undefined;
    const [type] = message;
    const options = readOptions(message.subarray(HEADER_BYTES));
    const client = options.get(Option.client);
    const server = options.get(Option.server);
    const isOurs = server !== undefined && String(server) === String(this.server);
    if (client !== undefined && (client.length === 0 || client.length > CLIENT_BYTES_MAX)) return undefined;
    if (server !== undefined && !isOurs) return undefined;
    const needsServer: readonly number[] = [Type.request, Type.renew, Type.release, Type.decline];
    if (type !== Type.informationRequest && client === undefined) return undefined;
    if (needsServer.includes(type) && !isOurs) return undefined;
    switch (type) {
      case Type.solicit: {
        const isRapid = options.has(Option.rapidCommit);
        const rapid = isRapid ? [option(Option.rapidCommit, new Uint8Array(0))] : [];
        return this.reply(message, isRapid ? Type.reply : Type.advertise, client, [
          ...this.assigned(options, station),
          ...rapid,
        ]);
      }
      case Type.request:
      case Type.renew:
      case Type.rebind:
        return this.reply(message, Type.reply, client, this.assigned(options, station));
      case Type.confirm: {
        const asked = associated(options)?.address;
        if (asked === undefined) return undefined;
        const isRight = asked === this.addressOf(station);
        return this.reply(message, Type.reply, client, [status(isRight ? Status.success : Status.notOnLink)]);
      }
      case Type.release:
      case Type.decline:
        this.leases.delete(station);
        return this.reply(message, Type.reply, client, [status(Status.success)]);
      case Type.informationRequest:
        return this.reply(message, Type.reply, client, []);
      default:
        return undefined;
    }
  }

  /** The client's association with its address, or word that there is none. */
  private assigned(options: Map<number, Uint8Array>, station: string): Uint8Array[] {
    const association = associated(options);
    if (association === undefined) return [];
    const place = this.lease(station);
    const times = new Uint8Array(12);
    putDword(times, 0, association.id);
    if (place === undefined) return [option(Option.addresses, join([times, status(Status.noAddresses)]))];
    putDword(times, 4, LEASE / 2);
    putDword(times, 8, (LEASE / 5) * 4);
    const address = new Uint8Array(24);
    putAddress6(address, 0, this.options.addressOf(place));
    putDword(address, 16, LEASE);
    putDword(address, 20, LEASE);
    return [option(Option.addresses, join([times, option(Option.address, address)]))];
  }

  private lease(station: string): number | undefined {
    let place = this.leases.get(station);
    if (place === undefined) {
      const taken = new Set(this.leases.values());
      place = Array.from({ length: this.options.count }, (_, index) => index).find((index) => !taken.has(index));
      if (place === undefined) {
        const oldest = [...this.leases].find(([each]) => !this.cards.has(each));
        if (oldest === undefined) return undefined;
        this.leases.delete(oldest[0]);
        place = oldest[1];
      }
    }
    this.leases.delete(station);
    this.leases.set(station, place);
    return place;
  }

  private reply(
    message: Uint8Array,
    type: number,
    client: Uint8Array | undefined,
    options: readonly Uint8Array[],
  ): Uint8Array {
    const dns = new Uint8Array(16);
    putAddress6(dns, 0, this.options.dns);
    return join([
      Uint8Array.of(type, ...message.subarray(1, HEADER_BYTES)),
      ...(client === undefined ? [] : [option(Option.client, client)]),
      option(Option.server, this.server),
      ...options,
      option(Option.dns, dns),
      option(Option.domain, domainName(this.options.domain)),
    ]);
  }
}

/** The first association that a client asks an address for, and the address that it names in it. */
function associated(options: Map<number, Uint8Array>): { id: number; address: Address6 | undefined } | undefined {
  const association = options.get(Option.addresses);
  if (association === undefined || association.length < 12) return undefined;
  const named = readOptions(association.subarray(12)).get(Option.address);
  return {
    id: dword(association, 0),
    address: named !== undefined && named.length >= 16 ? readAddress6(named, 0) : undefined,
  };
}

/** Options as far as they are whole, the first of each kind. */
function readOptions(bytes: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = word(bytes, at + 2);
    if (at + 4 + length > bytes.length) break;
    if (!options.has(word(bytes, at))) options.set(word(bytes, at), bytes.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return options;
}

function option(code: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + value.length);
  putWord(bytes, 0, code);
  putWord(bytes, 2, value.length);
  bytes.set(value, 4);
  return bytes;
}

function status(code: number): Uint8Array {
  return option(Option.status, Uint8Array.of(0, code));
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
