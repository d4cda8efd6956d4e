// Who may do what to an inode: permission bits, groups, capabilities, the sticky bit.
// Owns the checks of path_resolution(7), inode(7) and capabilities(7); all file calls come through them.
// Never looks at mounts: a read-only mount is told by whoever walks.

import { errno } from '../errno.ts';
import {
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_FSETID,
  isDirectory,
  R_OK,
  S_ISGID,
  S_ISVTX,
  S_IXGRP,
  W_OK,
  X_OK,
} from './constants.ts';
import type { Credentials, Inode } from './types.ts';

export const inGroup = ({ fsgid, groups }: Credentials, gid: number): boolean => fsgid === gid || groups.includes(gid);

/** Whether all of `wanted` (R_OK, W_OK, X_OK) are allowed. */
export function allowed(inode: Inode, wanted: number, who: Credentials): boolean {
  const { mode } = inode;
  const shift = inode.uid === who.fsuid ? 6 : inGroup(who, inode.gid) ? 3 : 0;
  if ((wanted & ~(mode >> shift) & 7) === 0) return true;
  if (isDirectory(mode)) {
    if (who.capable(CAP_DAC_OVERRIDE, inode)) return true;
    return (wanted & W_OK) === 0 && who.capable(CAP_DAC_READ_SEARCH, inode);
  }
  if (who.capable(CAP_DAC_OVERRIDE, inode)) return (wanted & X_OK) === 0 || (mode & 0o111) !== 0;
  return wanted === R_OK && who.capable(CAP_DAC_READ_SEARCH, inode);
}

/** Throws EACCES. */
export function demand(inode: Inode, wanted: number, who: Credentials): void {
  if (!allowed(inode, wanted, who)) throw errno('EACCES');
}

export const owns = (inode: Inode, who: Credentials): boolean =>
  inode.uid === who.fsuid || who.capable(CAP_FOWNER, inode);

/** Throws EPERM for who neither owns the file nor has CAP_FOWNER. */
export function demandOwner(inode: Inode, who: Credentials): void {
  if (!owns(inode, who)) throw errno('EPERM');
}

/** Whether `victim` may be taken out of `directory`: writable, and where it is sticky, one's own. Throws EACCES, EPERM. */
export function demandDeletion(directory: Inode, victim: Inode, who: Credentials): void {
  demand(directory, W_OK | X_OK, who);
  if (directory.mode & S_ISVTX && directory.uid !== who.fsuid && !owns(victim, who)) throw errno('EPERM');
}

/**
 * Owner, group and mode of a file made in `directory` with the umask: a directory with the set-group-ID bit passes its
 * group on, and the bit to directories (inode(7)).
 */
export function madeBy(
  who: Credentials,
  directory: Inode,
  mode: number,
  umask: number,
): { mode: number; uid: number; gid: number } {
  let bits = mode & ~(umask & 0o777);
  let gid = who.fsgid;
  if (directory.mode & S_ISGID) {
    gid = directory.gid;
    if (isDirectory(mode)) bits |= S_ISGID;
    else if (bits & S_IXGRP && !inGroup(who, gid) && !who.capable(CAP_FSETID, directory)) bits &= ~S_ISGID;
  }
  return { mode: bits, uid: who.fsuid, gid };
}
