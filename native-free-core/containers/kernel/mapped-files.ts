// The page cache: pages of files that are mapped, kept in step with what calls read and write.
// Owns which files have cached pages, and what happens to the cache when memory is full.
// Never reads a file itself.

import type { MemoryAccount } from '../memory/memory-account.ts';
import { SharedPages } from '../memory/shared-pages.ts';
import type { Inode } from '../vfs/types.ts';
import type { Cgroup } from './cgroups.ts';
import type { Kernel } from './kernel.ts';

/** The cached pages of a file, for a mapping; undefined where it cannot be mapped. */
export function sharedPagesOf(kernel: Kernel, inode: Inode): SharedPages | undefined {
  const source = inode.pages();
  if (!source) return undefined;
  if (!source.cache) {
    const pages = new SharedPages(kernel.pool, source);
    source.cache = pages;
    (source.isShared ? kernel.processor : kernel).caches.add(pages);
  }
  return source.cache as SharedPages;
}

const cacheOf = (inode: Inode | null): SharedPages | undefined =>
  (inode?.pages()?.cache as SharedPages | null | undefined) ?? undefined;

/** Before a file is read by a call: what mappings have written is in it. */
export function beforeRead(inode: Inode | null): void {
  const cache = cacheOf(inode);
  if (cache?.isDirty) cache.flush();
}

/** After a call has written to a file: mappings show it. */
export function afterWrite(inode: Inode | null, offset: number, bytes: Uint8Array): void {
  cacheOf(inode)?.written(offset, bytes);
}

/** After a range of a file became zeros: mappings show it. */
export function afterPunch(inode: Inode, offset: number, length: number): void {
  const end = Math.min(offset + length, inode.size);
  const zeros = new Uint8Array(65536);
  for (let at = offset; at < end; at += zeros.length) afterWrite(inode, at, zeros.subarray(0, end - at));
}

/** After a file has another size. */
export function afterResize(kernel: Kernel, inode: Inode | null, size: number): void {
  const cache = cacheOf(inode);
  if (!cache || cache.cached === 0) return;
  const spaces = new Set([...kernel.tasks.values()].map(({ space }) => space));
  for (const space of spaces) space.cut(cache, size);
  cache.resized(size);
}

/** Whether anybody may write to a file through a mapping. */
export function hasWritableMapping(kernel: Kernel, inode: Inode): boolean {
  const cache = cacheOf(inode);
  if (!cache || cache.users === 0) return false;
  const spaces = new Set([...kernel.tasks.values()].map(({ space }) => space));
  for (const space of spaces)
    for (const { pages, shared, maxProtection } of space.regions)
      if (pages === cache && shared && (maxProtection & 2) !== 0) return true;
  return false;
}

/** Cached pages of files that are counted for some accounts. */
export function cachedPages(kernel: Kernel, isOf: (account: MemoryAccount | undefined) => boolean): number {
  let count = 0;
  for (const pages of cachesSeenBy(kernel)) count += pages.countedFor(isOf);
  return count;
}

/** Gives up what only the cache holds and counts as this guest's memory. Whether that was anything. */
export function shrinkCaches(kernel: Kernel): boolean {
  const isOurs = (account: MemoryAccount | undefined): boolean =>
    account !== undefined && (account as Cgroup).isWithin(kernel.cgroup);
  let released = 0;
  for (const pages of cachesSeenBy(kernel)) released += pages.shrink(isOurs);
  return released > 0;
}

function* cachesSeenBy(kernel: Kernel): Generator<SharedPages> {
  yield* kernel.caches;
  yield* kernel.processor.caches;
}
