// A serial console on this process's standard input: raw where it is a terminal, bytes as they come where it is not.
// Owns the terminal's mode while it is attached, and gives it back whatever happens.
// Never writes to the console's output side.

import { tell } from './output.ts';

/** Ctrl-] leaves, as in telnet and virsh. */
const LEAVE = 0x1d;

export interface Terminal {
  detach(): void;
}

/** Reads standard input from now on. `leave` is called for Ctrl-], on a terminal only. */
export function attachTerminal(input: (bytes: Uint8Array) => void, leave: () => void): Terminal {
  const { stdin } = process;
  const isTerminal = stdin.isTTY === true;
  const restore = (): void => {
    if (isTerminal) stdin.setRawMode(false);
  };
  const receive = (bytes: Buffer): void => {
    const at = isTerminal ? bytes.indexOf(LEAVE) : -1;
    const typed = at < 0 ? bytes : bytes.subarray(0, at);
    if (typed.length > 0) input(new Uint8Array(typed));
    if (at >= 0) leave();
  };
  if (isTerminal) {
    stdin.setRawMode(true);
    tell('Ctrl-] leaves.\r');
  }
  stdin.on('data', receive);
  process.on('exit', restore);
  return {
    detach() {
      stdin.off('data', receive);
      process.off('exit', restore);
      restore();
      // A stream that is no longer read must not keep the process alive.
      stdin.pause();
      stdin.unref?.();
    },
  };
}
