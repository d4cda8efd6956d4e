// /sys of a guest: the files that programs expect to be there.
// Owns their names and texts.
// Never shows anything of the host but how many CPUs a guest has.

import { ProviderFs } from './provider.ts';
import type { Inode, Nanoseconds } from './types.ts';

/** SYSFS_MAGIC. */
const sysfsMagic = 0x62656572;

/** A network interface of whoever looks. The same object as long as it is there. */
export interface SysInterface {
  readonly name: string;
  /** Texts by name, and those of its folder `statistics`. */
  files(): Record<string, string>;
  statistics(): Record<string, string>;
}

export interface SysOptions {
  device: number;
  now: () => Nanoseconds;
  cpus: number;
  interfaces?: () => readonly SysInterface[];
}

/** A guest's /sys: what the C library, language runtimes and tools look up. */
export function makeSys({ device, now, cpus, interfaces = () => [] }: SysOptions): ProviderFs {
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
  const texts = (names: readonly string[], of: () => Record<string, string>): Record<string, Inode> =>
    Object.fromEntries(names.map((name) => [name, fs.file({ read: () => of()[name] ?? '' })]));
  const net = fs.directory({
    mode: 0o755,
    dynamic: {
      names: () => interfaces().map(({ name }) => name),
      find: (name) => interfaces().find((each) => each.name === name) ?? null,
      make: (_name, found) => {
        const { files, statistics } = found as SysInterface;
        return directory({
          ...texts(Object.keys(files()), files),
          statistics: directory(texts(Object.keys(statistics()), statistics)),
        });
      },
    },
  });
  fs.root = directory({
    block: directory(),
    bus: directory(),
    class: directory({ net, tty: directory() }),
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
