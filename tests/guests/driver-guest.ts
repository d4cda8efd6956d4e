// Debian guests with drivers of their choice: modules out of the kernel's own package, in the order that they need each other.
// Owns how a module and what it depends on are found and packed.
// Never runs where Debian's packages cannot be brought: then the tests say so by name.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { CpioEntry } from '../../main/starter/cpio.ts';
import { type DebianArchitecture, DebianPackages, unpackXz } from '../../main/starter/debian-packages.ts';
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

/** Module names are written with either; a file has one of them. */
const same = (name: string) => name.replaceAll('-', '_');

/** What a module says that it depends on. */
function dependencies(module: Buffer): string[] {
  const at = module.indexOf('\0depends=');
  if (at < 0) return [];
  const from = at + '\0depends='.length;
  const list = module.toString('latin1', from, module.indexOf(0, from));
  return list === '' ? [] : list.split(',');
}

/** A Debian guest whose initramfs, made in `folder`, has loaded the modules when its prompt comes. */
export async function driverGuest(
  architecture: DebianArchitecture,
  folder: string,
  { modules, folders, extra, terminals }: DriverGuestOptions,
) {
  const guest = await debianGuest(architecture);
  const packages = new DebianPackages({ architecture });
  const busybox = await packages.unpack('busybox-static');
  const tree = await packages.unpack(
    `linux-image-${guest.release}`,
    folders.map((each) => `*/kernel/${each}`),
  );
  const files = new Map<string, string>();
  for (const file of readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
    const found = /^(.+)\.ko(\.xz)?$/.exec(basename(file));
    if (found) files.set(same(found[1]!), join(tree, file));
  }
  const loaded = new Map<string, Buffer>();
  const load = (name: string): void => {
    const key = same(name);
    // What has no file is built in.
    const file = files.get(key);
    if (loaded.has(key) || file === undefined) return;
    const data = file.endsWith('.xz') ? Buffer.from(unpackXz(file)) : readFileSync(file);
    for (const needed of dependencies(data)) load(needed);
    loaded.set(key, data);
  };
  for (const name of modules) load(name);
  const initrd = join(folder, `initramfs-${architecture}-${modules.at(-1)}`);
  const packed = [...loaded].map(([name, data]) => ({ name: `${name}.ko`, data }));
  const system = {
    busybox: readFileSync(join(busybox, 'bin/busybox')),
    modules: packed,
    ...(extra ? { extra } : {}),
    ...(terminals ? { terminals } : {}),
  };
  writeFileSync(initrd, busyboxInitramfs(system));
  return { ...guest, initrd };
}
