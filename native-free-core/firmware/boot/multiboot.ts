// The Multiboot Specification 0.6.96: loads a kernel as its header or its ELF headers say.
// Owns the header's search and checks and the Multiboot information structure.
// Never sets a video mode: a kernel that asks for one is told in the flags that there is none.

import { type MemoryMapEntry, MemoryType } from '../memory-map.ts';
import { type BootMemory, type BootOptions, ByteRecord, type EntryState, Placement, protectedEntry } from './boot.ts';
import { isElf, readElf } from './elf.ts';

const HEADER_MAGIC = 0x1badb002;
const BOOTED_MAGIC = 0x2badb002;
/** The header lies within the first bytes of the image, on a 4-byte boundary (3.1). */
const SEARCH_BYTES = 8192;
const FLAG_ADDRESSES = 0x10000;
/** Requirements we know: page-aligned modules, memory information, video mode (a wish only). */
const KNOWN_REQUIREMENTS = 0x0007;
const INFO_SIZE = 88;
const INFO_MEMORY = 0x001;
const INFO_COMMAND_LINE = 0x004;
const INFO_MODULES = 0x008;
const INFO_MAP = 0x040;
const INFO_LOADER_NAME = 0x200;
const LOADER_NAME = 'Trivisor';

interface Header {
  /** Offset in the image. */
  offset: number;
  flags: number;
}

/** Finds the Multiboot header, or undefined. */
export function findMultibootHeader(image: Uint8Array): Header | undefined {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const end = Math.min(image.length, SEARCH_BYTES) - 12;
  for (let offset = 0; offset <= end; offset += 4) {
    if (view.getUint32(offset, true) !== HEADER_MAGIC) continue;
    const flags = view.getUint32(offset + 4, true);
    if ((HEADER_MAGIC + flags + view.getUint32(offset + 8, true)) % 2 ** 32 === 0) return { offset, flags };
  }
  return undefined;
}

/** Loads a Multiboot kernel. Throws an Error with one sentence if it cannot be. */
export function loadMultiboot(image: Uint8Array, header: Header, options: BootOptions, memory: BootMemory): EntryState {
  const unknown = header.flags & 0xffff & ~KNOWN_REQUIREMENTS;
  if (unknown !== 0) {
    throw new Error(
      `the multiboot kernel requires features that this loader does not have (flags 0x${unknown.toString(16)})`,
    );
  }
  const placement = new Placement(memory);
  const entry =
    (header.flags & FLAG_ADDRESSES) !== 0
      ? loadByAddresses(image, header.offset, placement)
      : loadSegments(image, placement);
  const rbx = information(options, placement);
  return protectedEntry(placement, { protocol: 'multiboot', rip: entry, rax: BOOTED_MAGIC, rbx });
}

/** The address fields of the header ("a.out kludge", 3.1.3). */
function loadByAddresses(image: Uint8Array, offset: number, placement: Placement): number {
  if (image.length < offset + 32) throw new Error('the multiboot kernel is truncated: it ends in its header');
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const [headerAddress, loadAddress, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((field) =>
    view.getUint32(offset + field, true),
  );
  const start = offset - (headerAddress - loadAddress);
  const bytes = loadEnd === 0 ? image.length - start : loadEnd - loadAddress;
  if (loadAddress > headerAddress || start < 0 || bytes <= 0 || start + bytes > image.length) {
    throw new Error('the multiboot kernel is truncated, or its header names addresses that are not in the file');
  }
  const length = Math.max(bytes, bssEnd === 0 ? 0 : bssEnd - loadAddress);
  placement.load('the kernel', loadAddress, image.subarray(start, start + bytes), length);
  if (entry < loadAddress || entry >= loadAddress + bytes) {
    throw new Error(`the multiboot kernel's entry 0x${entry.toString(16)} is outside of what it loads`);
  }
  return entry;
}

function loadSegments(image: Uint8Array, placement: Placement): number {
  if (!isElf(image))
    throw new Error('the multiboot kernel is neither an ELF file nor does its header say where to load it');
  const elf = readElf(image);
  for (const { physical, bytes, memoryBytes } of elf.segments)
    placement.load('the kernel', physical, bytes, memoryBytes);
  // The entry is a virtual address in a kernel that is linked high; what is entered is physical.
  const home = elf.segments.find(({ physical, bytes }) => elf.entry >= physical && elf.entry < physical + bytes.length);
  if (home !== undefined) return elf.entry;
  const linked = elf.segments.find(({ virtual, bytes }) => elf.entry >= virtual && elf.entry < virtual + bytes.length);
  if (linked === undefined) throw new Error("the multiboot kernel's entry is outside of what it loads");
  return linked.physical + (elf.entry - linked.virtual);
}

/** Builds the information structure (3.3) and gives its address. */
function information(options: BootOptions, placement: Placement): number {
  const info = new ByteRecord(INFO_SIZE);
  const text = (value: string) => {
    const bytes = new TextEncoder().encode(value);
    return placement.low(bytes.length + 1, () => bytes);
  };
  let flags = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MAP | INFO_LOADER_NAME;
  const ramAt = (address: number) =>
    options.memoryMap.find(({ base, type }) => base === address && type === MemoryType.ram)?.length ?? 0;
  info.u32(4, Math.min(ramAt(0) / 1024, 640));
  info.u32(8, ramAt(0x100000) / 1024);
  // The first word is the kernel's own name, by custom.
  info.u32(16, text(`kernel ${options.append}`.trimEnd()));
  if (options.initrd !== undefined && options.initrd.length > 0) {
    flags |= INFO_MODULES;
    const module = new ByteRecord(16);
    const base = placement.high('the initrd', options.initrd, 2 ** 32);
    module
      .u32(0, base)
      .u32(4, base + options.initrd.length)
      .u32(8, text('initrd'));
    info.u32(20, 1).u32(
      24,
      placement.low(16, () => module.bytes),
    );
  }
  const map = multibootMap(options.memoryMap);
  info.u32(44, map.length).u32(
    48,
    placement.low(map.length, () => map),
  );
  info.u32(64, text(LOADER_NAME));
  info.u32(0, flags);
  return placement.low(INFO_SIZE, () => info.bytes);
}

function multibootMap(entries: readonly MemoryMapEntry[]): Uint8Array {
  const map = new ByteRecord(24 * entries.length);
  entries.forEach(({ base, length, type }, index) => {
    const at = 24 * index;
    // The size field does not count itself.
    map
      .u32(at, 20)
      .u64(at + 4, base)
      .u64(at + 12, length)
      .u32(at + 20, type);
  });
  return map.bytes;
}
