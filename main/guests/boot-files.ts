// The files a guest boots from, judged before anything is built of them.
// Owns the cheap look at a kernel's header and the bounds on file sizes.
// Never loads anything into a guest: the boot protocols are the core's, and its verdict is the last one.

import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  type Stats,
  statSync,
} from 'node:fs';
import type { KernelInspection } from '../contract.ts';
import { explainFileError } from '../files/folders.ts';

/** Where a multiboot header must lie: within the first 8192 bytes (Multiboot Specification 0.6.96, 3.1). */
const HEAD_BYTES = 8192;

const MULTIBOOT_MAGIC = 0x1bad_b002;

/**
 * The bytes of a kernel or initrd. Throws an Error with one sentence if the file cannot be read, is not a file or is
 * larger than the guest's memory.
 */
export function readBootFile(path: string, what: 'kernel' | 'initrd', memoryMiB: number): Uint8Array {
  return withFile(path, what, (descriptor, { size }) => {
    if (size > memoryMiB * 2 ** 20)
      throw new Error(`The ${what} ${path} is larger than the guest's memory of ${memoryMiB} MiB.`);
    return readFileSync(descriptor);
  });
}

/** A ROM is mapped in steps of so many bytes, and is so large at most. */
const ROM_STEP = 0x4000;
const ROM_MAX = 16 * 2 ** 20;

/** The bytes of a ROM image. Throws an Error with one sentence if the file is none. */
export function readBiosFile(path: string): Uint8Array {
  return withFile(path, 'BIOS', (descriptor, { size }) => {
    requireRom(path, size);
    return readFileSync(descriptor);
  });
}

/** Throws like {@link readBiosFile}, but reads nothing. */
export function checkBiosFile(path: string): void {
  withFile(path, 'BIOS', (_, { size }) => requireRom(path, size));
}

/** The most that a network card's ROM is taken for. */
const OPTION_ROM_MAX = 2 ** 20;

/** The bytes of an option ROM. Throws an Error with one sentence if the file is none. */
export function readOptionRom(path: string): Uint8Array {
  return withFile(path, 'ROM', (descriptor, { size }) => {
    requireOptionRom(path, descriptor, size);
    return readFileSync(descriptor);
  });
}

/** Throws like {@link readOptionRom}. */
export function checkOptionRom(path: string): void {
  withFile(path, 'ROM', (descriptor, { size }) => requireOptionRom(path, descriptor, size));
}

function requireOptionRom(path: string, descriptor: number, size: number): void {
  const head = Buffer.alloc(2);
  readSync(descriptor, head, 0, 2, 0);
  if (head.readUInt16LE(0) !== 0xaa55 || size > OPTION_ROM_MAX)
    throw new Error(`${path} is no option ROM: it begins with 55h AAh and has at most 1 MiB.`);
}

function requireRom(path: string, size: number): void {
  if (size === 0 || size % ROM_STEP !== 0 || size > ROM_MAX)
    throw new Error(`${path} is no BIOS: a ROM image has a multiple of 16 KiB, at most 16 MiB, not ${size} bytes.`);
}

/** Throws like {@link readBootFile}, but reads nothing: for a check before a guest is created. */
export function checkBootFile(path: string, what: 'kernel' | 'initrd', memoryMiB: number): void {
  withFile(path, what, (_, { size }) => {
    if (size > memoryMiB * 2 ** 20)
      throw new Error(`The ${what} ${path} is larger than the guest's memory of ${memoryMiB} MiB.`);
  });
}

/** Throws an Error with one sentence if a disk image or CD cannot be opened as the guest will use it. */
export function checkImageFile(path: string, what: 'disk' | 'CD' | 'floppy', writable: boolean): void {
  withFile(path, what, (_, { size }) => {
    if (size === 0) throw new Error(`Cannot open the ${what} ${path}: it is empty.`);
  });
  try {
    if (writable) accessSync(path, constants.W_OK);
  } catch (error) {
    throw new Error(explainFileError(error, `Cannot write the ${what} ${path}`), { cause: error });
  }
}

