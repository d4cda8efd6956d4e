// The PVH boot protocol: enters an ELF kernel in 32-bit mode at the address its Xen note names.
// Owns the start info structure, its module list and memory map (Xen: public/arch-x86/hvm/start_info.h).
// Never looks inside the kernel beyond segments and notes.

import { type BootMemory, type BootOptions, ByteRecord, type EntryState, Placement, protectedEntry } from './boot.ts';
import type { ElfImage } from './elf.ts';

const START_INFO_MAGIC = 0x336ec578;
const START_INFO_SIZE = 56;
const NOTE_OWNER = 'Xen';
/** XEN_ELFNOTE_PHYS32_ENTRY */
const NOTE_ENTRY = 18;
/** Where a 32-bit Linux has its direct map, so that it need not move the initrd. */
const INITRD_END = 0x37ffffff + 1;

/** The entry point that the kernel's note names, or undefined if it has no such note. */
export function pvhEntry({ notes }: ElfImage): number | undefined {
  const note = notes.find(({ owner, type, bytes }) => owner === NOTE_OWNER && type === NOTE_ENTRY && bytes.length >= 4);
  if (note === undefined) return undefined;
  return new DataView(note.bytes.buffer, note.bytes.byteOffset, note.bytes.byteLength).getUint32(0, true);
}

/** Loads a PVH kernel. Throws an Error with one sentence if it or its initrd does not fit. */
export function loadPvh(elf: ElfImage, entry: number, options: BootOptions, memory: BootMemory): EntryState {
  const placement = new Placement(memory);
  for (const segment of elf.segments)
    placement.load('the kernel', segment.physical, segment.bytes, segment.memoryBytes);
  const inSegment = elf.segments.some(({ physical, bytes }) => entry >= physical && entry < physical + bytes.length);
  if (!inSegment) throw new Error(`the kernel's PVH entry 0x${entry.toString(16)} is outside of what it loads`);

  const info = new ByteRecord(START_INFO_SIZE);
  info.u32(0, START_INFO_MAGIC).u32(4, 1);
  if (options.initrd !== undefined && options.initrd.length > 0) {
    const module = new ByteRecord(32);
    module.u64(0, placement.high('the initrd', options.initrd, INITRD_END)).u64(8, options.initrd.length);
    info.u32(12, 1).u64(
      16,
      placement.low(module.bytes.length, () => module.bytes),
    );
  }
  const commandLine = new TextEncoder().encode(options.append);
  info.u64(
    24,
    placement.low(commandLine.length + 1, () => commandLine),
  );
  info.u64(32, options.rsdp ?? 0);
  const map = new ByteRecord(24 * options.memoryMap.length);
  options.memoryMap.forEach(({ base, length, type }, index) => {
    map
      .u64(24 * index, base)
      .u64(24 * index + 8, length)
      .u32(24 * index + 16, type);
  });
  info
    .u64(
      40,
      placement.low(map.bytes.length, () => map.bytes),
    )
    .u32(48, options.memoryMap.length);
  const rbx = placement.low(START_INFO_SIZE, () => info.bytes);
  return protectedEntry(placement, { protocol: 'pvh', rip: entry, rbx });
}
