// A guest's own view of its image: everything from read-only layers below, every change in memory above.
// Owns which names are hidden, what was taken in from the layers, and copying on write, chunk by chunk.
// Never writes to a layer, and never asks one again for what it has taken in.
//
// Unlike Linux's overlay this is one tree of inodes, not two trees of names. So a file keeps its inode number and its hard
// links when it is changed, a directory of a layer can be renamed, and a change of a large file takes what it changes.

import { isDirectory, isRegular, isSymlink, S_IFCHR, S_IFMT } from './constants.ts';
import type { Base } from './file-content.ts';
import { TmpDirectory, TmpFile, TmpFs, type TmpFsOptions, type TmpInode, TmpLink, TmpNode } from './tmpfs.ts';
import type { EmitEntry, FileSystemStatistics, Inode, OpenFile, PageSource } from './types.ts';

/** OVERLAYFS_SUPER_MAGIC, include/uapi/linux/magic.h. */
const overlayMagic = 0x794c7630;

/** The attribute that marks a directory of a layer as hiding what lower layers have there, as Linux's overlay does. */
export const OPAQUE = 'trusted.overlay.opaque';

/**
 * The attribute that marks a directory of which a layer holds only what is in it: its own attributes are those that a
 * lower layer has for it.
 */
export const IMPLICIT = 'trusted.overlay.implicit';

const isOwnMark = (name: string): boolean => name === OPAQUE || name === IMPLICIT;

/** The inode that tells a file's attributes. */
export const teller = (below: readonly Inode[]): Inode =>
  below.find((inode) => !inode.listxattr().includes(IMPLICIT)) ?? below[0];

/** A layer's mark that a name of lower layers is gone: a character device 0:0, as Linux's overlay has them. */
export const isWhiteout = ({ mode, rdev }: Pick<Inode, 'mode' | 'rdev'>): boolean =>
  (mode & S_IFMT) === S_IFCHR && rdev === 0;

export const isOpaque = (inode: Inode): boolean => inode.listxattr().includes(OPAQUE);

export interface OverlayOptions extends Omit<TmpFsOptions, 'mode' | 'uid' | 'gid' | 'type'> {
  /** Root directories of the layers, the topmost first. */
  lowers: readonly Inode[];
}

export class OverlayFs extends TmpFs {
  /** What was taken in, by the layer's inode: hard links of a layer stay one file. */
  readonly #taken = new Map<Inode, TmpInode>();
  readonly #lowers: readonly Inode[];

  constructor({ lowers, ...options }: OverlayOptions) {
    const { mode, uid, gid } = teller(untilOpaque(lowers));
    super({ ...options, type: 'overlay', mode: mode & 0o7777, uid, gid });
    this.#lowers = lowers;
    (this.root as OverlayDirectory).setLowers(untilOpaque(lowers));
  }

  protected override makeRoot(made: { mode: number; uid: number; gid: number }): TmpDirectory {
    return new OverlayDirectory(this, this.takeIno(), made, []);
  }

  override statistics(): FileSystemStatistics {
    return { ...super.statistics(), type: overlayMagic };
  }

  /** Directories below, as the kernel may show them; their order is the layers'. */
  get lowers(): readonly Inode[] {
    return this.#lowers;
  }

  /**
   * Takes in all that a layer has, so that what it changes is known from then on: what a guest itself has changed before. `kept`: the
   * layer's root, the topmost of this overlay.
   */
  takeIn(kept: Inode, into: TmpDirectory = this.root): void {
    kept.readdir(0, (name) => {
      const inode = kept.lookup(name)!;
      if (isWhiteout(inode)) (into as OverlayDirectory).hide(name);
      else {
        const taken = into.lookup(name);
        if (taken instanceof OverlayDirectory) this.takeIn(inode, taken);
      }
      return true;
    });
  }

  /** What shows of `name` in directories of layers, the topmost first, or null. */
  take(name: string, directories: readonly Inode[]): TmpInode | null {
    const below: Inode[] = [];
    for (const directory of directories) {
      const inode = directory.lookup(name);
      if (!inode) continue;
      if (isWhiteout(inode) || (below.length > 0 && !isDirectory(inode.mode))) break;
      below.push(inode);
      if (!isDirectory(inode.mode)) break;
      if (isOpaque(inode)) break;
    }
    if (below.length === 0) return null;
    const top = below[0];
    const known = isDirectory(top.mode) ? undefined : this.#taken.get(top);
    if (known) return known;
    const inode = this.#adopt(below);
    if (!isDirectory(top.mode) && top.nlink > 1) this.#taken.set(top, inode);
    return inode;
  }

  #adopt(below: readonly Inode[]): TmpInode {
    const top = teller(below);
    const made = { mode: top.mode, uid: top.uid, gid: top.gid, rdev: top.rdev };
    const ino = this.takeIno();
    let inode: TmpInode;
    if (isDirectory(top.mode)) inode = new OverlayDirectory(this, ino, made, below);
    else if (isRegular(top.mode)) inode = new OverlayFile(this, ino, made, top);
    else if (isSymlink(top.mode)) inode = new TmpLink(this, ino, { ...made, target: top.readlink() });
    else inode = new TmpNode(this, ino, made);
    inode.origin = top;
    inode.nlink = top.nlink;
    for (const name of top.listxattr()) if (!isOwnMark(name)) inode.setxattr(name, top.getxattr(name), 0);
    inode.atime = top.atime;
    inode.mtime = top.mtime;
    inode.ctime = top.ctime;
    return inode;
  }
}

