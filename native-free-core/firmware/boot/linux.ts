// The Linux x86 boot protocol (Documentation/arch/x86/boot.rst): loads a bzImage for its 32- or 64-bit entry, or the ELF
// kernel in it for its own.
// Owns the setup header's checks, boot_params, and where command line and initrd go.
// Never knows a compression: payload.ts does, and without the host's help the kernel unpacks itself.

import { MemoryType } from '../memory-map.ts';
import {
  type BootMemory,
  type BootOptions,
  ByteRecord,
  type EntryState,
  longEntry,
  Placement,
  protectedEntry,
} from './boot.ts';
import { readElf } from './elf.ts';
import { unpackKernel } from './payload.ts';
import { commandLineVideoMode, writeScreenInfo } from './screen-info.ts';

const SECTOR = 512;
const BOOT_FLAG = 0xaa55;
const HEADER_MAGIC = 0x53726448; // 'HdrS'
const KERNEL_BASE = 0x100000;
const ENTRY_64 = 0x200;
const LOADED_HIGH = 0x01;
const CAN_USE_HEAP = 0x80;
const XLF_KERNEL_64 = 0x01;
/** No id of ours is assigned. */
const UNDEFINED_LOADER = 0xff;
const BOOT_PARAMS_SIZE = 4096;
const HEADER_START = 0x1f1;
const MAX_MAP_ENTRIES = 128;
/** What kernels before protocol 2.03 can reach with their initrd, and command lines before 2.06. */
const OLD_INITRD_MAX = 0x37ffffff;
const OLD_COMMAND_LINE = 255;

const hexVersion = (version: number) => `${version >> 8}.${(version & 0xff).toString().padStart(2, '0')}`;

/** Whether an image is, or claims to be, a Linux kernel with a setup header. */
export function isLinux(image: Uint8Array): boolean {
  if (image.length < 0x206) return false;
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  return view.getUint16(0x1fe, true) === BOOT_FLAG && view.getUint32(0x202, true) === HEADER_MAGIC;
}

interface SetupHeader {
  setupBytes: number;
  has64: boolean;
  initrdMax: number;
  commandLineMax: number;
  /** Memory that the kernel uses from its load address on before it looks at the memory map, and where that may be. */
  initBytes: number;
  preferred: number;
  /** Where the compressed kernel is, from the end of the setup sectors on; undefined: the protocol is too old to say. */
  payload: { offset: number; length: number } | undefined;
  /** Offset of the first byte after the header. */
  end: number;
}

function readHeader(image: Uint8Array): SetupHeader {
  if (image.length < 0x268)
    throw new Error(`the bzImage is truncated: it ends after ${image.length} bytes, in its header`);
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const version = view.getUint16(0x206, true);
  if (version < 0x0200) {
    throw new Error(`the bzImage speaks boot protocol ${hexVersion(version)}; at least 2.00 is needed`);
  }
  if ((view.getUint8(0x211) & LOADED_HIGH) === 0) {
    throw new Error('the kernel is a zImage, which only runs from the first megabyte; a bzImage is needed');
  }
  // Zero stands for four, for the oldest kernels.
  const setupBytes = ((view.getUint8(HEADER_START) || 4) + 1) * SECTOR;
  const paragraphs = version >= 0x0204 ? view.getUint32(0x1f4, true) : view.getUint16(0x1f4, true);
  const kernelBytes = paragraphs * 16;
  if (image.length < setupBytes + kernelBytes || image.length <= setupBytes) {
    const whole = setupBytes + kernelBytes;
    throw new Error(`the bzImage is truncated: its header says ${whole} bytes, but there are ${image.length}`);
  }
  const modern = version >= 0x020a;
  return {
    setupBytes,
    has64: version >= 0x020c && (view.getUint16(0x236, true) & XLF_KERNEL_64) !== 0,
    initrdMax: version >= 0x0203 ? view.getUint32(0x22c, true) : OLD_INITRD_MAX,
    commandLineMax: version >= 0x0206 ? view.getUint32(0x238, true) : OLD_COMMAND_LINE,
    initBytes: modern ? view.getUint32(0x260, true) : 0,
    preferred: modern ? Number(view.getBigUint64(0x258, true)) : KERNEL_BASE,
    payload:
      version >= 0x0208 ? { offset: view.getUint32(0x248, true), length: view.getUint32(0x24c, true) } : undefined,
    end: Math.min(0x202 + view.getUint8(0x201), 0x290),
  };
}

