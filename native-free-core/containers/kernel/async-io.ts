// Signals for open files that become ready: O_ASYNC and F_SETOWN (fcntl(2)).
// Owns who is told of which open file description.
// Never says what ready means: the file does.

import type { Description } from './descriptors.ts';
import type { Kernel } from './kernel.ts';
import { SiCode, Signal } from './signal-numbers.ts';
import { sendToProcess, signalGroup } from './signals.ts';

interface Watch {
  /** A process; negative: a process group; 0: nobody. */
  owner: number;
  stop: (() => void) | undefined;
  /** The description calls when nobody holds it any more. */
  isHooked: boolean;
}

const watches = new WeakMap<Description, Watch>();

function watchOf(description: Description): Watch {
  let watch = watches.get(description);
  if (!watch) watches.set(description, (watch = { owner: 0, stop: undefined, isHooked: false }));
  return watch;
}

/** F_SETOWN. */
export function setOwner(description: Description, owner: number): void {
  watchOf(description).owner = owner;
}

/** F_GETOWN. */
export const ownerOf = (description: Description): number => watches.get(description)?.owner ?? 0;

/** O_ASYNC is set or cleared: SIGIO goes to the owner whenever something becomes ready. */
export function setAsync(kernel: Kernel, description: Description, isAsync: boolean): void {
  const watch = watchOf(description);
  if (isAsync === (watch.stop !== undefined)) return;
  if (!isAsync) {
    watch.stop?.();
    watch.stop = undefined;
    return;
  }
  watch.stop = description.file.onReady(() => {
    const { owner } = watch;
    if (owner < 0) signalGroup(kernel, -owner, Signal.SIGIO);
    const process = owner > 0 ? kernel.processes.get(owner) : undefined;
    if (process) sendToProcess(kernel, process, { signal: Signal.SIGIO, code: SiCode.SI_KERNEL });
  });
  if (!watch.isHooked) description.onRelease.push(() => watch.stop?.());
  watch.isHooked = true;
}
