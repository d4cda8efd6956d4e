// The guest that the end-to-end tests boot: Debian's kernel where this host can bring it, a small machine elsewhere.
// Owns that choice and what to type into the guest.
// Never installs anything.
//
// TRIVISOR_E2E_GUEST=small takes the small machine in any case: what is tested then is the app without the core.

import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianGuest, noDebian, prompt } from '../guests/debian.ts';

export interface GuestFiles {
  kernel: string;
  initrd: string;
  append: string;
  memoryMiB: number;
  /** Replaces the core's machine. */
  machineModule: string | undefined;
  /** What the console shows once the guest takes input, and how long a noisy machine may take until then. */
  prompt: RegExp;
  bootMilliseconds: number;
  typed: string;
  /** What the display shows by then. */
  screen: RegExp;
  /** A line that only the guest's answer can have produced, not the echo of the typing. */
  answer: RegExp;
  /** The same, for what is typed from the clipboard. */
  pasted: string;
  pastedAnswer: RegExp;
  /** Typed to keep the guest's processor busy. */
  work: string;
}

export async function guestFiles(folder: string): Promise<GuestFiles> {
  return noDebian || process.env.TRIVISOR_E2E_GUEST === 'small' ? smallGuest(folder) : debian(folder);
}

async function debian(folder: string): Promise<GuestFiles> {
  const { kernel, initrd, memoryMiB, release } = await debianGuest('amd64');
  // Copies, so that no picture of the app shows where this machine keeps its cache.
  copyFileSync(kernel, join(folder, 'vmlinuz'));
  copyFileSync(initrd, join(folder, 'initrd.img'));
  return {
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
    append: 'console=tty0 console=ttyS0',
    memoryMiB,
    machineModule: undefined,
    prompt,
    screen: /^trivisor:\S+#/m,
    bootMilliseconds: 300_000,
    typed: 'uname -sr',
    answer: new RegExp(`^Linux ${release.replaceAll('.', '\\.')}\\s*$`, 'm'),
    pasted: 'echo "Pasted: $((6 * 7))"',
    pastedAnswer: /^Pasted: 42\s*$/m,
    work: 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done',
  };
}

/** The small machine, whatever this host has. */
export function smallGuest(folder: string): GuestFiles {
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
    memoryMiB: 128,
    machineModule: join(import.meta.dirname, 'small-machine.ts'),
    prompt: /ready/,
    screen: /^ready/m,
    bootMilliseconds: 10_000,
    typed: 'hello',
    answer: /^you said hello\s*$/m,
    pasted: 'again',
    pastedAnswer: /^you said again\s*$/m,
    work: 'work',
  };
}
