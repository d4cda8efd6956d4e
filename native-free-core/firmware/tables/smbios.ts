// The SMBIOS tables: what machine this is, for the eyes of administrators and inventories.
// Owns the structures and the entry point (DMTF DSP0134, version 2.8).
// Never says more of the machine than there is.

import { ascii, concat, dword, makeSumZero, word } from './bytes.ts';

export interface SmbiosOptions {
  /** Version of the product, as its firmware and system version. */
  version: string;
  /** The machine's UUID, its 16 bytes in the order it is written in; zeros where it has none. */
  uuid?: Uint8Array | undefined;
  ramBytes: number;
  /** Bytes of RAM below 4 GiB. */
  lowRamBytes: number;
  processors: number;
  /** What CPUID leaf 1 gives in EAX and EDX, and the processor's brand. */
  signature: number;
  features: number;
  processorName: string;
}

const MAKER = 'Trivisor';
const PRODUCT = 'Trivisor PC';
const MIB = 2 ** 20;
const FOUR_GIB = 2 ** 32;
/** The largest module a type 17 structure can tell without its extended field, in MiB. */
const MODULE_MIB_MAX = 0x7fff;

const Handle = {
  firmware: 0x0000,
  system: 0x0100,
  board: 0x0200,
  chassis: 0x0300,
  processor: 0x0400,
  memoryArray: 0x1000,
  memoryDevice: 0x1100,
  arrayAddress: 0x1300,
  boot: 0x2000,
  end: 0x7f00,
} as const;

/** A structure: header, formatted part, and the strings that it names by their numbers from 1 on. */
function structure(type: number, handle: number, body: readonly number[], strings: readonly string[] = []): Uint8Array {
  // Two zeros end a structure, also one without strings.
  const text = strings.length === 0 ? [0, 0] : [...strings.flatMap((each) => [...ascii(each), 0]), 0];
  return concat([type, 4 + body.length], word(handle), body, text);
}

const quad = (low: number, high: number) => [...dword(low), ...dword(high)];

function firmware({ version }: SmbiosOptions): Uint8Array {
  // PCI, selectable boot, boot from CD, EDD; ACPI and targeted content in the extension bytes.
  const characteristics = quad((1 << 7) | (1 << 15) | (1 << 16) | (1 << 19), 0);
  return structure(
    0,
    Handle.firmware,
    [1, 2, ...word(0xf000), 3, 0, ...characteristics, 0x01, 0x04, 0xff, 0xff, 0xff, 0xff],
    [MAKER, version, '01/01/2026'],
  );
}

function system({ version, uuid }: SmbiosOptions): Uint8Array {
  const id = [...(uuid ?? new Uint8Array(16))];
  // The first three fields stand with their lowest byte first (DSP0134, 7.2.1).
  for (const [at, length] of [
    [0, 4],
    [4, 2],
    [6, 2],
  ])
    id.splice(at, length, ...id.slice(at, at + length).reverse());
  // Woken by the power switch.
  return structure(1, Handle.system, [1, 2, 3, 0, ...id, 6, 0, 4], [MAKER, PRODUCT, version, 'Virtual Machine']);
}

function board({ version }: SmbiosOptions): Uint8Array {
  // A hosting board that is a motherboard, in the chassis.
  return structure(
    2,
    Handle.board,
    [1, 2, 3, 0, 0, 0x01, 0, ...word(Handle.chassis), 0x0a, 0],
    [MAKER, PRODUCT, version],
  );
}

function chassis({ version }: SmbiosOptions): Uint8Array {
  const unknown = 2;
  const safe = 3;
  // "Other", since there is no case; states are safe, security none.
  return structure(
    3,
    Handle.chassis,
    [1, 0x01, 2, 0, 0, safe, safe, safe, unknown, ...dword(0), 0, 0, 0, 0, 0],
    [MAKER, version],
  );
}

