// mount, umount2, pivot_root: what a program with the rights does to the mounts of its namespace.
// Owns their flags, the options of what can be mounted, and who may (mount(2)).
// Never mounts anything of the host: what a guest can mount is in memory, or was mounted before.

import { errno } from '../errno.ts';
import { makeCgroupFs } from '../kernel/cgroup-fs.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { KernelProc } from '../kernel/proc-tasks.ts';
import type { Task } from '../kernel/task.ts';
import { PAGE } from '../memory/page-pool.ts';
import { MS_BIND, MS_MOVE, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REC, MS_REMOUNT } from '../vfs/constants.ts';
import { asTree, topmost } from '../vfs/mounts.ts';
import { makeProc } from '../vfs/proc.ts';
import { makeSys } from '../vfs/sys.ts';
import { TmpFs } from '../vfs/tmpfs.ts';
import type { FileSystem, Location } from '../vfs/types.ts';
import { demandDirectory, resolve } from '../vfs/walk.ts';
import { pathAt } from './arguments.ts';

const CAP_SYS_ADMIN = 21;
const MS_UNBINDABLE = 1 << 17;
const MS_PRIVATE = 1 << 18;
const MS_SLAVE = 1 << 19;
const MS_SHARED = 1 << 20;
const MS_MAGIC = 0xc0ed0000;
const MS_MAGIC_MASK = 0xffff0000;
const PROPAGATION = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED;
const KEPT = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
const MNT_FORCE = 1;
const MNT_DETACH = 2;
const MNT_EXPIRE = 4;
const UMOUNT_NOFOLLOW = 8;
/** The first st_dev of what guests mount; those below are taken. */
const FIRST_DEVICE = 4096;

function demandMount(task: Task): void {
  if (!task.credentials.capableIn(task.namespaces.mnt.owner, CAP_SYS_ADMIN)) throw errno('EPERM');
}

const place = (task: Task, address: number, follow = true): Location =>
  resolve(task.walk, null, pathAt(task, address), follow);

