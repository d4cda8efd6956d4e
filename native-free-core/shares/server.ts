// A server of 9P2000.L over a file system: what a guest's 9p client asks for, message by message.
// Owns the fids of one client and what they may take of the host: fids, open files, the length of messages.
// Never lets a name lead out: names are checked here, links are never followed, and a root's parent is the root.

import { Errno, errno } from '../containers/errno.ts';
import {
  AT_REMOVEDIR,
  directoryEntryType,
  isDirectory,
  isRegular,
  isSymlink,
  NAME_MAX,
  O_ACCMODE,
  O_DIRECTORY,
  O_EXCL,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  PERMISSION_BITS,
  S_IFDIR,
  S_IFLNK,
  S_IFREG,
} from '../containers/vfs/constants.ts';
import { checkName } from '../containers/vfs/names.ts';
import type { AttributeChanges, FileSystem, Inode, Nanoseconds, NewInode, OpenFile } from '../containers/vfs/types.ts';
import type { SavedState } from '../devices/device.ts';
import { openState } from '../devices/saved-state.ts';
import { ERROR_BYTES, errorMessage, HEADER_BYTES, MessageReader, MessageWriter, Request } from './messages.ts';

/** The longest message of a session: what Linux' virtio transport can put into its 128 descriptors. */
export const MESSAGE_MAX = 512 * 1024;
/** A session of shorter ones could not carry a name and what belongs to it. */
const MESSAGE_MIN = 4096;
/** Before a session there are no longer ones. */
const VERSION_BYTES_MAX = 8192;
const VERSION = '9P2000.L';
/** Names that a walk has at most (MAXWELEM). */
const WALK_NAMES_MAX = 16;
/** Files that a client holds: one that never lets go gets no more. */
const FIDS_MAX = 1 << 16;
/** Of them, open ones: each takes a file of the host, of which the process has a limited number. */
const OPEN_MAX = 1024;
/** V9FS_MAGIC, which statfs tells. */
const FILE_SYSTEM_TYPE = 0x01021997;
/** Bytes that a client best asks for at once. */
const BLOCK_BYTES = 4096;

/** Fields of getattr that are told (P9_STATS_BASIC). */
const ATTRIBUTES_TOLD = 0x7ff;
/** Which fields setattr changes. */
const Change = { mode: 1, uid: 2, gid: 4, size: 8, atime: 16, mtime: 32, atimeSet: 128, mtimeSet: 256 } as const;
/** Statuses and types of locks. */
const LOCK_SUCCESS = 0;
const LOCK_TYPE_MAX = 2;
const UNLOCKED = 2;

const SECOND = 1_000_000_000n;
/** Entries of a directory before its own: '.' and '..'. */
const DOTS = 2;

/** Characters of a path in a saved session: no host has longer ones. */
const PATHS_MAX = 1 << 16;
/** In place of how a file is open. */
const NOT_OPEN = -1;

/** A name in the tree, as a fid was walked to it. */
interface Place {
  readonly inode: Inode;
  parent: Place | null;
  name: string;
}

interface Fid {
  place: Place;
  file: OpenFile | null;
  /** How it was opened: O_ACCMODE. */
  access: number;
}

export interface ServerOptions {
  fileSystem: FileSystem;
  /** The host's wall clock, for times that a client leaves to the server. */
  now(): Nanoseconds;
}

/** Answers requests of one client. Nothing is under way between two of them. */
export class Server9p {
  private readonly fileSystem: FileSystem;
  private readonly now: () => Nanoseconds;
  private readonly fids = new Map<number, Fid>();
  private openFiles = 0;
  /** Bytes of a message in this session; 0: there is none yet. */
  private messageBytes = 0;
  /** The last answer. */
  private answerBytes = new Uint8Array(VERSION_BYTES_MAX);

  private readonly acts: ReadonlyMap<number, (request: MessageReader, answer: MessageWriter) => void>;

