// The tree of names that were looked up: one for each file system, shared by all its mounts.
// Owns dentries: their parents, names, and which of them are remembered.
// Never checks permissions and never crosses a mount: walk.ts does.

import { isDirectory } from './constants.ts';
import type { Dentry, FileSystem, Inode } from './types.ts';

/** Names of files that are not directories remembered in one tree; a directory's stays as long as the directory does. */
const mostRemembered = 8192;

export class TreeDentry implements Dentry {
  readonly fileSystem: FileSystem;
  readonly inode: Inode;
  parent: TreeDentry | null;
  name: string;
  unlinked = false;
  readonly tree: DentryTree;
  children: Map<string, TreeDentry> | null = null;

  constructor(tree: DentryTree, inode: Inode, parent: TreeDentry | null, name: string) {
    this.tree = tree;
    this.fileSystem = inode.fileSystem;
    this.inode = inode;
    this.parent = parent;
    this.name = name;
  }

  /** The dentry of a name in this directory, or null. Throws what `Inode.lookup` throws. */
  step(name: string): TreeDentry | null {
    const known = this.children?.get(name);
    if (known && this.tree.stable) return known;
    const inode = this.inode.lookup(name);
    if (known) {
      if (known.inode === inode) return known;
      this.lose(name);
    }
    return inode && this.add(name, inode);
  }

  /** Remembers a name that was just made or found. */
  add(name: string, inode: Inode): TreeDentry {
    const dentry = new TreeDentry(this.tree, inode, this, name);
    this.children ??= new Map();
    this.children.set(name, dentry);
    if (!isDirectory(inode.mode)) this.tree.remember(dentry);
    return dentry;
  }

  /** The name was taken away. */
  lose(name: string): void {
    const dentry = this.children?.get(name);
    if (!dentry) return;
    dentry.unlinked = true;
    this.children!.delete(name);
    this.tree.forget(dentry);
  }

  /** The name moved, over what was there. */
  move(name: string, into: TreeDentry, newName: string): void {
    const dentry = this.children?.get(name);
    into.lose(newName);
    if (!dentry) return;
    this.children!.delete(name);
    dentry.parent = into;
    dentry.name = newName;
    into.children ??= new Map();
    into.children.set(newName, dentry);
  }

  /** Two names changed places. */
  exchange(name: string, other: TreeDentry, otherName: string): void {
    const mine = this.children?.get(name);
    const theirs = other.children?.get(otherName);
    this.children?.delete(name);
    other.children?.delete(otherName);
    const put = (dentry: TreeDentry | undefined, parent: TreeDentry, newName: string): void => {
      if (!dentry) return;
      dentry.parent = parent;
      dentry.name = newName;
      parent.children ??= new Map();
      parent.children.set(newName, dentry);
    };
    put(mine, other, otherName);
    put(theirs, this, name);
  }

  /** Whether this is `ancestor` or lies below it. */
  isWithin(ancestor: Dentry): boolean {
    for (let at: TreeDentry | null = this; at; at = at.parent) if (at === ancestor) return true;
    return false;
  }
}

export class DentryTree {
  readonly root: TreeDentry;
  readonly stable: boolean;
  readonly #remembered = new Set<TreeDentry>();

  constructor(fileSystem: FileSystem) {
    this.stable = fileSystem.stable;
    this.root = new TreeDentry(this, fileSystem.root, null, '');
  }

  remember(dentry: TreeDentry): void {
    this.#remembered.add(dentry);
    if (this.#remembered.size <= mostRemembered) return;
    const [oldest] = this.#remembered;
    this.#remembered.delete(oldest);
    if (oldest.parent?.children?.get(oldest.name) === oldest) oldest.parent.children.delete(oldest.name);
  }

  forget(dentry: TreeDentry): void {
    this.#remembered.delete(dentry);
  }
}

const trees = new WeakMap<FileSystem, DentryTree>();

/** The tree of a file system; always the same one. */
export function treeOf(fileSystem: FileSystem): DentryTree {
  let tree = trees.get(fileSystem);
  if (!tree) trees.set(fileSystem, (tree = new DentryTree(fileSystem)));
  return tree;
}
