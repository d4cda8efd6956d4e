// A layer as a file system that nobody can change: the index's tree over the layer's tar archive.
// Owns the inodes, one for each node, shared by all guests whose image has the layer.
// Never unpacks: content is read from the archive where it lies.

import { errno } from '../errno.ts';
import { isDirectory, isRegular, isSymlink } from '../vfs/constants.ts';
import { nameToBytes } from '../vfs/names.ts';
import {
  type EmitEntry,
  type FileSystem,
  type FileSystemStatistics,
  Inode,
  type Nanoseconds,
  OpenFile,
  type PageSource,
} from '../vfs/types.ts';
import type { LayerIndex, LayerNode } from './layer-index.ts';

/** The layer's tar archive on the host: fills `into` from `offset`, gives how many bytes there were. */
export interface LayerArchive {
  read(into: Uint8Array, offset: number): number;
}

export class LayerFs implements FileSystem {
  readonly type = 'layer';
  readonly device: number;
  readonly root: Inode;
  readonly stable = true;
  readonly readOnly = true;
  readonly archive: LayerArchive;
  readonly #nodes: readonly LayerNode[];
  readonly #inodes: LayerInode[] = [];

  constructor(device: number, { nodes }: LayerIndex, archive: LayerArchive) {
    this.device = device;
    this.archive = archive;
    this.#nodes = nodes;
    this.root = this.inode(0);
  }

  inode(number: number): LayerInode {
    return (this.#inodes[number] ??= new LayerInode(this, number + 1, this.#nodes[number]));
  }

  statistics(): FileSystemStatistics {
    return { type: 0, blockSize: 4096, blocks: 0, blocksFree: 0, files: this.#nodes.length, filesFree: 0 };
  }

  sync(): void {}
}

class LayerInode extends Inode implements PageSource {
  override readonly fileSystem: LayerFs;
  override readonly ino: number;
  cache: object | null = null;
  readonly isShared = true;
  readonly #node: LayerNode;
  #names: [string, number][] | null = null;

  constructor(fileSystem: LayerFs, ino: number, node: LayerNode) {
    super();
    this.fileSystem = fileSystem;
    this.ino = ino;
    this.#node = node;
  }

  override get mode(): number {
    return this.#node.mode;
  }
  override get uid(): number {
    return this.#node.uid;
  }
  override get gid(): number {
    return this.#node.gid;
  }
  override get nlink(): number {
    return this.#node.nlink;
  }
  override get size(): number {
    return this.#node.size;
  }
  override get rdev(): number {
    return this.#node.rdev;
  }
  override get atime(): Nanoseconds {
    return this.mtime;
  }
  override get mtime(): Nanoseconds {
    return BigInt(this.#node.mtime);
  }
  override get ctime(): Nanoseconds {
    return this.mtime;
  }

  override lookup(name: string): Inode | null {
    const { entries } = this.#node;
    if (!entries) throw errno('ENOTDIR');
    return Object.hasOwn(entries, name) ? this.fileSystem.inode(entries[name]) : null;
  }

  override readdir(cursor: number, emit: EmitEntry): void {
    if (!this.#node.entries) throw errno('ENOTDIR');
    this.#names ??= Object.entries(this.#node.entries);
    for (let at = cursor; at < this.#names.length; at++) {
      const [name, number] = this.#names[at];
      const { ino, mode } = this.fileSystem.inode(number);
      if (!emit(name, ino, mode, at + 1)) return;
    }
  }

  override readlink(): string {
    if (!isSymlink(this.mode)) throw errno('EINVAL');
    return this.#node.target;
  }

  override getxattr(name: string): Uint8Array {
    if (!Object.hasOwn(this.#node.xattrs, name)) throw errno('ENODATA');
    return nameToBytes(this.#node.xattrs[name]);
  }

  override listxattr(): string[] {
    return Object.keys(this.#node.xattrs);
  }

  override setattr(): void {
    throw errno('EROFS');
  }

  override create(): Inode {
    throw errno('EROFS');
  }

  override open(_flags: number): OpenFile {
    if (!isRegular(this.mode) && !isDirectory(this.mode)) throw errno('ENXIO');
    return new OpenLayerFile(this);
  }

  override pages(): PageSource | null {
    return isRegular(this.mode) ? this : null;
  }

  /** Bytes of a file's content. */
  readAt(into: Uint8Array, offset: number): number {
    const count = Math.max(0, Math.min(into.length, this.size - offset));
    for (let done = 0; done < count; ) {
      const got = this.fileSystem.archive.read(into.subarray(done, count), this.#node.offset + offset + done);
      if (got === 0) throw errno('EIO'); // The store's archive was cut short.
      done += got;
    }
    return count;
  }

  readPage(index: number, into: Uint8Array): void {
    const count = this.readAt(into.subarray(0, 4096), index * 4096);
    into.fill(0, count, 4096);
  }

  writePage(): void {
    throw errno('EROFS');
  }
}

class OpenLayerFile extends OpenFile {
  override readonly inode: LayerInode;

  constructor(inode: LayerInode) {
    super();
    this.inode = inode;
  }

  override read(into: Uint8Array, offset: number): number {
    if (isDirectory(this.inode.mode)) throw errno('EISDIR');
    return this.inode.readAt(into, offset);
  }
}