  constructor({ fileSystem, now }: ServerOptions) {
    this.fileSystem = fileSystem;
    this.now = now;
    this.acts = new Map([
      [Request.version, (request, answer) => this.version(request, answer)],
      [Request.attach, (request, answer) => this.attach(request, answer)],
      // Whatever is to be given up was answered before this was read.
      [Request.flush, (request) => void request.u16()],
      [Request.walk, (request, answer) => this.walk(request, answer)],
      [Request.clunk, (request) => this.clunk(this.fidNumber(request))],
      [Request.remove, (request) => this.remove(request)],
      [Request.lopen, (request, answer) => this.open(request, answer)],
      [Request.lcreate, (request, answer) => this.create(request, answer)],
      [Request.read, (request, answer) => this.read(request, answer)],
      [Request.write, (request, answer) => this.write(request, answer)],
      [Request.readdir, (request, answer) => this.readdir(request, answer)],
      [Request.fsync, (request) => this.fid(request).file?.fsync()],
      [Request.getattr, (request, answer) => this.getattr(request, answer)],
      [Request.setattr, (request) => this.setattr(request)],
      [Request.readlink, (request, answer) => answer.string(this.fid(request).place.inode.readlink())],
      [Request.statfs, (request, answer) => this.statfs(request, answer)],
      [Request.mkdir, (request, answer) => this.mkdir(request, answer)],
      [Request.symlink, (request, answer) => this.symlink(request, answer)],
      [Request.mknod, (request) => this.mknod(request)],
      [Request.link, (request) => this.link(request)],
      [Request.rename, (request) => this.rename(request)],
      [Request.renameat, (request) => this.renameat(request)],
      [Request.unlinkat, (request) => this.unlinkat(request)],
      [Request.lock, (request, answer) => this.lock(request, answer)],
      [Request.getlock, (request, answer) => this.getlock(request, answer)],
    ]);
  }

  /** The longest request that is taken now. */
  get requestMax(): number {
    return this.messageBytes || VERSION_BYTES_MAX;
  }

  /**
   * The session as plain data: files are known by their paths. Throws where the client has one open that has no name any
   * more, which nobody could open again.
   */
  save(): SavedState {
    const fids: { fid: number; path: string; access: number }[] = [];
    for (const [fid, { place, file, access }] of this.fids) {
      const path = pathOf(place);
      if (this.find(path)?.inode.ino === place.inode.ino) fids.push({ fid, path, access: file ? access : NOT_OPEN });
      else if (file)
        throw new Error(
          'the guest has a file of a shared folder open that has no name there any more: it can be saved later',
        );
    }
    return { version: 1, messageBytes: this.messageBytes, fids };
  }

  /** What is not there any more, or cannot be opened, the client finds gone. */
  restore(state: SavedState): void {
    const reader = openState('9p session', 1, state);
    this.reset();
    const messageBytes = reader.integer('messageBytes', 0, MESSAGE_MAX);
    this.begin(messageBytes);
    for (const each of reader.records('fids', 0, FIDS_MAX)) {
      const place = this.find(each.text('path', PATHS_MAX));
      const number = each.dword('fid');
      const access = each.integer('access', NOT_OPEN, O_ACCMODE);
      if (place === null || this.fids.has(number)) continue;
      this.add(number, place);
      if (access === NOT_OPEN) continue;
      try {
        this.openAt(this.fids.get(number) as Fid, place, access);
      } catch (error) {
        if (!(error instanceof Errno)) throw error;
        this.fids.delete(number);
      }
    }
  }

  /** Where a path of names leads, or null. */
  private find(path: string): Place | null {
    let place: Place = { inode: this.fileSystem.root, parent: null, name: '' };
    try {
      for (const name of path === '' ? [] : path.split('/')) {
        checkWalkName(name);
        const inode = place.inode.lookup(name);
        if (inode === null) return null;
        place = { inode, parent: place, name };
      }
      return place;
    } catch (error) {
      if (error instanceof Errno) return null;
      throw error;
    }
  }

  /** The client is gone: all that it held is let go. */
  reset(): void {
    for (const fid of this.fids.values()) this.close(fid);
    this.fids.clear();
    this.messageBytes = 0;
  }

  /**
   * The answer to a request, of at most `room` bytes, which are valid until the next; undefined where the request has no header, or the room is less than an
   * error takes: then there is nothing that could be said.
   */
  answer(request: Uint8Array, room: number): Uint8Array | undefined {
    if (request.length < HEADER_BYTES || room < ERROR_BYTES) return undefined;
    const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
    const size = view.getUint32(0, true);
    const type = view.getUint8(4);
    const tag = view.getUint16(5, true);
    if (size < HEADER_BYTES || size > request.length) return undefined;
    try {
      const writer = new MessageWriter(this.answerBytes.subarray(0, Math.min(room, this.requestMax)));
      this.act(type, new MessageReader(request.subarray(0, size), HEADER_BYTES), writer);
      return writer.finish(type + 1, tag);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      return errorMessage(tag, error.number);
    }
  }

