// What a file system is to the shared kernel: inodes, open files, and the tree they hang in.
// Owns the abstract classes between the kernel's calls and the file systems (tmpfs, overlay, host folders, proc).
// Never checks permissions or walks paths (walk.ts, operations.ts do), and never keeps a file offset: that is the kernel's.
//
// Names and paths are strings of *bytes*: each character is one byte, 0x01 to 0xff. Linux's names are bytes, not text;
// so a name's length is its length in bytes, nothing is lost, and copying to and from a guest is one loop. Text becomes
// such a string with names.ts.
//
// Everything is synchronous. A call that would have to wait throws EAGAIN; the kernel then blocks the task on `onReady`.

import { errno } from '../errno.ts';

/** Nanoseconds since the Unix epoch. */
export type Nanoseconds = bigint;

/** Who asks: the file system identity of a task (credentials(7)). */
export interface Credentials {
  readonly fsuid: number;
  readonly fsgid: number;
  readonly groups: readonly number[];
  /**
   * Whether the effective set has this capability (CAP_*), towards the user namespace that owns the file systems; with
   * `over`, towards a file of that owner.
   */
  capable(capability: number, over?: { readonly uid: number; readonly gid: number }): boolean;
}

/** What `setattr` changes; what is left out stays. Permissions were checked by operations.ts. */
export interface AttributeChanges {
  /** Permission bits only (07777). */
  mode?: number;
  uid?: number;
  gid?: number;
  /** Truncates or extends with zeros. */
  size?: number;
  atime?: Nanoseconds;
  mtime?: Nanoseconds;
  ctime?: Nanoseconds;
}

/** What a new inode is made with. */
export interface NewInode {
  /** Type and permission bits, the umask already applied. */
  mode: number;
  uid: number;
  gid: number;
  /** Device number of a character or block device. */
  rdev?: number;
  /** Target of a symbolic link, in bytes. */
  target?: string;
}

/** Takes one directory entry; false ends the listing, and that entry will come again. `next` is the cursor behind it. */
export type EmitEntry = (name: string, ino: number, mode: number, next: number) => boolean;

/** statfs(2), without the fields that are the same everywhere. Counts are in blocks of `blockSize` bytes. */
export interface FileSystemStatistics {
  type: number;
  blockSize: number;
  blocks: number;
  blocksFree: number;
  files: number;
  filesFree: number;
}

/** One mounted instance (Linux's superblock): what st_dev names. */
export interface FileSystem {
  /** As in /proc/filesystems and /proc/self/mounts: 'tmpfs', 'overlay', 'proc'. */
  readonly type: string;
  /** st_dev of its inodes. */
  readonly device: number;
  readonly root: Inode;
  /**
   * Whether a name leads to the same inode until a call of ours changes that. False where others write too (host
   * folders) and where content comes and goes by itself (proc): then each step of a walk asks `lookup`.
   */
  readonly stable: boolean;
  /** No call may change anything, whatever the mount says. */
  readonly readOnly: boolean;
  statistics(): FileSystemStatistics;
  /** Makes everything durable that the host can make so. */
  sync(): void;
}

/**
 * Where the pages of a mapped file come from. One object as long as the file's content is one content: an overlay gives
 * the layer's own source until a file is copied up, so guests of one image share the pages.
 */
export interface PageSource {
  /** Bytes of the file now. */
  readonly size: number;
  /** Fills `into` (4096 bytes) with page `index`; what lies behind the end of the file is zero. */
  readPage(index: number, into: Uint8Array): void;
  /** Writes bytes of page `index` back, from its beginning; never extends the file. */
  writePage(index: number, from: Uint8Array): void;
  /** The kernel's page cache of this source. Nobody else touches it. */
  cache: object | null;
  /** The same object for several guests, and never written to: a file of an image's layer. */
  readonly isShared?: boolean;
}

/**
 * One file. Unique: two ways to one file give the same object as long as anybody holds it.
 * A directory's calls throw ENOTDIR on anything else, unless a subclass says otherwise.
 */
