// Debian guests with drivers of their choice: modules out of the kernel's own package.
// Owns how they are packed.
// Never runs where Debian's packages cannot be brought: then the tests say so by name.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CpioEntry } from '../../main/starter/cpio.ts';
import { type DebianArchitecture, DebianPackages } from '../../main/starter/debian-packages.ts';
import { driverModules } from '../../main/starter/driver-modules.ts';
import { busyboxInitramfs } from '../../main/starter/initramfs.ts';
import { debianGuest } from './debian.ts';

export interface DriverGuestOptions {
  /** Modules by their names, in the order they are loaded in; what they depend on comes before them. */
  modules: readonly string[];
  /** Folders of the kernel's tree that hold them all, such as `drivers/usb/*`. */
  folders: readonly string[];
  /** Further files of the initramfs. */
  extra?: readonly CpioEntry[];
  /** Where its shells are, in place of the usual ones. */
  terminals?: readonly string[];
}

/** A Debian guest whose initramfs, made in `folder`, has loaded the modules when its prompt comes. */
export async function driverGuest(
  architecture: DebianArchitecture,
  folder: string,
  { modules, folders, extra, terminals }: DriverGuestOptions,
) {
  const guest = await debianGuest(architecture);
  const busybox = await new DebianPackages({ architecture }).unpack('busybox-static');
  const system = {
    busybox: readFileSync(join(busybox, 'bin/busybox')),
    modules: await driverModules(architecture, guest.release, { modules, folders }),
    ...(extra ? { extra } : {}),
    ...(terminals ? { terminals } : {}),
  };
  const initrd = join(folder, `initramfs-${architecture}-${modules.at(-1)}`);
  writeFileSync(initrd, busyboxInitramfs(system));
  return { ...guest, initrd };
}
