// What firmware gives the functions on PCI bus 0: addresses, and decoding of what they were given.
// Owns the ranges of ports and the way registers are reached.
// Never knows a device: everything is found by configuration mechanism 1.

import type { BiosPorts } from './processor.ts';

const ADDRESS = 0xcf8;
const DATA = 0xcfc;
const ENABLE = 0x80000000;
const DEVICES = 32;
const FUNCTIONS = 8;

const Config = {
  vendor: 0x00,
  command: 0x04,
  headerType: 0x0e,
  bar0: 0x10,
  rom: 0x30,
} as const;
const Command = { io: 1, memory: 2, busMaster: 4 } as const;
const BARS = 6;
/** Ports that BARs are given: above what ISA devices and the power management block decode. */
const PORTS = { first: 0xc000, end: 0xfff0 } as const;
/** A function by bus, device and number, as configuration addresses have it. */
export type PciAddress = number;

export const pciAddress = (bus: number, device: number, func: number): PciAddress =>
  ((bus << 16) | (device << 11) | (func << 8)) >>> 0;
export const deviceOf = (address: PciAddress): number => (address >>> 11) & 31;

/** Reads a register; the access lies within four bytes. */
export function readPci(ports: BiosPorts, address: PciAddress, offset: number, size: 1 | 2 | 4): number {
  ports.writePort(ADDRESS, 4, (ENABLE | address | (offset & 0xfc)) >>> 0);
  return ports.readPort(DATA + (offset & 3), size);
}

export function writePci(ports: BiosPorts, address: PciAddress, offset: number, size: 1 | 2 | 4, value: number): void {
  ports.writePort(ADDRESS, 4, (ENABLE | address | (offset & 0xfc)) >>> 0);
  ports.writePort(DATA + (offset & 3), size, value);
}

/** Every function that answers. */
export function listPci(ports: BiosPorts): PciAddress[] {
  const found: PciAddress[] = [];
  for (let device = 0; device < DEVICES; device++) {
    for (let func = 0; func < FUNCTIONS; func++) {
      const address = pciAddress(0, device, func);
      if (readPci(ports, address, Config.vendor, 2) !== 0xffff) found.push(address);
      if (func === 0) {
        const isThere = found[found.length - 1] === address;
        const isMany = isThere && (readPci(ports, address, Config.headerType, 1) & 0x80) !== 0;
        if (!isMany) break;
      }
    }
  }
  return found;
}

interface Wanted {
  address: PciAddress;
  register: number;
  size: number;
  kind: 'io' | 'memory' | 'memory64';
  isSet: boolean;
  base: number;
}

/** What a BAR asks for; undefined: it is none. Decoding is off meanwhile. */
function wanted(ports: BiosPorts, address: PciAddress, index: number): Wanted | undefined {
  const register = Config.bar0 + 4 * index;
  const before = readPci(ports, address, register, 4);
  writePci(ports, address, register, 4, 0xffffffff);
  const mask = readPci(ports, address, register, 4);
  if (mask === 0 || mask === 0xffffffff) return undefined;
  const isIo = (mask & 1) !== 0;
  const kind = isIo ? 'io' : (mask & 6) === 4 ? 'memory64' : 'memory';
  const bits = isIo ? mask & ~3 & 0xffff : mask & ~15;
  // The lowest bit that can be set is the size.
  const size = (bits & -bits) >>> 0;
  writePci(ports, address, register, 4, before);
  const base = (isIo ? before & ~3 : before & ~15) >>> 0;
  if (size === 0) return undefined;
  return { address, register, size, kind, isSet: base !== 0, base };
}

export interface PciWindow {
  readonly first: number;
  readonly last: number;
}

/**
 * Assigns every BAR that has no address yet, the largest first, and turns decoding on. What does not fit
 * stays without an address, and its function's decoding of that kind off.
 */
export function assignPciResources(ports: BiosPorts, memory: PciWindow): void {
  const functions = listPci(ports);
  const all: Wanted[] = [];
  for (const address of functions) {
    if ((readPci(ports, address, Config.headerType, 1) & 0x7f) !== 0) continue;
    const command = readPci(ports, address, Config.command, 2);
    writePci(ports, address, Config.command, 2, command & ~(Command.io | Command.memory));
    const own: Wanted[] = [];
    for (let index = 0; index < BARS; index++) {
      const bar = wanted(ports, address, index);
      if (bar === undefined) continue;
      own.push(bar);
      if (bar.kind === 'memory64') index++;
    }
    writePci(ports, address, Config.command, 2, command);
    all.push(...own);
  }
  place(
    ports,
    all.filter(({ kind }) => kind === 'io'),
    PORTS.first,
    PORTS.end,
  );
  place(
    ports,
    all.filter(({ kind }) => kind !== 'io'),
    memory.first,
    memory.last + 1,
  );
  for (const address of functions) {
    const own = all.filter((bar) => bar.address === address);
    const decodes = (isIo: boolean) => {
      const bars = own.filter(({ kind }) => (kind === 'io') === isIo);
      return bars.length > 0 && bars.every(({ isSet }) => isSet);
    };
    const command = readPci(ports, address, Config.command, 2);
    const more =
      (decodes(true) ? Command.io | Command.busMaster : 0) | (decodes(false) ? Command.memory | Command.busMaster : 0);
    writePci(ports, address, Config.command, 2, command | more);
  }
}

/** Gives addresses to those without one, around those that have one. */
function place(ports: BiosPorts, bars: readonly Wanted[], first: number, end: number): void {
  const taken = bars.filter(({ isSet }) => isSet).map(({ base, size }) => ({ base, size }));
  const unset = bars.filter(({ isSet }) => !isSet).sort((a, b) => b.size - a.size);
  for (const bar of unset) {
    let base = Math.ceil(first / bar.size) * bar.size;
    for (;;) {
      const blocker = taken.find((other) => base < other.base + other.size && other.base < base + bar.size);
      if (blocker === undefined) break;
      base = Math.ceil((blocker.base + blocker.size) / bar.size) * bar.size;
    }
    if (base + bar.size > end) continue;
    taken.push({ base, size: bar.size });
    bar.base = base;
    bar.isSet = true;
    writePci(ports, bar.address, bar.register, 4, base);
    if (bar.kind === 'memory64') writePci(ports, bar.address, bar.register + 4, 4, 0);
  }
}
