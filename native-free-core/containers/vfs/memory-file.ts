// Files of memfd_create: in memory, without a name, and sealed where a program asks for it.
// Owns the seals and what each of them forbids (memfd_create(2), fcntl(2): F_ADD_SEALS).
// Never knows of mappings: whoever adds a seal asks for them.

import { errno } from '../errno.ts';
import { TmpFile, type TmpFs } from './tmpfs.ts';
import { type AttributeChanges, type NewInode, OpenFile } from './types.ts';

// include/uapi/linux/fcntl.h
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;
export const F_SEAL_FUTURE_WRITE = 16;
export const F_SEAL_EXEC = 32;
export const SEALS_ALL = 63;

export class MemoryFile extends TmpFile {
  seals: number;

  constructor(fileSystem: TmpFs, ino: number, made: NewInode, seals: number) {
    super(fileSystem, ino, made);
    this.seals = seals;
  }

  /** Throws EPERM where a write of these bytes is sealed. */
  demandWrite(end: number): void {
    if (this.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) throw errno('EPERM');
    if (this.seals & F_SEAL_GROW && end > this.size) throw errno('EPERM');
  }

  override setattr(changes: AttributeChanges): void {
    const { size, mode } = changes;
    if (size !== undefined && size < this.size && this.seals & F_SEAL_SHRINK) throw errno('EPERM');
    if (size !== undefined && size > this.size && this.seals & F_SEAL_GROW) throw errno('EPERM');
    if (mode !== undefined && this.seals & F_SEAL_EXEC && ((this.mode ^ mode) & 0o111) !== 0) throw errno('EPERM');
    super.setattr(changes);
  }

  override punch(offset: number, length: number): void {
    if (this.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) throw errno('EPERM');
    super.punch(offset, length);
  }

  override open(flags: number): OpenFile {
    return new OpenMemoryFile(this, super.open(flags));
  }
}

class OpenMemoryFile extends OpenFile {
  override readonly inode: MemoryFile;
  private readonly file: OpenFile;

  constructor(inode: MemoryFile, file: OpenFile) {
    super();
    this.inode = inode;
    this.file = file;
  }

  override read(into: Uint8Array, offset: number): number {
    return this.file.read(into, offset);
  }

  override write(from: Uint8Array, offset: number): number {
    this.inode.demandWrite(offset + from.length);
    return this.file.write(from, offset);
  }

  override release(): void {
    this.file.release();
  }
}
