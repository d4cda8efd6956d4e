// What a guest has changed of its image, as a layer: to be kept over its end, and to lie over the image at its next start.
// Owns what counts as changed, whiteouts and opaque directories, and the layer's tree. Whoever keeps it writes the content.
// Never changes what it looks at.

import { isDirectory, isRegular, isSymlink, S_IFCHR, S_IFDIR, S_IFMT, S_IFSOCK } from '../vfs/constants.ts';
import { bytesToName } from '../vfs/names.ts';
import {
  IMPLICIT,
  isOpaque,
  isWhiteout,
  OPAQUE,
  OverlayDirectory,
  OverlayFile,
  type OverlayFs,
  teller,
} from '../vfs/overlay.ts';
import { TmpDirectory, TmpFile, type TmpInode } from '../vfs/tmpfs.ts';
import type { Inode } from '../vfs/types.ts';
import type { LayerIndex, LayerNode } from './layer-index.ts';

export interface Changes {
  /** Offsets of files are those of their contents, written one after the other in the order of {@link files}. */
  readonly index: LayerIndex;
  readonly files: readonly TmpFile[];
  /** Bytes of all contents. */
  readonly size: number;
}

/** What the kernel writes at each start, and where it mounts: a guest's changes of these are not kept. */
const OWN: ReadonlySet<string> = new Set(['/etc/hosts', '/etc/resolv.conf', '/proc', '/sys', '/dev']);

/** The changes of a guest's root; null where there are none. `images`: root directories of the image's layers, the topmost first. */
export function changesOf(overlay: OverlayFs, images: readonly Inode[]): Changes | null {
  const collector = new Collector();
  const changes = collector.collect(overlay.root, images);
  if (!collector.misses) return changes;
  // A changed file has names in the image that nobody has asked for yet.
  takeAll(overlay.root);
  return new Collector().collect(overlay.root, images);
}

function takeAll(directory: TmpDirectory): void {
  directory.readdir(0, () => true);
  for (const [, inode] of directory.knownEntries()) if (inode instanceof TmpDirectory) takeAll(inode);
}

class Collector {
  private readonly nodes: LayerNode[] = [];
  private readonly numbers = new Map<TmpInode, number>();
  private readonly files: TmpFile[] = [];
  private size = 0;

  /** Whether a file that is kept has a name that was not met. */
  get misses(): boolean {
    for (const [inode, number] of this.numbers) if (this.nodes[number].nlink < inode.nlink) return true;
    return false;
  }

  collect(root: TmpDirectory, images: readonly Inode[]): Changes | null {
    this.nodes.push(plainNode(S_IFDIR));
    const node = this.directory(root, merged(images), '');
    if (!node) return null;
    this.nodes[0] = node;
    return { index: { version: 1, nodes: this.nodes }, files: this.files, size: this.size };
  }

  /** `below`: what the image has of this very directory; empty, it has none. Undefined: nothing in it differs. */
  private directory(directory: TmpDirectory, below: readonly Inode[], path: string): LayerNode | undefined {
    const stands = below.length > 0 && directory instanceof OverlayDirectory && directory.origins.includes(below[0]);
    const images = stands ? below : [];
    // What has another origin, or none, hides all that the image has there; each of its names is a change.
    if (!stands) directory.readdir(0, () => true);
    const entries: Record<string, number> = Object.create(null) as Record<string, number>;
    let count = 0;
    const add = (name: string, node: number): void => {
      entries[name] = node;
      count++;
    };
    for (const [name, inode] of directory.knownEntries()) {
      const whole = `${path}/${name}`;
      if (OWN.has(whole)) continue;
      const number = this.entry(inode, look(images, name), whole);
      if (number !== undefined) add(name, number);
    }
    if (stands)
      for (const name of directory.lostNames(() => namesOf(images)))
        if (look(images, name).length > 0 && !directory.knownEntry(name)) add(name, this.put(plainNode(S_IFCHR)));
    const isSame = stands && hasAttributesOf(directory, teller(below));
    if (stands && isSame && count === 0) return undefined;
    const node: LayerNode = isSame ? { ...plainNode(S_IFDIR | 0o755) } : attributesOf(directory);
    if (isSame) node.xattrs[IMPLICIT] = 'y';
    if (!stands && below.length > 0) node.xattrs[OPAQUE] = 'y';
    node.entries = entries;
    node.nlink = 2;
    return node;
  }

