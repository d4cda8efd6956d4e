// A folder of the host as a file system: bind mounts (--volume), and folders that serve as an image's only layer.
// Owns the inodes over the host's files and whom they seem to belong to.
// Never follows a link of the host's, never makes devices or set-ID programs there, never changes an owner.

import { ERRNO, type ErrnoCode, errno } from '../errno.ts';
import { isDirectory, isRegular, isSymlink, RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFMT } from './constants.ts';
import type { HostFile, HostStatus, HostTree } from './host-tree.ts';
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

/** FUSE_SUPER_MAGIC: what programs know as 'somebody else's files'. */
const fuseMagic = 0x65735546;
/** Inodes kept by the host's number, so that hard links are one file and pages of a mapped file are found again. */
const mostKept = 16384;
/** Files kept open for mappings whose descriptor is closed; the host has about a thousand for the whole process. */
const mostReaders = 64;

export interface HostFolderOptions {
  device: number;
  tree: HostTree;
  readOnly: boolean;
  /** The host's user and group that we run as: what belongs to them belongs to the guest's root. */
  self: { uid: number; gid: number };
  now: () => Nanoseconds;
}

/** Runs a call of the host's and turns its error into ours. Throws EIO for what Linux does not know. */
function host<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    const { code } = error as { code?: string };
    throw errno(code !== undefined && code in ERRNO ? (code as ErrnoCode) : 'EIO');
  }
}

export class HostFolderFs implements FileSystem {
  readonly type = 'fuse.trivisor';
  readonly device: number;
  readonly root: HostInode;
  readonly stable = false;
  readonly readOnly: boolean;
  readonly tree: HostTree;
  readonly self: { uid: number; gid: number };
  readonly now: () => Nanoseconds;
  readonly #kept = new Map<string, HostInode>();
  readonly #readers = new Map<HostInode, HostFile>();

  constructor({ device, tree, readOnly, self, now }: HostFolderOptions) {
    this.device = device;
    this.tree = tree;
    this.readOnly = readOnly;
    this.self = self;
    this.now = now;
    const status = host(() => tree.status(''));
    if (!status) throw errno('ENOENT');
    if (!isDirectory(status.mode)) throw errno('ENOTDIR');
    this.root = new HostInode(this, null, '', status);
  }

  statistics(): FileSystemStatistics {
    const found = host(() => this.tree.statistics());
    return { type: fuseMagic, ...(found ?? { blockSize: 4096, blocks: 0, blocksFree: 0, files: 0, filesFree: 0 }) };
  }

  sync(): void {}

