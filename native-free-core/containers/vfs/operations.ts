// The calls on names: open, make, link, remove, rename, with every check that Linux makes.
// Owns their order of checks and their errors; each is what one system call does, by a task's walk context.
// Never holds descriptors or offsets, never drives devices: that is the kernel's.

import { errno } from '../errno.ts';
import { allowed, demand, demandDeletion, madeBy, owns } from './access.ts';
import {
  AT_REMOVEDIR,
  CAP_FOWNER,
  CAP_FSETID,
  CAP_MKNOD,
  isDevice,
  isDirectory,
  isRegular,
  isSymlink,
  MS_NODEV,
  MS_RDONLY,
  O_ACCMODE,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOATIME,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  PATH_MAX,
  R_OK,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_ISGID,
  S_ISUID,
  S_IXGRP,
  W_OK,
  X_OK,
} from './constants.ts';
import { TreeDentry } from './dentries.ts';
import { asTree, type TreeLocation } from './mounts.ts';
import { checkName } from './names.ts';
import type { EmitEntry, Inode, Location, WalkContext } from './types.ts';
import { followLast, type LastName, resolve, resolveParent, stepLast } from './walk.ts';
import {
  IN_ATTRIB,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  tellDirectory,
  tellFile,
  tellSelf,
} from './watch.ts';

let lastCookie = 0;

/** Throws EROFS where nothing may be changed at a place. */
export function demandWritable({ mount, dentry }: Location): void {
  if (mount.flags & MS_RDONLY || dentry.fileSystem.readOnly) throw errno('EROFS');
}

export interface Opened {
  readonly location: Location;
  readonly inode: Inode;
  /** The file was made by this call. */
  readonly created: boolean;
}

/**
 * open(2) up to the descriptor: walks, makes the file (O_CREAT, O_TMPFILE), checks permissions, truncates. The kernel then
 * looks devices, FIFOs and sockets up, and calls `inode.open(flags)` for all else unless O_PATH is set.
 * Throws ENOENT, EEXIST, EISDIR, ENOTDIR, ELOOP, EACCES, EROFS, EPERM, ETXTBSY, EINVAL.
 */
export function openAt(
  context: WalkContext,
  start: Location | null,
  path: string,
  flags: number,
  mode: number,
): Opened {
  if (flags & O_PATH) {
    const location = resolve(context, start, path, !(flags & O_NOFOLLOW));
    if (flags & O_DIRECTORY && !isDirectory(location.dentry.inode.mode)) throw errno('ENOTDIR');
    return { location, inode: location.dentry.inode, created: false };
  }
  if ((flags & O_TMPFILE) === O_TMPFILE) return openUnnamed(context, start, path, flags, mode);
  if (!(flags & O_CREAT)) {
    const location = resolve(context, start, path, !(flags & O_NOFOLLOW));
    return openExisting(context, location, flags);
  }
  if (flags & O_DIRECTORY) throw errno('EINVAL');
  let last = resolveParent(context, start, path);
  for (;;) {
    if (last.name === '') throw errno(flags & O_EXCL ? 'EEXIST' : 'EISDIR');
    if (last.slash) throw errno('EISDIR');
    const there = stepLast(last);
    if (!there) return create(context, last, mode);
    if (flags & O_EXCL) throw errno('EEXIST');
    if (!isSymlink(there.dentry.inode.mode)) {
      if (isDirectory(there.dentry.inode.mode)) throw errno('EISDIR');
      return openExisting(context, there, flags);
    }
    if (flags & O_NOFOLLOW) throw errno('ELOOP');
    last = followLast(context, last, there);
    if (last.name === '' && last.special === '/' && !isDirectory(last.directory.dentry.inode.mode)) {
      return openExisting(context, last.directory, flags); // A link that is no path, such as /proc/self/fd/3.
    }
  }
}

function create(context: WalkContext, last: LastName, mode: number): Opened {
  const { directory, name } = last;
  // The new file's mode does not hold for the descriptor that made it (open(2)): nothing more is checked.
  const inode = makeIn(context, directory, name, S_IFREG | (mode & 0o7777), {});
  return { location: { mount: directory.mount, dentry: directory.dentry.step(name)! }, inode, created: true };
}

