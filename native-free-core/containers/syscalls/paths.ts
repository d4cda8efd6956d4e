// The calls on names and on what files are: stat, mkdir, rename, chmod, getdents and their kin.
// Owns their arguments and the structures they fill in.
// Never checks a permission: vfs/ does.

import { PipeFile } from '../devices/pipe.ts';
import { errno } from '../errno.ts';
import { flock } from '../kernel/file-locks.ts';
import type { SystemCall } from '../kernel/kernel.ts';
import { afterResize, beforeRead } from '../kernel/mapped-files.ts';
import type { Task } from '../kernel/task.ts';
import { Socket } from '../sockets/socket.ts';
import {
  accessAt,
  changeMode,
  changeOwner,
  changeTimes,
  getAttribute,
  listAttributes,
  removeAttribute,
  type Status,
  setAttribute,
  statisticsFlags,
  statusOf,
  truncateAt,
} from '../vfs/attributes.ts';
import {
  AT_EACCESS,
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_REMOVEDIR,
  AT_SYMLINK_FOLLOW,
  AT_SYMLINK_NOFOLLOW,
  deviceMajor,
  deviceMinor,
  directoryEntryType,
  isDirectory,
  NAME_MAX,
  S_IFSOCK,
  XATTR_SIZE_MAX,
} from '../vfs/constants.ts';
import { nameToBytes } from '../vfs/names.ts';
import {
  linkAt,
  mkdirAt,
  mknodAt,
  readDirectory,
  readlinkAt,
  renameAt,
  symlinkAt,
  unlinkAt,
} from '../vfs/operations.ts';
import type { Location, WalkContext } from '../vfs/types.ts';
import { demandDirectory, isDetached, pathOf, resolve } from '../vfs/walk.ts';
import { IN_ACCESS, tellFile } from '../vfs/watch.ts';
import { descriptionOf, pathAt, placeAt, SECOND, startAt, viewOf } from './arguments.ts';

const STAT_BYTES = 144;
const STATX_BYTES = 256;
const STATX_BASIC = 0x7ff;
const STATX_MNT_ID = 0x1000;
const STATX_RESERVED = 0x80000000;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const AT_STATX_SYNC_TYPE = 0x6000;
const UTIME_NOW = 0x3fffffff;
const UTIME_OMIT = 0x3ffffffe;
const NANO = 1_000_000_000n;

function writeStat(task: Task, address: number, status: Status): number {
  const bytes = new Uint8Array(STAT_BYTES);
  const view = viewOf(bytes);
  const put = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  put(0, status.device);
  put(8, status.ino);
  put(16, status.nlink);
  view.setUint32(24, status.mode, true);
  view.setUint32(28, task.uidSeen(status.uid), true);
  view.setUint32(32, task.gidSeen(status.gid), true);
  put(40, status.rdev);
  put(48, status.size);
  put(56, status.blockSize);
  put(64, status.blocks);
  [status.atime, status.mtime, status.ctime].forEach((time, index) => {
    const seconds = floorSeconds(time);
    view.setBigInt64(72 + index * 16, seconds, true);
    view.setBigInt64(80 + index * 16, time - seconds * NANO, true);
  });
  task.space.write(address, bytes);
  return 0;
}

const floorSeconds = (time: bigint): bigint => (time >= 0n ? time / NANO : (time - NANO + 1n) / NANO);

function statAt(task: Task, fd: number, path: number, address: number, flags: number): number {
  const follow = (flags & AT_SYMLINK_NOFOLLOW) === 0;
  if (flags & AT_EMPTY_PATH && (path === 0 || task.space.readU8(path) === 0) && (fd | 0) !== AT_FDCWD)
    return statDescriptor(task, fd, address);
  return writeStat(task, address, statusOf(placeAt(task, fd, path, flags, follow).dentry.inode));
}

const PIPE_MODE = 0o010600;
/** eventfds and their kin: no type at all. */
const SOCKET_MODE = S_IFSOCK | 0o777;
const ANONYMOUS_MODE = 0o600;

function statusOfDescriptor(task: Task, fd: number): Status {
  const { file, location } = descriptionOf(task, fd);
  const inode = file.inode ?? location?.dentry.inode;
  if (inode) {
    beforeRead(inode);
    return statusOf(inode);
  }
  const zero = 0n;
  return {
    device: 14,
    ino: task.kernel.inoOf(file),
    mode: file instanceof PipeFile ? PIPE_MODE : file instanceof Socket ? SOCKET_MODE : ANONYMOUS_MODE,
    nlink: 1,
    uid: task.credentials.uid,
    gid: task.credentials.gid,
    rdev: 0,
    size: 0,
    blockSize: 4096,
    blocks: 0,
    atime: zero,
    mtime: zero,
    ctime: zero,
  };
}

