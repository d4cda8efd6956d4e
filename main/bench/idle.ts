// What a guest that waits costs: the host's CPU time while its /init waits for a line that nobody types.
// Owns the process, how long it is left alone and how long it is watched.
// Never runs where the host does not tell the CPU time of a process.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from './engines.ts';

/** Seconds after the boot in which a kernel still finishes what it began, and code becomes hot. */
const SETTLE = 25;
/** Seconds that are watched. */
const WATCH = 10;
/** Linux tells it to the nanosecond; what it samples at its own ticks is wrong for who wakes at those. */
export const canMeasureIdle = existsSync('/proc/self/schedstat');

/** Time that the threads of a process have executed, in seconds (Documentation/scheduler/sched-stats.rst: first field). */
function cpuSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((thread) => {
    const [executed] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ');
    return Number(executed);
  });
  return nanoseconds.reduce((sum, one) => sum + one, 0) / 1e9;
}

/**
 * Share of one core that the process of a guest takes while the guest waits. Rejects with one sentence if it does not come
 * to wait within `seconds`, or ends. The process is gone in every case.
 */
export async function idleShare({ file, args }: Command, seconds: number, signal?: AbortSignal): Promise<number> {
  signal?.throwIfAborted();
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = Promise.withResolvers<never>();
  child.on('close', () => ended.reject(new Error('the guest ended instead of waiting')));
  child.on('error', (error) => ended.reject(new Error(`${file} could not be started: ${error.message}`)));
  const late = setTimeout(
    () => ended.reject(new Error(`the guest did not wait within ${seconds} seconds`)),
    seconds * 1000,
  );
  const aborted = (): void => ended.reject(new Error('interrupted'));
  signal?.addEventListener('abort', aborted);
  const waits = async (): Promise<void> => {
    for await (const line of createInterface(child.stdout)) if (line.includes('BENCH idle')) return;
  };
  const watch = async (): Promise<number> => {
    await waits();
    clearTimeout(late);
    child.stdout.resume();
    await sleep(SETTLE * 1000);
    const [before, began] = [cpuSeconds(child.pid!), performance.now()];
    await sleep(WATCH * 1000);
    return (cpuSeconds(child.pid!) - before) / ((performance.now() - began) / 1000);
  };
  try {
    return await Promise.race([watch(), ended.promise]);
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', aborted);
    child.kill('SIGKILL');
  }
}
