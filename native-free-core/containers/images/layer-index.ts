// The tree of one layer: what its tar archive holds, checked, with the place of each file's content.
// Owns the rules for names, links and whiteouts (OCI image specification, layer.md), and the stored form of the tree.
// Never reads content, and never lets a name lead out of the root or through a link.

import { makeDevice, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../vfs/constants.ts';
import { nameToText } from '../vfs/names.ts';
import { IMPLICIT, isWhiteout, OPAQUE } from '../vfs/overlay.ts';
import { ImageError } from './image-error.ts';
import type { TarEntry, TarType } from './tar.ts';

/** One file of a layer. Plain data: it is stored as JSON. */
export interface LayerNode {
  /** Type and permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Nanoseconds since the epoch, in decimal. */
  mtime: string;
  nlink: number;
  size: number;
  /** Where the content begins in the layer's tar archive. */
  offset: number;
  rdev: number;
  target: string;
  xattrs: Record<string, string>;
  /** Of a directory: numbers of nodes by name. */
  entries?: Record<string, number>;
}

export interface LayerIndex {
  version: 1;
  /** The root is the first. */
  nodes: LayerNode[];
}

const WHITEOUT = '.wh.';
const OPAQUE_MARK = '.wh..wh..opq';
/** Names and path of Linux; a layer cannot have what no call could reach. */
const NAME_MAX = 255;
const PATH_MAX = 4095;
/** Most members of a layer: its tree is kept in memory. */
const MOST_NODES = 2_000_000;

const typeBits: Record<Exclude<TarType, 'hardlink'>, number> = {
  file: S_IFREG,
  symlink: S_IFLNK,
  character: S_IFCHR,
  block: S_IFBLK,
  directory: S_IFDIR,
  fifo: S_IFIFO,
};

const emptyNode = (mode: number): LayerNode => ({
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

const shown = (name: string): string => JSON.stringify(nameToText(name));

/** A name's components, those that say nothing left out. Throws an {@link ImageError} for what leads out of the root. */
function componentsOf(name: string, what: string): string[] {
  if (name.startsWith('/')) {
    throw new ImageError(
      `The archive has ${what} with the absolute name ${shown(name)}; names must be relative to the root.`,
    );
  }
  if (name.includes('\0')) throw new ImageError(`The archive has ${what} with a zero byte in its name ${shown(name)}.`);
  if (name.length > PATH_MAX)
    throw new ImageError(`The archive has ${what} with a name of ${name.length} bytes; Linux has at most ${PATH_MAX}.`);
  const components = name.split('/').filter((part) => part !== '' && part !== '.');
  for (const part of components) {
    if (part === '..') throw new ImageError(`The archive has ${what} that leads out of its folder: ${shown(name)}.`);
    if (part.length > NAME_MAX) {
      throw new ImageError(
        `The archive has ${what} with a name of ${part.length} bytes; Linux has at most ${NAME_MAX}.`,
      );
    }
  }
  return components;
}

interface TreeNode extends LayerNode {
  children?: Map<string, TreeNode>;
}

/** A directory that has no member of its own. */
const implicitDirectory = (): TreeNode => ({
  ...emptyNode(S_IFDIR | 0o755),
  xattrs: { [IMPLICIT]: 'y' },
  children: new Map(),
});

/** Builds the index of a layer from its members, in their order. */
export class LayerIndexBuilder {
  readonly #root: TreeNode = implicitDirectory();
  #count = 1;

  add(entry: TarEntry): void {
    const components = componentsOf(entry.name, 'a member');
    // Aufs kept files of its own under such names; they mean nothing here.
    if (
      components.some(
        (part, at) => part.startsWith('.wh..wh.') && !(part === OPAQUE_MARK && at === components.length - 1),
      )
    ) {
      return;
    }
    const name = components.pop();
    if (++this.#count > MOST_NODES) throw new ImageError(`The archive has more than ${MOST_NODES} members.`);
    if (name === undefined) {
      if (entry.type !== 'directory') throw new ImageError('The archive has a root that is no directory.');
      Object.assign(this.#root, this.#nodeOf(entry, S_IFDIR));
      return;
    }
    const directory = this.#directory(components, entry.name, name.startsWith(WHITEOUT));
    if (!directory) return;
    const children = directory.children!;
    if (name === OPAQUE_MARK) {
      directory.xattrs[OPAQUE] = 'y';
      return;
    }
    if (name.startsWith(WHITEOUT)) {
      const hidden = name.slice(WHITEOUT.length);
      if (hidden === '' || hidden === '.' || hidden === '..')
        throw new ImageError(`The archive has a whiteout of nothing: ${shown(entry.name)}.`);
      // A whiteout is about lower layers alone: beside a directory of this one it makes that opaque.
      const present = children.get(hidden);
      if (!present) children.set(hidden, emptyNode(S_IFCHR));
      else if (present.children) present.xattrs[OPAQUE] = 'y';
      return;
    }
    const old = children.get(name);
    if (entry.type === 'hardlink') {
      const target = this.#linked(entry);
      if (target === old) return;
      this.#drop(old);
      target.nlink++;
      children.set(name, target);
      return;
    }
    const made = this.#nodeOf(entry, typeBits[entry.type]);
    if (entry.type === 'character' && made.rdev === 0) {
      throw new ImageError(`The archive has a device 0:0, ${shown(entry.name)}, which no device has.`);
    }
    if (entry.type === 'directory' && old?.children) {
      const opaque = Object.hasOwn(old.xattrs, OPAQUE);
      Object.assign(old, made);
      if (opaque) old.xattrs[OPAQUE] = 'y';
      return;
    }
    this.#drop(old);
    if (entry.type === 'directory' && old && isWhiteout(old)) made.xattrs[OPAQUE] = 'y';
    children.set(name, entry.type === 'directory' ? { ...made, children: new Map() } : made);
  }

  /** The index. Directories' link counts are theirs then. */
  finish(): LayerIndex {
    const nodes: LayerNode[] = [];
    const numbers = new Map<TreeNode, number>();
    const add = (node: TreeNode): number => {
      const known = numbers.get(node);
      if (known !== undefined) return known;
      const number = nodes.length;
      numbers.set(node, number);
      const { children, ...plain } = node;
      const made: LayerNode = plain;
      nodes.push(made);
      if (children) {
        made.nlink = 2 + [...children.values()].filter((child) => child.children).length;
        made.entries = Object.create(null) as Record<string, number>;
        for (const [name, child] of children) made.entries[name] = add(child);
      }
      return number;
    };
    add(this.#root);
    return { version: 1, nodes };
  }

  #nodeOf(entry: TarEntry, bits: number): LayerNode {
    const { mode, uid, gid, size, offset, mtime, major, minor, target, type } = entry;
    if (major > 0xfff || minor > 0xfffff)
      throw new ImageError(`The archive has a device that is none: ${shown(entry.name)}.`);
    if (type === 'symlink' && (target === '' || target.length > PATH_MAX)) {
      throw new ImageError(`The archive has a symbolic link, ${shown(entry.name)}, that leads nowhere.`);
    }
    return {
      ...emptyNode(bits | (type === 'symlink' ? 0o777 : mode)),
      uid,
      gid,
      size: type === 'symlink' ? target.length : size,
      offset: type === 'file' ? offset : 0,
      mtime: String(mtime),
      rdev: makeDevice(major, minor),
      target: type === 'symlink' ? target : '',
      // What an overlay keeps for itself is not an image's to say.
      xattrs: Object.fromEntries([...entry.xattrs].filter(([name]) => !name.startsWith('trusted.overlay.'))),
    };
  }

  /**
   * The directory that a member is in; missing ones are made. Throws where a link or a file is in the way; a whiteout there
   * means nothing, because the file hides what the lower layers had in the directory: null.
   */
  #directory(components: readonly string[], whole: string, isWhiteoutMember: boolean): TreeNode | null {
    let at = this.#root;
    for (const part of components) {
      let next = at.children!.get(part);
      if (!next || (isWhiteout(next) && !isWhiteoutMember)) {
        if (++this.#count > MOST_NODES) throw new ImageError(`The archive has more than ${MOST_NODES} members.`);
        const replaces = next !== undefined;
        next = implicitDirectory();
        if (replaces) next.xattrs[OPAQUE] = 'y';
        at.children!.set(part, next);
      }
      if (!next.children) {
        if (isWhiteoutMember && (next.mode & S_IFMT) !== S_IFLNK) return null;
        const what = (next.mode & S_IFMT) === S_IFLNK ? 'the symbolic link' : 'what is no directory,';
        throw new ImageError(
          `The archive has a member, ${shown(whole)}, whose name goes through ${what} ${shown(part)}.`,
        );
      }
      at = next;
    }
    return at;
  }

  #linked(entry: TarEntry): TreeNode {
    const components = componentsOf(entry.target, 'a hard link');
    let at: TreeNode | undefined = this.#root;
    for (const part of components) at = at?.children?.get(part);
    if (!at || (at.mode & S_IFMT) === S_IFDIR || isWhiteout(at)) {
      throw new ImageError(
        `The archive has a hard link, ${shown(entry.name)}, to ${shown(entry.target)}, which it does not have as a file before.`,
      );
    }
    return at;
  }

  #drop(node: TreeNode | undefined): void {
    if (node) node.nlink--;
  }
}

/**
 * Reads a stored index. `archiveSize`: bytes of the layer's tar archive. Throws an {@link ImageError} where it is none:
 * a store can be damaged, and everything in the index is used as it stands.
 */
export function parseLayerIndex(text: string, archiveSize: number): LayerIndex {
  const bad = (): never => {
    throw new ImageError('The index of a layer is damaged; import its image again.');
  };
  let index: LayerIndex;
  try {
    index = JSON.parse(text) as LayerIndex;
  } catch {
    return bad();
  }
  if (index?.version !== 1 || !Array.isArray(index.nodes) || index.nodes.length === 0) bad();
  const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  for (const node of index.nodes) {
    const { mode, uid, gid, nlink, size, offset, rdev, mtime, target, xattrs } = node;
    if (![mode, uid, gid, nlink, size, offset, rdev].every(isCount)) bad();
    if (typeof target !== 'string' || typeof mtime !== 'string' || !/^\d{1,24}$/.test(mtime)) bad();
    if ((mode & S_IFMT) === S_IFREG && offset + size > archiveSize) bad();
    if (typeof xattrs !== 'object' || xattrs === null) bad();
    for (const number of Object.values(node.entries ?? {})) {
      if (!Number.isInteger(number) || number <= 0 || number >= index.nodes.length) bad();
    }
    if (((mode & S_IFMT) === S_IFDIR) !== (node.entries !== undefined)) bad();
  }
  if (!index.nodes[0].entries) bad();
  return index;
}