export abstract class Inode {
  abstract readonly fileSystem: FileSystem;
  abstract readonly ino: number;
  /** Type and permission bits. The type never changes. */
  abstract readonly mode: number;
  abstract readonly uid: number;
  abstract readonly gid: number;
  abstract readonly nlink: number;
  abstract readonly size: number;
  abstract readonly rdev: number;
  abstract readonly atime: Nanoseconds;
  abstract readonly mtime: Nanoseconds;
  abstract readonly ctime: Nanoseconds;

  /** st_blocks: units of 512 bytes. */
  get blocks(): number {
    return Math.ceil(this.size / 4096) * 8;
  }

  /** Reads the attributes anew where others may have changed them (a host's folder). `statusOf` calls it. */
  refresh(): void {}

  /** What tells of changes (inotify). The kernel's; the VFS calls it with IN_* events. */
  watch: ((event: number, name: string | null, cookie: number) => void) | null = null;
  /** Tasks that execute this file now: opening it for writing throws ETXTBSY. The kernel counts. */
  executions = 0;
  /** Locks on this file (flock, fcntl). The kernel's; nobody else touches it. */
  locks: object | null = null;

  /** The inode of a name, or null. Never '.' or '..'. Throws ENOTDIR. */
  lookup(_name: string): Inode | null {
    throw errno('ENOTDIR');
  }

  /** Makes a file of any type. Throws EEXIST, ENOSPC, EROFS. */
  create(_name: string, _made: NewInode): Inode {
    throw errno('ENOTDIR');
  }

  /** Makes a file without a name in this directory's file system (O_TMPFILE), which `link` may name later. */
  createUnnamed(_made: NewInode): Inode {
    throw errno('EOPNOTSUPP');
  }

  /** Gives `inode` of the same file system one more name. Throws EEXIST, EXDEV, EMLINK, EROFS. */
  link(_name: string, _inode: Inode): void {
    throw errno('ENOTDIR');
  }

  /** Takes a name of anything but a directory away. Throws ENOENT, EISDIR, EROFS. */
  unlink(_name: string): void {
    throw errno('ENOTDIR');
  }

  /** Throws ENOENT, ENOTDIR, ENOTEMPTY, EROFS. */
  rmdir(_name: string): void {
    throw errno('ENOTDIR');
  }

  /**
   * renameat2: moves `name` to `newName` in `into`, a directory of the same file system, over what is there unless
   * RENAME_NOREPLACE or RENAME_EXCHANGE is in `flags`. The caller has ruled out that a directory moves into itself.
   * Throws ENOENT, EEXIST, EISDIR, ENOTDIR, ENOTEMPTY, EXDEV, EINVAL (flags), EROFS.
   */
  rename(_name: string, _into: Inode, _newName: string, _flags: number): void {
    throw errno('ENOTDIR');
  }

  /** Lists from `cursor` (0: the beginning), without '.' and '..'. An entry that is there throughout comes exactly once. */
  readdir(_cursor: number, _emit: EmitEntry): void {
    throw errno('ENOTDIR');
  }

  /** Target of a symbolic link, in bytes. */
  readlink(): string {
    throw errno('EINVAL');
  }

  /**
   * Where a link leads that is not a path, such as /proc/self/fd/3 and /proc/self/root: the walk goes on there. Null: by
   * `readlink`.
   */
  followLink(): Location | null {
    return null;
  }

  abstract setattr(changes: AttributeChanges): void;

  /** Value of an extended attribute. Throws ENODATA, EOPNOTSUPP. */
  getxattr(_name: string): Uint8Array {
    throw errno('EOPNOTSUPP');
  }

  /** `flags`: XATTR_CREATE, XATTR_REPLACE. Throws EEXIST, ENODATA, ENOSPC, EOPNOTSUPP. */
  setxattr(_name: string, _value: Uint8Array, _flags: number): void {
    throw errno('EOPNOTSUPP');
  }