  private act(type: number, request: MessageReader, answer: MessageWriter): void {
    if (this.messageBytes === 0 && type !== Request.version) throw errno('EPROTO');
    const act = this.acts.get(type);
    // Who asks for an authentication, for extended attributes or for what nobody knows does without.
    if (act === undefined) throw errno('EOPNOTSUPP');
    act(request, answer);
  }

  // ---- sessions and fids

  private version(request: MessageReader, answer: MessageWriter): void {
    const size = request.u32();
    const version = request.string();
    this.reset();
    if (size < MESSAGE_MIN) throw errno('EMSGSIZE');
    const agreed = Math.min(size, MESSAGE_MAX);
    const isKnown = version === VERSION;
    if (isKnown) this.begin(agreed);
    answer.u32(agreed);
    answer.string(isKnown ? VERSION : 'unknown');
  }

  private begin(messageBytes: number): void {
    this.messageBytes = messageBytes;
    if (messageBytes > this.answerBytes.length) this.answerBytes = new Uint8Array(messageBytes);
  }

  private attach(request: MessageReader, answer: MessageWriter): void {
    const number = request.u32();
    request.u32();
    request.string();
    const name = request.string();
    // The whole tree, and nothing in it, can be attached to.
    if (name !== '' && name !== '/') throw errno('ENOENT');
    const { root } = this.fileSystem;
    this.add(number, { inode: root, parent: null, name: '' });
    answer.qid(root);
  }

  private add(number: number, place: Place): void {
    if (this.fids.has(number)) throw errno('EBADF');
    if (this.fids.size >= FIDS_MAX) throw errno('ENFILE');
    this.fids.set(number, { place, file: null, access: O_RDONLY });
  }

  private fidNumber(request: MessageReader): number {
    const number = request.u32();
    if (!this.fids.has(number)) throw errno('EBADF');
    return number;
  }

  private fid(request: MessageReader): Fid {
    return this.fids.get(this.fidNumber(request)) as Fid;
  }

  /** A fid that is open, for reading or for writing. */
  private openFid(request: MessageReader, unlike: number): OpenFile {
    const { file, access } = this.fid(request);
    if (file === null || access === unlike) throw errno('EBADF');
    return file;
  }

  private close(fid: Fid): void {
    if (fid.file === null) return;
    const { file } = fid;
    fid.file = null;
    this.openFiles--;
    file.release();
  }

  private clunk(number: number): void {
    const fid = this.fids.get(number) as Fid;
    this.fids.delete(number);
    this.close(fid);
  }

  private walk(request: MessageReader, answer: MessageWriter): void {
    const from = this.fid(request);
    const number = request.u32();
    const count = request.u16();
    if (count > WALK_NAMES_MAX) throw errno('EINVAL');
    const names = Array.from({ length: count }, () => request.string());
    const isSame = this.fids.get(number) === from;
    if (!isSame && this.fids.has(number)) throw errno('EBADF');
    // A fid that stays where it is may be walked while it is open, to be cloned.
    if (isSame && from.file !== null) throw errno('EBUSY');
    let { place } = from;
    const found: Inode[] = [];
    for (const name of names) {
      const next = this.step(place, name, found.length === 0);
      if (next === null) break;
      place = next;
      found.push(place.inode);
    }
    // As far as it went is told; the new fid is there only if it went all the way.
    if (found.length === names.length) {
      if (isSame) from.place = place;
      else this.add(number, place);
    }
    answer.u16(found.length);
    for (const inode of found) answer.qid(inode);
  }

  /** One name further. Null where there is none, or an error if it is the first. */
  private step(place: Place, name: string, isFirst: boolean): Place | null {
    try {
      if (name === '..') return place.parent ?? place;
      checkWalkName(name);
      if (!isDirectory(place.inode.mode)) throw errno('ENOTDIR');
      const inode = place.inode.lookup(name);
      if (inode === null) throw errno('ENOENT');
      return { inode, parent: place, name };
    } catch (error) {
      if (isFirst) throw error;
      return null;
    }
  }

