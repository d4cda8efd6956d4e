// The system calls that are implemented, by number.
// Owns the table, put together from the families.
// Never implements a call.

import type { SystemCall } from '../kernel/kernel.ts';
import { identityCalls } from './identity.ts';
import { inotifyCalls } from './inotify.ts';
import { ipcCalls } from './ipc.ts';
import { memoryCalls } from './memory.ts';
import { memoryFileCalls } from './memory-files.ts';
import { mountCalls } from './mounts.ts';
import { callNumber } from './names.ts';
import { namespaceCalls } from './namespaces.ts';
import { openCalls } from './open.ts';
import { pathCalls } from './paths.ts';
import { pidfdCalls } from './pidfd.ts';
import { pollCalls } from './poll.ts';
import { posixQueueCalls } from './posix-queues.ts';
import { posixTimerCalls } from './posix-timers.ts';
import { processCalls } from './processes.ts';
import { schedulingCalls } from './scheduling.ts';
import { seccompCalls } from './seccomp.ts';
import { signalCalls } from './signals.ts';
import { socketCalls } from './sockets.ts';
import { spliceCalls } from './splice.ts';
import { systemCalls } from './system.ts';
import { timeCalls } from './time.ts';
import { transferCalls } from './transfer.ts';

const families = [
  posixQueueCalls,
  ipcCalls,
  schedulingCalls,
  seccompCalls,
  namespaceCalls,
  mountCalls,
  spliceCalls,
  posixTimerCalls,
  pidfdCalls,
  memoryFileCalls,
  inotifyCalls,
  identityCalls,
  memoryCalls,
  openCalls,
  pathCalls,
  pollCalls,
  processCalls,
  signalCalls,
  socketCalls,
  systemCalls,
  timeCalls,
  transferCalls,
];

/** By number; undefined: not implemented, ENOSYS. */
export function callTable(): (SystemCall | undefined)[] {
  const table: (SystemCall | undefined)[] = new Array(512).fill(undefined);
  for (const family of families)
    for (const [name, call] of Object.entries(family)) {
      const number = callNumber(name);
      if (table[number]) throw new Error(`The system call ${name} is there twice.`);
      table[number] = call;
    }
  return table;
}
