// File systems whose content is computed when it is read: proc, sysfs, devpts, cgroup files.
// Owns inodes over callbacks, and keeps them as long as what they stand for is there.
// Never knows what the content means: proc.ts and the kernel say.

import { errno } from '../errno.ts';
import { isDirectory, S_IFDIR, S_IFLNK, S_IFREG } from './constants.ts';
import { nameToBytes } from './names.ts';
import {
  type AttributeChanges,
  type EmitEntry,
  type FileSystem,
  type FileSystemStatistics,
  Inode,
  type Location,
  type Nanoseconds,
  type NewInode,
  OpenFile,
} from './types.ts';

export interface Owner {
  uid: number;
  gid: number;
}

const rootOwner: Owner = { uid: 0, gid: 0 };

export interface FileOptions {
  /** Permission bits; default 0444. */
  mode?: number;
  owner?: () => Owner;
  /** What stat tells of its length, for clients that read no further; 0 where left out, as in proc. */
  size?: number;
  /** The whole content, as bytes in a string; asked for at each read from the beginning. Throws what read(2) shall. */
  read?: () => string;
  /** Takes what one write call wrote. Throws EINVAL and the like. */
  write?: (text: string) => void;
}

export interface LinkOptions {
  owner?: () => Owner;
  /** What readlink shows. */
  target: () => string;
  /** Where a walk goes on, if that is no path. */
  place?: () => Location | null;
}

export interface DirectoryOptions {
  /** Permission bits; default 0555. */
  mode?: number;
  owner?: () => Owner;
  /** Entries that are always there. */
  fixed?: Record<string, Inode>;
  /** Entries that come and go. */
  dynamic?: {
    names: () => Iterable<string>;
    /** What a name stands for now, or null. An inode is kept as long as this is the same. */
    find: (name: string) => object | null;
    make: (name: string, found: object) => Inode;
    /** mkdir and rmdir; left out: EPERM. */
    create?: (name: string) => void;
    remove?: (name: string) => void;
  };
}

export interface ProviderOptions {
  type: string;
  /** f_type of statfs, include/uapi/linux/magic.h. */
  magic: number;
  device: number;
  now: () => Nanoseconds;
}

export class ProviderFs implements FileSystem {
  readonly type: string;
  readonly device: number;
  readonly stable = false;
  readonly readOnly = false;
  readonly now: () => Nanoseconds;
  root: Inode;
  readonly #magic: number;
  #lastIno = 0;

  constructor({ type, magic, device, now }: ProviderOptions) {
    this.type = type;
    this.device = device;
    this.now = now;
    this.#magic = magic;
    this.root = this.directory({});
  }

  file(options: FileOptions): Inode {
    return new VirtualFile(this, options);
  }

  /** A file with the same content always. */
  text(content: string): Inode {
    return this.file({ read: () => content });
  }

  link(options: LinkOptions): Inode {
    return new VirtualLink(this, options);
  }

  directory(options: DirectoryOptions): Inode {
    return new VirtualDirectory(this, options);
  }

  /** A device node, FIFO or socket; `mode` with its type. */
  node(mode: number, rdev: number, owner: () => Owner = () => rootOwner): Inode {
    return new VirtualNode(this, mode, rdev, owner);
  }

  nextIno(): number {
    return ++this.#lastIno;
  }

  statistics(): FileSystemStatistics {
    return { type: this.#magic, blockSize: 4096, blocks: 0, blocksFree: 0, files: 0, filesFree: 0 };
  }

  sync(): void {}
}

class VirtualInode extends Inode {
  override readonly fileSystem: ProviderFs;
  override readonly ino: number;
  override mode: number;
  override readonly nlink: number;
  override readonly rdev: number;
  readonly #owner: () => Owner;
  #time: Nanoseconds;
  #changedOwner: Owner | null = null;

  constructor(fileSystem: ProviderFs, mode: number, owner: (() => Owner) | undefined, rdev = 0) {
    super();
    this.fileSystem = fileSystem;
    this.ino = fileSystem.nextIno();
    this.mode = mode;
    this.rdev = rdev;
    this.nlink = isDirectory(mode) ? 2 : 1;
    this.#owner = owner ?? (() => rootOwner);
    this.#time = fileSystem.now();
  }