function processor(index: number, { signature, features, processorName }: SmbiosOptions): Uint8Array {
  return structure(
    4,
    Handle.processor + index,
    [
      ...[1, 0x03, 0x01, 2], // a central processor of another family
      ...quad(signature, features),
      ...[3, 0x80, ...word(0), ...word(1000), ...word(1000)], // voltage 0.0 V; its counter runs at 1 GHz
      ...[0x41, 0x01], // enabled and in its socket
      ...word(0xffff), // no caches described
      ...word(0xffff),
      ...word(0xffff),
      ...[0, 0, 0, 1, 1, 1], // one core, enabled, with one thread
      ...word(0x0004), // 64-bit capable
      ...word(0x0001),
    ],
    [`CPU ${index}`, 'GenuineIntel', processorName],
  );
}

function memoryArray({ ramBytes }: SmbiosOptions, modules: number): Uint8Array {
  const kib = ramBytes / 1024;
  const isLarge = kib >= 0x80000000;
  const extended = quad(ramBytes % FOUR_GIB, Math.floor(ramBytes / FOUR_GIB));
  return structure(16, Handle.memoryArray, [
    ...[0x03, 0x03, 0x03], // on the board, system memory, no error correction
    ...dword(isLarge ? 0x80000000 : kib),
    ...word(0xfffe),
    ...word(modules),
    ...(isLarge ? extended : quad(0, 0)),
  ]);
}

function memoryDevice(index: number, mebibytes: number): Uint8Array {
  return structure(
    17,
    Handle.memoryDevice + index,
    [
      ...word(Handle.memoryArray),
      ...word(0xfffe),
      ...word(64),
      ...word(64),
      ...word(mebibytes),
      ...[0x09, 0, 1, 0, 0x07, ...word(0x0004)], // a DIMM of unknown technology
      ...word(0), // unknown speed
      ...[2, 0, 0, 0, 0],
      ...dword(0),
      ...word(0),
      ...[0, 0, 0, 0, 0, 0],
    ],
    [`DIMM ${index}`, MAKER],
  );
}

function arrayAddress(index: number, base: number, end: number): Uint8Array {
  // Addresses in KiB, the last one included.
  return structure(19, Handle.arrayAddress + index, [
    ...dword(base / 1024),
    ...dword(end / 1024 - 1),
    ...word(Handle.memoryArray),
    1,
    ...quad(0, 0),
    ...quad(0, 0),
  ]);
}

/** The structures in a row, and how many they are. */
export function smbiosStructures(options: SmbiosOptions): { bytes: Uint8Array; count: number; longest: number } {
  const { ramBytes, lowRamBytes } = options;
  const modules: number[] = [];
  for (let left = Math.floor(ramBytes / MIB); left > 0; left -= MODULE_MIB_MAX)
    modules.push(Math.min(left, MODULE_MIB_MAX));
  const structures = [
    firmware(options),
    system(options),
    board(options),
    chassis(options),
    ...Array.from({ length: options.processors }, (_, index) => processor(index, options)),
    memoryArray(options, modules.length),
    ...modules.map((size, index) => memoryDevice(index, size)),
    arrayAddress(0, 0, lowRamBytes),
    ...(ramBytes > lowRamBytes ? [arrayAddress(1, FOUR_GIB, FOUR_GIB + ramBytes - lowRamBytes)] : []),
    structure(32, Handle.boot, [0, 0, 0, 0, 0, 0, 0]),
    structure(127, Handle.end, []),
  ];
  return {
    bytes: concat(...structures),
    count: structures.length,
    longest: Math.max(...structures.map((each) => each.length)),
  };
}

/** The entry point to structures at `address`, below 4 GiB; it is to begin at a multiple of 16 from F0000h on. */
export function smbiosEntryPoint(address: number, structures: ReturnType<typeof smbiosStructures>): Uint8Array {
  const { bytes, count, longest } = structures;
  const entry = concat(
    ascii('_SM_'),
    [0, 0x1f, 2, 8],
    word(longest),
    [0, 0, 0, 0, 0, 0],
    ascii('_DMI_'),
    [0],
    word(bytes.length),
    dword(address),
    word(count),
    [0x28],
  );
  makeSumZero(entry, 0x15, 0x10);
  makeSumZero(entry, 4);
  return entry;
}