const statDescriptor = (task: Task, fd: number, address: number): number =>
  writeStat(task, address, statusOfDescriptor(task, fd));

const statx: SystemCall = (task, fd, path, flags, mask, address) => {
  if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE)) throw errno('EINVAL');
  if ((flags & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE || mask & STATX_RESERVED) throw errno('EINVAL');
  const empty = flags & AT_EMPTY_PATH && (path === 0 || task.space.readU8(path) === 0) && (fd | 0) !== AT_FDCWD;
  let status: Status;
  let place: Location | null;
  if (empty) {
    status = statusOfDescriptor(task, fd);
    place = descriptionOf(task, fd).location;
  } else {
    place = placeAt(task, fd, path, flags, (flags & AT_SYMLINK_NOFOLLOW) === 0);
    status = statusOf(place.dentry.inode);
  }
  const bytes = new Uint8Array(STATX_BYTES);
  const view = viewOf(bytes);
  const put = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  view.setUint32(0, STATX_BASIC | (place ? STATX_MNT_ID : 0), true);
  view.setUint32(4, status.blockSize, true);
  view.setUint32(16, status.nlink, true);
  view.setUint32(20, task.uidSeen(status.uid), true);
  view.setUint32(24, task.gidSeen(status.gid), true);
  view.setUint16(28, status.mode, true);
  put(32, status.ino);
  put(40, status.size);
  put(48, status.blocks);
  const time = (at: number, value: bigint): void => {
    const seconds = floorSeconds(value);
    view.setBigInt64(at, seconds, true);
    view.setUint32(at + 8, Number(value - seconds * NANO), true);
  };
  time(64, status.atime);
  time(96, status.ctime);
  time(112, status.mtime);
  view.setUint32(128, deviceMajor(status.rdev), true);
  view.setUint32(132, deviceMinor(status.rdev), true);
  view.setUint32(136, deviceMajor(status.device), true);
  view.setUint32(140, deviceMinor(status.device), true);
  put(56, STATX_ATTR_MOUNT_ROOT);
  if (place?.dentry === place?.mount.root) put(8, STATX_ATTR_MOUNT_ROOT);
  put(144, place?.mount.id ?? 0);
  task.space.write(address, bytes);
  return 0;
};

const getdents64: SystemCall = (task, fd, address, size) => {
  const description = descriptionOf(task, fd);
  const { location } = description;
  if (!location || !isDirectory(location.dentry.inode.mode)) throw errno('ENOTDIR');
  if (location.dentry.unlinked) throw errno('ENOENT');
  const bytes = new Uint8Array(Math.min(Math.max(0, size), 1 << 20));
  const view = viewOf(bytes);
  let at = 0;
  let cursor = description.offset;
  let tooSmall = false;
  readDirectory(location, task.fs.root, cursor, (name, ino, mode, next) => {
    const length = Math.ceil((19 + name.length + 1) / 8) * 8;
    if (at + length > bytes.length) {
      tooSmall = at === 0;
      return false;
    }
    view.setBigUint64(at, BigInt(ino), true);
    view.setBigInt64(at + 8, BigInt(next), true);
    view.setUint16(at + 16, length, true);
    view.setUint8(at + 18, directoryEntryType(mode));
    bytes.set(nameToBytes(name), at + 19);
    at += length;
    cursor = next;
    return true;
  });
  if (tooSmall) throw errno('EINVAL');
  task.space.write(address, bytes.subarray(0, at));
  tellFile(location.dentry, IN_ACCESS);
  description.offset = cursor;
  return at;
};

const getcwd: SystemCall = (task, address, size) => {
  const { cwd, root } = task.fs;
  if (isDetached(cwd)) throw errno('ENOENT');
  const path = pathOf(cwd, root) ?? `(unreachable)${pathOf(cwd, { mount: cwd.mount, dentry: cwd.mount.root }) ?? '/'}`;
  if (path.length + 1 > size) throw errno('ERANGE');
  task.space.write(address, nameToBytes(`${path}\0`));
  return path.length + 1;
};

function changeDirectory(task: Task, place: Location): number {
  demandDirectory(place, task.walk);
  task.fs.cwd = place;
  return 0;
}

