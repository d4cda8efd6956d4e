// Which driver a device node of the container leads to.
// Owns the numbers (Documentation/admin-guide/devices.txt) and the first-in-first-out files.
// Never looks up a path.

import { errno } from '../errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Task } from '../kernel/task.ts';
import {
  deviceMajor,
  deviceMinor,
  makeDevice,
  O_ACCMODE,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  S_IFCHR,
  S_IFIFO,
  S_IFMT,
  S_IFSOCK,
} from '../vfs/constants.ts';
import type { Inode, OpenFile } from '../vfs/types.ts';
import { Pipe, PipeFile } from './pipe.ts';
import { PseudoTerminals, PTS_MAJOR } from './pseudo-terminals.ts';
import { readsNothing, readsZeros, SimpleDevice } from './simple-devices.ts';
import { type Terminal, TerminalFile } from './terminal.ts';

const MEMORY_MAJOR = 1;
const TTY_MAJOR = 5;
/** The guest's console as a device. */
export const CONSOLE_DEVICE = makeDevice(TTY_MAJOR, 1);

export class Devices {
  readonly pseudoTerminals: PseudoTerminals;
  /** The guest's console. */
  readonly console: Terminal;
  private readonly kernel: Kernel;
  private readonly fifos = new WeakMap<Inode, Pipe>();

  constructor(kernel: Kernel, console: Terminal) {
    this.kernel = kernel;
    this.console = console;
    this.pseudoTerminals = new PseudoTerminals(kernel);
  }

  /** What is opened at an inode. A FIFO whose other side is missing is for the caller to wait for. Throws ENXIO. */
  open(task: Task, inode: Inode, flags: number): OpenFile {
    switch (inode.mode & S_IFMT) {
      case S_IFCHR:
        return this.character(task, inode, flags);
      case S_IFIFO:
        return this.fifo(inode, flags);
      case S_IFSOCK:
        throw errno('ENXIO');
      default:
        return inode.open(flags);
    }
  }

  /** The pipe behind an inode that pipe(2) made: /proc/PID/fd/N opens it again. */
  adoptPipe(inode: Inode, pipe: Pipe): void {
    this.fifos.set(inode, pipe);
  }

  /** Reads of it are zeros, and mappings are anonymous memory. */
  isZero(file: OpenFile): boolean {
    return file instanceof SimpleDevice && deviceMinor(file.inode.rdev) === 5;
  }

  private character(task: Task, inode: Inode, flags: number): OpenFile {
    const minor = deviceMinor(inode.rdev);
    switch (deviceMajor(inode.rdev)) {
      case MEMORY_MAJOR:
        return this.memory(inode, minor);
      case TTY_MAJOR:
        if (minor === 0) {
          const terminal = task.process.session.terminal as Terminal | null;
          if (!terminal) throw errno('ENXIO');
          return new TerminalFile(inode, terminal);
        }
        if (minor === 1) return this.adopt(task, new TerminalFile(inode, this.console), flags);
        if (minor === 2) return this.pseudoTerminals.openMaster(inode);
        break;
      case PTS_MAJOR:
        return this.adopt(task, this.pseudoTerminals.openSlave(inode, minor), flags);
    }
    throw errno('ENXIO');
  }

  /** A session leader without a terminal gets the one it opens. */
  private adopt(task: Task, file: TerminalFile, flags: number): TerminalFile {
    const { session, pid } = task.process;
    if ((flags & O_NOCTTY) === 0 && session.id === pid && !session.terminal && !file.terminal.session)
      file.terminal.control(task);
    return file;
  }

  private memory(inode: Inode, minor: number): OpenFile {
    switch (minor) {
      case 3:
        return new SimpleDevice(inode, readsNothing);
      case 5:
        return new SimpleDevice(inode, readsZeros);
      case 7:
        return new SimpleDevice(inode, readsZeros, true);
      case 8:
      case 9:
        return new SimpleDevice(inode, (into) => {
          for (let at = 0; at < into.length; at += 65536)
            this.kernel.host.randomness(into.subarray(at, Math.min(at + 65536, into.length)));
          return into.length;
        });
      default:
        throw errno('ENXIO');
    }
  }

  private fifo(inode: Inode, flags: number): PipeFile {
    let pipe = this.fifos.get(inode);
    if (!pipe) {
      pipe = new Pipe();
      pipe.isNamed = true;
      this.fifos.set(inode, pipe);
    }
    if (pipe.opener) return pipe.opener();
    const access = flags & O_ACCMODE;
    if (access === O_WRONLY && flags & O_NONBLOCK && pipe.readers === 0) throw errno('ENXIO');
    return new PipeFile(pipe, access === O_RDONLY || access === O_RDWR, access !== O_RDONLY, inode);
  }
}
