// File descriptors: the table that tasks share, and the open file descriptions that descriptors share.
// Owns numbers, FD_CLOEXEC, offsets, status flags, and when an open file is released.
// Never opens a file.

import { errno } from '../errno.ts';
import { O_ACCMODE, O_PATH } from '../vfs/constants.ts';
import type { Location, OpenFile } from '../vfs/types.ts';
import { IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, tellFile } from '../vfs/watch.ts';

/** What open() makes: shared by dup and fork. */
export class Description {
  readonly file: OpenFile;
  /** Where it was opened; null for what has no name. */
  readonly location: Location | null;
  /** O_* without O_CLOEXEC and what only matters while opening. */
  flags: number;
  /** Bytes from the beginning: where the next read or write is. */
  offset = 0;
  private holders = 0;
  /** Called once nobody holds it any more, before the file is released. */
  readonly onRelease: (() => void)[] = [];

  constructor(file: OpenFile, location: Location | null, flags: number) {
    this.file = file;
    this.location = location;
    this.flags = flags;
  }

  /** How many descriptors, calls and messages hold it. */
  get holderCount(): number {
    return this.holders;
  }

  hold(): this {
    this.holders++;
    return this;
  }

  drop(): void {
    if (--this.holders > 0) return;
    if (this.location && !(this.flags & O_PATH))
      tellFile(this.location.dentry, this.flags & O_ACCMODE ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    for (const act of [...this.onRelease]) act();
    this.file.release();
  }
}

interface Slot {
  readonly description: Description;
  closeOnExec: boolean;
}

export class Descriptors {
  private readonly slots: (Slot | undefined)[] = [];
  /** No slot below is free. */
  private firstFree = 0;
  /** Tasks that share the table. */
  users = 1;

  /** Throws EBADF. */
  get(fd: number): Description {
    const slot = this.slots[fd];
    if (!slot) throw errno('EBADF');
    return slot.description;
  }

  has(fd: number): boolean {
    return this.slots[fd] !== undefined;
  }

  /** The lowest free number from `from` on. Throws EMFILE where it is not below `limit`. */
  add(description: Description, closeOnExec: boolean, limit: number, from = 0): number {
    let fd = Math.max(from, this.firstFree);
    while (this.slots[fd]) fd++;
    if (fd >= limit) throw errno('EMFILE');
    this.put(fd, description, closeOnExec);
    if (from <= this.firstFree) this.firstFree = fd + 1;
    return fd;
  }

  /** Whether {@link add} would find a number below `limit`. */
  hasRoom(limit: number): boolean {
    let fd = this.firstFree;
    while (this.slots[fd]) fd++;
    return fd < limit;
  }

  /** Puts a description at a number; what was there is closed. */
  put(fd: number, description: Description, closeOnExec: boolean): void {
    const before = this.slots[fd];
    while (this.slots.length <= fd) this.slots.push(undefined);
    this.slots[fd] = { description: description.hold(), closeOnExec };
    before?.description.drop();
  }

  /** Throws EBADF. */
  close(fd: number): void {
    const slot = this.slots[fd];
    if (!slot) throw errno('EBADF');
    this.slots[fd] = undefined;
    this.firstFree = Math.min(this.firstFree, fd);
    slot.description.drop();
  }

  closesOnExec(fd: number): boolean {
    this.get(fd);
    return this.slots[fd]!.closeOnExec;
  }

  setCloseOnExec(fd: number, closeOnExec: boolean): void {
    this.get(fd);
    this.slots[fd]!.closeOnExec = closeOnExec;
  }

  /** Numbers in use, in order. */
  *numbers(): Generator<number> {
    for (let fd = 0; fd < this.slots.length; fd++) if (this.slots[fd]) yield fd;
  }

  fork(): Descriptors {
    const copy = new Descriptors();
    for (const fd of this.numbers()) copy.put(fd, this.slots[fd]!.description, this.slots[fd]!.closeOnExec);
    copy.firstFree = this.firstFree;
    return copy;
  }

  closeForExec(): void {
    for (const fd of [...this.numbers()]) if (this.slots[fd]!.closeOnExec) this.close(fd);
  }

  closeAll(): void {
    for (const fd of [...this.numbers()]) this.close(fd);
  }
}
