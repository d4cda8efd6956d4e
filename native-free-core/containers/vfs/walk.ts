// Walks a path: components, symbolic links, `..`, mounts, with search permission at each step (path_resolution(7)).
// Owns the walk and the bounds on it; the result is a place, or the directory and the last name.
// Never opens or changes anything, and never leaves the root of who asks.

import { errno } from '../errno.ts';
import { allowed, demand } from './access.ts';
import {
  isDirectory,
  isSymlink,
  NAME_MAX,
  PATH_MAX,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
  S_ISVTX,
  SYMLINK_FOLLOW_MAX,
  X_OK,
} from './constants.ts';
import { asTree, type TreeLocation, topmost } from './mounts.ts';
import type { Location, WalkContext } from './types.ts';

export interface LastName {
  /** The directory that the last name is in. */
  readonly directory: TreeLocation;
  /** '' where the path leads to '/', ends in '.' or '..': then `directory` is what it names. */
  readonly name: string;
  /** What the last component was where `name` is ''. */
  readonly special: '' | '.' | '..' | '/';
  /** The path ended in '/': it must be a directory. */
  readonly slash: boolean;
  /** Symbolic links followed so far. */
  readonly links: number;
}

const samePlace = (a: Location, b: Location): boolean => a.mount === b.mount && a.dentry === b.dentry;

/** What `..` leads to: up, out of a mount's root, but never out of the root of who asks. Throws ENOENT. */
function parentOf(place: TreeLocation, root: Location): TreeLocation {
  let { mount, dentry } = place;
  if (samePlace(place, root)) return place;
  while (dentry === mount.root) {
    if (!mount.parent) return { mount, dentry };
    ({ mount, dentry } = mount.parent);
    if (samePlace({ mount, dentry }, root)) return topmost(mount, dentry);
  }
  // A directory may have been moved out of what this mount shows; then there is nothing above it here.
  if (!dentry.parent || (mount.root.parent && !dentry.isWithin(mount.root))) throw errno('ENOENT');
  return topmost(mount, dentry.parent);
}

/** fs.protected_symlinks: in a sticky directory that all may write, only one's own links and its owner's lead anywhere. */
function demandFollow(directory: TreeLocation, link: TreeLocation, { credentials }: WalkContext): void {
  const { mode, uid } = directory.dentry.inode;
  const owner = link.dentry.inode.uid;
  if ((mode & (S_ISVTX | 2)) === (S_ISVTX | 2) && owner !== credentials.fsuid && owner !== uid) throw errno('EACCES');
}

/** RESOLVE_NO_XDEV. Throws EXDEV. */
function demandSameMount(from: TreeLocation, to: TreeLocation, resolution: number): void {
  if (resolution & RESOLVE_NO_XDEV && from.mount !== to.mount) throw errno('EXDEV');
}

interface Mode {
  follow: boolean;
  parentOnly: boolean;
}

function walk(context: WalkContext, start: Location | null, path: string, mode: Mode, linksBefore: number): LastName {
  if (path === '') throw errno('ENOENT');
  if (path.length >= PATH_MAX) throw errno('ENAMETOOLONG');
  const { credentials, resolution = 0 } = context;
  const scope = (resolution & (RESOLVE_BENEATH | RESOLVE_IN_ROOT)) !== 0;
  // Within a scope, where the walk begins is as high as it gets.
  const root = scope ? (context.scope ?? start ?? context.cwd) : context.root;
  if (path[0] === '/' && resolution & RESOLVE_BENEATH) throw errno('EXDEV');
  let place = asTree(path[0] === '/' ? root : (start ?? context.cwd));
  let links = linksBefore;
  let slash = path.endsWith('/');
  let special: LastName['special'] = '/';
  const todo = path.split('/').reverse();
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    if (name === '') continue;
    const { inode } = place.dentry;
    if (!isDirectory(inode.mode)) throw errno('ENOTDIR');
    demand(inode, X_OK, credentials);
    while (todo.length > 0 && todo[todo.length - 1] === '') todo.pop();
    const last = todo.length === 0;
    if (name === '.' || name === '..') {
      if (name === '..') {
        if (resolution & RESOLVE_BENEATH && samePlace(place, root)) throw errno('EXDEV');
        const above = parentOf(place, root);
        demandSameMount(place, above, resolution);
        place = above;
      }
      special = name;
      continue;
    }
    if (last && mode.parentOnly) return { directory: place, name, special: '', slash, links };
    if (name.length > NAME_MAX) throw errno('ENAMETOOLONG');
    const found = place.dentry.step(name);
    if (!found) throw errno('ENOENT');
    const next = topmost(place.mount, found);
    demandSameMount(place, next, resolution);
    if (isSymlink(next.dentry.inode.mode) && (!last || mode.follow || slash)) {
      if (++links > SYMLINK_FOLLOW_MAX || resolution & RESOLVE_NO_SYMLINKS) throw errno('ELOOP');
      demandFollow(place, next, context);
      const there = next.dentry.inode.followLink();
      if (there) {
        if (resolution & RESOLVE_NO_MAGICLINKS) throw errno('ELOOP');
        if (scope) throw errno('EXDEV');
        demandSameMount(place, asTree(there), resolution);
        place = asTree(there);
        continue;
      }
      const target = next.dentry.inode.readlink();
      if (target === '') throw errno('ENOENT');
      if (target[0] === '/') {
        if (resolution & RESOLVE_BENEATH) throw errno('EXDEV');
        demandSameMount(place, asTree(root), resolution);
        place = asTree(root);
      }
      if (last && target.endsWith('/')) slash = true;
      todo.push(...target.split('/').reverse());
      special = '/';
      continue;
    }
    place = next;
    special = '';
  }
  if (slash && !isDirectory(place.dentry.inode.mode)) throw errno('ENOTDIR');
  return { directory: place, name: '', special, slash, links };
}

