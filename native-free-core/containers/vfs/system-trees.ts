// /dev and /sys of a guest: the nodes and files that programs expect to be there.
// Owns their names, numbers and modes; the kernel's drivers answer behind the nodes, by device number.
// Never shows anything of the host but how many CPUs a guest has.

import { makeDevice, S_IFCHR, S_IFDIR, S_IFLNK } from './constants.ts';
import { ProviderFs } from './provider.ts';
import { TmpFs, type TmpFsOptions } from './tmpfs.ts';
import type { Inode, Nanoseconds } from './types.ts';

/** Character devices by name: Linux's Documentation/admin-guide/devices.txt. */
const characterDevices: readonly [string, number, number, number][] = [
  ['null', 1, 3, 0o666],
  ['zero', 1, 5, 0o666],
  ['full', 1, 7, 0o666],
  ['random', 1, 8, 0o666],
  ['urandom', 1, 9, 0o666],
  ['tty', 5, 0, 0o666],
  ['console', 5, 1, 0o620],
];

/** Links of /dev, as container runtimes make them (OCI runtime specification, 'Dev symbolic links'). */
const deviceLinks: readonly [string, string][] = [
  ['ptmx', 'pts/ptmx'],
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['core', '/proc/kcore'],
];

/** A guest's /dev, with the directories pts, shm and mqueue to mount on. */
export function makeDev(options: Omit<TmpFsOptions, 'type' | 'mode'>): TmpFs {
  const fs = new TmpFs({ ...options, type: 'tmpfs', mode: 0o755 });
  const root = { uid: 0, gid: 0 };
  for (const [name, major, minor, mode] of characterDevices) {
    fs.root.create(name, { ...root, mode: S_IFCHR | mode, rdev: makeDevice(major, minor) });
  }
  for (const [name, target] of deviceLinks) fs.root.create(name, { ...root, mode: S_IFLNK | 0o777, target });
  for (const name of ['pts', 'mqueue']) fs.root.create(name, { ...root, mode: S_IFDIR | 0o755 });
  fs.root.create('shm', { ...root, mode: S_IFDIR | 0o1777 });
  return fs;
}

/** SYSFS_MAGIC. */
const sysfsMagic = 0x62656572;

/** A guest's /sys: what the C library, language runtimes and tools look up. */
export function makeSys({ device, now, cpus }: { device: number; now: () => Nanoseconds; cpus: number }): ProviderFs {
  const fs = new ProviderFs({ type: 'sysfs', magic: sysfsMagic, device, now });
  const directory = (fixed: Record<string, Inode> = {}): Inode => fs.directory({ mode: 0o755, fixed });
  const range = cpus === 1 ? '0\n' : `0-${cpus - 1}\n`;
  const each = Object.fromEntries(
    Array.from({ length: cpus }, (_, at) => [
      `cpu${at}`,
      directory({
        topology: directory({ core_id: fs.text(`${at}\n`), physical_package_id: fs.text('0\n') }),
        online: fs.text('1\n'),
      }),
    ]),
  );
  fs.root = directory({
    block: directory(),
    bus: directory(),
    class: directory({ net: directory(), tty: directory() }),
    dev: directory({ block: directory(), char: directory() }),
    devices: directory({
      system: directory({
        cpu: directory({ ...each, online: fs.text(range), possible: fs.text(range), present: fs.text(range) }),
        node: directory({ online: fs.text('0\n'), node0: directory({ cpulist: fs.text(range) }) }),
      }),
    }),
    firmware: directory(),
    fs: directory({ cgroup: directory() }),
    kernel: directory({
      mm: directory({ transparent_hugepage: directory({ enabled: fs.text('always madvise [never]\n') }) }),
      security: directory(),
    }),
    module: directory(),
  });
  return fs;
}