  // ---- files

  private open(request: MessageReader, answer: MessageWriter): void {
    const fid = this.fid(request);
    const flags = request.u32();
    if (fid.file !== null) throw errno('EBUSY');
    this.openAt(fid, fid.place, flags);
    answer.qid(fid.place.inode);
    answer.u32(0);
  }

  private openAt(fid: Fid, place: Place, flags: number): void {
    const { inode } = place;
    const access = flags & O_ACCMODE;
    const isWriting = access !== O_RDONLY || (flags & O_TRUNC) !== 0;
    if (isWriting) this.demandWritable();
    if (isSymlink(inode.mode)) throw errno('ELOOP');
    if (isDirectory(inode.mode) ? isWriting : (flags & O_DIRECTORY) !== 0)
      throw errno(isWriting ? 'EISDIR' : 'ENOTDIR');
    // What is neither is the guest's own: it never asks for a device or a pipe of the host.
    if (!isDirectory(inode.mode) && !isRegular(inode.mode)) throw errno('EACCES');
    if (this.openFiles >= OPEN_MAX) throw errno('ENFILE');
    const file = inode.open(access);
    try {
      if ((flags & O_TRUNC) !== 0) inode.setattr({ size: 0 });
    } catch (error) {
      file.release();
      throw error;
    }
    this.openFiles++;
    fid.place = place;
    fid.file = file;
    fid.access = access;
  }

  private create(request: MessageReader, answer: MessageWriter): void {
    const fid = this.fid(request);
    const name = request.string();
    const flags = request.u32();
    const mode = request.u32();
    const gid = request.u32();
    if (fid.file !== null) throw errno('EBUSY');
    const { place } = fid;
    this.demandChangeable(place.inode, name);
    // Before anything is made that could not be opened then.
    if (this.openFiles >= OPEN_MAX) throw errno('ENFILE');
    let inode = place.inode.lookup(name);
    if (inode !== null && (flags & O_EXCL) !== 0) throw errno('EEXIST');
    inode ??= this.make(place.inode, name, S_IFREG | (mode & PERMISSION_BITS), gid);
    this.openAt(fid, { inode, parent: place, name }, flags & ~O_DIRECTORY);
    answer.qid(inode);
    answer.u32(0);
  }

  /** A new file of any type, with exactly the permissions that the guest wants: its own umask was applied there. */
  private make(directory: Inode, name: string, mode: number, gid: number, more: Partial<NewInode> = {}): Inode {
    const inode = directory.create(name, { mode, uid: 0, gid, ...more });
    if (!isSymlink(mode) && (inode.mode & 0o777) !== (mode & 0o777)) inode.setattr({ mode: mode & PERMISSION_BITS });
    return inode;
  }

  private read(request: MessageReader, answer: MessageWriter): void {
    const file = this.openFid(request, O_WRONLY);
    const offset = request.u64();
    const wanted = request.u32();
    const count = answer.position;
    answer.u32(0);
    // Where no file reaches there is nothing.
    if (offset > BigInt(Number.MAX_SAFE_INTEGER)) return;
    const read = file.read(answer.room(wanted), Number(offset));
    answer.keep(read);
    answer.patch(count, read);
  }

  private write(request: MessageReader, answer: MessageWriter): void {
    const file = this.openFid(request, O_RDONLY);
    const offset = request.position();
    const length = request.u32();
    const data = request.data(length);
    if (offset + length > Number.MAX_SAFE_INTEGER) throw errno('EFBIG');
    answer.u32(file.write(data, offset));
  }