function openUnnamed(context: WalkContext, start: Location | null, path: string, flags: number, mode: number): Opened {
  if ((flags & O_ACCMODE) === O_RDONLY) throw errno('EINVAL');
  const place = resolve(context, start, path);
  const { inode: directory } = place.dentry;
  if (!isDirectory(directory.mode)) throw errno('ENOTDIR');
  demandWritable(place);
  demand(directory, W_OK | X_OK, context.credentials);
  const made = madeBy(context.credentials, directory, S_IFREG | (mode & 0o7777), context.umask);
  const inode = directory.createUnnamed(made);
  const dentry = new TreeDentry(place.dentry.tree, inode, place.dentry, `#${inode.ino}`);
  dentry.unlinked = true;
  return { location: { mount: place.mount, dentry }, inode, created: true };
}

function openExisting(context: WalkContext, location: Location, flags: number): Opened {
  const { inode } = location.dentry;
  const { mode } = inode;
  const access = flags & O_ACCMODE;
  const writes = access !== O_RDONLY || (flags & O_TRUNC) !== 0;
  if (isSymlink(mode)) throw errno('ELOOP');
  if (flags & O_DIRECTORY && !isDirectory(mode)) throw errno('ENOTDIR');
  if (isDirectory(mode) && writes) throw errno('EISDIR');
  if (isDevice(mode) && location.mount.flags & MS_NODEV) throw errno('EACCES');
  const wanted = (access === O_WRONLY ? 0 : R_OK) | (writes ? W_OK : 0);
  demand(inode, wanted, context.credentials);
  if (writes && isRegular(mode)) {
    demandWritable(location);
    if (inode.executions > 0) throw errno('ETXTBSY');
  }
  if (flags & O_NOATIME && !owns(inode, context.credentials)) throw errno('EPERM');
  if (flags & O_TRUNC && isRegular(mode)) {
    inode.setattr({ size: 0, ...withoutSetId(inode, context) });
    tellFile(location.dentry, IN_MODIFY);
  }
  return { location, inode, created: false };
}

/** What a write takes away from a program's mode: the set-user-ID bit, and set-group-ID where the group may execute. */
export function withoutSetId(inode: Inode, { credentials }: WalkContext): { mode?: number } {
  if (!isRegular(inode.mode) || !(inode.mode & (S_ISUID | S_ISGID)) || credentials.capable(CAP_FSETID, inode))
    return {};
  return { mode: inode.mode & 0o7777 & ~(S_ISUID | (inode.mode & S_IXGRP ? S_ISGID : 0)) };
}

/** Makes a file of any type at a name that is not there. */
function makeIn(
  context: WalkContext,
  directory: TreeLocation,
  name: string,
  mode: number,
  what: { rdev?: number; target?: string },
): Inode {
  const { dentry } = directory;
  checkName(name);
  if (dentry.unlinked) throw errno('ENOENT');
  demandWritable(directory);
  demand(dentry.inode, W_OK | X_OK, context.credentials);
  const made = { ...madeBy(context.credentials, dentry.inode, mode, context.umask), ...what };
  const inode = dentry.inode.create(name, made);
  dentry.add(name, inode);
  tellDirectory(dentry.inode, IN_CREATE, name, inode);
  return inode;
}

/** The last name of a path at which something is to be made. Throws EEXIST. */
function freeName(context: WalkContext, start: Location | null, path: string): LastName {
  const last = resolveParent(context, start, path);
  if (last.name === '' || stepLast(last)) throw errno('EEXIST');
  return last;
}

/** mkdirat(2). */
export function mkdirAt(context: WalkContext, start: Location | null, path: string, mode: number): void {
  const { directory, name } = freeName(context, start, path);
  makeIn(context, directory, name, S_IFDIR | (mode & 0o1777), {});
}

/**
 * mknodat(2). Devices need CAP_MKNOD; they stay nodes, which the kernel gives a driver or not. Gives the inode, for bind(2)
 * of a socket. Throws EPERM for a directory or a device that may not be made, EINVAL for an unknown type.
 */
export function mknodAt(
  context: WalkContext,
  start: Location | null,
  path: string,
  mode: number,
  rdev: number,
): { inode: Inode; location: Location } {
  const last = freeName(context, start, path);
  if (last.slash) throw errno('ENOENT');
  const type = mode & S_IFMT || S_IFREG;
  if (isDirectory(type)) throw errno('EPERM');
  if (isSymlink(type)) throw errno('EINVAL');
  // 0:0 as a character device is an overlay's whiteout, which anybody may make.
  const whiteout = type === S_IFCHR && rdev === 0;
  if (isDevice(type) && !whiteout && !context.credentials.capable(CAP_MKNOD)) throw errno('EPERM');
  const { directory, name } = last;
  const inode = makeIn(context, directory, name, type | (mode & 0o7777), { rdev });
  return { inode, location: { mount: directory.mount, dentry: directory.dentry.step(name)! } };
}

