// The guest that the end-to-end tests boot: Debian's kernel where this machine can bring it, else a small machine of ours.
// Owns that choice and what to type into the guest.
// Never installs anything.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface GuestFiles {
  kernel: string;
  initrd: string;
  append: string;
  /** Replaces the core's machine. */
  machineModule: string | undefined;
  /** What the console shows once the guest takes input. */
  prompt: RegExp;
  bootMilliseconds: number;
  typed: string;
  answer: RegExp;
  /** Typed to keep the guest's processor busy. */
  work: string;
}

export async function guestFiles(folder: string): Promise<GuestFiles> {
  const kernel = join(folder, 'kernel');
  // A multiboot header (magic, flags, checksum) and nothing to execute: the small machine takes any kernel.
  const header = Buffer.alloc(4096);
  header.writeUInt32LE(0x1bad_b002, 0);
  header.writeUInt32LE(2 ** 32 - 0x1bad_b002, 8);
  writeFileSync(kernel, header);
  return {
    kernel,
    initrd: '',
    append: '',
    machineModule: join(import.meta.dirname, 'small-machine.ts'),
    prompt: /ready/,
    bootMilliseconds: 10_000,
    typed: 'hello',
    answer: /you said hello/,
    work: 'work',
  };
}