/** 'size=10m,mode=700': by name, and without '=' ''. */
function optionsOf(text: string): Map<string, string> {
  const pairs = text.split(',').filter((entry) => entry !== '');
  return new Map(
    pairs.map((entry) => {
      const at = entry.indexOf('=');
      return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 };

/** A size of tmpfs(5): with a unit, or a share of the memory. Throws EINVAL. */
function bytesOf(text: string, all: number): number {
  const found = /^(\d{1,15})([kmg%]?)$/i.exec(text);
  if (!found) throw errno('EINVAL');
  const unit = found[2].toLowerCase();
  return unit === '%' ? (all * Number(found[1])) / 100 : Number(found[1]) * UNITS[unit];
}

const numberOf = (text: string, radix: number): number => {
  const value = Number.parseInt(text, radix);
  if (!/^[0-7]+$/.test(text) && radix === 8) throw errno('EINVAL');
  if (!Number.isSafeInteger(value) || value < 0) throw errno('EINVAL');
  return value;
};

function temporary(task: Task, device: number, text: string): FileSystem {
  const memory = task.kernel.memoryTotal;
  let size = memory / 2;
  let inodes = memory / PAGE / 2;
  let mode = 0o1777;
  let uid = task.credentials.fsuid;
  let gid = task.credentials.fsgid;
  for (const [name, value] of optionsOf(text))
    switch (name) {
      case 'size':
        size = bytesOf(value, memory) || Number.POSITIVE_INFINITY;
        break;
      case 'nr_blocks':
        size = bytesOf(value, 0) * PAGE || Number.POSITIVE_INFINITY;
        break;
      case 'nr_inodes':
        inodes = bytesOf(value, 0) || Number.POSITIVE_INFINITY;
        break;
      case 'mode':
        mode = numberOf(value, 8) & 0o7777;
        break;
      case 'uid':
        uid = task.uidMeant(numberOf(value, 10));
        break;
      case 'gid':
        gid = task.gidMeant(numberOf(value, 10));
        break;
      default:
        if (!['noswap', 'inode32', 'inode64', 'huge', 'mpol'].includes(name)) throw errno('EINVAL');
    }
  const now = (): bigint => BigInt(Math.floor(task.kernel.wall()));
  return new TmpFs({ device, now, size, inodes, mode, uid, gid, account: task.kernel.fileBudget });
}

/** A new file system. Throws ENODEV for a type that there is not. */
function makeFileSystem(task: Task, type: string, options: string): FileSystem {
  const { kernel } = task;
  const device = FIRST_DEVICE + kernel.mountsMade++;
  const now = (): bigint => BigInt(Math.floor(kernel.wall()));
  switch (type) {
    case 'tmpfs':
    case 'ramfs':
      return temporary(task, device, options);
    case 'proc': {
      const { pid } = task.namespaces;
      if (!task.credentials.capableIn(pid.owner, CAP_SYS_ADMIN)) throw errno('EPERM');
      return makeProc({ device, now, source: new KernelProc(kernel, pid) });
    }
    case 'sysfs':
      return makeSys({ device, now, cpus: 1 });
    case 'cgroup2':
      return makeCgroupFs(kernel, task.namespaces.cgroup.root, { device, now });
    case 'devpts':
      // Terminals have one set of numbers in a guest: each mount shows it.
      return kernel.devices.pseudoTerminals.fileSystem;
    default:
      throw errno('ENODEV');
  }
}

const mount: SystemCall = (task, sourceAt, targetAt, typeAt, given, dataAt) => {
  let flags = given | 0;
  if ((flags & MS_MAGIC_MASK) >>> 0 === MS_MAGIC) flags &= ~MS_MAGIC_MASK;
  const options = dataAt === 0 ? '' : task.space.readString(dataAt, PAGE, 'EINVAL');
  const at = place(task, targetAt);
  demandMount(task);
  const { mounts } = task.namespaces.mnt;
  const kept = flags & KEPT;
  if (flags & MS_REMOUNT) mounts.remount(at, kept);
  else if (flags & MS_BIND) mounts.bind(at, place(task, sourceAt), (flags & MS_REC) !== 0);
  else if (flags & PROPAGATION) return propagate(task, at, flags);
  else if (flags & MS_MOVE) mounts.move(place(task, sourceAt), at);
  else {
    if (typeAt === 0) throw errno('EINVAL');
    const type = pathAt(task, typeAt);
    const source = sourceAt === 0 ? 'none' : pathAt(task, sourceAt);
    const fileSystem = makeFileSystem(task, type, options);
    // Devices of a mount by who is not the guest's own root lead nowhere.
    const own = task.credentials.namespace.level > 0 ? MS_NODEV : 0;
    mounts.mount(at, fileSystem, kept | own, source);
  }
  return 0;
};

/** Every mount is private: what is shared with nobody needs nothing to be so. Throws EINVAL. */
function propagate(task: Task, at: Location, flags: number): number {
  const kind = flags & PROPAGATION;
  if ((kind & (kind - 1)) !== 0 || at.dentry !== at.mount.root) throw errno('EINVAL');
  if (kind === MS_SHARED) {
    task.kernel.notImplemented('mount: MS_SHARED');
    throw errno('EINVAL');
  }
  return 0;
}

/** Whether a task is in a mount or has a file of it open. */
function isUsed(task: Task, mount: Location['mount']): boolean {
  for (const { state, fs, files } of task.kernel.tasks.values()) {
    if (state === 'dead') continue;
    if (fs.cwd.mount === mount || fs.root.mount === mount) return true;
    for (const fd of files.numbers()) if (files.get(fd).location?.mount === mount) return true;
  }
  return false;
}

const umount: SystemCall = (task, address, flags) => {
  if (flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) throw errno('EINVAL');
  if (flags & MNT_EXPIRE && flags & (MNT_FORCE | MNT_DETACH)) throw errno('EINVAL');
  const found = asTree(place(task, address, (flags & UMOUNT_NOFOLLOW) === 0));
  const at = topmost(found.mount, found.dentry);
  demandMount(task);
  const { mounts } = task.namespaces.mnt;
  if (at.dentry !== at.mount.root) throw errno('EINVAL');
  if (flags & MNT_EXPIRE) throw errno('EAGAIN');
  if ((flags & MNT_DETACH) === 0 && isUsed(task, at.mount)) throw errno('EBUSY');
  mounts.unmount(at, (flags & MNT_DETACH) !== 0);
  return 0;
};

const pivotRoot: SystemCall = (task, newAt, oldAt) => {
  demandMount(task);
  const top = place(task, newAt);
  const old = place(task, oldAt);
  demandDirectory(top, task.walk);
  demandDirectory(old, task.walk);
  const { root: before } = task.fs;
  if (before.dentry !== before.mount.root) throw errno('EINVAL');
  task.namespaces.mnt.mounts.pivot(top, old);
  // Whoever was at the old root is at the new one.
  for (const { fs } of task.kernel.tasks.values()) {
    if (fs.root.mount === before.mount && fs.root.dentry === before.dentry) fs.root = top;
    if (fs.cwd.mount === before.mount && fs.cwd.dentry === before.dentry) fs.cwd = top;
  }
  return 0;
};

export const mountCalls: Record<string, SystemCall> = { mount, umount2: umount, pivot_root: pivotRoot };
