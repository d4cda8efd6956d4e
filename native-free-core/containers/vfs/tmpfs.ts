// tmpfs: files in memory. Also what an overlay keeps a guest's changes in, and what memfd files are made of.
// Owns inodes, names and content, and counts both against the limits it was made with (tmpfs(5): size, nr_inodes).
// Never checks permissions and never outlives its worker: nothing here reaches the host's disk.

import { errno } from '../errno.ts';
import {
  isDirectory,
  isRegular,
  isSymlink,
  PERMISSION_BITS,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  S_IFDIR,
  S_IFMT,
  XATTR_CREATE,
  XATTR_REPLACE,
  XATTR_SIZE_MAX,
} from './constants.ts';
import { type Base, type Budget, FileContent } from './file-content.ts';
import { checkName } from './names.ts';
import {
  type AttributeChanges,
  type EmitEntry,
  type FileSystem,
  type FileSystemStatistics,
  Inode,
  type Nanoseconds,
  type NewInode,
  OpenFile,
  type PageSource,
} from './types.ts';

/** TMPFS_MAGIC, include/uapi/linux/magic.h. */
const tmpfsMagic = 0x01021994;
const blockSize = 4096;
/** What an inode and its name are counted as, so that files without content cannot take all memory. */
const inodeCost = 512;
/** Most bytes of extended attributes of one inode. */
const mostXattrBytes = 65536;

export interface TmpFsOptions {
  device: number;
  now: () => Nanoseconds;
  /** Bytes of content, names and attributes; default: no limit of its own. */
  size?: number;
  /** Most inodes; default: no limit of its own. */
  inodes?: number;
  /** The account of whoever owns the files (a guest's memory), charged besides `size`. */
  account?: Budget;
  /** Of the root: permission bits (default 0o1777), owner and group. */
  mode?: number;
  uid?: number;
  gid?: number;
  /** As shown in /proc/mounts; default 'tmpfs'. */
  type?: string;
}

export class TmpFs implements FileSystem, Budget {
  readonly type: string;
  readonly device: number;
  readonly root: TmpDirectory;
  readonly stable = true;
  readonly readOnly = false;
  readonly now: () => Nanoseconds;
  readonly #size: number;
  readonly #inodes: number;
  readonly #account: Budget | undefined;
  #bytesUsed = 0;
  #inodesUsed = 0;
  #nextIno = 1;

  constructor(options: TmpFsOptions) {
    const { device, now, size, inodes, account, mode, uid, gid, type } = options;
    this.type = type ?? 'tmpfs';
    this.device = device;
    this.now = now;
    this.#size = size ?? Number.POSITIVE_INFINITY;
    this.#inodes = inodes ?? Number.POSITIVE_INFINITY;
    this.#account = account;
    this.root = this.makeRoot({ mode: S_IFDIR | (mode ?? 0o1777), uid: uid ?? 0, gid: gid ?? 0 });
    this.root.nlink = 2;
  }

  protected makeRoot(made: NewInode): TmpDirectory {
    return this.make(made) as TmpDirectory;
  }

  /** An inode without a name yet: its link count is 0. Throws ENOSPC, ENOMEM. */
  make(made: NewInode): TmpInode {
    const ino = this.takeIno();
    if (isDirectory(made.mode)) return new TmpDirectory(this, ino, made);
    if (isRegular(made.mode)) return new TmpFile(this, ino, made);
    if (isSymlink(made.mode)) return new TmpLink(this, ino, made);
    return new TmpNode(this, ino, made);
  }