/** symlinkat(2). */
export function symlinkAt(context: WalkContext, target: string, start: Location | null, path: string): void {
  if (target === '') throw errno('ENOENT');
  if (target.length >= PATH_MAX) throw errno('ENAMETOOLONG');
  const last = freeName(context, start, path);
  if (last.slash) throw errno('ENOENT');
  // A symbolic link's mode is 0777 whatever the umask.
  makeIn({ ...context, umask: 0 }, last.directory, last.name, S_IFLNK | 0o777, { target });
}

/** linkat(2): one more name for what is at `from`, which the caller has resolved (AT_SYMLINK_FOLLOW, AT_EMPTY_PATH). */
export function linkAt(context: WalkContext, from: Location, start: Location | null, path: string): void {
  const { inode } = from.dentry;
  const { directory, name, slash } = freeName(context, start, path);
  if (slash) throw errno('ENOENT');
  demandWritable(directory);
  if (directory.mount !== from.mount || directory.dentry.fileSystem !== inode.fileSystem) throw errno('EXDEV');
  if (isDirectory(inode.mode)) throw errno('EPERM');
  demand(directory.dentry.inode, W_OK | X_OK, context.credentials);
  // fs.protected_hardlinks: nobody links what he neither owns nor could read and write.
  const safe =
    isRegular(inode.mode) &&
    !(inode.mode & S_ISUID) &&
    (inode.mode & (S_ISGID | S_IXGRP)) !== (S_ISGID | S_IXGRP) &&
    allowed(inode, R_OK | W_OK, context.credentials);
  if (!safe && inode.uid !== context.credentials.fsuid && !context.credentials.capable(CAP_FOWNER, inode)) {
    throw errno('EPERM');
  }
  checkName(name);
  directory.dentry.inode.link(name, inode);
  directory.dentry.add(name, inode);
  tellSelf(inode, IN_ATTRIB);
  tellDirectory(directory.dentry.inode, IN_CREATE, name, inode);
}

/** unlinkat(2): `flags` 0 or AT_REMOVEDIR. Throws EBUSY for a mount point. */
export function unlinkAt(context: WalkContext, start: Location | null, path: string, flags: number): void {
  const last = resolveParent(context, start, path);
  const removesDirectory = (flags & AT_REMOVEDIR) !== 0;
  if (last.name === '') {
    if (!removesDirectory) throw errno('EISDIR');
    throw errno(last.special === '.' ? 'EINVAL' : last.special === '..' ? 'ENOTEMPTY' : 'EBUSY');
  }
  const { directory, name } = last;
  const found = directory.dentry.step(name);
  if (!found) throw errno('ENOENT');
  const { inode } = found;
  demandWritable(directory);
  if (last.slash && !removesDirectory) throw errno(isDirectory(inode.mode) ? 'EISDIR' : 'ENOTDIR');
  demandDeletion(directory.dentry.inode, inode, context.credentials);
  if (removesDirectory !== isDirectory(inode.mode)) throw errno(removesDirectory ? 'ENOTDIR' : 'EISDIR');
  if (isMountPoint(directory, found)) throw errno('EBUSY');
  if (removesDirectory) directory.dentry.inode.rmdir(name);
  else directory.dentry.inode.unlink(name);
  directory.dentry.lose(name);
  // As Linux orders them: the count of links, the file once it is gone, and its name.
  if (!removesDirectory) tellSelf(inode, IN_ATTRIB);
  if (inode.nlink === 0) tellSelf(inode, IN_DELETE_SELF);
  tellDirectory(directory.dentry.inode, IN_DELETE, name, inode);
}

const isMountPoint = ({ mount }: TreeLocation, dentry: TreeDentry): boolean => mount.children.has(dentry);

