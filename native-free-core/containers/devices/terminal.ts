// A terminal: line discipline between whoever types and the programs that have it as their tty.
// Owns settings, line editing, echo, signals from keys, output processing, and who may read (job control).
// Never knows what shows its output: the console or the master side of a pty takes it.

import { errno } from '../errno.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Session } from '../kernel/process.ts';
import { bitOf, SIG_IGN, Signal } from '../kernel/signal-numbers.ts';
import { signalGroup } from '../kernel/signals.ts';
import type { Task } from '../kernel/task.ts';
import { WaitQueue } from '../kernel/wait-queue.ts';
import { POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM } from '../vfs/constants.ts';
import { type Inode, OpenFile, type UserMemory } from '../vfs/types.ts';
import { Control, Iflag, Lflag, Oflag, TERMIOS_BYTES, Termios } from './termios.ts';

/** Most bytes that wait to be read: N_TTY_BUF_SIZE. */
const INPUT_MAX = 4096;
const NEWLINE = 10;
const RETURN = 13;

const Ioctl = {
  tcgets: 0x5401,
  tcsets: 0x5402,
  tcsetsw: 0x5403,
  tcsetsf: 0x5404,
  tcsbrk: 0x5409,
  tcxonc: 0x540a,
  tcflsh: 0x540b,
  tiocsctty: 0x540e,
  tiocgpgrp: 0x540f,
  tiocspgrp: 0x5410,
  tiocoutq: 0x5411,
  tiocgwinsz: 0x5413,
  tiocswinsz: 0x5414,
  fionread: 0x541b,
  tiocnotty: 0x5422,
  tiocgsid: 0x5429,
  tcsbrkp: 0x5425,
} as const;

export interface TerminalOutput {
  /** Takes what is to be shown; how many bytes it took. */
  show(bytes: Uint8Array): number;
  /** Something may have been taken since. */
  readonly room: WaitQueue;
}

export class Terminal {
  readonly termios = new Termios();
  readonly changed = new WaitQueue();
  /** Rows, columns, and pixels, as struct winsize. */
  size = new Uint16Array([24, 80, 0, 0]);
  session: Session | undefined;
  /** The process group in the foreground. */
  group = 0;
  /** Nobody is at the other side any more. */
  hungUp = false;
  /** Its number as a device, for /proc/PID/stat. */
  readonly device: number;
  private readonly kernel: Kernel;
  private readonly output: TerminalOutput;
  /** Complete lines, or bytes where lines are not edited; an end of file is a piece of none. */
  private readonly ready: number[][] = [];
  /** The line being edited. */
  private line: number[] = [];
  private literalNext = false;
  private column = 0;
  private stopped = false;

  constructor(kernel: Kernel, device: number, output: TerminalOutput) {
    this.kernel = kernel;
    this.device = device;
    this.output = output;
  }

  private has(flag: number): boolean {
    return (this.termios.local & flag) !== 0;
  }

  private get waiting(): number {
    let bytes = this.line.length;
    for (const piece of this.ready) bytes += piece.length;
    return bytes;
  }

  // ---- what is typed

  /** Bytes that somebody typed. */
  type(bytes: Uint8Array): void {
    for (const byte of bytes) this.key(byte);
    this.changed.wake();
  }