function readlink(task: Task, fd: number, address: number, into: number, size: number): number {
  if (size <= 0) throw errno('EINVAL');
  const path = pathAt(task, address);
  let target: string;
  if (path === '') {
    const { location } = descriptionOf(task, fd);
    if (!location) throw errno('ENOENT');
    target = location.dentry.inode.readlink();
  } else target = readlinkAt(task.walk, startAt(task, fd, path), path);
  const bytes = nameToBytes(target.slice(0, size));
  task.space.write(into, bytes);
  return bytes.length;
}

function access(task: Task, fd: number, path: number, mode: number, flags: number): number {
  if (mode & ~7) throw errno('EINVAL');
  const place = placeAt(task, fd, path, flags, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  const { credentials } = task;
  // By who the user really is.
  const real: WalkContext =
    flags & AT_EACCESS || (credentials.uid === credentials.fsuid && credentials.gid === credentials.fsgid)
      ? task.walk
      : {
          ...task.walk,
          credentials: credentials.with({
            fsuid: credentials.uid,
            fsgid: credentials.gid,
            effective: credentials.isRoot(credentials.uid) ? credentials.permitted : 0n,
          }),
        };
  accessAt(real, place, mode);
  return 0;
}

function link(task: Task, fromFd: number, from: number, toFd: number, to: number, flags: number): number {
  if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) throw errno('EINVAL');
  const source = placeAt(task, fromFd, from, flags, (flags & AT_SYMLINK_FOLLOW) !== 0);
  const path = pathAt(task, to);
  linkAt(task.walk, source, startAt(task, toFd, path), path);
  return 0;
}

function rename(task: Task, fromFd: number, from: number, toFd: number, to: number, flags: number): number {
  const oldPath = pathAt(task, from);
  const newPath = pathAt(task, to);
  renameAt(task.walk, startAt(task, fromFd, oldPath), oldPath, startAt(task, toFd, newPath), newPath, flags);
  return 0;
}

function unlink(task: Task, fd: number, address: number, flags: number): number {
  if (flags & ~AT_REMOVEDIR) throw errno('EINVAL');
  const path = pathAt(task, address);
  unlinkAt(task.walk, startAt(task, fd, path), path, flags);
  return 0;
}

function mknod(task: Task, fd: number, address: number, mode: number, device: number): number {
  const path = pathAt(task, address);
  mknodAt(task.walk, startAt(task, fd, path), path, mode, device);
  return 0;
}

function mkdir(task: Task, fd: number, address: number, mode: number): number {
  const path = pathAt(task, address);
  mkdirAt(task.walk, startAt(task, fd, path), path, mode);
  return 0;
}

function symlink(task: Task, target: number, fd: number, address: number): number {
  const to = pathAt(task, target);
  const path = pathAt(task, address);
  symlinkAt(task.walk, to, startAt(task, fd, path), path);
  return 0;
}

/** Times of utimensat and its kin, in nanoseconds; undefined: the present. */
interface Times {
  readonly atime: bigint | null;
  readonly mtime: bigint | null;
  readonly now: boolean;
}

function timesAt(task: Task, address: number, unit: number): Times {
  const present = BigInt(Math.floor(task.kernel.wall()));
  if (address === 0) return { atime: present, mtime: present, now: true };
  const one = (at: number): bigint | null => {
    const rest = task.space.readI64(at + 8);
    if (unit === SECOND && rest === UTIME_NOW) return present;
    if (unit === SECOND && rest === UTIME_OMIT) return null;
    if (rest < 0 || rest >= unit) throw errno('EINVAL');
    return BigInt(task.space.readI64(at)) * NANO + BigInt(rest * (SECOND / unit));
  };
  const bothNow = unit === SECOND && [address, address + 16].every((at) => task.space.readI64(at + 8) === UTIME_NOW);
  return { atime: one(address), mtime: one(address + 16), now: bothNow };
}