/** Layers down to the first that hides those below it. */
function untilOpaque(lowers: readonly Inode[]): readonly Inode[] {
  const opaque = lowers.findIndex(isOpaque);
  return opaque < 0 ? lowers : lowers.slice(0, opaque + 1);
}

export class OverlayDirectory extends TmpDirectory {
  #lowers: readonly Inode[];
  /** Directories of layers that it began as. */
  origins: readonly Inode[];
  /** Names that layers have and that were taken away here. */
  #hidden: Set<string> | null = null;
  #complete = false;
  readonly #overlay: OverlayFs;

  constructor(
    overlay: OverlayFs,
    ino: number,
    made: { mode: number; uid: number; gid: number },
    lowers: readonly Inode[],
  ) {
    super(overlay, ino, made);
    this.#overlay = overlay;
    this.#lowers = this.origins = lowers;
  }

  setLowers(lowers: readonly Inode[]): void {
    this.#lowers = this.origins = lowers;
    this.nlink = lowers[0].nlink;
  }

  override get isEmpty(): boolean {
    this.#takeAll();
    return super.isEmpty;
  }

  override lookup(name: string): TmpInode | null {
    const known = this.known(name);
    if (known || this.#complete || this.#lowers.length === 0 || this.#hidden?.has(name)) return known;
    const inode = this.#overlay.take(name, this.#lowers);
    if (inode) this.adopt(name, inode);
    return inode;
  }

  override readdir(cursor: number, emit: EmitEntry): void {
    this.#takeAll();
    super.readdir(cursor, emit);
  }

  /** A name that layers have is not shown. */
  hide(name: string): void {
    this.taken(name);
  }

  /** Names that were taken away, among others; `all`: the names that layers have. */
  lostNames(all: () => Iterable<string>): Iterable<string> {
    return this.#complete ? all() : (this.#hidden ?? []);
  }

  /** What is here under a name by now. */
  knownEntry(name: string): TmpInode | null {
    return this.known(name);
  }

  protected override taken(name: string): void {
    if (this.#complete || this.#lowers.length === 0) return;
    this.#hidden ??= new Set();
    this.#hidden.add(name);
  }

  /** Takes every name in; from then on the layers are not asked any more. */
  #takeAll(): void {
    if (this.#complete) return;
    const names = new Set<string>();
    for (const lower of this.#lowers) lower.readdir(0, (name) => names.add(name).size > 0);
    for (const name of names) this.lookup(name);
    this.#complete = true;
    this.#hidden = null;
    this.#lowers = [];
    this.nlink = 2 + this.directories();
  }
}

/** Content of a layer's file, opened when it is first read and closed with the file system's last use of it. */
class LayerContent implements Base {
  readonly size: number;
  readonly #inode: Inode;
  #open: OpenFile | null = null;

  constructor(inode: Inode) {
    this.#inode = inode;
    this.size = inode.size;
  }

  read(into: Uint8Array, offset: number): void {
    this.#open ??= this.#inode.open(0);
    let done = 0;
    while (done < into.length) {
      const count = this.#open.read(into.subarray(done), offset + done);
      if (count === 0) break; // A host's folder whose file became shorter under us: zeros.
      done += count;
    }
    into.fill(0, done);
  }

  close(): void {
    this.#open?.release();
    this.#open = null;
  }
}

export class OverlayFile extends TmpFile {
  readonly #base: LayerContent;
  /** The layer's own pages, which all guests share, until somebody may write. */
  #layer: Inode | null;
  #opened = 0;

  constructor(overlay: OverlayFs, ino: number, made: { mode: number; uid: number; gid: number }, lower: Inode) {
    const base = new LayerContent(lower);
    super(overlay, ino, made, base);
    this.#base = base;
    this.#layer = lower;
  }

  /** Whether its content is still the layer's. */
  get isUnwritten(): boolean {
    return (
      this.#layer !== null || (this.content.allocated === 0 && this.content.isWhole && this.size === this.#base.size)
    );
  }

  override get blocks(): number {
    return this.#layer?.blocks ?? Math.ceil(this.size / 4096) * 8;
  }

  override pages(): PageSource {
    return this.#layer?.pages() ?? this.content;
  }

  override open(flags: number): OpenFile {
    if ((flags & 3) !== 0) this.#layer = null;
    this.#opened++;
    return super.open(flags);
  }

  protected override truncate(size: number): void {
    this.#layer = null;
    super.truncate(size);
  }

  override punch(offset: number, length: number): void {
    this.#layer = null;
    super.punch(offset, length);
  }

  override dropIfUnused(holders: number): void {
    this.#opened -= holders;
    if (this.#opened === 0) this.#base.close();
    super.dropIfUnused(holders);
  }
}