/** Loads a bzImage. Throws an Error with one sentence for an image, a command line or an initrd that cannot be. */
export function loadLinux(image: Uint8Array, options: BootOptions, memory: BootMemory): EntryState {
  const header = readHeader(image);
  const placement = new Placement(memory);
  const kernel = image.subarray(header.setupBytes);
  const direct = loadUnpacked(kernel, header, options, placement);
  if (!direct) loadPacked(kernel, header, placement);

  const commandLine = new TextEncoder().encode(options.append);
  if (commandLine.length > header.commandLineMax) {
    const most = header.commandLineMax;
    throw new Error(`the command line has ${commandLine.length} bytes, but this kernel takes at most ${most}`);
  }
  if (commandLine.includes(0)) throw new Error('the command line contains a zero byte');
  const commandLineBase = placement.low(commandLine.length + 1, () => commandLine);

  const params = new ByteRecord(BOOT_PARAMS_SIZE);
  params.bytes.set(image.subarray(HEADER_START, header.end), HEADER_START);
  params.u8(0x210, UNDEFINED_LOADER);
  params.u8(0x211, params.bytes[0x211] | CAN_USE_HEAP);
  params.u16(0x224, 0xfe00 - 0x200);
  params.u32(0x228, commandLineBase);
  params.u32(0x214, KERNEL_BASE);
  if (options.initrd !== undefined && options.initrd.length > 0) {
    params.u32(0x218, placement.high('the initrd', options.initrd, header.initrdMax + 1));
    params.u32(0x21c, options.initrd.length);
  } else {
    params.u32(0x218, 0).u32(0x21c, 0);
  }
  params.u64(0x070, options.rsdp ?? 0);
  if (options.setVideoMode) writeScreenInfo(params, options.setVideoMode(commandLineVideoMode(options.append)));
  writeMemoryMap(params, options);
  const paramsBase = placement.low(BOOT_PARAMS_SIZE, () => params.bytes);

  const rsi = paramsBase;
  if (direct?.is64) return longEntry(placement, { protocol: 'linux', rip: direct.entry, rsi });
  if (direct) return protectedEntry(placement, { protocol: 'linux', rip: direct.entry, rsi });
  if (header.has64 && options.prefer64)
    return longEntry(placement, { protocol: 'linux', rip: KERNEL_BASE + ENTRY_64, rsi });
  return protectedEntry(placement, { protocol: 'linux', rip: KERNEL_BASE, rsi });
}

/** The compressed kernel with the code that unpacks it, and room for what that makes. */
function loadPacked(kernel: Uint8Array, header: SetupHeader, placement: Placement): void {
  placement.load('the kernel', KERNEL_BASE, kernel);
  // The kernel unpacks itself to its preferred address, or from here on if that lies below.
  const loaded = KERNEL_BASE + kernel.length;
  const unpacked = Math.max(header.preferred, KERNEL_BASE);
  const unpackedEnd = unpacked + header.initBytes;
  const rest = Math.max(unpacked, loaded);
  if (unpackedEnd > rest) placement.take('the unpacked kernel', rest, unpackedEnd - rest);
}

/**
 * Loads the ELF kernel inside, where the host unpacks it, and answers its own entry: what the code that unpacks jumps to, with
 * the same registers. The kernel lies where it was linked to be, so none of its relocations is to be applied; there is no
 * address space randomization, which that code alone does.
 */
function loadUnpacked(
  kernel: Uint8Array,
  { payload }: SetupHeader,
  { unpack }: BootOptions,
  placement: Placement,
): { entry: number; is64: boolean } | undefined {
  if (!unpack || !payload || payload.length === 0) return undefined;
  if (payload.offset + payload.length > kernel.length)
    throw new Error('the bzImage is damaged: it names a compressed kernel that lies outside of it');
  const bytes = unpackKernel(kernel.subarray(payload.offset, payload.offset + payload.length), unpack);
  if (!bytes) return undefined;
  const { segments, entry, is64 } = readElf(bytes);
  for (const segment of segments) placement.load('the kernel', segment.physical, segment.bytes, segment.memoryBytes);
  const isInside = segments.some(({ physical, bytes: { length } }) => entry >= physical && entry < physical + length);
  if (!isInside) throw new Error(`the kernel's entry 0x${entry.toString(16)} is outside of what it loads`);
  return { entry, is64 };
}

function writeMemoryMap(params: ByteRecord, { memoryMap }: BootOptions): void {
  if (memoryMap.length > MAX_MAP_ENTRIES) throw new Error(`a memory map of ${memoryMap.length} entries is too long`);
  params.u8(0x1e8, memoryMap.length);
  memoryMap.forEach(({ base, length, type }, index) => {
    params
      .u64(0x2d0 + 20 * index, base)
      .u64(0x2d8 + 20 * index, length)
      .u32(0x2e0 + 20 * index, type);
  });
  // Memory above 1 MiB in KiB, for kernels that do not look at the map.
  const extended = memoryMap.find(({ base, type }) => base === 0x100000 && type === MemoryType.ram)?.length ?? 0;
  params.u32(0x1e0, Math.min(extended / 1024, 0xffffffff));
}