const utimensat: SystemCall = (task, fd, path, timesAddress, flags) => {
  const times = timesAt(task, timesAddress, SECOND);
  const place = path === 0 ? locationOf(task, fd) : placeAt(task, fd, path, flags, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  changeTimes(task.walk, place, times);
  return 0;
};

function locationOf(task: Task, fd: number): Location {
  const { location } = descriptionOf(task, fd);
  if (!location) throw errno('EBADF');
  return location;
}

function statfs(task: Task, place: Location, address: number): number {
  const statistics = place.dentry.fileSystem.statistics();
  const bytes = new Uint8Array(120);
  const view = viewOf(bytes);
  const put = (index: number, value: number): void => view.setBigInt64(index * 8, BigInt(Math.floor(value)), true);
  put(0, statistics.type);
  put(1, statistics.blockSize);
  put(2, statistics.blocks);
  put(3, statistics.blocksFree);
  put(4, statistics.blocksFree);
  put(5, statistics.files);
  put(6, statistics.filesFree);
  view.setUint32(56, place.dentry.fileSystem.device, true);
  put(8, NAME_MAX);
  put(9, statistics.blockSize);
  put(10, statisticsFlags(place));
  task.space.write(address, bytes);
  return 0;
}

const attributeName = (task: Task, address: number): string => task.space.readString(address, 256);

function getxattr(task: Task, place: Location, nameAt: number, into: number, size: number): number {
  const value = getAttribute(task.walk, place, attributeName(task, nameAt));
  if (size === 0) return value.length;
  if (size < value.length) throw errno('ERANGE');
  task.space.write(into, value);
  return value.length;
}

function setxattr(task: Task, place: Location, nameAt: number, from: number, size: number, flags: number): number {
  if (size < 0 || size > XATTR_SIZE_MAX) throw errno('E2BIG');
  setAttribute(task.walk, place, attributeName(task, nameAt), task.space.bytes(from, size), flags);
  return 0;
}

function listxattr(task: Task, place: Location, into: number, size: number): number {
  const list = listAttributes(task.walk, place)
    .map((name) => `${name}\0`)
    .join('');
  if (size === 0) return list.length;
  if (size < list.length) throw errno('ERANGE');
  task.space.write(into, nameToBytes(list));
  return list.length;
}

function removexattr(task: Task, place: Location, nameAt: number): number {
  removeAttribute(task.walk, place, attributeName(task, nameAt));
  return 0;
}

const at = (task: Task, path: number, follow: boolean): Location =>
  resolve(task.walk, null, pathAt(task, path), follow);

function chmod(task: Task, place: Location, mode: number): number {
  changeMode(task.walk, place, mode);
  return 0;
}

function chown(task: Task, place: Location, uid: number, gid: number): number {
  const to = (id: number, meant: (id: number) => number): number => ((id | 0) === -1 ? -1 : meant(id >>> 0));
  changeOwner(
    task.walk,
    place,
    to(uid, (id) => task.uidMeant(id)),
    to(gid, (id) => task.gidMeant(id)),
  );
  return 0;
}

const CAP_SYS_CHROOT = 18;
const CAP_DAC_READ_SEARCH = 2;

export const pathCalls: Record<string, SystemCall> = {
  stat: (task, path, address) => statAt(task, AT_FDCWD, path, address, 0),
  lstat: (task, path, address) => statAt(task, AT_FDCWD, path, address, AT_SYMLINK_NOFOLLOW),
  fstat: (task, fd, address) => statDescriptor(task, fd, address),
  newfstatat: statAt,
  statx,
  getdents64,
  getcwd,
  chdir: (task, path) => changeDirectory(task, at(task, path, true)),
  fchdir: (task, fd) => {
    const { location } = descriptionOf(task, fd);
    if (!location) throw errno('ENOTDIR');
    return changeDirectory(task, location);
  },
  chroot: (task, path) => {
    const place = at(task, path, true);
    demandDirectory(place, task.walk);
    if (!task.credentials.capableIn(task.credentials.namespace, CAP_SYS_CHROOT)) throw errno('EPERM');
    task.fs.root = place;
    return 0;
  },
  readlink: (task, path, into, size) => readlink(task, AT_FDCWD, path, into, size),
  readlinkat: readlink,
  access: (task, path, mode) => access(task, AT_FDCWD, path, mode, 0),
  faccessat: (task, fd, path, mode) => access(task, fd, path, mode, 0),
  faccessat2: access,
  link: (task, from, to) => link(task, AT_FDCWD, from, AT_FDCWD, to, 0),
  linkat: link,
  rename: (task, from, to) => rename(task, AT_FDCWD, from, AT_FDCWD, to, 0),
  renameat: (task, fromFd, from, toFd, to) => rename(task, fromFd, from, toFd, to, 0),
  renameat2: rename,
  unlink: (task, path) => unlink(task, AT_FDCWD, path, 0),
  unlinkat: unlink,
  rmdir: (task, path) => unlink(task, AT_FDCWD, path, AT_REMOVEDIR),
  mkdir: (task, path, mode) => mkdir(task, AT_FDCWD, path, mode),
  mkdirat: mkdir,
  mknod: (task, path, mode, device) => mknod(task, AT_FDCWD, path, mode, device),
  mknodat: mknod,
  symlink: (task, target, path) => symlink(task, target, AT_FDCWD, path),
  symlinkat: symlink,
  chmod: (task, path, mode) => chmod(task, at(task, path, true), mode),
  fchmod: (task, fd, mode) => chmod(task, locationOf(task, fd), mode),
  fchmodat: (task, fd, path, mode) => chmod(task, placeAt(task, fd, path, 0, true), mode),
  fchmodat2: (task, fd, path, mode, flags) =>
    chmod(task, placeAt(task, fd, path, flags, (flags & AT_SYMLINK_NOFOLLOW) === 0), mode),
  chown: (task, path, uid, gid) => chown(task, at(task, path, true), uid, gid),
  lchown: (task, path, uid, gid) => chown(task, at(task, path, false), uid, gid),
  fchown: (task, fd, uid, gid) => chown(task, locationOf(task, fd), uid, gid),
  fchownat: (task, fd, path, uid, gid, flags) =>
    chown(task, placeAt(task, fd, path, flags, (flags & AT_SYMLINK_NOFOLLOW) === 0), uid, gid),
  utimensat,
  utimes: (task, path, times) => {
    changeTimes(task.walk, at(task, path, true), timesAt(task, times, 1e6));
    return 0;
  },
  futimesat: (task, fd, path, times) => {
    changeTimes(task.walk, placeAt(task, fd, path, 0, true), timesAt(task, times, 1e6));
    return 0;
  },
  utime: (task, path, times) => {
    const second = (address: number): bigint => BigInt(task.space.readI64(address)) * NANO;
    const given =
      times === 0 ? timesAt(task, 0, SECOND) : { atime: second(times), mtime: second(times + 8), now: false };
    changeTimes(task.walk, at(task, path, true), given);
    return 0;
  },
  truncate: (task, path, size) => {
    const place = at(task, path, true);
    truncateAt(task.walk, place, size);
    afterResize(task.kernel, place.dentry.inode, size);
    return 0;
  },
  umask: (task, mask) => {
    const before = task.fs.umask;
    task.fs.umask = mask & 0o777;
    return before;
  },
  statfs: (task, path, address) => statfs(task, at(task, path, true), address),
  fstatfs: (task, fd, address) => statfs(task, descriptionOf(task, fd).location ?? task.fs.root, address),
  sync: (task) => {
    task.fs.root.dentry.fileSystem.sync();
    return 0;
  },
  syncfs: (task, fd) => {
    descriptionOf(task, fd).location?.dentry.fileSystem.sync();
    return 0;
  },
  // No file system has handles that outlive a name.
  name_to_handle_at: (task, fd, path, _handleAt, _mountAt, flags) => {
    placeAt(task, fd, path, flags, (flags & AT_SYMLINK_FOLLOW) !== 0);
    throw errno('EOPNOTSUPP');
  },
  open_by_handle_at: (task) => {
    throw errno(task.credentials.capable(CAP_DAC_READ_SEARCH) ? 'ESTALE' : 'EPERM');
  },
  flock: (task, fd, operation) => flock(task, descriptionOf(task, fd), operation),
  getxattr: (task, path, name, into, size) => getxattr(task, at(task, path, true), name, into, size),
  lgetxattr: (task, path, name, into, size) => getxattr(task, at(task, path, false), name, into, size),
  fgetxattr: (task, fd, name, into, size) => getxattr(task, locationOf(task, fd), name, into, size),
  setxattr: (task, path, name, from, size, flags) => setxattr(task, at(task, path, true), name, from, size, flags),
  lsetxattr: (task, path, name, from, size, flags) => setxattr(task, at(task, path, false), name, from, size, flags),
  fsetxattr: (task, fd, name, from, size, flags) => setxattr(task, locationOf(task, fd), name, from, size, flags),
  listxattr: (task, path, into, size) => listxattr(task, at(task, path, true), into, size),
  llistxattr: (task, path, into, size) => listxattr(task, at(task, path, false), into, size),
  flistxattr: (task, fd, into, size) => listxattr(task, locationOf(task, fd), into, size),
  removexattr: (task, path, name) => removexattr(task, at(task, path, true), name),
  lremovexattr: (task, path, name) => removexattr(task, at(task, path, false), name),
  fremovexattr: (task, fd, name) => removexattr(task, locationOf(task, fd), name),
};
