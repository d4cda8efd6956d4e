// A serial console on this process's standard input: raw where it is a terminal, bytes as they come where it is not.
// Owns the terminal's mode while it is attached, and gives it back whatever happens.
// Never writes to the console's output side.

import { tell } from './output.ts';

/** Ctrl-] leaves, as in telnet and virsh. */
const LEAVE = 0x1d;

/** Bytes that may have been sent and not been taken, before standard input is read no further. */
const UNTAKEN_MAX = 1 << 20;

export interface Terminal {
  /** So many bytes have been taken by whoever the input is for; only told where `isCounted`. */
  taken(bytes: number): void;
  detach(): void;
}

export interface TerminalOptions {
  /** Called for Ctrl-], on a terminal only; without it Ctrl-] is a key like others. */
  leave?: () => void;
  /** Standard input has ended. */
  ended?: () => void;
  /** What is read waits until what was read before has been taken. */
  isCounted?: boolean;
  /** Standard input is a terminal, and is to be used as one: keys come as they are typed. Default: as it is. */
  isRaw?: boolean;
  /** This terminal has another size. */
  resized?: (size: { rows: number; columns: number }) => void;
}

/** The size of the terminal that this process writes to. */
export function terminalSize(): { rows: number; columns: number } {
  const { rows, columns } = process.stdout;
  return { rows: rows || 24, columns: columns || 80 };
}

/** Reads standard input from now on. */
export function attachTerminal(input: (bytes: Uint8Array) => void, options: TerminalOptions): Terminal {
  const { stdin } = process;
  const { leave, ended, isCounted = false, isRaw = true, resized } = options;
  const isTerminal = stdin.isTTY === true && isRaw;
  let untaken = 0;
  const restore = (): void => {
    if (isTerminal) stdin.setRawMode(false);
  };
  const receive = (bytes: Buffer): void => {
    const at = isTerminal && leave ? bytes.indexOf(LEAVE) : -1;
    const typed = at < 0 ? bytes : bytes.subarray(0, at);
    if (isCounted && (untaken += typed.length) > UNTAKEN_MAX) stdin.pause();
    if (typed.length > 0) input(new Uint8Array(typed));
    if (at >= 0) leave?.();
  };
  const end = (): void => ended?.();
  const resize = (): void => resized?.(terminalSize());
  if (isTerminal) {
    stdin.setRawMode(true);
    if (leave) tell('Ctrl-] leaves.\r');
  }
  stdin.on('data', receive);
  stdin.on('end', end);
  process.stdout.on('resize', resize);
  process.on('exit', restore);
  return {
    taken(bytes) {
      untaken -= bytes;
      if (untaken <= UNTAKEN_MAX && stdin.isPaused()) stdin.resume();
    },
    detach() {
      stdin.off('end', end);
      process.stdout.off('resize', resize);
      stdin.off('data', receive);
      process.off('exit', restore);
      restore();
      // A stream that is no longer read must not keep the process alive.
      stdin.pause();
      stdin.unref?.();
    },
  };
}
