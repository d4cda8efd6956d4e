// Who is where in a translated network: the hardware addresses behind the IP addresses of guests.
// Owns what was heard, and the judgement whose an address is.
// Never believes whoever claims what was given to another.

import { stationKey } from './dhcp.ts';
import type { IpAddress } from './wire.ts';

/** Addresses of one station, and of all: a guest that makes up more only displaces its own. */
const OWN_MAX = 32;
const STATIONS_MAX = 4096;
/** Milliseconds for which an address that was heard belongs to who used it (as RFC 6620 binds them: first come). */
const BINDING = 60_000;

export interface Station {
  hardware: Uint8Array;
  key: string;
  at: number;
}

export class Stations {
  /** Heard of longest ago first. */
  private readonly stations = new Map<IpAddress, Station>();
  private readonly now: () => number;
  private readonly holderOf: (address: IpAddress) => string | undefined;

  /** `holderOf` is the station that was given an address, if anyone was. */
  constructor(now: () => number, holderOf: (address: IpAddress) => string | undefined) {
    this.now = now;
    this.holderOf = holderOf;
  }

  /** Whether an address may be used by this station: it was given it, or nobody else has it. */
  mayUse(address: IpAddress, hardware: Uint8Array): boolean {
    const known = this.stations.get(address);
    if (known !== undefined && isSame(known.hardware, hardware)) return true;
    const holder = this.holderOf(address);
    if (holder !== undefined) return holder === stationKey(hardware);
    return known === undefined || this.now() - known.at > BINDING;
  }

  /** Remembers who uses an address; undefined if it is another's. */
  learn(address: IpAddress, hardware: Uint8Array): Station | undefined {
    const known = this.stations.get(address);
    if (known !== undefined && isSame(known.hardware, hardware)) {
      known.at = this.now();
      return known;
    }
    if (!this.mayUse(address, hardware)) return undefined;
    const station = { hardware: hardware.slice(), key: stationKey(hardware), at: this.now() };
    this.stations.delete(address);
    const own = [...this.stations].filter(([, { key }]) => key === station.key);
    if (own.length >= OWN_MAX) this.stations.delete(own[0][0]);
    else if (this.stations.size >= STATIONS_MAX) this.stations.delete(this.stations.keys().next().value!);
    this.stations.set(address, station);
    return station;
  }

  hardwareOf(address: IpAddress): Uint8Array | undefined {
    return this.stations.get(address)?.hardware;
  }

  /** The addresses that a station was heard from, the latest first. */
  addressesOf(hardware: Uint8Array): IpAddress[] {
    const key = stationKey(hardware);
    return [...this.stations]
      .filter(([, station]) => station.key === key)
      .sort(([, left], [, right]) => right.at - left.at)
      .map(([address]) => address);
  }

  /** The station is gone. */
  forget(hardware: Uint8Array): void {
    for (const address of this.addressesOf(hardware)) this.stations.delete(address);
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (left[i] !== right[i]) return false;
  return true;
}