  /** The inode of what was found at a name: the one that is known by the host's number, if any. */
  inodeOf(parent: HostInode, name: string, status: HostStatus): HostInode {
    const key = `${status.device}:${status.ino}`;
    let inode = this.#kept.get(key);
    if (inode && (inode.mode & S_IFMT) === (status.mode & S_IFMT)) {
      // The name it was found by last is one that is there.
      inode.moved(parent, name);
      inode.update(status);
    } else inode = new HostInode(this, parent, name, status);
    this.#kept.delete(key);
    this.#kept.set(key, inode);
    if (this.#kept.size > mostKept) this.#kept.delete(this.#kept.keys().next().value!);
    return inode;
  }

  /** A file to read pages from, kept open. */
  reader(inode: HostInode): HostFile {
    let file = this.#readers.get(inode);
    this.#readers.delete(inode);
    file ??= host(() => this.tree.open(inode.path, { write: false }));
    this.#readers.set(inode, file);
    if (this.#readers.size > mostReaders) {
      const [oldest] = this.#readers.keys();
      this.#readers.get(oldest)!.close();
      this.#readers.delete(oldest);
    }
    return file;
  }

  /** Closes what is kept open; the file system is not used any more. */
  close(): void {
    for (const file of this.#readers.values()) file.close();
    this.#readers.clear();
  }
}

class HostInode extends Inode implements PageSource {
  override readonly fileSystem: HostFolderFs;
  cache: object | null = null;
  #parent: HostInode | null;
  #name: string;
  #status: HostStatus;
  /** Where a listing gave each name: the cursor behind it. */
  #positions: Map<string, number> | null = null;
  #nextPosition = 1;
  /** Files open now, those for writing first. */
  readonly #open: HostFile[] = [];
  /** How many of them are open for writing. */
  #writers = 0;

  constructor(fileSystem: HostFolderFs, parent: HostInode | null, name: string, status: HostStatus) {
    super();
    this.fileSystem = fileSystem;
    this.#parent = parent;
    this.#name = name;
    this.#status = status;
  }

  override get ino(): number {
    return this.#status.ino;
  }
  override get mode(): number {
    return this.#status.mode;
  }
  override get uid(): number {
    return this.#status.uid === this.fileSystem.self.uid ? 0 : this.#status.uid;
  }
  override get gid(): number {
    return this.#status.gid === this.fileSystem.self.gid ? 0 : this.#status.gid;
  }
  override get nlink(): number {
    return this.#status.nlink;
  }
  override get size(): number {
    return this.#status.size;
  }
  override get blocks(): number {
    return this.#status.blocks;
  }
  override get rdev(): number {
    return this.#status.rdev;
  }
  override get atime(): Nanoseconds {
    return this.#status.atime;
  }
  override get mtime(): Nanoseconds {
    return this.#status.mtime;
  }
  override get ctime(): Nanoseconds {
    return this.#status.ctime;
  }

  /** Below the folder, by the names that led here. */
  get path(): string {
    const above = this.#parent?.path;
    return above ? `${above}/${this.#name}` : this.#name;
  }

  moved(parent: HostInode, name: string): void {
    this.#parent = parent;
    this.#name = name;
  }

  update(status: HostStatus): void {
    this.#status = status;
  }

  override refresh(): void {
    const [file] = this.#open;
    const status = host(() => (file ? file.status() : this.#tree.status(this.path)));
    if (status && status.ino === this.#status.ino) this.#status = status;
    else this.#status = { ...this.#status, nlink: 0 };
  }

  override lookup(name: string): HostInode | null {
    this.#demandDirectory();
    const status = host(() => this.#tree.status(this.#below(name)));
    return status && this.fileSystem.inodeOf(this, name, status);
  }

  override create(name: string, made: NewInode): Inode {
    this.#demandDirectory();
    checkName(name);
    const path = this.#below(name);
    if (host(() => this.#tree.status(path))) throw errno('EEXIST');
    const bits = made.mode & 0o777;
    if (isDirectory(made.mode)) host(() => this.#tree.makeDirectory(path, bits));
    else if (isSymlink(made.mode)) host(() => this.#tree.symlink(made.target ?? '', path));
    else if (isRegular(made.mode)) host(() => this.#tree.open(path, { write: true, create: bits }).close());
    else throw errno('EPERM');
    return this.lookup(name)!;
  }

  override link(name: string, inode: Inode): void {
    if (!(inode instanceof HostInode) || inode.fileSystem !== this.fileSystem) throw errno('EXDEV');
    checkName(name);
    host(() => this.#tree.link(inode.path, this.#below(name)));
    inode.refresh();
  }

  override unlink(name: string): void {
    const inode = this.#entry(name);
    if (isDirectory(inode.mode)) throw errno('EISDIR');
    host(() => this.#tree.unlink(this.#below(name)));
    inode.#status = { ...inode.#status, nlink: inode.nlink - 1 };
  }

  override rmdir(name: string): void {
    const inode = this.#entry(name);
    if (!isDirectory(inode.mode)) throw errno('ENOTDIR');
    host(() => this.#tree.rmdir(this.#below(name)));
    inode.#status = { ...inode.#status, nlink: 0 };
  }

  override rename(name: string, into: Inode, newName: string, flags: number): void {
    if (!(into instanceof HostInode) || into.fileSystem !== this.fileSystem) throw errno('EXDEV');
    // The host's calls have no exchange; two renames would show a moment without the file.
    if (flags & RENAME_EXCHANGE) throw errno('EINVAL');
    checkName(newName);
    const inode = this.#entry(name);
    const replaced = into.lookup(newName);
    if (replaced && flags & RENAME_NOREPLACE) throw errno('EEXIST');
    host(() => this.#tree.rename(this.#below(name), into.#below(newName)));
    if (replaced && replaced !== inode) {
      replaced.#status = { ...replaced.#status, nlink: isDirectory(replaced.mode) ? 0 : replaced.nlink - 1 };
    }
    inode.moved(into, newName);
  }

  override readdir(cursor: number, emit: EmitEntry): void {
    this.#demandDirectory();
    const names = new Set(host(() => this.#tree.list(this.path)));
    this.#positions ??= new Map();
    for (const name of this.#positions.keys()) if (!names.has(name)) this.#positions.delete(name);
    for (const name of names) if (!this.#positions.has(name)) this.#positions.set(name, this.#nextPosition++);
    for (const [name, position] of this.#positions) {
      if (position <= cursor) continue;
      const status = host(() => this.#tree.status(this.#below(name)));
      if (status && !emit(name, status.ino, status.mode, position)) return;
    }
  }

  override readlink(): string {
    if (!isSymlink(this.mode)) throw errno('EINVAL');
    return host(() => this.#tree.readlink(this.path));
  }

  override setattr({ mode, uid, gid, size, atime, mtime }: AttributeChanges): void {
    if ((uid !== undefined && uid !== this.uid) || (gid !== undefined && gid !== this.gid)) throw errno('EPERM');
    if (size !== undefined) this.#truncate(size);
    if (mode !== undefined && (mode & 0o7777) !== (this.mode & 0o7777)) {
      host(() => this.#tree.chmod(this.path, mode & 0o1777));
    }
    if (atime !== undefined || mtime !== undefined) {
      host(() => this.#tree.setTimes(this.path, atime ?? this.atime, mtime ?? this.mtime));
    }
    this.refresh();
  }

  override open(flags: number): OpenFile {
    if (isDirectory(this.mode)) return new OpenHostDirectory(this);
    if (!isRegular(this.mode)) throw errno('ENXIO');
    const write = (flags & 3) !== 0;
    const file = host(() => this.#tree.open(this.path, { write }));
    // Somebody may have put another file there since it was looked up.
    if (host(() => file.status()).ino !== this.ino) {
      file.close();
      throw errno('ESTALE');
    }
    if (write) {
      this.#open.unshift(file);
      this.#writers++;
    } else this.#open.push(file);
    return new OpenHostFile(this, file);
  }

  closed(file: HostFile): void {
    const at = this.#open.indexOf(file);
    this.#open.splice(at, 1);
    if (at < this.#writers) this.#writers--;
    file.close();
  }

  override pages(): PageSource | null {
    return isRegular(this.mode) ? this : null;
  }

  readPage(index: number, into: Uint8Array): void {
    const file = this.#open.at(-1) ?? this.fileSystem.reader(this);
    let done = 0;
    while (done < 4096) {
      const count = host(() => file.read(into.subarray(done, 4096), index * 4096 + done));
      if (count === 0) break;
      done += count;
    }
    into.fill(0, done, 4096);
  }

  writePage(index: number, from: Uint8Array): void {
    this.refresh();
    const room = Math.min(from.length, this.size - index * 4096);
    if (room <= 0) return;
    const [file] = this.#open;
    if (!file) throw errno('EIO');
    host(() => file.write(from.subarray(0, room), index * 4096));
  }

  get #tree(): HostTree {
    return this.fileSystem.tree;
  }

  #below(name: string): string {
    const { path } = this;
    return path ? `${path}/${name}` : name;
  }

  #demandDirectory(): void {
    if (!isDirectory(this.mode)) throw errno('ENOTDIR');
  }

  #entry(name: string): HostInode {
    const inode = this.lookup(name);
    if (!inode) throw errno('ENOENT');
    return inode;
  }

  #truncate(size: number): void {
    // What is open may have no name any more.
    const [open] = this.#open;
    if (this.#writers > 0) {
      host(() => open.truncate(size));
      return;
    }
    const file = host(() => this.#tree.open(this.path, { write: true }));
    try {
      host(() => file.truncate(size));
    } finally {
      file.close();
    }
  }
}

class OpenHostFile extends OpenFile {
  override readonly inode: HostInode;
  readonly #file: HostFile;

  constructor(inode: HostInode, file: HostFile) {
    super();
    this.inode = inode;
    this.#file = file;
  }

  override read(into: Uint8Array, offset: number): number {
    return host(() => this.#file.read(into, offset));
  }

  override write(from: Uint8Array, offset: number): number {
    const count = host(() => this.#file.write(from, offset));
    this.inode.refresh();
    return count;
  }

  override fsync(): void {
    host(() => this.#file.sync());
  }

  override release(): void {
    this.inode.closed(this.#file);
  }
}

class OpenHostDirectory extends OpenFile {
  override readonly inode: HostInode;

  constructor(inode: HostInode) {
    super();
    this.inode = inode;
  }

  override read(): number {
    throw errno('EISDIR');
  }
}
