// Who is told of changes to files: the events of inotify(7), at the file and at the directory that it is in.
// Owns the numbers of the events and the way from a place to both of its watchers.
// Never queues an event: whoever watches does.

import { isDirectory } from './constants.ts';
import type { Dentry, Inode } from './types.ts';

// include/uapi/linux/inotify.h
export const IN_ACCESS = 0x1;
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_CLOSE_NOWRITE = 0x10;
export const IN_OPEN = 0x20;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_ISDIR = 0x40000000;

const bit = (inode: Inode): number => (isDirectory(inode.mode) ? IN_ISDIR : 0);

/** Tells watchers of a directory what happened to a name in it. */
export function tellDirectory(directory: Inode, event: number, name: string, inode: Inode, cookie = 0): void {
  directory.watch?.(event | bit(inode), name, cookie);
}

/** Tells watchers of a file that it itself was moved or is gone. */
export function tellSelf(inode: Inode, event: number): void {
  inode.watch?.(event, null, 0);
}

/** Tells watchers of a file, and of the directory it was reached through, that something was done to it. */
export function tellFile({ inode, parent, name, unlinked }: Dentry, event: number): void {
  if (parent && !unlinked) parent.inode.watch?.(event | bit(inode), name, 0);
  inode.watch?.(event | bit(inode), null, 0);
}
