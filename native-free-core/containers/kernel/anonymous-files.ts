// Files that no directory has: pipes, memfd files and System V segments, each with an inode and a place of its own.
// Owns the file systems behind them, so that fstat and /proc/PID/fd see them and /proc/PID/fd/N opens them again.
// Never knows who holds one.

import { errno } from '../errno.ts';
import { S_IFDIR, S_IFIFO, S_IFMT } from '../vfs/constants.ts';
import { TreeDentry, treeOf } from '../vfs/dentries.ts';
import type { Budget } from '../vfs/file-content.ts';
import { MemoryFile } from '../vfs/memory-file.ts';
import { MountNamespace } from '../vfs/mounts.ts';
import { TmpFs } from '../vfs/tmpfs.ts';
import {
  type AttributeChanges,
  type Credentials,
  type FileSystem,
  type FileSystemStatistics,
  Inode,
  type Location,
  type Nanoseconds,
  type OpenFile,
} from '../vfs/types.ts';

/** st_dev of both; what is mounted has the numbers from 1, and layers those from 32. */
const PIPES_DEVICE = 14;
const MEMORY_DEVICE = 15;
const PIPEFS_MAGIC = 0x50495045;

type Owner = Pick<Credentials, 'fsuid' | 'fsgid'>;

class PipeFs implements FileSystem {
  readonly type = 'pipefs';
  readonly device = PIPES_DEVICE;
  readonly stable = true;
  readonly readOnly = false;
  readonly root: Inode;
  readonly now: () => Nanoseconds;
  private lastIno = 0;

  constructor(now: () => Nanoseconds) {
    this.now = now;
    this.root = new AnonymousInode(this, S_IFDIR | 0o500, { fsuid: 0, fsgid: 0 });
  }

  nextIno(): number {
    return ++this.lastIno;
  }

  statistics(): FileSystemStatistics {
    return { type: PIPEFS_MAGIC, blockSize: 4096, blocks: 0, blocksFree: 0, files: 0, filesFree: 0 };
  }

  sync(): void {}
}

class AnonymousInode extends Inode {
  override readonly fileSystem: PipeFs;
  override readonly ino: number;
  override mode: number;
  override uid: number;
  override gid: number;
  override readonly nlink = 1;
  override readonly size = 0;
  override readonly rdev = 0;
  override atime: Nanoseconds;
  override mtime: Nanoseconds;
  override ctime: Nanoseconds;

  constructor(fileSystem: PipeFs, mode: number, { fsuid, fsgid }: Owner, ino = fileSystem.nextIno()) {
    super();
    this.fileSystem = fileSystem;
    this.ino = ino;
    this.mode = mode;
    this.uid = fsuid;
    this.gid = fsgid;
    this.atime = this.mtime = this.ctime = fileSystem.now();
  }

  override setattr({ mode, uid, gid, atime, mtime }: AttributeChanges): void {
    if (mode !== undefined) this.mode = (this.mode & S_IFMT) | mode;
    this.uid = uid ?? this.uid;
    this.gid = gid ?? this.gid;
    this.atime = atime ?? this.atime;
    this.mtime = mtime ?? this.mtime;
    this.ctime = this.fileSystem.now();
  }

  override open(_flags: number): OpenFile {
    throw errno('ENXIO');
  }
}

export class AnonymousFiles {
  private readonly pipes: PipeFs;
  private readonly memory: TmpFs;
  private readonly pipeRoot: Location;
  private readonly places = new WeakMap<OpenFile, Location>();
  private readonly memoryRoot: Location;

  constructor(now: () => Nanoseconds, account: Budget) {
    this.pipes = new PipeFs(now);
    this.memory = new TmpFs({ device: MEMORY_DEVICE, now, mode: 0o700, account });
    this.pipeRoot = new MountNamespace(this.pipes).rootLocation;
    this.memoryRoot = new MountNamespace(this.memory).rootLocation;
  }

  /** A FIFO that pipe(2) makes. */
  pipe(credentials: Credentials): { inode: Inode; location: Location } {
    const inode = new AnonymousInode(this.pipes, S_IFIFO | 0o600, credentials);
    const dentry = new TreeDentry(treeOf(this.pipes), inode, null, `pipe:[${inode.ino}]`);
    return { inode, location: { mount: this.pipeRoot.mount, dentry } };
  }

  /** A file of memfd_create; `name` as /proc shows it. `seals`: those that it begins with. */
  file(
    credentials: Credentials,
    { name, mode, seals }: { name: string; mode: number; seals: number },
  ): { inode: MemoryFile; location: Location } {
    const { fsuid: uid, fsgid: gid } = credentials;
    const inode = new MemoryFile(this.memory, this.memory.takeIno(), { mode, uid, gid }, seals);
    const root = this.memoryRoot.dentry as TreeDentry;
    const dentry = new TreeDentry(root.tree, inode, root, name);
    dentry.unlinked = true;
    return { inode, location: { mount: this.memoryRoot.mount, dentry } };
  }

  /** The place of a file that calls make and nothing can open again; `label` is what readlink shows of it. */
  placeOf(file: OpenFile, label: string, ino: number, mode: number): Location {
    let location = this.places.get(file);
    if (!location) {
      const inode = new AnonymousInode(this.pipes, mode, { fsuid: 0, fsgid: 0 }, ino);
      location = { mount: this.pipeRoot.mount, dentry: new TreeDentry(treeOf(this.pipes), inode, null, label) };
      this.places.set(file, location);
    }
    return location;
  }

  /** What readlink of /proc/PID/fd shows in place of a path; undefined: it is in a tree, or shown as if it were. */
  labelOf({ dentry }: Location): string | undefined {
    return dentry.fileSystem === this.pipes ? dentry.name : undefined;
  }
}