  /** The number of a name's node; undefined: it is as in the image, or nothing that is kept. */
  private entry(inode: TmpInode, images: readonly Inode[], path: string): number | undefined {
    if (inode instanceof TmpDirectory) {
      const below = images.filter(({ mode }) => isDirectory(mode));
      const node = this.directory(inode, below, path);
      if (!node) return undefined;
      // A file of the image is hidden by whatever lies over it.
      return this.put(node);
    }
    const known = this.numbers.get(inode);
    if (known !== undefined) {
      this.nodes[known].nlink++;
      return known;
    }
    // Whoever listened there is gone.
    if ((inode.mode & S_IFMT) === S_IFSOCK) return undefined;
    if (images.length > 0 && isAsIn(inode, images[0])) return undefined;
    const node = attributesOf(inode);
    if (isSymlink(inode.mode)) {
      node.target = inode.readlink();
      node.size = node.target.length;
    }
    if (inode instanceof TmpFile && isRegular(inode.mode)) {
      node.size = inode.size;
      node.offset = this.size;
      this.size += inode.size;
      this.files.push(inode);
    }
    const number = this.put(node);
    this.numbers.set(inode, number);
    return number;
  }

  private put(node: LayerNode): number {
    return this.nodes.push(node) - 1;
  }
}

const plainNode = (mode: number): LayerNode => ({
  mode,
  uid: 0,
  gid: 0,
  mtime: '0',
  nlink: 1,
  size: 0,
  offset: 0,
  rdev: 0,
  target: '',
  xattrs: {},
});

function attributesOf(inode: TmpInode): LayerNode {
  const { mode, uid, gid, rdev, mtime } = inode;
  const xattrs = Object.fromEntries(inode.listxattr().map((name) => [name, bytesToName(inode.getxattr(name))]));
  return { ...plainNode(mode), uid, gid, rdev, mtime: String(mtime < 0n ? 0n : mtime), xattrs };
}

const isMark = (name: string): boolean => name === OPAQUE || name === IMPLICIT;

/** A directory's times are no change of its own: they follow from what is in it. */
function hasAttributesOf(inode: TmpInode, image: Inode): boolean {
  if (inode.mode !== image.mode || inode.uid !== image.uid || inode.gid !== image.gid) return false;
  const [own, its] = [inode.listxattr(), image.listxattr().filter((name) => !isMark(name))];
  return (
    own.length === its.length &&
    its.every((name) => own.includes(name) && bytesToName(inode.getxattr(name)) === bytesToName(image.getxattr(name)))
  );
}

/** Whether a file is what the image has under the same name. */
function isAsIn(inode: TmpInode, image: Inode): boolean {
  if (inode.origin !== image || !hasAttributesOf(inode, image)) return false;
  if (inode.mtime !== image.mtime || inode.nlink !== image.nlink) return false;
  return !(inode instanceof OverlayFile) || inode.isUnwritten;
}

/** The directories that show of some in layers, down to the first that hides those below it. */
function merged(directories: readonly Inode[]): readonly Inode[] {
  const opaque = directories.findIndex(isOpaque);
  return opaque < 0 ? directories : directories.slice(0, opaque + 1);
}

/** What shows of a name in directories of layers: a file alone, or directories over each other. */
function look(directories: readonly Inode[], name: string): Inode[] {
  const found: Inode[] = [];
  for (const directory of directories) {
    const inode = directory.lookup(name);
    if (!inode) continue;
    if (isWhiteout(inode) || (found.length > 0 && !isDirectory(inode.mode))) break;
    found.push(inode);
    if (!isDirectory(inode.mode) || isOpaque(inode)) break;
  }
  return found;
}

function namesOf(directories: readonly Inode[]): Set<string> {
  const names = new Set<string>();
  for (const directory of directories) directory.readdir(0, (name) => names.add(name).size > 0);
  return names;
}
