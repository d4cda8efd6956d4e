// Who executes the benchmark's guest: Trivisor, its peers, and the bare processor for comparison.
// Owns how each is started, which widths it can do, and why it may be missing here.
// Never measures: each is a command whose standard output is the guest's serial console.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchGuest } from './guest.ts';
import type { Width } from './workloads.ts';

export interface Command {
  file: string;
  args: readonly string[];
}

export interface Engine {
  name: string;
  /** What it needs that is not here, as one sentence; null if it can run guests of this width. */
  missing(width: Width): string | null;
  /** `reportFile`: where an engine that keeps accounts of its work writes them at the guest's end; others write nothing. */
  command(guest: BenchGuest, reportFile: string): Command;
}

const modulePath = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, program)));
}

/**
 * The command line as it is installed: a bundle. In a checkout it is built first if it is not up to date, so that what is
 * measured is what a user runs and not the reading of sources.
 */
export function bundledCommandLine(): string {
  if (!import.meta.url.endsWith('.ts')) return fileURLToPath(import.meta.url);
  const built = spawnSync(process.execPath, [modulePath('../build/build.ts'), '--if-stale'], { encoding: 'utf8' });
  if (built.status !== 0) throw new Error(`the bundle cannot be built: ${built.stderr.trim().split('\n').at(-1)}`);
  return modulePath('../../dist/cli.js');
}

/** Ours, through the command line, so with the same worker thread as every guest. */
export const trivisor: Engine = {
  name: 'trivisor',
  missing: () => null,
  command: ({ kernel, initrd, append, memoryMiB, network }, reportFile) => ({
    file: process.execPath,
    args: [
      bundledCommandLine(),
      'run',
      ...['--kernel', kernel, '--initrd', initrd, '--append', append, '--memory', String(memoryMiB)],
      ...['--report', reportFile],
      // As QEMU's: the host's services are at the gateway.
      ...(network ? ['--net', 'nat+host,model=virtio'] : []),
    ],
  }),
};

const qemuProgram = (width: Width): string => (width === 32 ? 'qemu-system-i386' : 'qemu-system-x86_64');

/** QEMU's own translator, with the processor it offers by default. */
const qemu: Engine = {
  name: 'qemu',
  missing: (width) => (onPath(qemuProgram(width)) ? null : `${qemuProgram(width)} is not installed`),
  command: ({ width, kernel, initrd, append, memoryMiB, network }) => ({
    file: qemuProgram(width),
    args: [
      ...['-accel', 'tcg', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'],
      ...(network ? ['-nic', 'user,model=virtio-net-pci'] : ['-nic', 'none']),
      ...['-m', String(memoryMiB), '-kernel', kernel, '-initrd', initrd, '-append', append],
    ],
  }),
};

/** Where distributions put the BIOS images that v86 needs and its package does not carry. */
export const biosFolder = '/usr/share/seabios';
export const biosFiles = { bios: 'bios.bin', vgaBios: 'vgabios-stdvga.bin' } as const;

const v86: Engine = {
  name: 'v86',
  missing(width) {
    if (width === 64) return 'v86 has no 64-bit mode';
    try {
      import.meta.resolve('v86');
    } catch {
      return 'the npm package v86 (a development dependency) is not installed';
    }
    const absent = Object.values(biosFiles).find((file) => !existsSync(join(biosFolder, file)));
    return absent === undefined ? null : `v86 needs a BIOS: ${biosFolder}/${absent} (package seabios) is not there`;
  },
  command: ({ kernel, initrd, append, memoryMiB }) => ({
    file: process.execPath,
    args: [modulePath('v86-guest.ts'), kernel, initrd, append, String(memoryMiB)],
  }),
};

/** Ours without a machine: the program in a container, whose root is its folder. */
export const trivisorOs: Engine = {
  name: 'trivisor',
  missing: () => null,
  command: ({ program, programArguments }, reportFile) => ({
    file: process.execPath,
    args: [
      bundledCommandLine(),
      'run',
      ...['--kind', 'os', '--rootfs', dirname(program), '--report', reportFile],
      ...['--', `/${basename(program)}`, ...programArguments],
    ],
  }),
};

/** QEMU's emulation of user programs, whose system calls are the host's own. */
export const qemuUser: Engine = {
  name: 'qemu-user',
  missing: () => (onPath('qemu-x86_64') ? null : 'qemu-x86_64 (package qemu-user) is not installed'),
  command: ({ program, programArguments }) => ({ file: 'qemu-x86_64', args: [program, ...programArguments] }),
};

/** No guest at all: the same program as a process of the host. */
export const native: Engine = {
  name: 'native',
  missing: () =>
    process.platform === 'linux' && process.arch === 'x64' ? null : 'this host does not execute x86 Linux programs',
  command: ({ program, programArguments }) => ({ file: program, args: programArguments }),
};

/** The peers by name, as `--peers` takes them. */
export const peers: Readonly<Record<string, Engine>> = { v86, qemu };
