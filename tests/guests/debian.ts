// The Debian guests of these tests: a real kernel of each width with busybox, brought once into the cache folder.
// Owns what is typed into them and what must come back.
// Never runs where the host has no apt: then the tests say so by name.

import { type DebianArchitecture, debianUnavailable } from '../../main/starter/debian-packages.ts';
import { linuxFiles } from '../../main/starter/linux.ts';
import type { TestGuest } from './engines.ts';

/** Why there are no Debian guests here, for a test's `skip`; false where there are. */
export const noDebian: string | false = debianUnavailable() ?? false;

export const architectures: readonly DebianArchitecture[] = ['i386', 'amd64'];

export async function debianGuest(architecture: DebianArchitecture): Promise<TestGuest & { release: string }> {
  const { kernel, initrd, release } = await linuxFiles({ architecture });
  // The display is another test's: what the kernel says goes to the serial line alone.
  return { architecture, kernel, initrd, append: 'console=ttyS0', memoryMiB: 256, release };
}

/** The shell's prompt. */
export const prompt = /trivisor:\S+# /;

/**
 * A command, and a line of its answer that only its execution can have produced: the echo of the typing is no answer.
 * No backslashes: `--type` has meanings of its own for them.
 */
export interface Exchange {
  type: string;
  expect: RegExp;
}

export function exchanges({
  architecture,
  release,
}: {
  architecture: DebianArchitecture;
  release: string;
}): Exchange[] {
  const processor = architecture === 'i386' ? 'i[3-6]86' : 'x86_64';
  return [
    // What the kernel has yet to say stays out of the answers' lines; the answer is the new level.
    { type: 'dmesg -n 1; cut -f 1 /proc/sys/kernel/printk\n', expect: /^1$/m },
    {
      type: 'uname -a\n',
      expect: new RegExp(`^Linux trivisor ${release.replaceAll('.', '\\.')} .* ${processor} GNU/Linux$`, 'm'),
    },
    { type: 'seq 1 200 | grep 7 | wc -l\n', expect: /^38$/m },
    {
      // Newton's square root of 2, a thousand terms of Leibniz's series, and a quotient to the last bit of a double.
      // Debian's busybox awk has no mathematical functions, only arithmetic.
      type:
        `awk 'BEGIN { x = 1; for (i = 0; i < 9; i++) x = (x + 2 / x) / 2; ` +
        `for (i = 0; i < 1000; i++) s += (i % 2 ? -4 : 4) / (2 * i + 1); printf "%.12f %.12f %.17g", x, s, 1 / 3; print "" }'\n`,
      expect: /^1\.414213562373 3\.140592653840 0\.33333333333333331$/m,
    },
  ];
}