  private key(typed: number): void {
    const { termios } = this;
    const { characters, input } = termios;
    let byte = input & Iflag.istrip ? typed & 0x7f : typed;
    if (this.literalNext) {
      this.literalNext = false;
      this.accept(byte);
      return;
    }
    if (byte === RETURN) {
      if (input & Iflag.igncr) return;
      if (input & Iflag.icrnl) byte = NEWLINE;
    } else if (byte === NEWLINE && input & Iflag.inlcr) byte = RETURN;
    const is = (index: number): boolean => characters[index] !== 0 && byte === characters[index];
    if (this.has(Lflag.isig)) {
      const signal = is(Control.intr)
        ? Signal.SIGINT
        : is(Control.quit)
          ? Signal.SIGQUIT
          : is(Control.susp)
            ? Signal.SIGTSTP
            : 0;
      if (signal !== 0) {
        if (!this.has(Lflag.noflsh)) this.flush();
        this.echo(byte);
        if (this.group !== 0) signalGroup(this.kernel, this.group, signal);
        return;
      }
    }
    if (input & Iflag.ixon && (is(Control.stop) || is(Control.start))) {
      this.stopped = is(Control.stop);
      if (!this.stopped) this.output.room.wake();
      return;
    }
    if (!this.has(Lflag.icanon)) {
      this.accept(byte);
      return;
    }
    if (this.has(Lflag.iexten) && is(Control.lnext)) {
      this.literalNext = true;
      return;
    }
    if (is(Control.erase)) this.erase();
    else if (is(Control.kill)) while (this.line.length > 0) this.erase();
    else if (this.has(Lflag.iexten) && is(Control.werase)) this.eraseWord();
    else if (is(Control.eof)) this.endLine(this.line);
    else if (byte === NEWLINE || is(Control.eol) || is(Control.eol2)) {
      this.echoNewline(byte);
      this.endLine([...this.line, byte]);
    } else this.accept(byte);
  }

  private accept(byte: number): void {
    if (this.waiting >= INPUT_MAX) return;
    this.echo(byte);
    if (this.has(Lflag.icanon)) this.line.push(byte);
    else this.ready.push([byte]);
  }

  private endLine(line: number[]): void {
    this.ready.push(line);
    this.line = [];
  }

  private erase(): void {
    // A character of several bytes goes as a whole.
    let byte = this.line.pop();
    if (byte === undefined) return;
    while (this.termios.input & Iflag.iutf8 && (byte & 0xc0) === 0x80 && this.line.length > 0) byte = this.line.pop()!;
    if (!this.has(Lflag.echo) || !this.has(Lflag.echoe)) return;
    const width = byte < 32 && byte !== 9 && this.has(Lflag.echoctl) ? 2 : 1;
    for (let back = 0; back < width; back++) this.put([8, 32, 8]);
  }

  private eraseWord(): void {
    const last = (): number | undefined => this.line[this.line.length - 1];
    while (last() === 32) this.erase();
    while (last() !== undefined && last() !== 32) this.erase();
  }

  private echo(byte: number): void {
    if (!this.has(Lflag.echo)) return;
    if (byte < 32 && byte !== 9 && byte !== NEWLINE && this.has(Lflag.echoctl)) this.put([0x5e, byte + 64]);
    else if (byte === 127 && this.has(Lflag.echoctl)) this.put([0x5e, 0x3f]);
    else this.put(this.processed(byte));
  }

  private echoNewline(byte: number): void {
    if (this.has(Lflag.echo) || (this.has(Lflag.echonl) && byte === NEWLINE)) this.put(this.processed(byte));
  }

  private put(bytes: readonly number[]): void {
    this.output.show(Uint8Array.from(bytes));
  }

  /** Throws away what was typed and not read. */
  flush(): void {
    this.line = [];
    this.ready.length = 0;
  }

  hangUp(): void {
    this.hungUp = true;
    if (this.session) {
      const leader = this.kernel.processes.get(this.session.id);
      if (leader) signalGroup(this.kernel, leader.group, Signal.SIGHUP);
      if (leader) signalGroup(this.kernel, leader.group, Signal.SIGCONT);
    }
    this.changed.wake();
    this.output.room.wake();
  }

  // ---- what programs do

  /** A byte as the terminal shows it. */
  private processed(byte: number): readonly number[] {
    const { output } = this.termios;
    if ((output & Oflag.opost) === 0) return [byte];
    if (byte === NEWLINE && output & Oflag.onlcr) {
      this.column = 0;
      return [RETURN, NEWLINE];
    }
    if (byte === RETURN) {
      if (output & Oflag.ocrnl) return [NEWLINE];
      if (output & Oflag.onocr && this.column === 0) return [];
      this.column = 0;
    } else if (byte >= 32) this.column++;
    return [byte];
  }

