// Who executes a guest in these tests: Trivisor's own command line, or QEMU in its place.
// Owns the translation of one description of a guest into each one's arguments.
// Never starts anything.
//
// TRIVISOR_TEST_ENGINE=qemu proves the tests themselves: kernels, initramfs and typed scripts are right if QEMU passes.

import { join } from 'node:path';
import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { repositoryRoot } from '../house/sources.ts';

export interface TestGuest {
  architecture: DebianArchitecture;
  kernel: string;
  initrd: string;
  append: string;
  memoryMiB: number;
}

export interface CommandLine {
  file: string;
  args: string[];
}

/** What executes the guests of this run of the tests. */
export const engine: 'trivisor' | 'qemu' = process.env.TRIVISOR_TEST_ENGINE === 'qemu' ? 'qemu' : 'trivisor';

/** Why a test that needs more than a plain PC is skipped; false where it is not. */
export const needsTrivisor: string | false =
  engine === 'trivisor' ? false : 'only Trivisor has it; TRIVISOR_TEST_ENGINE names another engine';

/** The command line of `trivisor` with these arguments. */
export function trivisorCommand(...args: string[]): CommandLine {
  return { file: process.execPath, args: [join(repositoryRoot, 'main/cli/bin.ts'), ...args] };
}

/** Boots the guest with its serial console on standard input and output; ends when the guest powers off. */
export function runCommand(guest: TestGuest, ...options: string[]): CommandLine {
  const boot = ['--kernel', guest.kernel, '--initrd', guest.initrd, '--append', guest.append];
  if (engine === 'trivisor') {
    return trivisorCommand('run', ...boot, '--memory', String(guest.memoryMiB), ...options);
  }
  if (options.length > 0) throw new Error(`QEMU has no options ${options.join(' ')}.`);
  const plain = ['-accel', 'tcg', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'];
  return {
    file: guest.architecture === 'i386' ? 'qemu-system-i386' : 'qemu-system-x86_64',
    args: [...plain, '-m', String(guest.memoryMiB), ...boot.map((word) => word.replace(/^--/, '-'))],
  };
}
