// Minimal kernel images for tests: just enough of each format for a loader.
// Owns nothing; each function gives the bytes of a fresh image.
// Never used outside tests.

import { ramRegions } from '../memory-map.ts';
import { type BootMemory, ByteRecord } from './boot.ts';

/** Guest memory of a test: RAM of `bytes` that starts out full of a pattern, so that what is not written shows. */
export function testMemory(bytes: number): BootMemory & { ram: Uint8Array } {
  const ram = new Uint8Array(bytes).fill(0xcc);
  const check = (address: number, length: number) => {
    if (address < 0 || address + length > bytes) throw new RangeError(`access of ${length} bytes at ${address}`);
  };
  return {
    ram,
    regions: ramRegions(bytes),
    write(address, data) {
      check(address, data.length);
      ram.set(data, address);
    },
    read(address, length) {
      check(address, length);
      return ram.slice(address, address + length);
    },
  };
}

export interface LinuxImageOptions {
  kernelBytes?: number;
  version?: number;
  loadFlags?: number;
  xloadFlags?: number;
  initBytes?: number;
  initrdMax?: number;
  commandLineMax?: number;
  /** What stands where the header says that the compressed kernel is; its length and offset there, if they are to lie. */
  payload?: Uint8Array;
  payloadOffset?: number;
  payloadLength?: number;
}

/** A bzImage whose code is the byte 90h throughout. */
export function linuxImage(options: LinuxImageOptions = {}): Uint8Array {
  const kernelBytes = options.kernelBytes ?? 0x4000;
  const setupSectors = 4;
  const setupBytes = (setupSectors + 1) * 512;
  const image = new ByteRecord(setupBytes + kernelBytes);
  image.bytes.fill(0x90, setupBytes);
  image
    .u8(0x1f1, setupSectors)
    .u32(0x1f4, kernelBytes / 16)
    .u16(0x1fe, 0xaa55);
  image
    .u16(0x200, 0x66eb)
    .u32(0x202, 0x53726448)
    .u16(0x206, options.version ?? 0x020f);
  image.u8(0x211, options.loadFlags ?? 1).u32(0x214, 0x100000);
  image
    .u32(0x22c, options.initrdMax ?? 0x7fffffff)
    .u8(0x234, 1)
    .u16(0x236, options.xloadFlags ?? 0);
  image.u32(0x238, options.commandLineMax ?? 2047);
  if (options.payload) {
    const at = options.payloadOffset ?? 0x40;
    image.u32(0x248, at).u32(0x24c, options.payloadLength ?? options.payload.length);
    image.bytes.set(options.payload, setupBytes + 0x40);
  }
  image.u64(0x258, 0x1000000).u32(0x260, options.initBytes ?? 0x200000);
  return image.bytes;
}

export interface ElfImageOptions {
  is64?: boolean;
  entry?: number;
  /** Entry of the PVH note; no note if left out. */
  pvhEntry?: number;
  physical?: number;
  virtual?: number;
  code?: Uint8Array;
  memoryBytes?: number;
  machine?: number;
}

/** An ELF file of one loaded segment, and a note segment where a PVH entry is asked for. */
export function elfImage(options: ElfImageOptions = {}): Uint8Array {
  const is64 = options.is64 ?? false;
  const physical = options.physical ?? 0x100000;
  const virtual = options.virtual ?? physical;
  const code = options.code ?? new Uint8Array(64).fill(0x90);
  const memoryBytes = options.memoryBytes ?? code.length + 32;
  const codeAt = 0x100;
  const noteAt = codeAt + code.length;
  const image = new ByteRecord(noteAt + 24);
  image.bytes.set([0x7f, 0x45, 0x4c, 0x46, is64 ? 2 : 1, 1, 1]);
  image
    .u16(16, 2)
    .u16(18, options.machine ?? (is64 ? 62 : 3))
    .u32(20, 1);
  const headers = is64 ? 64 : 52;
  const entrySize = is64 ? 56 : 32;
  const count = options.pvhEntry === undefined ? 1 : 2;
  const entry = options.entry ?? virtual;
  if (is64) image.u64(24, entry).u64(32, headers).u16(54, entrySize).u16(56, count);
  else image.u32(24, entry).u32(28, headers).u16(42, entrySize).u16(44, count);
  const header = (index: number, type: number, fields: readonly number[]) => {
    const at = headers + index * entrySize;
    image.u32(at, type);
    fields.forEach((value, field) => {
      if (is64) image.u64(at + 8 + 8 * field, value);
      else image.u32(at + [4, 8, 12, 16, 20][field], value);
    });
  };
  header(0, 1, [codeAt, virtual, physical, code.length, memoryBytes]);
  image.bytes.set(code, codeAt);
  if (options.pvhEntry !== undefined) {
    header(1, 4, [noteAt, 0, 0, 20, 20]);
    image
      .u32(noteAt, 4)
      .u32(noteAt + 4, 4)
      .u32(noteAt + 8, 18);
    image.bytes.set([0x58, 0x65, 0x6e, 0], noteAt + 12);
    image.u32(noteAt + 16, options.pvhEntry);
  }
  return image.bytes;
}

/** The bytes of a Multiboot header; with the five address fields if they are given. */
export function multibootHeader(flags: number, addresses: readonly number[] = []): Uint8Array {
  const header = new ByteRecord(12 + 4 * addresses.length);
  header
    .u32(0, 0x1badb002)
    .u32(4, flags)
    .u32(8, -(0x1badb002 + flags) >>> 0);
  addresses.forEach((address, index) => {
    header.u32(12 + 4 * index, address);
  });
  return header.bytes;
}
