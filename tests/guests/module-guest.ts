// Debian guests whose initramfs brings modules of their kernel, as that of an installed system does.
// Owns the way from names of modules to an initramfs.
// Never knows what the modules are for.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type DebianArchitecture, DebianPackages, unpackXz } from '../../main/starter/debian-packages.ts';
import { busyboxInitramfs } from '../../main/starter/initramfs.ts';
import { debianGuest } from './debian.ts';
import type { TestGuest } from './engines.ts';

/**
 * A guest that has loaded `modules`, in this order, when its prompt comes; those that its kernel has built in, or does not have,
 * are left out. They are sought in `folders` below the kernel's own, patterns of the package's files. The initramfs is made
 * in `folder`.
 */
export async function moduleGuest(
  architecture: DebianArchitecture,
  folder: string,
  modules: readonly string[],
  folders: readonly string[],
): Promise<TestGuest & { release: string; modules: string[] }> {
  const guest = await debianGuest(architecture);
  const packages = new DebianPackages({ architecture });
  const busybox = await packages.unpack('busybox-static');
  const patterns = folders.map((each) => `*/kernel/${each}`);
  const tree = await packages.unpack(`linux-image-${guest.release}`, patterns);
  const files = readdirSync(tree, { recursive: true, encoding: 'utf8' });
  const loaded = modules.flatMap((name) => {
    const file = files.find((each) => basename(each) === `${name}.ko` || basename(each) === `${name}.ko.xz`);
    if (file === undefined) return [];
    const at = join(tree, file);
    return [{ name: `${name}.ko`, data: file.endsWith('.xz') ? unpackXz(at) : readFileSync(at) }];
  });
  const name = createHash('sha256').update(modules.join()).digest('hex').slice(0, 8);
  const initrd = join(folder, `initramfs-${architecture}-${name}`);
  writeFileSync(initrd, busyboxInitramfs({ busybox: readFileSync(join(busybox, 'bin/busybox')), modules: loaded }));
  return { ...guest, initrd, modules: loaded.map(({ name }) => basename(name, '.ko')) };
}
