// The calls on what a file is: stat, chmod, chown, times, truncate, access, extended attributes, statfs.
// Owns their checks and their errors; each is what one system call does at a place that was walked to.
// Never walks: the kernel resolves the path, or has a descriptor's place.

import { errno } from '../errno.ts';
import { demand, demandOwner, inGroup, owns } from './access.ts';
import {
  CAP_CHOWN,
  CAP_FSETID,
  CAP_SETFCAP,
  CAP_SYS_ADMIN,
  isDirectory,
  isRegular,
  isSymlink,
  MS_NOEXEC,
  MS_RDONLY,
  PERMISSION_BITS,
  R_OK,
  S_ISGID,
  S_ISUID,
  S_ISVTX,
  S_IXGRP,
  W_OK,
  X_OK,
  XATTR_NAME_MAX,
  XATTR_SIZE_MAX,
} from './constants.ts';
import { demandWritable, withoutSetId } from './operations.ts';
import type { Inode, Location, Nanoseconds, WalkContext } from './types.ts';
import { IN_ATTRIB, IN_MODIFY, tellFile } from './watch.ts';

/** What stat(2) and statx(2) tell. */
export interface Status {
  device: number;
  ino: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: number;
  size: number;
  blockSize: number;
  blocks: number;
  atime: Nanoseconds;
  mtime: Nanoseconds;
  ctime: Nanoseconds;
}

export function statusOf(inode: Inode): Status {
  inode.refresh();
  const { ino, mode, nlink, uid, gid, rdev, size, blocks, atime, mtime, ctime } = inode;
  const { device } = inode.fileSystem;
  return { device, ino, mode, nlink, uid, gid, rdev, size, blockSize: 4096, blocks, atime, mtime, ctime };
}

const changed = ({ dentry }: Location): void => tellFile(dentry, IN_ATTRIB);

/** fchmodat(2). Throws EPERM, EROFS, EOPNOTSUPP (a symbolic link). */
export function changeMode(context: WalkContext, place: Location, mode: number): void {
  const { inode } = place.dentry;
  const { credentials } = context;
  if (isSymlink(inode.mode)) throw errno('EOPNOTSUPP');
  demandWritable(place);
  demandOwner(inode, credentials);
  let bits = mode & PERMISSION_BITS;
  if (!isDirectory(inode.mode) && !inGroup(credentials, inode.gid) && !credentials.capable(CAP_FSETID, inode))
    bits &= ~S_ISGID;
  inode.setattr({ mode: bits });
  changed(place);
}

/** fchownat(2): -1 leaves owner or group. Programs lose their set-ID bits. Throws EPERM, EROFS. */
export function changeOwner(context: WalkContext, place: Location, uid: number, gid: number): void {
  const { inode } = place.dentry;
  const { credentials } = context;
  demandWritable(place);
  const owner = inode.uid === credentials.fsuid;
  const mayOwner = uid === -1 || (owner && uid === inode.uid);
  const mayGroup = gid === -1 || (owner && (gid === inode.gid || inGroup(credentials, gid)));
  if (!(mayOwner && mayGroup) && !credentials.capable(CAP_CHOWN, inode)) throw errno('EPERM');
  let bits = inode.mode & PERMISSION_BITS;
  if (!isDirectory(inode.mode)) bits &= ~(S_ISUID | (bits & S_IXGRP ? S_ISGID : 0));
  inode.setattr({
    ...(uid === -1 ? {} : { uid }),
    ...(gid === -1 ? {} : { gid }),
    ...(isSymlink(inode.mode) ? {} : { mode: bits }),
  });
  changed(place);
}

/**
 * utimensat(2): null leaves a time. `now`: both were asked to be the present, which whoever may write may do.
 * Throws EPERM, EACCES, EROFS.
 */
export function changeTimes(
  context: WalkContext,
  place: Location,
  { atime, mtime, now }: { atime: Nanoseconds | null; mtime: Nanoseconds | null; now: boolean },
): void {
  const { inode } = place.dentry;
  if (atime === null && mtime === null) return;
  demandWritable(place);
  if (!owns(inode, context.credentials)) {
    if (!now) throw errno('EPERM');
    demand(inode, W_OK, context.credentials);
  }
  inode.setattr({ ...(atime === null ? {} : { atime }), ...(mtime === null ? {} : { mtime }) });
  changed(place);
}