  removexattr(_name: string): void {
    throw errno('EOPNOTSUPP');
  }

  listxattr(): string[] {
    return [];
  }

  /**
   * Opens a regular file or a directory; permissions were checked, O_CREAT and O_TRUNC were dealt with. Devices, FIFOs
   * and sockets never come here: the kernel looks them up by `rdev`, or keeps them by their inode. What proc and its kin
   * give out are regular files.
   */
  abstract open(flags: number): OpenFile;

  /** Makes a range read as zeros; the size stays (FALLOC_FL_PUNCH_HOLE). Throws EOPNOTSUPP. */
  punch(_offset: number, _length: number): void {
    throw errno('EOPNOTSUPP');
  }

  /** Where mappings take their pages from; null: cannot be mapped (ENODEV). */
  pages(): PageSource | null {
    return null;
  }
}

/** Copies between a task's memory and the kernel's; throws EFAULT. Addresses are below 2^47. */
export interface UserMemory {
  read(address: number, into: Uint8Array): void;
  write(address: number, from: Uint8Array): void;
}

/** What an open file description has behind it: a regular file, a directory, a pipe, a device, a socket. */
export abstract class OpenFile {
  /** The file this was opened from; null for what has no name. */
  abstract readonly inode: Inode | null;
  /** Whether offsets have a meaning (lseek, pread). Where not, `offset` is ignored. */
  readonly seekable: boolean = true;

  /** Bytes read from `offset`, 0 at the end. Throws EAGAIN where it would have to wait. */
  read(_into: Uint8Array, _offset: number): number {
    throw errno('EINVAL');
  }

  /** Bytes written to `offset`. Throws EAGAIN, ENOSPC, EFBIG, EPIPE. */
  write(_from: Uint8Array, _offset: number): number {
    throw errno('EINVAL');
  }

  /** Returns the call's result. Throws ENOTTY for what it does not know. */
  ioctl(_request: number, _argument: number, _memory: UserMemory): number {
    throw errno('ENOTTY');
  }

  /** POLL* that hold now. Regular files are always ready. */
  poll(): number {
    return 0x145; // POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
  }

  /** Calls `waiter` each time `poll` may have changed, until the function that is returned is called. */
  onReady(_waiter: () => void): () => void {
    return () => {};
  }

  fsync(): void {}

  /** The last descriptor was closed, or the last mapping is gone. */
  release(): void {}
}

/**
 * A name in a tree. Directories have exactly one each, which stays the same object when they are renamed: that is what
 * `..`, getcwd and mount points go by. Other files have one for each way that was looked up recently.
 */
export interface Dentry {
  readonly fileSystem: FileSystem;
  readonly inode: Inode;
  /** Null for the root of its file system. */
  readonly parent: Dentry | null;
  readonly name: string;
  /** The name was taken away: getcwd throws ENOENT, /proc shows ' (deleted)'. */
  readonly unlinked: boolean;
}

/** A mounted tree. */
export interface Mount {
  /** As in the first column of /proc/self/mountinfo. */
  readonly id: number;
  readonly root: Dentry;
  /** Where it is mounted; null for the root of a namespace and after it was unmounted. */
  readonly parent: Location | null;
  /** MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC. */
  readonly flags: number;
  /** First column of /proc/self/mounts. */
  readonly source: string;
}

/** A place in a namespace: what a descriptor of a directory, a root and a working directory are. */
export interface Location {
  readonly mount: Mount;
  readonly dentry: Dentry;
}

/** What every walk starts from: of one task. */
export interface WalkContext {
  readonly root: Location;
  readonly cwd: Location;
  readonly credentials: Credentials;
  readonly umask: number;
  /** RESOLVE_* of openat2(2). */
  readonly resolution?: number;
  /** Of RESOLVE_BENEATH and RESOLVE_IN_ROOT: the place above which nothing leads. */
  readonly scope?: Location;
}