  /** Whether there is something to read. */
  get isReadable(): boolean {
    return this.ready.length > 0 || this.hungUp;
  }

  read(into: Uint8Array): number {
    this.demandForeground(Signal.SIGTTIN);
    if (this.ready.length === 0) {
      if (this.hungUp) return 0;
      // VMIN 0 without VTIME only looks.
      if (!this.has(Lflag.icanon) && this.termios.characters[Control.min] === 0) return 0;
      throw errno('EAGAIN');
    }
    let done = 0;
    while (done < into.length && this.ready.length > 0) {
      const piece = this.ready[0];
      const part = piece.splice(0, into.length - done);
      into.set(part, done);
      done += part.length;
      if (piece.length > 0) break;
      this.ready.shift();
      // A call gives one line at most.
      if (this.has(Lflag.icanon)) break;
    }
    return done;
  }

  write(from: Uint8Array): number {
    if (this.has(Lflag.tostop)) this.demandForeground(Signal.SIGTTOU);
    if (this.hungUp) throw errno('EIO');
    if (this.stopped) throw errno('EAGAIN');
    if ((this.termios.output & Oflag.opost) === 0) {
      const taken = this.output.show(from);
      if (taken === 0 && from.length > 0) throw errno('EAGAIN');
      return taken;
    }
    let done = 0;
    while (done < from.length) {
      const part = from.subarray(done, done + 1024);
      const shown: number[] = [];
      for (const byte of part) shown.push(...this.processed(byte));
      if (this.output.show(Uint8Array.from(shown)) < shown.length) {
        if (done === 0) throw errno('EAGAIN');
        break;
      }
      done += part.length;
    }
    return done;
  }

  /** A group in the background that reads, or that writes where it may not, is stopped. Throws EIO, EINTR. */
  private demandForeground(signal: number): void {
    const task = this.kernel.current;
    if (!task || !this.isControlling(task) || this.group === 0 || task.process.group === this.group) return;
    const ignored = task.process.handlers.get(signal).handler === SIG_IGN || (task.blocked & bitOf(signal)) !== 0n;
    if (ignored) {
      if (signal === Signal.SIGTTOU) return;
      throw errno('EIO');
    }
    signalGroup(this.kernel, task.process.group, signal);
    task.interrupted = 'restart';
    throw errno('EINTR');
  }

  private isControlling(task: Task): boolean {
    return this.session !== undefined && task.process.session === this.session;
  }

  /** Becomes the controlling terminal of the task's session. */
  control(task: Task): void {
    const { session } = task.process;
    this.session = session;
    this.group = task.process.group;
    session.terminal = this;
  }

  /** Its session gives it up: another one may have it. */
  abandon(): void {
    if (this.session) this.session.terminal = null;
    this.session = undefined;
    this.group = 0;
  }

  get poll(): number {
    return (
      (this.isReadable ? POLLIN | POLLRDNORM : 0) | (this.hungUp ? POLLHUP : this.stopped ? 0 : POLLOUT | POLLWRNORM)
    );
  }

  /** Requests that both sides of a pty understand. `undefined`: none of them. */
  sharedIoctl(request: number, argument: number, memory: UserMemory): number | undefined {
    switch (request) {
      case Ioctl.tcgets:
        memory.write(argument, this.termios.toBytes());
        return 0;
      case Ioctl.tcsets:
      case Ioctl.tcsetsw:
      case Ioctl.tcsetsf: {
        const bytes = new Uint8Array(TERMIOS_BYTES);
        memory.read(argument, bytes);
        if (request === Ioctl.tcsetsf) this.flush();
        const wasCanonical = this.has(Lflag.icanon);
        this.termios.fromBytes(bytes);
        // What was being edited can be read as it is.
        if (wasCanonical && !this.has(Lflag.icanon) && this.line.length > 0) this.endLine(this.line);
        this.changed.wake();
        return 0;
      }
      case Ioctl.tiocgwinsz:
        memory.write(argument, new Uint8Array(this.size.buffer));
        return 0;
      case Ioctl.tiocswinsz: {
        const bytes = new Uint8Array(8);
        memory.read(argument, bytes);
        this.resize(new Uint16Array(bytes.buffer));
        return 0;
      }
      case Ioctl.tcflsh:
        if (argument !== 1) this.flush();
        return 0;
      case Ioctl.tcsbrk:
      case Ioctl.tcsbrkp:
        return 0;
      case Ioctl.tcxonc:
        this.stopped = argument === 0;
        if (!this.stopped) this.output.room.wake();
        return 0;
      default:
        return undefined;
    }
  }