/**
 * The place that a path names. `start`: where a relative path begins, null for the working directory. `follow`: go on
 * where the last component is a symbolic link. Throws ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG.
 */
export function resolve(context: WalkContext, start: Location | null, path: string, follow = true): TreeLocation {
  return walk(context, start, path, { follow, parentOnly: false }, 0).directory;
}

/** The directory of a path's last name, which need not be there: for calls that make or remove names. */
export function resolveParent(context: WalkContext, start: Location | null, path: string, links = 0): LastName {
  return walk(context, start, path, { follow: true, parentOnly: true }, links);
}

/** What is at the last name, mounts crossed and links not followed, or null. Throws EACCES, ENAMETOOLONG. */
export function stepLast({ directory, name }: LastName): TreeLocation | null {
  if (name === '') return directory;
  if (name.length > NAME_MAX) throw errno('ENAMETOOLONG');
  const found = directory.dentry.step(name);
  return found && topmost(directory.mount, found);
}

/** Goes on from a last name that turned out to be a symbolic link, for open with O_CREAT. */
export function followLast(context: WalkContext, last: LastName, link: TreeLocation): LastName {
  if (last.links >= SYMLINK_FOLLOW_MAX) throw errno('ELOOP');
  demandFollow(last.directory, link, context);
  const there = link.dentry.inode.followLink();
  const links = last.links + 1;
  if (context.resolution && context.resolution & RESOLVE_NO_SYMLINKS) throw errno('ELOOP');
  if (there && context.resolution) throw errno(context.resolution & RESOLVE_NO_MAGICLINKS ? 'ELOOP' : 'EXDEV');
  if (there) return { directory: asTree(there), name: '', special: '/', slash: last.slash, links };
  return resolveParent(context, last.directory, link.dentry.inode.readlink(), links);
}

/**
 * The path of a place as seen from `root` (getcwd, /proc/self/fd, /proc/self/mounts): null where it cannot be reached
 * from there. ' (deleted)' is for the caller to add.
 */
export function pathOf(place: Location, root: Location): string | null {
  let { mount, dentry } = asTree(place);
  let path = '';
  for (;;) {
    if (mount === root.mount && dentry === root.dentry) return path || '/';
    if (dentry === mount.root) {
      if (!mount.parent) return null;
      ({ mount, dentry } = mount.parent);
      continue;
    }
    if (!dentry.parent) return null;
    path = `/${dentry.name}${path}`;
    dentry = dentry.parent;
  }
}

/** Whether a name was taken away from under a place: getcwd then throws ENOENT. */
export function isDetached({ dentry }: Location): boolean {
  for (let at: Location['dentry'] | null = dentry; at; at = at.parent) if (at.unlinked) return true;
  return false;
}

/** Whether the working directory may be changed to, or the root be, this place. Throws ENOTDIR, EACCES. */
export function demandDirectory({ dentry }: Location, context: WalkContext): void {
  if (!isDirectory(dentry.inode.mode)) throw errno('ENOTDIR');
  if (!allowed(dentry.inode, X_OK, context.credentials)) throw errno('EACCES');
}
