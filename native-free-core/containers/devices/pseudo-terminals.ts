// Pseudo-terminals: masters from /dev/ptmx, and the terminals behind them in /dev/pts (pty(7)).
// Owns their numbers and the way of bytes between both sides.
// Never edits a line: the terminal does.

import { errno } from '../errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { makeDevice, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../vfs/constants.ts';
import { type FileSystem, type Inode, type Location, OpenFile, type UserMemory } from '../vfs/types.ts';
import { Terminal, TerminalFile } from './terminal.ts';

export const PTS_MAJOR = 136;

const TIOCGPTN = 0x80045430;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTLCK = 0x80045439;
const FIONREAD = 0x541b;
/** Bytes that a master can leave unread before programs wait. */
const OUTPUT_MAX = 65536;
/** kernel.pty.max */
const PTY_MAX = 4096;

/** What is in /dev/pts, for whoever shows it. */
export interface PtyDirectory {
  /** Where it is then. */
  add(number: number): Location;
  remove(number: number): void;
}

export interface HostTerminal {
  readonly terminal: Terminal;
  readonly node: Location;
  /** While it is held the host takes nothing, and who writes waits. */
  hold(held: boolean): void;
  /** The host's side is gone: the terminal hangs up. */
  close(): void;
}

export class PseudoTerminals {
  private readonly kernel: Kernel;
  private readonly masters = new Map<number, { openSlave(inode: Inode): TerminalFile }>();
  directory: PtyDirectory | undefined;
  /** Where they are seen; set with the guest's mounts. */
  fileSystem!: FileSystem;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Throws ENOSPC. */
  private newNumber(): number {
    let number = 0;
    while (this.masters.has(number)) number++;
    if (number >= PTY_MAX) throw errno('ENOSPC');
    return number;
  }

  /** A terminal in /dev/pts whose other side is the host. Throws ENOSPC. */
  openForHost(show: (bytes: Uint8Array) => void): HostTerminal {
    const number = this.newNumber();
    const room = new WaitQueue();
    let isHeld = false;
    const terminal = new Terminal(this.kernel, makeDevice(PTS_MAJOR, number), {
      room,
      show: (bytes) => {
        if (isHeld) return 0;
        show(bytes.slice());
        return bytes.length;
      },
    });
    this.masters.set(number, { openSlave: (inode) => new TerminalFile(inode, terminal) });
    const node = this.directory!.add(number);
    return {
      terminal,
      node,
      hold: (held) => {
        isHeld = held;
        room.wake();
      },
      close: () => {
        if (!this.masters.delete(number)) return;
        this.directory!.remove(number);
        terminal.hangUp();
      },
    };
  }

  openMaster(inode: Inode): OpenFile {
    const number = this.newNumber();
    const master = new Master(inode, this.kernel, number, () => {
      this.masters.delete(number);
      this.directory?.remove(number);
    });
    this.masters.set(number, master);
    this.directory?.add(number);
    return master;
  }

  openSlave(inode: Inode, number: number): TerminalFile {
    const master = this.masters.get(number);
    if (!master) throw errno('EIO');
    return master.openSlave(inode);
  }
}

class Master extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode;
  readonly terminal: Terminal;
  private readonly number: number;
  private readonly onClose: () => void;
  private readonly pieces: Uint8Array[] = [];
  private bytes = 0;
  private locked = true;
  private slaves = 0;
  /** Somebody has had the other side open. */
  private wasOpened = false;
  private readonly changed = new WaitQueue();
  private readonly room = new WaitQueue();

  constructor(inode: Inode, kernel: Kernel, number: number, onClose: () => void) {
    super();
    this.inode = inode;
    this.number = number;
    this.onClose = onClose;
    this.terminal = new Terminal(kernel, makeDevice(PTS_MAJOR, number), {
      room: this.room,
      show: (bytes) => {
        if (this.bytes >= OUTPUT_MAX) return 0;
        this.pieces.push(bytes.slice());
        this.bytes += bytes.length;
        this.changed.wake();
        return bytes.length;
      },
    });
  }

  openSlave(inode: Inode): TerminalFile {
    if (this.locked) throw errno('EIO');
    this.slaves++;
    this.wasOpened = true;
    return new TerminalFile(inode, this.terminal, () => {
      if (--this.slaves === 0) this.changed.wake();
    });
  }

  override read(into: Uint8Array): number {
    if (this.pieces.length === 0) {
      if (this.wasOpened && this.slaves === 0) throw errno('EIO');
      throw errno('EAGAIN');
    }
    let done = 0;
    for (let piece = this.pieces[0]; piece && done < into.length; piece = this.pieces[0]) {
      const count = Math.min(into.length - done, piece.length);
      into.set(piece.subarray(0, count), done);
      if (count < piece.length) this.pieces[0] = piece.subarray(count);
      else this.pieces.shift();
      done += count;
    }
    this.bytes -= done;
    this.room.wake();
    return done;
  }

  override write(from: Uint8Array): number {
    this.terminal.type(from);
    return from.length;
  }

  override ioctl(request: number, argument: number, memory: UserMemory): number {
    const put = (value: number): number => {
      memory.write(argument, new Uint8Array(Int32Array.of(value).buffer));
      return 0;
    };
    switch (request >>> 0) {
      case TIOCGPTN:
        return put(this.number);
      case TIOCSPTLCK: {
        const word = new Uint8Array(4);
        memory.read(argument, word);
        this.locked = word.some((byte) => byte !== 0);
        return 0;
      }
      case TIOCGPTLCK:
        return put(this.locked ? 1 : 0);
      case FIONREAD:
        return put(this.bytes);
      default: {
        const shared = this.terminal.sharedIoctl(request, argument, memory);
        if (shared === undefined) throw errno('ENOTTY');
        return shared;
      }
    }
  }

  override poll(): number {
    const readable = this.bytes > 0 ? POLLIN | POLLRDNORM : 0;
    return readable | POLLOUT | POLLWRNORM | (this.wasOpened && this.slaves === 0 ? POLLHUP : 0);
  }

  override onReady(waiter: () => void): () => void {
    return this.changed.add(waiter);
  }

  override release(): void {
    this.onClose();
    this.terminal.hangUp();
  }
}
