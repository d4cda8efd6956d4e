// What is mounted in every container beside its image: /dev, /dev/pts, /dev/shm and what the kernel shows of itself.
// Owns the list, and the nodes of /dev.
// Never implements a file system.

import type { Devices } from '../devices/devices.ts';
import { Errno } from '../errno.ts';
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, makeDevice, S_IFCHR } from '../vfs/constants.ts';
import type { Budget } from '../vfs/file-content.ts';
import type { MountNamespace } from '../vfs/mounts.ts';
import { mkdirAt, mknodAt, symlinkAt, unlinkAt } from '../vfs/operations.ts';
import { TmpFs } from '../vfs/tmpfs.ts';
import type { FileSystem, Nanoseconds, WalkContext } from '../vfs/types.ts';
import { resolve } from '../vfs/walk.ts';
import { CredentialSet } from './credentials.ts';

const NODES: readonly [name: string, mode: number, major: number, minor: number][] = [
  ['null', 0o666, 1, 3],
  ['zero', 0o666, 1, 5],
  ['full', 0o666, 1, 7],
  ['random', 0o666, 1, 8],
  ['urandom', 0o666, 1, 9],
  ['tty', 0o666, 5, 0],
  ['console', 0o620, 5, 1],
  ['ptmx', 0o666, 5, 2],
];
const LINKS: readonly [name: string, target: string][] = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['core', '/proc/kcore'],
];
const GROUP_TTY = 5;

/** Mounts them in a namespace. `more`: by path, what others provide. `memory`: the account of files in it, and how much there is. */
export function mountSystem(
  mounts: MountNamespace,
  devices: Devices,
  now: () => Nanoseconds,
  firstDevice: number,
  more: ReadonlyMap<string, FileSystem>,
  memory: { account: Budget; bytes: number },
): void {
  const root = mounts.rootLocation;
  const context: WalkContext = { root, cwd: root, credentials: CredentialSet.of(0, 0), umask: 0 };
  const directory = (path: string, mode: number): void => {
    try {
      mkdirAt(context, null, path, mode);
    } catch (error) {
      if (!(error instanceof Errno) || error.code !== 'EEXIST') throw error;
    }
  };
  const mount = (path: string, mode: number, fileSystem: FileSystem, flags: number): void => {
    directory(path, mode);
    mounts.mount(resolve(context, null, path), fileSystem, flags);
  };
  for (const [path, fileSystem] of more) mount(path, 0o555, fileSystem, MS_NOSUID | MS_NODEV | MS_NOEXEC);
  mount('/dev', 0o755, new TmpFs({ device: firstDevice, now, mode: 0o755, type: 'devtmpfs' }), MS_NOSUID);
  for (const [name, mode, major, minor] of NODES)
    mknodAt(context, null, `/dev/${name}`, S_IFCHR | mode, makeDevice(major, minor));
  for (const [name, target] of LINKS) symlinkAt(context, target, null, `/dev/${name}`);
  const pts = new TmpFs({ device: firstDevice + 1, now, mode: 0o755, type: 'devpts' });
  mount('/dev/pts', 0o755, pts, MS_NOSUID | MS_NOEXEC);
  mknodAt(context, null, '/dev/pts/ptmx', S_IFCHR | 0o666, makeDevice(5, 2));
  devices.pseudoTerminals.fileSystem = pts;
  mount(
    '/dev/shm',
    0o1777,
    new TmpFs({ device: firstDevice + 2, now, mode: 0o1777, account: memory.account, size: memory.bytes / 2 }),
    MS_NOSUID | MS_NODEV,
  );
  devices.pseudoTerminals.directory = {
    add: (number) => {
      mknodAt(context, null, `/dev/pts/${number}`, S_IFCHR | 0o620, makeDevice(136, number));
      const place = resolve(context, null, `/dev/pts/${number}`);
      place.dentry.inode.setattr({ gid: GROUP_TTY });
      return place;
    },
    remove: (number) => unlinkAt(context, null, `/dev/pts/${number}`, 0),
  };
}