/** renameat2(2). Throws EINVAL where a directory would move into itself, EBUSY for mount points. */
export function renameAt(
  context: WalkContext,
  from: Location | null,
  path: string,
  to: Location | null,
  newPath: string,
  flags: number,
): void {
  if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) throw errno('EINVAL');
  if (flags === (RENAME_NOREPLACE | RENAME_EXCHANGE)) throw errno('EINVAL');
  const old = resolveParent(context, from, path);
  const target = resolveParent(context, to, newPath);
  if (old.directory.mount !== target.directory.mount) throw errno('EXDEV');
  if (old.name === '' || target.name === '') throw errno(flags & RENAME_NOREPLACE ? 'EEXIST' : 'EBUSY');
  const source = old.directory.dentry.step(old.name);
  if (!source) throw errno('ENOENT');
  checkName(target.name);
  const over = target.directory.dentry.step(target.name);
  if (over && flags & RENAME_NOREPLACE) throw errno('EEXIST');
  if (!over && flags & RENAME_EXCHANGE) throw errno('ENOENT');
  const moved = source.inode;
  const replaced = over?.inode ?? null;
  if ((old.slash || (target.slash && !(flags & RENAME_EXCHANGE))) && !isDirectory(moved.mode)) throw errno('ENOTDIR');
  if (target.directory.dentry.isWithin(source)) throw errno('EINVAL');
  if (over && old.directory.dentry.isWithin(over)) throw errno(flags & RENAME_EXCHANGE ? 'EINVAL' : 'ENOTEMPTY');
  if (source === over) return;
  demandWritable(old.directory);
  if (target.directory.dentry.unlinked) throw errno('ENOENT');
  const outOf = old.directory.dentry.inode;
  const into = target.directory.dentry.inode;
  demandDeletion(outOf, moved, context.credentials);
  if (replaced) demandDeletion(into, replaced, context.credentials);
  else demand(into, W_OK | X_OK, context.credentials);
  if (replaced && !(flags & RENAME_EXCHANGE)) {
    if (isDirectory(moved.mode) && !isDirectory(replaced.mode)) throw errno('ENOTDIR');
    if (!isDirectory(moved.mode) && isDirectory(replaced.mode)) throw errno('EISDIR');
  }
  // A directory's '..' changes when its parent does, for which it must be writable.
  if (outOf !== into && isDirectory(moved.mode)) demand(moved, W_OK, context.credentials);
  if (outOf !== into && flags & RENAME_EXCHANGE && replaced && isDirectory(replaced.mode)) {
    demand(replaced, W_OK, context.credentials);
  }
  if (isMountPoint(old.directory, source) || (over && isMountPoint(target.directory, over))) throw errno('EBUSY');
  outOf.rename(old.name, into, target.name, flags);
  if (flags & RENAME_EXCHANGE) {
    old.directory.dentry.exchange(old.name, target.directory.dentry, target.name);
  } else if (moved !== replaced) old.directory.dentry.move(old.name, target.directory.dentry, target.name);
  const cookie = ++lastCookie;
  tellDirectory(outOf, IN_MOVED_FROM, old.name, moved, cookie);
  tellDirectory(into, IN_MOVED_TO, target.name, moved, cookie);
  tellSelf(moved, IN_MOVE_SELF);
  if (replaced && !(flags & RENAME_EXCHANGE)) {
    tellSelf(replaced, IN_ATTRIB);
    if (replaced.nlink === 0) tellSelf(replaced, IN_DELETE_SELF);
  }
}

/** readlinkat(2): of a link that is no path, what it shows. Throws EINVAL for what is no symbolic link. */
export function readlinkAt(context: WalkContext, start: Location | null, path: string): string {
  const { inode } = resolve(context, start, path, false).dentry;
  if (!isSymlink(inode.mode)) throw errno('EINVAL');
  return inode.readlink();
}

/**
 * Entries of a directory for getdents64(2), '.' and '..' included, from `cursor` (0: the beginning); each comes with the
 * cursor behind it, which is what lseek takes. `root`: of who reads, above which '..' does not lead.
 */
export function readDirectory(place: Location, root: Location, cursor: number, emit: EmitEntry): void {
  const { dentry, mount } = asTree(place);
  const { inode } = dentry;
  if (dentry.unlinked) return; // Removed: empty, even of '.' and '..' (getdents(2) gives 0).
  if (cursor < 1 && !emit('.', inode.ino, inode.mode, 1)) return;
  if (cursor < 2) {
    const above = mount === root.mount && dentry === root.dentry ? dentry : parentForListing(place);
    if (!emit('..', above.inode.ino, above.inode.mode, 2)) return;
  }
  inode.readdir(Math.max(0, cursor - 2), (name, ino, mode, next) => emit(name, ino, mode, next + 2));
}

function parentForListing(place: Location): TreeDentry {
  let { mount, dentry } = asTree(place);
  while (dentry === mount.root && mount.parent) ({ mount, dentry } = mount.parent);
  return dentry.parent ?? dentry;
}
