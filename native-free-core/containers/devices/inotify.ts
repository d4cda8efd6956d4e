// inotify: a queue of what happened to files that are watched (inotify(7)).
// Owns the watches of one instance, their numbers and masks, and the queue with its bound.
// Never looks for changes: the VFS and the calls that read and write tell of them.

import { errno } from '../errno.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { isDirectory, POLLIN, POLLRDNORM } from '../vfs/constants.ts';
import { nameToBytes } from '../vfs/names.ts';
import { type Inode, OpenFile, type UserMemory } from '../vfs/types.ts';
import { IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_Q_OVERFLOW, IN_UNMOUNT } from '../vfs/watch.ts';

export const IN_ALL_EVENTS = 0xfff;
export const IN_ONLYDIR = 0x01000000;
export const IN_DONT_FOLLOW = 0x02000000;
export const IN_EXCL_UNLINK = 0x04000000;
export const IN_MASK_CREATE = 0x10000000;
export const IN_MASK_ADD = 0x20000000;
export const IN_ONESHOT = 0x80000000;

const HEADER_BYTES = 16;
const FIONREAD = 0x541b;
/** Events that wait in one instance, and its watches: fs.inotify.max_queued_events and max_user_watches. */
const QUEUE_MAX = 16384;
const WATCHES_MAX = 65536;

interface Watch {
  readonly number: number;
  readonly inode: Inode;
  mask: number;
}

type Told = (event: number, name: string | null, cookie: number) => void;

/** Who watches an inode: `Inode.watch` calls all of them. */
const watchers = new WeakMap<Inode, Set<Told>>();

function subscribe(inode: Inode, told: Told): void {
  let all = watchers.get(inode);
  if (!all) watchers.set(inode, (all = new Set()));
  all.add(told);
  const everyone = all;
  inode.watch = (event, name, cookie) => {
    for (const each of [...everyone]) each(event, name, cookie);
  };
}

function unsubscribe(inode: Inode, told: Told): void {
  const all = watchers.get(inode);
  all?.delete(told);
  if (!all || all.size === 0) inode.watch = null;
}

export class Inotify extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  private readonly byInode = new Map<Inode, { watch: Watch; told: Told }>();
  private readonly byNumber = new Map<number, Inode>();
  private readonly queue: Uint8Array[] = [];
  private readonly changed = new WaitQueue();
  private lastNumber = 0;

  /** inotify_add_watch: the watch's number. Throws EINVAL, EEXIST, ENOSPC. */
  add(inode: Inode, flags: number): number {
    const mask = flags & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK | IN_UNMOUNT);
    if ((mask & IN_ALL_EVENTS) === 0) throw errno('EINVAL');
    if (flags & IN_MASK_ADD && flags & IN_MASK_CREATE) throw errno('EINVAL');
    const known = this.byInode.get(inode);
    if (known) {
      if (flags & IN_MASK_CREATE) throw errno('EEXIST');
      known.watch.mask = flags & IN_MASK_ADD ? known.watch.mask | mask : mask;
      return known.watch.number;
    }
    if (this.byInode.size >= WATCHES_MAX) throw errno('ENOSPC');
    const watch: Watch = { number: ++this.lastNumber, inode, mask };
    const told: Told = (event, name, cookie) => this.tell(watch, event, name, cookie);
    this.byInode.set(inode, { watch, told });
    this.byNumber.set(watch.number, inode);
    subscribe(inode, told);
    return watch.number;
  }

  /** inotify_rm_watch. Throws EINVAL. */
  remove(number: number): void {
    const inode = this.byNumber.get(number);
    if (!inode) throw errno('EINVAL');
    this.forget(inode);
    this.put(number, IN_IGNORED, 0, null);
  }

  private forget(inode: Inode): void {
    const known = this.byInode.get(inode);
    if (!known) return;
    this.byInode.delete(inode);
    this.byNumber.delete(known.watch.number);
    unsubscribe(inode, known.told);
  }

  private tell(watch: Watch, event: number, name: string | null, cookie: number): void {
    const gone = (event & (IN_DELETE_SELF | IN_UNMOUNT)) !== 0;
    // What happens to the watched file itself never carries the bit for directories.
    const shown = event & (IN_DELETE_SELF | IN_MOVE_SELF) ? event & ~IN_ISDIR : event;
    const wanted = (event & watch.mask & IN_ALL_EVENTS) !== 0 || (event & IN_UNMOUNT) !== 0;
    if (wanted) this.put(watch.number, shown, cookie, name);
    if (gone || (wanted && watch.mask & IN_ONESHOT)) {
      this.forget(watch.inode);
      this.put(watch.number, IN_IGNORED, 0, null);
    }
  }

  private put(number: number, event: number, cookie: number, name: string | null): void {
    const room = name === null ? 0 : Math.ceil((name.length + 1) / HEADER_BYTES) * HEADER_BYTES;
    const overflow = this.queue.length >= QUEUE_MAX - 1;
    const bytes = new Uint8Array(HEADER_BYTES + (overflow ? 0 : room));
    const view = new DataView(bytes.buffer);
    view.setInt32(0, overflow ? -1 : number, true);
    view.setUint32(4, (overflow ? IN_Q_OVERFLOW : event) >>> 0, true);
    view.setUint32(8, overflow ? 0 : cookie, true);
    view.setUint32(12, bytes.length - HEADER_BYTES, true);
    if (name !== null && !overflow) bytes.set(nameToBytes(name), HEADER_BYTES);
    const last = this.queue[this.queue.length - 1];
    // The same event twice in a row is told once.
    if (last && last.length === bytes.length && last.every((byte, at) => byte === bytes[at])) return;
    if (this.queue.length >= QUEUE_MAX) return;
    this.queue.push(bytes);
    this.changed.wake();
  }

  override read(into: Uint8Array): number {
    if (this.queue.length === 0) throw errno('EAGAIN');
    if (this.queue[0].length > into.length) throw errno('EINVAL');
    let done = 0;
    while (this.queue.length > 0 && done + this.queue[0].length <= into.length) {
      const event = this.queue.shift()!;
      into.set(event, done);
      done += event.length;
    }
    return done;
  }

  override ioctl(request: number, argument: number, memory: UserMemory): number {
    if (request !== FIONREAD) throw errno('ENOTTY');
    const waiting = this.queue.reduce((sum, { length }) => sum + length, 0);
    memory.write(argument, new Uint8Array(Uint32Array.of(waiting).buffer));
    return 0;
  }

  override poll(): number {
    return this.queue.length > 0 ? POLLIN | POLLRDNORM : 0;
  }

  override onReady(waiter: () => void): () => void {
    return this.changed.add(waiter);
  }

  override release(): void {
    for (const inode of [...this.byInode.keys()]) this.forget(inode);
  }
}

/** Throws ENOTDIR where only a directory is to be watched. */
export function demandWatchable(inode: Inode, flags: number): void {
  if (flags & IN_ONLYDIR && !isDirectory(inode.mode)) throw errno('ENOTDIR');
}