  private readdir(request: MessageReader, answer: MessageWriter): void {
    const { place, file } = this.fid(request);
    const from = request.position();
    const most = request.u32();
    if (file === null) throw errno('EBADF');
    const { inode } = place;
    if (!isDirectory(inode.mode)) throw errno('ENOTDIR');
    const count = answer.position;
    answer.u32(0);
    const begin = answer.position;
    const end = begin + Math.min(most, answer.left);
    /** False where it has no room. */
    const emit = (name: string, entry: Pick<Inode, 'ino' | 'mode'>, next: number): boolean => {
      // A qid, the cursor behind it, its type, its name.
      if (answer.position + 13 + 8 + 1 + 2 + name.length > end) {
        if (answer.position === begin) throw errno('EINVAL');
        return false;
      }
      answer.qid({ ...entry, mtime: 0n, size: 0 });
      answer.u64(next);
      answer.u8(directoryEntryType(entry.mode));
      answer.string(name);
      return true;
    };
    const above = place.parent ?? place;
    const isRoom =
      (from > 0 || emit('.', { ino: inode.ino, mode: inode.mode }, 1)) &&
      (from > 1 || emit('..', { ino: above.inode.ino, mode: above.inode.mode }, DOTS));
    if (isRoom)
      inode.readdir(Math.max(0, from - DOTS), (name, ino, mode, next) => emit(name, { ino, mode }, next + DOTS));
    answer.patch(count, answer.position - begin);
  }

  // ---- attributes

  private getattr(request: MessageReader, answer: MessageWriter): void {
    const { inode } = this.fid(request).place;
    const mask = request.u64();
    inode.refresh();
    answer.u64(mask & BigInt(ATTRIBUTES_TOLD));
    answer.qid(inode);
    answer.u32(inode.mode);
    answer.u32(inode.uid);
    answer.u32(inode.gid);
    for (const value of [inode.nlink, inode.rdev, inode.size, BLOCK_BYTES, inode.blocks]) answer.u64(value);
    for (const time of [inode.atime, inode.mtime, inode.ctime]) {
      answer.u64(time / SECOND);
      answer.u64(time % SECOND);
    }
    // The time it was made, a generation and a version: not told.
    for (let i = 0; i < 4; i++) answer.u64(0);
  }

  private setattr(request: MessageReader): void {
    const { inode } = this.fid(request).place;
    const valid = request.u32();
    const mode = request.u32();
    const uid = request.u32();
    const gid = request.u32();
    const size = request.u64();
    const [atime, mtime] = [0, 1].map(() => request.u64() * SECOND + request.u64());
    this.demandWritable();
    const changes: AttributeChanges = {};
    if (valid & Change.mode) changes.mode = mode & PERMISSION_BITS;
    if (valid & Change.uid) changes.uid = uid;
    if (valid & Change.gid) changes.gid = gid;
    if (valid & Change.size) {
      if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw errno('EFBIG');
      if (!isRegular(inode.mode)) throw errno(isDirectory(inode.mode) ? 'EISDIR' : 'EINVAL');
      changes.size = Number(size);
    }
    if (valid & Change.atime) changes.atime = valid & Change.atimeSet ? atime : this.now();
    if (valid & Change.mtime) changes.mtime = valid & Change.mtimeSet ? mtime : this.now();
    if (Object.keys(changes).length > 0) inode.setattr(changes);
  }

  private statfs(request: MessageReader, answer: MessageWriter): void {
    this.fid(request);
    const { blockSize, blocks, blocksFree, files, filesFree } = this.fileSystem.statistics();
    answer.u32(FILE_SYSTEM_TYPE);
    answer.u32(blockSize);
    for (const value of [blocks, blocksFree, blocksFree, files, filesFree, 0]) answer.u64(value);
    answer.u32(NAME_MAX);
  }

  // ---- names

  private mkdir(request: MessageReader, answer: MessageWriter): void {
    const { inode } = this.fid(request).place;
    const name = request.string();
    const mode = request.u32();
    const gid = request.u32();
    this.demandChangeable(inode, name);
    answer.qid(this.make(inode, name, S_IFDIR | (mode & PERMISSION_BITS), gid));
  }

  private symlink(request: MessageReader, answer: MessageWriter): void {
    const { inode } = this.fid(request).place;
    const name = request.string();
    const target = request.string();
    const gid = request.u32();
    this.demandChangeable(inode, name);
    // The guest may have links that lead anywhere: it follows them itself, and the host never does.
    if (target === '' || target.includes('\0')) throw errno('EINVAL');
    answer.qid(this.make(inode, name, S_IFLNK | 0o777, gid, { target }));
  }

  /** No device comes to be on the host, and nothing that processes of the guest would meet at. */
  private mknod(request: MessageReader): void {
    this.fid(request);
    this.demandWritable();
    throw errno('EPERM');
  }

