// What the shared kernel needs of a folder of the host: synchronous calls on names below it.
// Owns only types; main/containers/host-tree.ts implements them over node:fs, tests over it as well.
// Never lets a path leave the folder: that is the promise of every implementation.

import type { Nanoseconds } from './types.ts';

/** lstat of the host, in Linux's numbers. */
export interface HostStatus {
  /** Type and permission bits. */
  mode: number;
  uid: number;
  gid: number;
  nlink: number;
  size: number;
  blocks: number;
  rdev: number;
  ino: number;
  device: number;
  atime: Nanoseconds;
  mtime: Nanoseconds;
  ctime: Nanoseconds;
}

/** A regular file of the host that is open. */
export interface HostFile {
  read(into: Uint8Array, offset: number): number;
  write(from: Uint8Array, offset: number): number;
  truncate(size: number): void;
  sync(): void;
  status(): HostStatus;
  close(): void;
}

/**
 * One folder. Paths are byte strings of names joined by '/', '' is the folder itself; '.', '..' and empty names do not
 * occur. No call follows a symbolic link, neither at the end nor on the way: where the host has one on the way, because
 * somebody put it there meanwhile, the call fails. Errors carry the `code` that Linux gives.
 */
export interface HostTree {
  /** Null where there is nothing. */
  status(path: string): HostStatus | null;
  list(path: string): string[];
  /** Opens a regular file. `create`: makes it with these permission bits; fails where there is anything. */
  open(path: string, how: { write: boolean; create?: number }): HostFile;
  makeDirectory(path: string, mode: number): void;
  symlink(target: string, path: string): void;
  readlink(path: string): string;
  link(from: string, to: string): void;
  unlink(path: string): void;
  rmdir(path: string): void;
  /** Replaces what is there, as rename(2) does. */
  rename(from: string, to: string): void;
  chmod(path: string, mode: number): void;
  setTimes(path: string, atime: Nanoseconds, mtime: Nanoseconds): void;
  /** Bytes and files, as statfs gives them; null where the host does not tell. */
  statistics(): { blockSize: number; blocks: number; blocksFree: number; files: number; filesFree: number } | null;
}