  /** Room and a number for one more inode. Throws ENOSPC, ENOMEM. */
  takeIno(): number {
    if (this.#inodesUsed >= this.#inodes) throw errno('ENOSPC');
    this.charge(inodeCost);
    this.#inodesUsed++;
    return this.#nextIno++;
  }

  /** Gives the room of an inode back that has no name and that nobody has open. */
  forget(inode: TmpInode): void {
    this.#inodesUsed--;
    this.release(inodeCost + inode.xattrBytes);
  }

  charge(bytes: number): void {
    if (this.#bytesUsed + bytes > this.#size) throw errno('ENOSPC');
    this.#account?.charge(bytes);
    this.#bytesUsed += bytes;
  }

  release(bytes: number): void {
    this.#bytesUsed -= bytes;
    this.#account?.release(bytes);
  }

  statistics(): FileSystemStatistics {
    const blocks = Number.isFinite(this.#size) ? Math.floor(this.#size / blockSize) : 0;
    const files = Number.isFinite(this.#inodes) ? this.#inodes : 0;
    return {
      type: tmpfsMagic,
      blockSize,
      blocks,
      blocksFree: blocks && Math.max(0, blocks - Math.ceil(this.#bytesUsed / blockSize)),
      files,
      filesFree: files && files - this.#inodesUsed,
    };
  }

  sync(): void {}
}

export abstract class TmpInode extends Inode {
  override readonly fileSystem: TmpFs;
  override readonly ino: number;
  override readonly rdev: number;
  override mode: number;
  override uid: number;
  override gid: number;
  override nlink = 0;
  override atime: Nanoseconds;
  override mtime: Nanoseconds;
  override ctime: Nanoseconds;
  xattrBytes = 0;
  /** In an overlay: the layer's inode that it was taken in as. */
  origin: Inode | null = null;
  #xattrs: Map<string, Uint8Array> | null = null;
  #holders = 0;
  #gone = false;

  constructor(fileSystem: TmpFs, ino: number, { mode, uid, gid, rdev }: NewInode) {
    super();
    this.fileSystem = fileSystem;
    this.ino = ino;
    this.mode = mode;
    this.uid = uid;
    this.gid = gid;
    this.rdev = rdev ?? 0;
    this.atime = this.mtime = this.ctime = fileSystem.now();
  }

  override get size(): number {
    return 0;
  }

  override setattr(changes: AttributeChanges): void {
    const now = this.fileSystem.now();
    if (changes.size !== undefined) {
      this.truncate(changes.size);
      this.mtime = now;
    }
    if (changes.mode !== undefined) this.mode = (this.mode & S_IFMT) | (changes.mode & PERMISSION_BITS);
    if (changes.uid !== undefined) this.uid = changes.uid;
    if (changes.gid !== undefined) this.gid = changes.gid;
    if (changes.atime !== undefined) this.atime = changes.atime;
    if (changes.mtime !== undefined) this.mtime = changes.mtime;
    this.ctime = changes.ctime ?? now;
  }

  protected truncate(_size: number): void {
    throw errno('EINVAL');
  }

  override getxattr(name: string): Uint8Array {
    const value = this.#xattrs?.get(name);
    if (!value) throw errno('ENODATA');
    return value;
  }

  override setxattr(name: string, value: Uint8Array, flags: number): void {
    const old = this.#xattrs?.get(name);
    if (old && flags & XATTR_CREATE) throw errno('EEXIST');
    if (!old && flags & XATTR_REPLACE) throw errno('ENODATA');
    if (value.length > XATTR_SIZE_MAX) throw errno('E2BIG');
    const more = value.length + name.length - (old ? old.length + name.length : 0);
    if (this.xattrBytes + more > mostXattrBytes) throw errno('ENOSPC');
    if (more > 0) this.fileSystem.charge(more);
    else this.fileSystem.release(-more);
    this.xattrBytes += more;
    this.#xattrs ??= new Map();
    this.#xattrs.set(name, value.slice());
    this.ctime = this.fileSystem.now();
  }

  override removexattr(name: string): void {
    const bytes = this.getxattr(name).length + name.length;
    this.#xattrs!.delete(name);
    this.xattrBytes -= bytes;
    this.fileSystem.release(bytes);
    this.ctime = this.fileSystem.now();
  }

  override listxattr(): string[] {
    return [...(this.#xattrs?.keys() ?? [])];
  }

  /** Something holds the inode whatever becomes of its names: an open file. */
  hold(): void {
    this.#holders++;
  }

  /** The counterpart of `hold`, and what a lost name calls: with no name and no holder the room is given back. */
  dropIfUnused(holders: number): void {
    this.#holders -= holders;
    if (this.#gone || this.#holders > 0 || this.nlink > 0) return;
    this.#gone = true;
    this.discard();
    this.fileSystem.forget(this);
  }

  protected discard(): void {}

  override open(_flags: number): OpenFile {
    throw errno('ENXIO');
  }
}

/** A device node, FIFO or socket: kept, not driven. */
export class TmpNode extends TmpInode {}

export class TmpLink extends TmpInode {
  readonly #target: string;

  constructor(fileSystem: TmpFs, ino: number, made: NewInode) {
    super(fileSystem, ino, made);
    this.#target = made.target ?? '';
  }

  override get size(): number {
    return this.#target.length;
  }

  override readlink(): string {
    return this.#target;
  }

  override open(_flags: number): OpenFile {
    throw errno('ELOOP');
  }
}

export class TmpFile extends TmpInode {
  readonly content: FileContent;

  constructor(fileSystem: TmpFs, ino: number, made: NewInode, base: Base | null = null) {
    super(fileSystem, ino, made);
    this.content = new FileContent(fileSystem, base);
  }

  override get size(): number {
    return this.content.size;
  }

  override get blocks(): number {
    return Math.ceil(this.content.allocated / 512);
  }

  protected override truncate(size: number): void {
    this.content.truncate(size);
  }

  protected override discard(): void {
    this.content.truncate(0);
  }

  override pages(): PageSource {
    return this.content;
  }

  override punch(offset: number, length: number): void {
    this.content.punch(offset, length);
    this.mtime = this.ctime = this.fileSystem.now();
  }

  override open(_flags: number): OpenFile {
    return new OpenTmpFile(this);
  }
}

class OpenTmpFile extends OpenFile {
  override readonly inode: TmpFile;

  constructor(inode: TmpFile) {
    super();
    this.inode = inode;
    inode.hold();
  }

  override read(into: Uint8Array, offset: number): number {
    return this.inode.content.read(into, offset);
  }

  override write(from: Uint8Array, offset: number): number {
    const count = this.inode.content.write(from, offset);
    this.inode.mtime = this.inode.ctime = this.inode.fileSystem.now();
    return count;
  }

  override release(): void {
    this.inode.dropIfUnused(1);
  }
}

class OpenTmpDirectory extends OpenFile {
  override readonly inode: TmpDirectory;

  constructor(inode: TmpDirectory) {
    super();
    this.inode = inode;
    inode.hold();
  }

  override read(): number {
    throw errno('EISDIR');
  }

  override release(): void {
    this.inode.dropIfUnused(1);
  }
}

/** A name in a directory. `position` only grows, so that a listing under way neither repeats nor misses an entry. */
interface Entry {
  inode: TmpInode;
  position: number;
}

export class TmpDirectory extends TmpInode {
  readonly #entries = new Map<string, Entry>();
  #nextPosition = 1;

  override get size(): number {
    return (this.#entries.size + 2) * 20;
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  override lookup(name: string): TmpInode | null {
    return this.known(name);
  }

  /** How many directories are in it. */
  protected directories(): number {
    let count = 0;
    for (const { inode } of this.#entries.values()) if (inode instanceof TmpDirectory) count++;
    return count;
  }

  /** What is here, without asking any layer below. */
  *knownEntries(): Generator<[name: string, inode: TmpInode]> {
    for (const [name, { inode }] of this.#entries) yield [name, inode];
  }

  /** What is here under a name, without asking any layer below. */
  protected known(name: string): TmpInode | null {
    return this.#entries.get(name)?.inode ?? null;
  }

  /** Takes an inode in that a layer has under this name, which changes nothing that can be seen. */
  protected adopt(name: string, inode: TmpInode): void {
    this.#entries.set(name, { inode, position: this.#nextPosition++ });
  }

  override create(name: string, made: NewInode): TmpInode {
    this.#checkNew(name);
    const inode = this.fileSystem.make(made);
    this.#put(name, inode);
    inode.nlink = inode instanceof TmpDirectory ? 2 : 1;
    return inode;
  }

  override createUnnamed(made: NewInode): TmpInode {
    return this.fileSystem.make(made);
  }

  override link(name: string, inode: Inode): void {
    if (!(inode instanceof TmpInode) || inode.fileSystem !== this.fileSystem) throw errno('EXDEV');
    if (inode instanceof TmpDirectory) throw errno('EPERM');
    this.#checkNew(name);
    this.fileSystem.charge(name.length);
    this.#put(name, inode);
    inode.nlink++;
    inode.ctime = this.ctime;
  }

  override unlink(name: string): void {
    const { inode } = this.#entry(name);
    if (inode instanceof TmpDirectory) throw errno('EISDIR');
    this.#take(name);
    this.#lose(inode);
  }

  override rmdir(name: string): void {
    const { inode } = this.#entry(name);
    if (!(inode instanceof TmpDirectory)) throw errno('ENOTDIR');
    if (!inode.isEmpty) throw errno('ENOTEMPTY');
    this.#take(name);
    this.#lose(inode);
  }

  override rename(name: string, into: Inode, newName: string, flags: number): void {
    if (!(into instanceof TmpDirectory) || into.fileSystem !== this.fileSystem) throw errno('EXDEV');
    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags === (RENAME_NOREPLACE | RENAME_EXCHANGE)) {
      throw errno('EINVAL');
    }
    const { inode } = this.#entry(name);
    const other = into.lookup(newName);
    if (flags & RENAME_EXCHANGE) {
      if (!other) throw errno('ENOENT');
      if (other === inode) return;
      this.#take(name);
      into.#take(newName);
      this.#put(name, other);
      into.#put(newName, inode);
      other.ctime = inode.ctime = this.ctime;
      return;
    }
    if (other) {
      if (flags & RENAME_NOREPLACE) throw errno('EEXIST');
      if (other === inode) return; // Two names of one file: rename(2) does nothing.
      if (inode instanceof TmpDirectory) {
        if (!(other instanceof TmpDirectory)) throw errno('ENOTDIR');
        if (!other.isEmpty) throw errno('ENOTEMPTY');
      } else if (other instanceof TmpDirectory) throw errno('EISDIR');
    } else checkName(newName);
    this.#take(name);
    if (other) into.#take(newName);
    into.#put(newName, inode);
    inode.ctime = this.ctime;
    if (other) into.#lose(other);
  }

  override readdir(cursor: number, emit: EmitEntry): void {
    for (const [name, { inode, position }] of this.#entries) {
      if (position > cursor && !emit(name, inode.ino, inode.mode, position)) return;
    }
  }

  override open(_flags: number): OpenFile {
    return new OpenTmpDirectory(this);
  }

  #entry(name: string): Entry {
    const entry = this.lookup(name) && this.#entries.get(name);
    if (!entry) throw errno('ENOENT');
    return entry;
  }

  #checkNew(name: string): void {
    checkName(name);
    if (this.nlink === 0) throw errno('ENOENT'); // Removed, but somebody's working directory.
    if (this.lookup(name)) throw errno('EEXIST');
  }

  #put(name: string, inode: TmpInode): void {
    this.#entries.set(name, { inode, position: this.#nextPosition++ });
    if (inode instanceof TmpDirectory) this.nlink++;
    this.mtime = this.ctime = this.fileSystem.now();
  }

  /** What subclasses do when a name is taken away. */
  protected taken(_name: string): void {}

  #take(name: string): void {
    const { inode } = this.#entry(name);
    this.#entries.delete(name);
    this.taken(name);
    if (inode instanceof TmpDirectory) this.nlink--;
    this.mtime = this.ctime = this.fileSystem.now();
  }

  #lose(inode: TmpInode): void {
    inode.nlink = inode instanceof TmpDirectory ? 0 : inode.nlink - 1;
    inode.ctime = this.ctime;
    inode.dropIfUnused(0);
  }
}
