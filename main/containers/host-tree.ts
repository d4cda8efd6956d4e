// A folder of the host for the shared kernel: node:fs, synchronous, confined to the folder.
// Owns the confinement: every call goes through a handle of the directory that the last name is in, or a check of it.
// Never follows a symbolic link, whoever put it there and when.

import * as fs from 'node:fs';
import type { HostFile, HostStatus, HostTree } from '../../native-free-core/containers/vfs/host-tree.ts';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0, O_DIRECTORY = 0 } = fs.constants;
/** Linux's O_PATH, which Node has no name for. */
const O_PATH = 0o10000000;

const bytes = (path: string): Buffer => Buffer.from(path, 'latin1');
const failure = (code: string): Error => Object.assign(new Error(code), { code });

function statusOf(found: fs.BigIntStats): HostStatus {
  return {
    mode: Number(found.mode),
    uid: Number(found.uid),
    gid: Number(found.gid),
    nlink: Number(found.nlink),
    size: Number(found.size),
    blocks: Number(found.blocks ?? (found.size + 511n) / 512n),
    rdev: Number(found.rdev),
    ino: Number(found.ino),
    device: Number(found.dev),
    atime: found.atimeNs,
    mtime: found.mtimeNs,
    ctime: found.ctimeNs,
  };
}

class NodeFile implements HostFile {
  readonly #file: number;

  constructor(file: number) {
    this.#file = file;
  }

  read(into: Uint8Array, offset: number): number {
    return fs.readSync(this.#file, into, 0, into.length, offset);
  }

  write(from: Uint8Array, offset: number): number {
    return fs.writeSync(this.#file, from, 0, from.length, offset);
  }

  truncate(size: number): void {
    fs.ftruncateSync(this.#file, size);
  }

  sync(): void {
    fs.fsyncSync(this.#file);
  }

  status(): HostStatus {
    return statusOf(fs.fstatSync(this.#file, { bigint: true }));
  }

  close(): void {
    fs.closeSync(this.#file);
  }
}

/**
 * On Linux a directory is opened without following its last name, the kernel is asked what the handle's path is, and
 * the call goes through the handle (/proc/self/fd): nobody can put a link in its way. Elsewhere the directory's real path is
 * compared before the call; who changes the folder at that moment, from outside the guest, could still slip a link in.
 */
export class NodeHostTree implements HostTree {
  readonly #root: string;
  readonly #handles: boolean;

  /** `folder`: any path; links in it are followed once, here. Throws what realpath throws. */
  constructor(folder: string, handles = process.platform === 'linux') {
    // Without handles names are text. The host's own root is '' here: what follows begins with '/'.
    const root = handles ? fs.realpathSync.native(folder, 'latin1') : fs.realpathSync.native(folder);
    this.#root = root.replace(/[/\\]$/, '');
    this.#handles = handles;
  }

  status(path: string): HostStatus | null {
    try {
      return this.#at(path, (name) => statusOf(fs.lstatSync(name, { bigint: true })));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'ENOENT') return null;
      throw error;
    }
  }

  list(path: string): string[] {
    return this.#in(path, (directory) =>
      this.#handles
        ? fs.readdirSync(directory, { encoding: 'latin1' as BufferEncoding })
        : fs.readdirSync(directory).map((name) => Buffer.from(name).toString('latin1')),
    );
  }

  open(path: string, { write, create }: { write: boolean; create?: number }): HostFile {
    const flags = (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | (create === undefined ? 0 : O_CREAT | O_EXCL);
    const file = this.#at(path, (name) => fs.openSync(name, flags, create));
    if (fs.fstatSync(file).isFile()) return new NodeFile(file);
    fs.closeSync(file);
    throw failure('ENXIO');
  }

  makeDirectory(path: string, mode: number): void {
    this.#at(path, (name) => fs.mkdirSync(name, mode));
  }

  symlink(target: string, path: string): void {
    this.#at(path, (name) => fs.symlinkSync(this.#text(target), name));
  }

  readlink(path: string): string {
    return this.#at(path, (name) => fs.readlinkSync(name, 'buffer').toString('latin1'));
  }

  link(from: string, to: string): void {
    this.#at(from, (old) => this.#at(to, (name) => fs.linkSync(old, name)));
  }

  unlink(path: string): void {
    this.#at(path, (name) => fs.unlinkSync(name));
  }

  rmdir(path: string): void {
    this.#at(path, (name) => fs.rmdirSync(name));
  }

  rename(from: string, to: string): void {
    this.#at(from, (old) => this.#at(to, (name) => fs.renameSync(old, name)));
  }

  chmod(path: string, mode: number): void {
    this.#at(path, (name) => {
      if (!this.#handles) {
        if (fs.lstatSync(name).isSymbolicLink()) throw failure('EOPNOTSUPP');
        return fs.chmodSync(name, mode);
      }
      const file = fs.openSync(name, O_PATH | O_NOFOLLOW);
      try {
        if (fs.fstatSync(file).isSymbolicLink()) throw failure('EOPNOTSUPP');
        fs.chmodSync(`/proc/self/fd/${file}`, mode);
      } finally {
        fs.closeSync(file);
      }
    });
  }

  setTimes(path: string, atime: bigint, mtime: bigint): void {
    // Node takes seconds as a floating-point number: to about 0.2 microseconds today.
    this.#at(path, (name) => fs.lutimesSync(name, Number(atime) / 1e9, Number(mtime) / 1e9));
  }

  statistics() {
    const { bsize, blocks, bfree, files, ffree } = fs.statfsSync(this.#whole(''));
    return { blockSize: bsize, blocks, blocksFree: bfree, files, filesFree: ffree };
  }

  #whole(path: string): string {
    return path === '' && this.#root !== '' ? this.#root : `${this.#root}/${path}`;
  }

  #text(path: string): string | Buffer {
    return this.#handles ? bytes(path) : bytes(path).toString();
  }

  /** Runs an act with a name in the host's terms for `path`, whose directory is known to be where it should. */
  #at<T>(path: string, act: (name: Buffer | string) => T): T {
    const slash = path.lastIndexOf('/');
    if (path === '') return this.#in('', (directory) => act(directory));
    const name = path.slice(slash + 1);
    if (name === '' || name === '.' || name === '..' || path.includes('\0')) throw failure('EINVAL');
    return this.#in(slash < 0 ? '' : path.slice(0, slash), (directory) =>
      act(this.#handles ? bytes(`${directory}/${name}`) : `${directory}/${this.#text(name)}`),
    );
  }

  /** Runs an act with a directory, as something that names in it can be appended to. */
  #in<T>(path: string, act: (directory: string) => T): T {
    if (!this.#handles) {
      const expected = this.#whole(`${this.#text(path)}`);
      const native = process.platform === 'win32' ? expected.replaceAll('/', '\\') : expected;
      if (fs.realpathSync.native(expected) !== native) throw failure('ELOOP');
      return act(expected);
    }
    const expected = this.#whole(path);
    const handle = fs.openSync(bytes(expected), O_PATH | O_DIRECTORY | O_NOFOLLOW);
    try {
      // With links on the way the handle is somewhere else, and says so.
      if (fs.readlinkSync(`/proc/self/fd/${handle}`, 'buffer').toString('latin1') !== expected) throw failure('ELOOP');
      // The dot: otherwise lstat would look at the link in /proc.
      return act(`/proc/self/fd/${handle}/.`);
    } finally {
      fs.closeSync(handle);
    }
  }
}