  private link(request: MessageReader): void {
    const directory = this.fid(request).place.inode;
    const { inode } = this.fid(request).place;
    const name = request.string();
    this.demandChangeable(directory, name);
    if (isDirectory(inode.mode)) throw errno('EPERM');
    directory.link(name, inode);
  }

  private rename(request: MessageReader): void {
    const { place } = this.fid(request);
    const into = this.fid(request).place;
    const name = request.string();
    const { parent } = place;
    if (parent === null) throw errno('EBUSY');
    this.demandStillThere(place, parent);
    this.move(parent, place.name, into, name);
  }

  private renameat(request: MessageReader): void {
    const from = this.fid(request).place;
    const name = request.string();
    const into = this.fid(request).place;
    const newName = request.string();
    this.move(from, name, into, newName);
  }

  private move(from: Place, name: string, into: Place, newName: string): void {
    this.demandChangeable(from.inode, name);
    this.demandChangeable(into.inode, newName);
    from.inode.rename(name, into.inode, newName, 0);
    this.follow(from, name, into, newName);
  }

  /** What was walked to by a name that is another now is known by that. */
  private follow(from: Place, name: string, into: Place, newName: string): void {
    const seen = new Set<Place>();
    for (const fid of this.fids.values())
      for (let place: Place | null = fid.place; place !== null && !seen.has(place); place = place.parent) {
        seen.add(place);
        if (place.parent?.inode !== from.inode || place.name !== name) continue;
        place.parent = into;
        place.name = newName;
      }
  }

  private unlinkat(request: MessageReader): void {
    const { inode } = this.fid(request).place;
    const name = request.string();
    const flags = request.u32();
    this.demandChangeable(inode, name);
    if ((flags & ~AT_REMOVEDIR) !== 0) throw errno('EINVAL');
    if ((flags & AT_REMOVEDIR) !== 0) inode.rmdir(name);
    else inode.unlink(name);
  }

  /** Also lets the fid go, whatever becomes of the file. */
  private remove(request: MessageReader): void {
    const number = this.fidNumber(request);
    const { place } = this.fids.get(number) as Fid;
    this.clunk(number);
    const { parent, name, inode } = place;
    if (parent === null) throw errno('EBUSY');
    this.demandWritable();
    this.demandStillThere(place, parent);
    if (isDirectory(inode.mode)) parent.inode.rmdir(name);
    else parent.inode.unlink(name);
  }

  // ---- locks

  /** The guest's kernel keeps the locks of its own processes, and no other guest's are known here: each is granted. */
  private lock(request: MessageReader, answer: MessageWriter): void {
    this.fid(request);
    const type = request.u8();
    request.u32();
    this.lockRange(request);
    if (type > LOCK_TYPE_MAX) throw errno('EINVAL');
    answer.u8(LOCK_SUCCESS);
  }

  private getlock(request: MessageReader, answer: MessageWriter): void {
    this.fid(request);
    if (request.u8() > LOCK_TYPE_MAX) throw errno('EINVAL');
    const { start, length, process, client } = this.lockRange(request);
    answer.u8(UNLOCKED);
    answer.u64(start);
    answer.u64(length);
    answer.u32(process);
    answer.string(client);
  }

  private lockRange(request: MessageReader) {
    return { start: request.u64(), length: request.u64(), process: request.u32(), client: request.string() };
  }

  // ---- checks

  private demandWritable(): void {
    if (this.fileSystem.readOnly) throw errno('EROFS');
  }

  /** That a name in a directory may be made, moved or taken away. */
  private demandChangeable(directory: Inode, name: string): void {
    this.demandWritable();
    if (!isDirectory(directory.mode)) throw errno('ENOTDIR');
    checkName(name);
  }

  /** That a place still leads to the file that was walked to. */
  private demandStillThere({ name, inode }: Place, parent: Place): void {
    const now = parent.inode.lookup(name);
    if (now === null || now.ino !== inode.ino) throw errno('ENOENT');
  }
}

function pathOf(place: Place): string {
  const names: string[] = [];
  for (let each: Place = place; each.parent !== null; each = each.parent) names.unshift(each.name);
  return names.join('/');
}

/** Throws where a name can be nobody's: such a file is not there. */
function checkWalkName(name: string): void {
  if (name.length > NAME_MAX) throw errno('ENAMETOOLONG');
  if (name === '' || name === '.' || name.includes('/') || name.includes('\0')) throw errno('ENOENT');
}
