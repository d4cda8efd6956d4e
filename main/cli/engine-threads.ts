// How many threads V8 has for itself: for optimizing, compiling and collecting garbage.
// Owns beginning the process anew where there are more of them than the host has processors for.
// Never returns where it does; keeps the process's number, arguments, environment and open files.

import { availableParallelism } from 'node:os';

/** What Node gives V8 unless told otherwise. */
const DEFAULT_THREADS = 4;
const OPTION = '--v8-pool-size';
/** Verbs whose process executes guests: for others, beginning anew takes longer than it saves. */
const GUEST_VERBS: ReadonlySet<string> = new Set(['run', 'serve', 'daemon']);

/**
 * Leaves a guest's two threads the processors that they need: on two processors, four threads that optimize translations
 * take a tenth to a third of a guest's speed while its code is new. Node knows the number only as an option of its start, so
 * the program is executed once more with it (execve), which takes 0.03 s; not on Windows, which has no such call.
 */
export function limitEngineThreads(args: readonly string[], processors = availableParallelism()): void {
  const threads = Math.max(1, processors - 1);
  if (threads >= DEFAULT_THREADS - 1 || !GUEST_VERBS.has(args[0] ?? '') || !process.execve) return;
  if (process.platform === 'win32' || process.versions.electron !== undefined) return;
  if (`${process.execArgv} ${process.env.NODE_OPTIONS ?? ''}`.includes(OPTION)) return;
  const program = [`${OPTION}=${threads}`, ...process.execArgv, ...process.argv.slice(1)];
  process.execve(process.execPath, [process.argv0, ...program], process.env);
}
