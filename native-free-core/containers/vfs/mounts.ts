// Mounts and mount namespaces: which tree is seen at which place.
// Owns what is mounted where, and mounting, binding, moving, unmounting and copying a namespace (mount_namespaces(7)).
// Never checks who asks: the mount calls need CAP_SYS_ADMIN, which the kernel's table of calls demands.

import { errno } from '../errno.ts';
import { isDirectory, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from './constants.ts';
import { type TreeDentry, treeOf } from './dentries.ts';
import type { Dentry, FileSystem, Location, Mount } from './types.ts';

/** Most mounts of one namespace, as Linux's fs.mount-max bounds them: binds of binds would double without end. */
export const MOUNT_MAX = 10_000;

/** Flags that a locked mount keeps. */
const LOCKABLE = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;

export interface TreeLocation {
  readonly mount: TreeMount;
  readonly dentry: TreeDentry;
}

export class TreeMount implements Mount {
  readonly id: number;
  readonly root: TreeDentry;
  readonly source: string;
  readonly namespace: MountNamespace;
  parent: TreeLocation | null = null;
  flags: number;
  /** Came along with a copy of a more privileged namespace: it hides what is below, and stays as it is. */
  isLocked = false;
  /** What is mounted on places of this mount. */
  readonly children = new Map<Dentry, TreeMount>();

  constructor(namespace: MountNamespace, root: TreeDentry, flags: number, source: string) {
    this.namespace = namespace;
    this.id = namespace.nextId();
    this.root = root;
    this.flags = flags;
    this.source = source;
  }
}

/** What is mounted on top at a place, or the place itself. */
export function topmost(mount: TreeMount, dentry: TreeDentry): TreeLocation {
  let place = { mount, dentry };
  for (let over = mount.children.get(dentry); over; over = over.children.get(over.root)) {
    place = { mount: over, dentry: over.root };
  }
  return place;
}

export const asTree = (location: Location): TreeLocation => location as TreeLocation;

export class MountNamespace {
  root: TreeMount;
  #lastId = 0;
  #count = 1;

  constructor(fileSystem: FileSystem, flags = 0, source = fileSystem.type) {
    this.root = new TreeMount(this, treeOf(fileSystem).root, flags, source);
  }

  nextId(): number {
    return ++this.#lastId;
  }

  /** The place '/' is at the start: what is mounted on top of the root included. */
  get rootLocation(): Location {
    return topmost(this.root, this.root.root);
  }

  /** Mounts a file system over a place, which is hidden until it is unmounted. Throws ENOTDIR, ENOSPC. */
  mount(at: Location, fileSystem: FileSystem, flags = 0, source = fileSystem.type): Mount {
    return this.#attach(new TreeMount(this, treeOf(fileSystem).root, flags, source), at);
  }

  /** Shows what is at `what` at `at` as well; `recursive`: with all that is mounted below (MS_REC). */
  bind(at: Location, what: Location, recursive: boolean): Mount {
    const from = asTree(what);
    // What a locked mount hides would be seen.
    if (
      !recursive &&
      [...from.mount.children.values()].some((child) => child.isLocked && child.parent!.dentry.isWithin(from.dentry))
    )
      throw errno('EINVAL');
    const mount = this.#attach(new TreeMount(this, from.dentry, from.mount.flags, from.mount.source), at);
    if (recursive) this.#copyChildren(from.mount, mount as TreeMount, (dentry) => dentry.isWithin(from.dentry));
    return mount;
  }

  /** Changes a mount's flags (MS_REMOUNT). Throws EINVAL where `at` is not the root of a mount. */
  remount(at: Location, flags: number): void {
    const { mount, dentry } = asTree(at);
    if (mount.root !== dentry || mount.namespace !== this) throw errno('EINVAL');
    if (mount.isLocked && mount.flags & ~flags & LOCKABLE) throw errno('EPERM');
    mount.flags = flags;
  }

  /** Moves the mount at `from` to `to` (MS_MOVE). Throws EINVAL, ELOOP. */
  move(from: Location, to: Location): void {
    const { mount, dentry } = asTree(from);
    if (mount.root !== dentry || !mount.parent || mount.namespace !== this || mount.isLocked) throw errno('EINVAL');
    if (asTree(to).mount.namespace !== this) throw errno('EINVAL');
    for (let at: TreeLocation | null = asTree(to); at; at = at.mount.parent) {
      if (at.mount === mount) throw errno('ELOOP');
    }
    if (isDirectory(mount.root.inode.mode) !== isDirectory(to.dentry.inode.mode)) throw errno('EINVAL');
    mount.parent.mount.children.delete(mount.parent.dentry);
    this.#hang(mount, asTree(to));
  }

  /** Takes a mount away, with those below it where `detach`. Throws EINVAL, EBUSY. */
  unmount(at: Location, detach: boolean): void {
    const { mount, dentry } = asTree(at);
    if (mount.root !== dentry || mount.namespace !== this) throw errno('EINVAL');
    if (!mount.parent || mount.isLocked) throw errno('EINVAL');
    if (mount.children.size > 0 && !detach) throw errno('EBUSY');
    this.#count -= [...below(mount)].length;
    mount.parent.mount.children.delete(mount.parent.dentry);
    mount.parent = null;
  }

  /**
   * pivot_root(2): the mount whose root is `newRoot` becomes the namespace's root, the old root is at `putOld`, which
   * lies under it. Throws EINVAL, EBUSY.
   */
  pivot(newRoot: Location, putOld: Location): void {
    const top = asTree(newRoot);
    const old = asTree(putOld);
    if (top.mount.root !== top.dentry || top.mount.namespace !== this || old.mount.namespace !== this)
      throw errno('EINVAL');
    if (top.mount === this.root || !top.mount.parent || old.mount === this.root) throw errno('EBUSY');
    if (top.mount.isLocked) throw errno('EINVAL');
    let under = false;
    for (let at: TreeLocation | null = old; at; at = at.mount.parent) under ||= at.mount === top.mount;
    if (!under) throw errno('EINVAL');
    top.mount.parent.mount.children.delete(top.mount.parent.dentry);
    top.mount.parent = null;
    const former = this.root;
    this.root = top.mount;
    this.#hang(former, topmost(old.mount, old.dentry));
  }

  /** All mounts, each behind the one that it is mounted on. */
  list(): Mount[] {
    return [...below(this.root)];
  }

  /** A copy for CLONE_NEWNS, and where a place of this namespace is in it. `lock`: for a less privileged user namespace. */
  clone(lock = false): { namespace: MountNamespace; translate: (location: Location) => Location } {
    const namespace = new MountNamespace(this.root.root.fileSystem, this.root.flags, this.root.source);
    const copies = new Map<TreeMount, TreeMount>();
    const root = new TreeMount(namespace, this.root.root, this.root.flags, this.root.source);
    namespace.root = root;
    copies.set(this.root, root);
    for (const mount of below(this.root)) {
      if (mount === this.root) continue;
      const copy = new TreeMount(namespace, mount.root, mount.flags, mount.source);
      namespace.#hang(copy, { mount: copies.get(mount.parent!.mount)!, dentry: mount.parent!.dentry });
      namespace.#count++;
      copy.isLocked = lock || mount.isLocked;
      copies.set(mount, copy);
    }
    const translate = (location: Location): Location => {
      const { mount, dentry } = asTree(location);
      return { mount: copies.get(mount) ?? mount, dentry };
    };
    return { namespace, translate };
  }

  #attach(mount: TreeMount, at: Location): Mount {
    const place = asTree(at);
    this.#checkKinds(mount.root, place.dentry);
    if (place.mount.namespace !== this) throw errno('EINVAL');
    if (this.#count >= MOUNT_MAX) throw errno('ENOSPC');
    this.#count++;
    this.#hang(mount, topmost(place.mount, place.dentry));
    return mount;
  }

  #hang(mount: TreeMount, at: TreeLocation): void {
    mount.parent = at;
    at.mount.children.set(at.dentry, mount);
  }

  #checkKinds(root: Dentry, at: Dentry): void {
    if (isDirectory(root.inode.mode) !== isDirectory(at.inode.mode)) throw errno('ENOTDIR');
    if (at.unlinked) throw errno('ENOENT');
  }

  #copyChildren(from: TreeMount, to: TreeMount, wanted: (dentry: TreeDentry) => boolean): void {
    for (const child of [...from.children.values()]) {
      const { dentry } = child.parent!;
      if (child === to || !wanted(dentry)) continue;
      if (this.#count >= MOUNT_MAX) throw errno('ENOSPC');
      this.#count++;
      const copy = new TreeMount(this, child.root, child.flags, child.source);
      copy.isLocked = child.isLocked;
      this.#hang(copy, { mount: to, dentry });
      if (!isUnder(to, child)) this.#copyChildren(child, copy, () => true);
    }
  }
}

/** Whether `mount` is mounted somewhere on `ancestor`. */
function isUnder(mount: TreeMount, ancestor: TreeMount): boolean {
  for (let at: TreeMount | undefined = mount; at; at = at.parent?.mount) if (at === ancestor) return true;
  return false;
}

function* below(mount: TreeMount): Generator<TreeMount> {
  yield mount;
  for (const child of mount.children.values()) yield* below(child);
}
