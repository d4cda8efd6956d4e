// Namespaces as files: what /proc/PID/ns has, and what setns takes.
// Owns their file system, one inode a namespace, so that two that are the same are seen to be.
// Never moves a task.

import { errno } from '../errno.ts';
import { S_IFDIR, S_IFREG } from '../vfs/constants.ts';
import { TreeDentry, treeOf } from '../vfs/dentries.ts';
import { MountNamespace } from '../vfs/mounts.ts';
import {
  type AttributeChanges,
  type FileSystem,
  type FileSystemStatistics,
  Inode,
  type Location,
  OpenFile,
} from '../vfs/types.ts';
import type { Namespace } from './namespace.ts';

const NSFS_DEVICE = 16;
const NSFS_MAGIC = 0x6e736673;

class NamespaceInode extends Inode {
  override readonly fileSystem: FileSystem;
  override readonly ino: number;
  override readonly mode: number;
  override readonly uid = 0;
  override readonly gid = 0;
  override readonly nlink = 1;
  override readonly size = 0;
  override readonly rdev = 0;
  override readonly atime = 0n;
  override readonly mtime = 0n;
  override readonly ctime = 0n;
  readonly namespace: Namespace | null;

  constructor(fileSystem: FileSystem, namespace: Namespace | null) {
    super();
    this.fileSystem = fileSystem;
    this.namespace = namespace;
    this.ino = namespace?.number ?? 1;
    this.mode = namespace ? S_IFREG | 0o444 : S_IFDIR | 0o500;
  }

  override setattr(_changes: AttributeChanges): void {
    throw errno('EPERM');
  }

  override open(flags: number): OpenFile {
    if (!this.namespace || (flags & 3) !== 0) throw errno('EPERM');
    return new NamespaceFile(this, this.namespace);
  }
}

/** An open namespace: keeps it, and is what setns takes. */
export class NamespaceFile extends OpenFile {
  override readonly inode: Inode;
  readonly namespace: Namespace;

  constructor(inode: Inode, namespace: Namespace) {
    super();
    this.inode = inode;
    this.namespace = namespace;
  }
}

class NsFs implements FileSystem {
  readonly type = 'nsfs';
  readonly device = NSFS_DEVICE;
  readonly stable = true;
  readonly readOnly = false;
  readonly root: Inode = new NamespaceInode(this, null);

  statistics(): FileSystemStatistics {
    return { type: NSFS_MAGIC, blockSize: 4096, blocks: 0, blocksFree: 0, files: 0, filesFree: 0 };
  }

  sync(): void {}
}

const fileSystem = new NsFs();
const root = new MountNamespace(fileSystem).rootLocation;
const places = new WeakMap<Namespace, Location>();

/** Where a namespace's link in /proc/PID/ns leads. */
export function placeOfNamespace(namespace: Namespace): Location {
  let place = places.get(namespace);
  if (!place) {
    const inode = new NamespaceInode(fileSystem, namespace);
    const dentry = new TreeDentry(treeOf(fileSystem), inode, null, labelOfNamespace(namespace));
    places.set(namespace, (place = { mount: root.mount, dentry }));
  }
  return place;
}

/** As readlink shows it: 'pid:[4026531836]'. */
export const labelOfNamespace = ({ type, number }: Namespace): string => `${type}:[${number}]`;
