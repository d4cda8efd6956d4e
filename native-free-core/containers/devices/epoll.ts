// epoll: which of many open files are ready.
// Owns the interest list, and level, edge and one-shot triggering (epoll(7)).
// Never blocks anybody: the call that waits does.

import { errno } from '../errno.ts';
import type { Description } from '../kernel/descriptors.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { POLLERR, POLLHUP, POLLIN } from '../vfs/constants.ts';
import { type Inode, OpenFile } from '../vfs/types.ts';

const EPOLLONESHOT = 0x40000000;
const EPOLLET = 0x80000000;
/** Always told, asked for or not. */
const ALWAYS = POLLERR | POLLHUP;
/** How deep epolls may watch epolls. */
const NESTED_MAX = 5;

interface Interest {
  readonly description: Description;
  readonly fd: number;
  events: number;
  data: bigint;
  /** Edge-triggered: something has changed since it was last told. */
  armed: boolean;
  unsubscribe: () => void;
  /** What the description calls when nobody holds it any more. */
  readonly released: () => void;
}

export interface EpollEvent {
  readonly events: number;
  readonly data: bigint;
}

export class Epoll extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode | null = null;
  private readonly interests = new Map<string, Interest>();
  /** Those that may be ready: all others are not, until they say that something has changed. */
  private readonly candidates = new Set<Interest>();
  private readonly changed = new WaitQueue();
  private static keys = 0;
  private static readonly keyOf = new WeakMap<Description, number>();

  private key(fd: number, description: Description): string {
    let key = Epoll.keyOf.get(description);
    if (key === undefined) Epoll.keyOf.set(description, (key = ++Epoll.keys));
    return `${fd}:${key}`;
  }

  private depth(seen: number): number {
    if (seen > NESTED_MAX) return seen;
    let deepest = seen;
    for (const { description } of this.interests.values())
      if (description.file instanceof Epoll) deepest = Math.max(deepest, description.file.depth(seen + 1));
    return deepest;
  }

  /** EPOLL_CTL_ADD. Throws EEXIST, ELOOP, EINVAL, EPERM. */
  add(fd: number, description: Description, events: number, data: bigint): void {
    const key = this.key(fd, description);
    if (this.interests.has(key)) throw errno('EEXIST');
    const { file } = description;
    if (file === this) throw errno('EINVAL');
    if (file instanceof Epoll && file.depth(1) >= NESTED_MAX) throw errno('ELOOP');
    // Files that are always ready cannot be watched.
    if (file.seekable) throw errno('EPERM');
    const interest: Interest = {
      description,
      fd,
      events,
      data,
      armed: true,
      unsubscribe: () => {},
      released: () => this.drop(key),
    };
    interest.unsubscribe = file.onReady(() => {
      interest.armed = true;
      this.candidates.add(interest);
      this.changed.wake();
    });
    this.interests.set(key, interest);
    this.candidates.add(interest);
    description.onRelease.push(interest.released);
    if (this.isReady(interest)) this.changed.wake();
  }

  /** EPOLL_CTL_MOD. Throws ENOENT. */
  modify(fd: number, description: Description, events: number, data: bigint): void {
    const interest = this.interests.get(this.key(fd, description));
    if (!interest) throw errno('ENOENT');
    interest.events = events;
    interest.data = data;
    interest.armed = true;
    this.candidates.add(interest);
    if (this.isReady(interest)) this.changed.wake();
  }

  /** EPOLL_CTL_DEL. Throws ENOENT. */
  remove(fd: number, description: Description): void {
    const key = this.key(fd, description);
    if (!this.interests.has(key)) throw errno('ENOENT');
    this.drop(key);
  }

  private drop(key: string): void {
    const interest = this.interests.get(key);
    if (!interest) return;
    this.leave(interest);
    this.interests.delete(key);
    this.candidates.delete(interest);
  }

  private leave({ unsubscribe, released, description: { onRelease } }: Interest): void {
    unsubscribe();
    onRelease.splice(onRelease.indexOf(released), 1);
  }

  private readyOf({ description, events }: Interest): number {
    return description.file.poll() & (events | ALWAYS) & 0xffff;
  }

  private isReady(interest: Interest): boolean {
    if ((interest.events & 0xffff) === 0 && interest.events & EPOLLONESHOT) return false;
    if (interest.events & EPOLLET && !interest.armed) return false;
    return this.readyOf(interest) !== 0;
  }

  /** At most so many of what is ready. */
  collect(most: number): EpollEvent[] {
    const events: EpollEvent[] = [];
    for (const interest of [...this.candidates]) {
      if (events.length >= most) break;
      this.candidates.delete(interest);
      if (!this.isReady(interest)) continue;
      events.push({ events: this.readyOf(interest), data: interest.data });
      interest.armed = false;
      if (interest.events & EPOLLONESHOT) interest.events = EPOLLONESHOT;
      // It may still be ready; the others come first the next time.
      this.candidates.add(interest);
    }
    return events;
  }

  override poll(): number {
    for (const interest of this.candidates) {
      if (this.isReady(interest)) return POLLIN;
      this.candidates.delete(interest);
    }
    return 0;
  }

  override onReady(waiter: () => void): () => void {
    return this.changed.add(waiter);
  }

  override release(): void {
    for (const interest of this.interests.values()) this.leave(interest);
    this.interests.clear();
    this.candidates.clear();
  }
}
