// Debian's kernel with a shell on the display and one on the first serial port.
// Owns its initramfs.
// Never loads a module: display and keyboard are built into these kernels.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DebianArchitecture, DebianPackages } from '../../../main/starter/debian-packages.ts';
import { busyboxInitramfs } from '../../../main/starter/initramfs.ts';
import { debianGuest } from '../debian.ts';

export async function displayGuest(architecture: DebianArchitecture) {
  const guest = await debianGuest(architecture);
  const busybox = join(await new DebianPackages({ architecture }).unpack('busybox-static'), 'bin/busybox');
  const initramfs = busyboxInitramfs({ busybox: readFileSync(busybox), terminals: ['tty1', 'ttyS0'] });
  return { ...guest, initramfs };
}