  override get uid(): number {
    return (this.#changedOwner ?? this.#owner()).uid;
  }
  override get gid(): number {
    return (this.#changedOwner ?? this.#owner()).gid;
  }
  override get size(): number {
    return 0;
  }
  override get atime(): Nanoseconds {
    return this.#time;
  }
  override get mtime(): Nanoseconds {
    return this.#time;
  }
  override get ctime(): Nanoseconds {
    return this.#time;
  }

  override setattr({ mode, uid, gid, mtime }: AttributeChanges): void {
    if (mode !== undefined) this.mode = (this.mode & ~0o7777) | mode;
    if (uid !== undefined || gid !== undefined) this.#changedOwner = { uid: uid ?? this.uid, gid: gid ?? this.gid };
    if (mtime !== undefined) this.#time = mtime;
  }

  override open(_flags: number): OpenFile {
    throw errno('ENXIO');
  }
}

class VirtualNode extends VirtualInode {
  constructor(fileSystem: ProviderFs, mode: number, rdev: number, owner: () => Owner) {
    super(fileSystem, mode, owner, rdev);
  }
}

class VirtualLink extends VirtualInode {
  readonly #options: LinkOptions;

  constructor(fileSystem: ProviderFs, options: LinkOptions) {
    super(fileSystem, S_IFLNK | 0o777, options.owner);
    this.#options = options;
  }

  override readlink(): string {
    return this.#options.target();
  }

  override followLink(): Location | null {
    return this.#options.place?.() ?? null;
  }
}

class VirtualFile extends VirtualInode {
  readonly options: FileOptions;

  constructor(fileSystem: ProviderFs, options: FileOptions) {
    super(fileSystem, S_IFREG | (options.mode ?? (options.write ? 0o644 : 0o444)), options.owner);
    this.options = options;
  }

  override get size(): number {
    return this.options.size ?? 0;
  }

  override open(_flags: number): OpenFile {
    return new OpenVirtualFile(this);
  }
}

class OpenVirtualFile extends OpenFile {
  override readonly inode: VirtualFile;
  #content: Uint8Array | null = null;

  constructor(inode: VirtualFile) {
    super();
    this.inode = inode;
  }

  override read(into: Uint8Array, offset: number): number {
    const { read } = this.inode.options;
    if (!read) throw errno('EINVAL');
    if (offset === 0 || !this.#content) this.#content = nameToBytes(read());
    const part = this.#content.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  override write(from: Uint8Array, _offset: number): number {
    const { write } = this.inode.options;
    if (!write) throw errno('EACCES');
    // What such files take is a number or a few words.
    if (from.length > 4096) throw errno('EINVAL');
    write(String.fromCharCode(...from));
    return from.length;
  }
}

class VirtualDirectory extends VirtualInode {
  readonly #options: DirectoryOptions;
  readonly #fixed: Map<string, Inode>;
  readonly #kept = new Map<string, { found: object; inode: Inode }>();

  constructor(fileSystem: ProviderFs, options: DirectoryOptions) {
    super(fileSystem, S_IFDIR | (options.mode ?? 0o555), options.owner);
    this.#options = options;
    this.#fixed = new Map(Object.entries(options.fixed ?? {}));
  }

  override lookup(name: string): Inode | null {
    const fixed = this.#fixed.get(name);
    const { dynamic } = this.#options;
    if (fixed || !dynamic) return fixed ?? null;
    const found = dynamic.find(name);
    const kept = this.#kept.get(name);
    if (kept && kept.found === found) return kept.inode;
    this.#kept.delete(name);
    if (!found) return null;
    const inode = dynamic.make(name, found);
    this.#kept.set(name, { found, inode });
    return inode;
  }

  override readdir(cursor: number, emit: EmitEntry): void {
    // Names that are numbers have their number as the cursor, behind the fixed ones: processes come and go while ps reads.
    const fixed = [...this.#fixed];
    for (let at = cursor; at < fixed.length; at++) {
      const [name, { ino, mode }] = fixed[at];
      if (!emit(name, ino, mode, at + 1)) return;
    }
    const { dynamic } = this.#options;
    if (!dynamic) return;
    const behind = fixed.length + 1;
    const entries = [...dynamic.names()].map((name, at) => ({
      name,
      position: behind + (/^\d{1,9}$/.test(name) ? Number(name) : at),
    }));
    entries.sort((a, b) => a.position - b.position);
    for (const { name, position } of entries) {
      if (position < cursor) continue;
      const inode = this.lookup(name);
      if (inode && !emit(name, inode.ino, inode.mode, position + 1)) return;
    }
    const names = new Set(entries.map(({ name }) => name));
    for (const name of this.#kept.keys()) if (!names.has(name)) this.#kept.delete(name);
  }

  override create(name: string, { mode }: NewInode): Inode {
    const create = this.#options.dynamic?.create;
    if (!create || !isDirectory(mode)) throw errno(create ? 'EACCES' : 'EPERM');
    create(name);
    return this.lookup(name)!;
  }

  override unlink(): void {
    throw errno('EPERM');
  }

  override rmdir(name: string): void {
    const remove = this.#options.dynamic?.remove;
    if (!remove) throw errno('EPERM');
    if (!isDirectory(this.lookup(name)?.mode ?? 0)) throw errno('ENOTDIR');
    remove(name);
  }

  override rename(): void {
    throw errno('EPERM');
  }

  override link(): void {
    throw errno('EPERM');
  }

  override open(_flags: number): OpenFile {
    return new OpenVirtualDirectory(this);
  }
}

class OpenVirtualDirectory extends OpenFile {
  override readonly inode: Inode;

  constructor(inode: Inode) {
    super();
    this.inode = inode;
  }

  override read(): number {
    throw errno('EISDIR');
  }
}