/** truncate(2): by path, so it needs the right to write. Throws EISDIR, EINVAL, EACCES, ETXTBSY, EFBIG, EROFS. */
export function truncateAt(context: WalkContext, place: Location, size: number): void {
  const { inode } = place.dentry;
  if (isDirectory(inode.mode)) throw errno('EISDIR');
  if (!isRegular(inode.mode) || size < 0) throw errno('EINVAL');
  demand(inode, W_OK, context.credentials);
  demandWritable(place);
  if (inode.executions > 0) throw errno('ETXTBSY');
  inode.setattr({ size, ...withoutSetId(inode, context) });
  tellFile(place.dentry, IN_MODIFY);
}

/**
 * faccessat2(2) with the credentials of `context` (the real ones unless AT_EACCESS); `wanted` 0 only asks whether it is
 * there. Throws EACCES, EROFS.
 */
export function accessAt(context: WalkContext, place: Location, wanted: number): void {
  const { inode } = place.dentry;
  if (wanted & W_OK && (isRegular(inode.mode) || isDirectory(inode.mode) || isSymlink(inode.mode))) {
    demandWritable(place);
  }
  demand(inode, wanted, context.credentials);
  if (wanted & X_OK && isRegular(inode.mode) && place.mount.flags & MS_NOEXEC) throw errno('EACCES');
}

/** Whether a program may be executed from here (execve(2)): regular, executable, not on a noexec mount. Throws EACCES. */
export function demandExecutable(context: WalkContext, place: Location): void {
  const { inode } = place.dentry;
  if (!isRegular(inode.mode) || place.mount.flags & MS_NOEXEC) throw errno('EACCES');
  demand(inode, X_OK, context.credentials);
}

/** statfs(2)'s f_flags: ST_* equal MS_* in their low bits; ST_VALID says that they mean something. */
export const statisticsFlags = ({ mount, dentry }: Location): number =>
  0x20 | (mount.flags & 15) | (dentry.fileSystem.readOnly ? MS_RDONLY : 0);

/** xattr(7): which classes of attributes there are and who may use them. Throws EPERM, EOPNOTSUPP, ENODATA, ERANGE. */
function demandAttribute(context: WalkContext, inode: Inode, name: string, writes: boolean): void {
  if (name.length > XATTR_NAME_MAX || name === '') throw errno('ERANGE');
  const { credentials } = context;
  if (name.startsWith('user.')) {
    if (!isRegular(inode.mode) && !isDirectory(inode.mode)) throw errno(writes ? 'EPERM' : 'ENODATA');
    if (writes && isDirectory(inode.mode) && inode.mode & S_ISVTX && !owns(inode, credentials)) throw errno('EPERM');
    demand(inode, writes ? W_OK : R_OK, credentials);
  } else if (name.startsWith('trusted.')) {
    if (!credentials.capable(CAP_SYS_ADMIN)) throw errno(writes ? 'EPERM' : 'ENODATA');
  } else if (name.startsWith('security.')) {
    const needed = name === 'security.capability' ? CAP_SETFCAP : CAP_SYS_ADMIN;
    if (writes && !credentials.capable(needed, inode)) throw errno('EPERM');
  } else throw errno('EOPNOTSUPP');
}

/** getxattr(2). */
export function getAttribute(context: WalkContext, { dentry: { inode } }: Location, name: string): Uint8Array {
  demandAttribute(context, inode, name, false);
  return inode.getxattr(name);
}

/** setxattr(2). */
export function setAttribute(
  context: WalkContext,
  place: Location,
  name: string,
  value: Uint8Array,
  flags: number,
): void {
  const { inode } = place.dentry;
  if (flags & ~3) throw errno('EINVAL');
  if (value.length > XATTR_SIZE_MAX) throw errno('E2BIG');
  demandWritable(place);
  demandAttribute(context, inode, name, true);
  inode.setxattr(name, value, flags);
  changed(place);
}

/** removexattr(2). */
export function removeAttribute(context: WalkContext, place: Location, name: string): void {
  demandWritable(place);
  demandAttribute(context, place.dentry.inode, name, true);
  place.dentry.inode.removexattr(name);
  changed(place);
}

/** listxattr(2): trusted ones only for who may read them. */
export function listAttributes({ credentials }: WalkContext, { dentry: { inode } }: Location): string[] {
  const names = inode.listxattr();
  return credentials.capable(CAP_SYS_ADMIN) ? names : names.filter((name) => !name.startsWith('trusted.'));
}
