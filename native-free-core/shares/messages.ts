// Messages of 9P2000.L: their types, and how fields are taken from one and put into one.
// Owns the layout of fields and the check that a message is as long as what it says.
// Never knows what a message does.

import { errno } from '../containers/errno.ts';
import { isDirectory, isSymlink } from '../containers/vfs/constants.ts';
import type { Inode } from '../containers/vfs/types.ts';

/** Types of requests, as Linux' include/net/9p/9p.h has them; the answer's is one more. */
export const Request = {
  statfs: 8,
  lopen: 12,
  lcreate: 14,
  symlink: 16,
  mknod: 18,
  rename: 20,
  readlink: 22,
  getattr: 24,
  setattr: 26,
  xattrwalk: 30,
  xattrcreate: 32,
  readdir: 40,
  fsync: 50,
  lock: 52,
  getlock: 54,
  link: 70,
  mkdir: 72,
  renameat: 74,
  unlinkat: 76,
  version: 100,
  auth: 102,
  attach: 104,
  flush: 108,
  walk: 110,
  read: 116,
  write: 118,
  clunk: 120,
  remove: 122,
} as const;

/** An answer that is an error number. */
export const RLERROR = 7;
/** Size, type and tag. */
export const HEADER_BYTES = 7;
/** The whole of an error. */
export const ERROR_BYTES = HEADER_BYTES + 4;

/** Bits of a qid's type. */
const QidType = { directory: 0x80, symlink: 0x02, file: 0 } as const;

/** Takes fields out of a request, in order. Each throws EINVAL where the message ends before its field does. */
export class MessageReader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at: number;

  constructor(bytes: Uint8Array, from: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = from;
  }

  /** Bytes that no field has taken. */
  get left(): number {
    return this.bytes.length - this.at;
  }

  private take(length: number): number {
    const { at } = this;
    if (length > this.left) throw errno('EINVAL');
    this.at += length;
    return at;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  u64(): bigint {
    return this.view.getBigUint64(this.take(8), true);
  }

  /** A 64-bit position in a file. Throws EFBIG where no file reaches that far. */
  position(): number {
    const position = this.u64();
    if (position > BigInt(Number.MAX_SAFE_INTEGER)) throw errno('EFBIG');
    return Number(position);
  }

  /** Bytes as a string with a character for each. */
  string(): string {
    const length = this.u16();
    const from = this.take(length);
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.bytes[from + i]);
    return text;
  }

  /** The next bytes; not a copy. */
  data(length: number): Uint8Array {
    const from = this.take(length);
    return this.bytes.subarray(from, from + length);
  }
}

/** Puts fields into an answer that fills at most `bytes`. Each throws ERANGE where there is no room left. */
export class MessageWriter {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private at = HEADER_BYTES;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  private take(length: number): number {
    const { at } = this;
    if (length > this.left) throw errno('ERANGE');
    this.at += length;
    return at;
  }

  u8(value: number): void {
    this.view.setUint8(this.take(1), value);
  }

  u16(value: number): void {
    this.view.setUint16(this.take(2), value, true);
  }

  u32(value: number): void {
    this.view.setUint32(this.take(4), value, true);
  }

  u64(value: bigint | number): void {
    this.view.setBigUint64(this.take(8), BigInt.asUintN(64, BigInt(value)), true);
  }

  string(text: string): void {
    this.u16(text.length);
    const from = this.take(text.length);
    for (let i = 0; i < text.length; i++) this.bytes[from + i] = text.charCodeAt(i);
  }

  /** What a file is known by: its type, its version, its number. */
  qid({ mode, ino, mtime, size }: Pick<Inode, 'mode' | 'ino' | 'mtime' | 'size'>): void {
    this.u8(isDirectory(mode) ? QidType.directory : isSymlink(mode) ? QidType.symlink : QidType.file);
    this.u32((Number(BigInt.asUintN(32, mtime / 1000n)) ^ size) >>> 0);
    this.u64(ino);
  }

  /** Room for the next bytes, to be filled at once and then kept as far as they were: {@link keep}. */
  room(most: number): Uint8Array {
    return this.bytes.subarray(this.at, this.at + Math.min(most, this.left));
  }

  keep(length: number): void {
    this.take(length);
  }

  /** Where the next field will be; a count there is filled in later by {@link patch}. */
  get position(): number {
    return this.at;
  }

  patch(position: number, value: number): void {
    this.view.setUint32(position, value, true);
  }

  /** The whole message. */
  finish(type: number, tag: number): Uint8Array {
    this.view.setUint32(0, this.at, true);
    this.view.setUint8(4, type);
    this.view.setUint16(5, tag, true);
    return this.bytes.subarray(0, this.at);
  }
}

/** The answer that a request failed. */
export function errorMessage(tag: number, number: number): Uint8Array {
  const writer = new MessageWriter(new Uint8Array(ERROR_BYTES));
  writer.u32(number);
  return writer.finish(RLERROR, tag);
}
