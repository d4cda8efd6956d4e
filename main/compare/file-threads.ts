// What the threads that read and write files for this process have executed: work for a guest that its own thread does not do.
// Owns how they are told from others, by the host's own accounts of threads.
// Never tells whose files they were: that is whoever was the only one at work.

import { readdirSync, readFileSync } from 'node:fs';

const TASKS = '/proc/self/task';
/** What libuv calls the threads of its pool. */
const NAME = 'libuv-worker';

/** Seconds of the host's processors so far; 0 where the host does not tell. */
export function fileThreadSeconds(): number {
  let nanoseconds = 0;
  for (const task of tasks()) {
    try {
      if (readFileSync(`${TASKS}/${task}/comm`, 'utf8').trim() !== NAME) continue;
      nanoseconds += Number(readFileSync(`${TASKS}/${task}/schedstat`, 'utf8').split(' ')[0]);
    } catch (error) {
      // A thread may end meanwhile; those of the pool do not.
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return nanoseconds / 1e9;
}

function tasks(): string[] {
  try {
    return readdirSync(TASKS);
  } catch {
    return [];
  }
}