/** Throws an Error with one sentence if a folder cannot be shared as the guest will use it. */
export function checkShareFolder(path: string, writable: boolean): void {
  const doing = `Cannot share the folder ${path}`;
  try {
    if (!statSync(path).isDirectory()) throw new Error(`${doing}: it is not a folder.`);
    accessSync(path, constants.R_OK | constants.X_OK | (writable ? constants.W_OK : 0));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new Error(explainFileError(error, doing), { cause: error });
  }
}

/** What kind of kernel a file is, by its header and its size. Never throws: what is wrong is told in `problem`. */
export function inspectKernel(path: string): KernelInspection {
  try {
    return withFile(path, 'kernel', (descriptor, { size }) => {
      const head = Buffer.alloc(HEAD_BYTES);
      const length = readSync(descriptor, head, 0, HEAD_BYTES, 0);
      return judge(head.subarray(0, length), size, path);
    });
  } catch (error) {
    return { format: null, description: 'unreadable', problem: (error as Error).message };
  }
}

function judge(head: Buffer, size: number, path: string): KernelInspection {
  const refuse = (problem: string): KernelInspection => ({ format: null, description: 'not a kernel', problem });
  if (head.length >= 0x264 && head.readUInt16LE(0x1fe) === 0xaa55 && head.toString('latin1', 0x202, 0x206) === 'HdrS') {
    // Linux: Documentation/arch/x86/boot.rst. Sizes in sectors of 512 and in paragraphs of 16 bytes.
    const needed = ((head[0x1f1]! || 4) + 1) * 512 + (head.readUInt32LE(0x1f4) - 1) * 16;
    if (size < needed) return refuse(`The kernel ${path} is cut short: ${size} bytes of at least ${needed}.`);
    const version = head.readUInt16LE(0x206);
    const canRun64 = version >= 0x20c && (head.readUInt16LE(0x236) & 1) !== 0;
    return accept(
      'bzImage',
      `Linux bzImage, ${canRun64 ? '64' : '32'}-bit, boot protocol ${version >> 8}.${version & 255}`,
    );
  }
  if (head.length >= 64 && head.readUInt32BE(0) === 0x7f45_4c46) {
    const machine = head.readUInt16LE(18);
    if (machine === 3) return accept('elf', 'ELF kernel, 32-bit x86');
    if (machine === 62) return accept('elf', 'ELF kernel, x86-64');
    return refuse(`The kernel ${path} is an ELF file, but not for x86.`);
  }
  for (let offset = 0; offset + 12 <= head.length; offset += 4) {
    if (head.readUInt32LE(offset) !== MULTIBOOT_MAGIC) continue;
    const sum = MULTIBOOT_MAGIC + head.readUInt32LE(offset + 4) + head.readUInt32LE(offset + 8);
    if (sum % 2 ** 32 === 0) return accept('multiboot', 'multiboot kernel');
  }
  return refuse(`${path} is not a kernel: neither a Linux bzImage, nor an x86 ELF file, nor a multiboot image.`);
}

function accept(format: NonNullable<KernelInspection['format']>, description: string): KernelInspection {
  return { format, description, problem: null };
}

function withFile<Result>(path: string, what: string, look: (descriptor: number, stats: Stats) => Result): Result {
  let descriptor: number;
  let stats: Stats;
  try {
    descriptor = openSync(path, 'r');
    stats = fstatSync(descriptor);
  } catch (error) {
    throw new Error(explainFileError(error, `Cannot read the ${what} ${path}`), { cause: error });
  }
  try {
    if (!stats.isFile()) throw new Error(`Cannot read the ${what} ${path}: it is not a file.`);
    return look(descriptor, stats);
  } finally {
    closeSync(descriptor);
  }
}