  resize(size: Uint16Array<ArrayBuffer>): void {
    if (this.size.every((value, index) => value === size[index])) return;
    this.size = size.slice();
    if (this.group !== 0) signalGroup(this.kernel, this.group, Signal.SIGWINCH);
  }

  ioctl(request: number, argument: number, memory: UserMemory): number {
    const shared = this.sharedIoctl(request, argument, memory);
    if (shared !== undefined) return shared;
    const task = this.kernel.current;
    if (!task) throw errno('ENOTTY');
    const word = new Uint8Array(4);
    const put = (value: number): number => {
      new DataView(word.buffer).setInt32(0, value, true);
      memory.write(argument, word);
      return 0;
    };
    switch (request) {
      case Ioctl.tiocgpgrp:
        if (!this.isControlling(task)) throw errno('ENOTTY');
        return put(task.pidSeen(this.group));
      case Ioctl.tiocspgrp: {
        if (!this.isControlling(task)) throw errno('ENOTTY');
        memory.read(argument, word);
        const group = task.pidMeant(new DataView(word.buffer).getInt32(0, true));
        const { session } = task.process;
        const member = [...this.kernel.processes.values()].find((process) => process.group === group);
        if (!member) throw errno('ESRCH');
        if (member.session !== session) throw errno('EPERM');
        if (task.process.group !== this.group) this.demandForeground(Signal.SIGTTOU);
        this.group = group;
        return 0;
      }
      case Ioctl.tiocgsid:
        if (!this.isControlling(task)) throw errno('ENOTTY');
        return put(task.pidSeen(this.session!.id));
      case Ioctl.tiocsctty: {
        const { session } = task.process;
        if (session.terminal === this) return 0;
        if (session.id !== task.process.pid || session.terminal || this.session) throw errno('EPERM');
        this.control(task);
        return 0;
      }
      case Ioctl.tiocnotty:
        if (!this.isControlling(task)) throw errno('ENOTTY');
        if (task.process.pid === this.session!.id) this.abandon();
        return 0;
      case Ioctl.fionread:
        return put(this.ready.reduce((sum, piece) => sum + piece.length, 0));
      case Ioctl.tiocoutq:
        return put(0);
      default:
        throw errno('ENOTTY');
    }
  }

  /** What the terminal's output waits for. */
  onReady(waiter: () => void): () => void {
    const input = this.changed.add(waiter);
    const output = this.output.room.add(waiter);
    return () => {
      input();
      output();
    };
  }
}

/** A tty as a program has it open. */
export class TerminalFile extends OpenFile {
  override readonly seekable = false;
  readonly inode: Inode;
  readonly terminal: Terminal;
  private readonly onClose: () => void;

  constructor(inode: Inode, terminal: Terminal, onClose: () => void = () => {}) {
    super();
    this.inode = inode;
    this.terminal = terminal;
    this.onClose = onClose;
  }

  override read(into: Uint8Array): number {
    return this.terminal.read(into);
  }

  override write(from: Uint8Array): number {
    return this.terminal.write(from);
  }

  override ioctl(request: number, argument: number, memory: UserMemory): number {
    return this.terminal.ioctl(request, argument, memory);
  }

  override poll(): number {
    return this.terminal.poll;
  }

  override onReady(waiter: () => void): () => void {
    return this.terminal.onReady(waiter);
  }

  override release(): void {
    this.onClose();
  }
}
