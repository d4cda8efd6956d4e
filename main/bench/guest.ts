// The guest that the benchmark boots: a Debian kernel, and an initramfs that holds nothing but the workloads as /init.
// Owns its files in the cache folder and its kernel command line.
// Never starts it: engines.ts knows who executes it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cpioArchive } from '../starter/cpio.ts';
import { linuxFiles } from '../starter/linux.ts';
import { compileWorkloads, type Width, type Workload } from './workloads.ts';

export interface BenchGuest {
  width: Width;
  kernel: string;
  initrd: string;
  append: string;
  memoryMiB: number;
  /** The kernel command line with which the guest only waits. */
  appendIdle: string;
  /** The workloads as a program of this host's, and its arguments: the native column. */
  program: string;
  programArguments: readonly string[];
  /** A virtio card on a network that reaches the host's own services. */
  network?: boolean;
}

/**
 * Makes the guest's files. `scale` is a percentage of the usual amount of work. Throws an Error with one sentence if
 * the kernel cannot be had or the workloads cannot be compiled.
 */
export async function benchGuest(width: Width, only: readonly Workload[], scale: number): Promise<BenchGuest> {
  const program = compileWorkloads(width);
  const { kernel } = await linuxFiles({ architecture: width === 32 ? 'i386' : 'amd64' });
  const initrd = join(dirname(program), `${basename(program)}.cpio`);
  mkdirSync(dirname(initrd), { recursive: true });
  writeFileSync(
    initrd,
    cpioArchive([
      { path: 'dev/console', type: 'character', major: 5, minor: 1 },
      { path: 'init', type: 'file', data: readFileSync(program), mode: 0o755 },
    ]),
  );
  const programArguments = [`scale=${scale}`, ...only];
  // The kernel hands what follows `--` to /init as its arguments.
  const appendOf = (given: readonly string[]): string => `console=ttyS0 quiet panic=-1 -- ${given.join(' ')}`;
  const append = appendOf(programArguments);
  return { width, kernel, initrd, append, appendIdle: appendOf(['idle']), memoryMiB: 256, program, programArguments };
}
