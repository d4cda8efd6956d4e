// Who executes a guest in these tests: Trivisor's own command line, its app, or QEMU in its place.
// Owns the translation of one description of a guest into each one's arguments.
// Never starts anything.
//
// TRIVISOR_TRANSLATION=eager or off runs every guest of these tests with its code translated from its first execution on,
// or never; what a guest does must not depend on it. All that starts a guest reads it
// (main/guests/translation-time.ts). TRIVISOR_TEST_ENGINE=qemu proves the tests themselves: kernels, initramfs and typed
// scripts are right if QEMU passes. TRIVISOR_TEST_ENGINE=window has the systems of the README's table in the app's windows.

import { join } from 'node:path';
import { usualTranslation } from '../../main/guests/translation-time.ts';
import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import type { TranslationTime } from '../../native-free-core/hypervisor/guest.ts';
import { repositoryRoot } from '../house/sources.ts';

export interface TestGuest {
  architecture: DebianArchitecture;
  kernel: string;
  initrd: string;
  append: string;
  memoryMiB: number;
  /** vCPUs; 1 where left out. */
  cpus?: number;
}

export interface CommandLine {
  file: string;
  args: string[];
}

/** What executes the guests of this run of the tests. */
export const engine: 'trivisor' | 'window' | 'qemu' = (() => {
  const wanted = process.env.TRIVISOR_TEST_ENGINE || 'trivisor';
  const known = (['trivisor', 'window', 'qemu'] as const).find((each) => each === wanted);
  if (known === undefined) throw new Error(`TRIVISOR_TEST_ENGINE is trivisor, window or qemu, not ${wanted}.`);
  return known;
})();

/** Why a test that needs more than a plain PC is skipped; false where it is not. */
export const needsTrivisor: string | false =
  engine === 'trivisor' ? false : 'only Trivisor has it; TRIVISOR_TEST_ENGINE names another engine';

/** When the code of the guests of this run of the tests is translated. */
export const translation: TranslationTime = usualTranslation();

/** How many times longer a guest may take that executes in another way than usual. */
export const patience: number = { hot: 1, eager: 8, off: 3 }[translation];

/** The command line of `trivisor` with these arguments. */
export function trivisorCommand(...args: string[]): CommandLine {
  return { file: process.execPath, args: [join(repositoryRoot, 'main/cli/bin.ts'), ...args] };
}

/** Boots the guest with its serial console on standard input and output; ends when the guest powers off. */
export function runCommand(guest: TestGuest, ...options: string[]): CommandLine {
  const boot = ['--kernel', guest.kernel, '--initrd', guest.initrd, '--append', guest.append];
  if (engine !== 'qemu') {
    const cpus = guest.cpus === undefined ? [] : ['--cpus', String(guest.cpus)];
    return trivisorCommand('run', ...boot, '--memory', String(guest.memoryMiB), ...cpus, ...options);
  }
  if (options.length > 0) throw new Error(`QEMU has no options ${options.join(' ')}.`);
  const plain = ['-accel', 'tcg', '-display', 'none', '-monitor', 'none', '-serial', 'stdio', '-no-reboot'];
  return {
    file: guest.architecture === 'i386' ? 'qemu-system-i386' : 'qemu-system-x86_64',
    args: [
      ...plain,
      '-m',
      String(guest.memoryMiB),
      '-smp',
      String(guest.cpus ?? 1),
      ...boot.map((word) => word.replace(/^--/, '-')),
    ],
  };
}
