// Tells kernel images apart and loads them: a Linux bzImage, an ELF/PVH vmlinux, a multiboot kernel.
// Owns the order in which formats are tried and the sentence for an image that is none of them.
// Never touches a CPU: the entry state says how the kernel wants to start.

import { EBDA_BASE } from '../memory-map.ts';
import type { BootMemory, BootOptions, EntryState } from './boot.ts';
import { isElf, readElf } from './elf.ts';
import { isLinux, loadLinux } from './linux.ts';
import { findMultibootHeader, loadMultiboot } from './multiboot.ts';
import { loadPvh, pvhEntry } from './pvh.ts';

/** Words of the BIOS data area that kernels read: segment of the EBDA, and KiB of conventional memory. */
const BDA_EBDA = 0x40e;
const BDA_MEMORY = 0x413;

/** What people hand over instead of a kernel, by how it begins. */
const strangers: readonly { what: string; begins: readonly number[] }[] = [
  { what: 'a gzip-compressed file', begins: [0x1f, 0x8b] },
  { what: 'an xz-compressed file', begins: [0xfd, 0x37, 0x7a, 0x58, 0x5a] },
  { what: 'a Zstandard-compressed file', begins: [0x28, 0xb5, 0x2f, 0xfd] },
  { what: 'a cpio archive (an initrd?)', begins: [0x30, 0x37, 0x30, 0x37, 0x30] },
  { what: 'a Windows or EFI program', begins: [0x4d, 0x5a] },
  { what: 'a Debian package', begins: [0x21, 0x3c, 0x61, 0x72, 0x63, 0x68, 0x3e] },
];

function stranger(image: Uint8Array): string {
  if (image.length === 0) return 'it is empty';
  const known = strangers.find(({ begins }) => begins.every((byte, index) => image[index] === byte));
  if (known !== undefined) return `it is ${known.what}`;
  const start = Array.from(image.subarray(0, 4), (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `it begins with the bytes ${start}`;
}

/**
 * Loads a kernel with its initrd and command line into guest memory and says how it starts.
 * Throws an Error with one sentence if the image is none of the formats, damaged, or does not fit.
 */
export function detectAndLoad(image: Uint8Array, options: BootOptions, memory: BootMemory): EntryState {
  const entry = load(image, options, memory);
  memory.write(BDA_EBDA, Uint8Array.of((EBDA_BASE >> 4) & 0xff, EBDA_BASE >> 12));
  memory.write(BDA_MEMORY, Uint8Array.of((EBDA_BASE >> 10) & 0xff, EBDA_BASE >> 18));
  return entry;
}

function load(image: Uint8Array, options: BootOptions, memory: BootMemory): EntryState {
  if (isLinux(image)) return loadLinux(image, options, memory);
  const header = findMultibootHeader(image);
  if (isElf(image)) {
    const elf = readElf(image);
    const pvh = pvhEntry(elf);
    if (pvh !== undefined) return loadPvh(elf, pvh, options, memory);
    if (header === undefined) {
      throw new Error(
        'the ELF kernel has neither a PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY) nor a multiboot header; use its bzImage',
      );
    }
  }
  if (header !== undefined) return loadMultiboot(image, header, options, memory);
  throw new Error(`the kernel is not a bzImage, an ELF/PVH vmlinux or a multiboot image: ${stranger(image)}`);
}
