// Runs the benchmark's guest once and reads the host's clock at each marker it prints.
// Owns the process and its end.
// Never trusts the guest's clock for a ratio: an emulator may make that run as it likes.

import { spawn } from 'node:child_process';
import type { Command } from './engines.ts';

/** One execution: seconds by the host's clock, and what the guest itself said. */
export interface Timing {
  /** From the start of the process to the first line of /init. */
  bootSeconds: number;
  workloads: Map<string, { seconds: number; guestSeconds: number; checksum: string }>;
}

/** Milliseconds a guest gets to power off by itself once it has said that it is done. */
const GRACE = 3000;
/** A guest that prints without end is no benchmark: bytes kept of a line, and of the end of the errors. */
const LONGEST = 8192;

/**
 * Resolves once the guest has said that it is done. Rejects with one sentence if it ends before, fails, or takes longer
 * than `seconds`. The process is gone in every case; `started` is told its number.
 */
export async function timeGuest(
  { file, args }: Command,
  seconds: number,
  signal?: AbortSignal,
  started?: (process: number) => void,
): Promise<Timing> {
  signal?.throwIfAborted();
  const startedAt = performance.now();
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  if (child.pid !== undefined) started?.(child.pid);
  const timing: Timing = { bootSeconds: Number.NaN, workloads: new Map() };
  const begun = new Map<string, number>();
  let errors = '';
  let isDone = false;
  const outcome = Promise.withResolvers<Timing>();
  const closed = new Promise<void>((resolve) => {
    child.on('close', (status, by) => {
      const how = by === null ? `with status ${status}` : `by ${by}`;
      outcome.reject(new Error(`the guest ended ${how} before it was done${lastLine(errors)}`));
      resolve();
    });
    child.on('error', (error) => {
      outcome.reject(new Error(`${file} could not be started: ${error.message}`));
      resolve();
    });
  });

  const read = (line: string): void => {
    const now = performance.now();
    // The kernel's last words and the first of /init may share a line.
    const words = /BENCH (\w+) ?(.*)/.exec(line);
    if (words === null) return;
    const [name, ...rest] = words[2].trim().split(' ');
    switch (words[1]) {
      case 'boot':
        timing.bootSeconds = (now - startedAt) / 1000;
        return;
      case 'begin':
        begun.set(name, now);
        return;
      case 'end':
        timing.workloads.set(name, {
          // Never begun: not a number, which nobody takes for a measurement.
          seconds: (now - (begun.get(name) ?? Number.NaN)) / 1000,
          guestSeconds: Number(rest[0]),
          checksum: rest[1] ?? '',
        });
        return;
      case 'failed':
        outcome.reject(new Error(`the workloads failed in the guest: ${words[2]}`));
        return;
      case 'done':
        isDone = true;
        if (isWhole(timing)) outcome.resolve(timing);
        else outcome.reject(new Error('the guest said it was done, but a marker before that is missing'));
    }
  };

  let line = '';
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    const lines = (line + text).split('\n');
    line = lines.pop()!.slice(-LONGEST);
    for (const whole of lines) read(whole);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-LONGEST);
  });

  const late = setTimeout(() => outcome.reject(new Error(`not done after ${seconds} seconds`)), seconds * 1000);
  const aborted = (): void => outcome.reject(new Error('interrupted'));
  signal?.addEventListener('abort', aborted);
  try {
    return await outcome.promise;
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', aborted);
    const killer = setTimeout(() => child.kill('SIGKILL'), isDone ? GRACE : 0);
    await closed;
    clearTimeout(killer);
  }
}

/** Whether every marker that has a beginning and an end had both. */
function isWhole({ bootSeconds, workloads }: Timing): boolean {
  const numbers = [...workloads.values()].flatMap(({ seconds, guestSeconds }) => [seconds, guestSeconds]);
  return workloads.size > 0 && [bootSeconds, ...numbers].every(Number.isFinite);
}

function lastLine(errors: string): string {
  const line = errors.trim().split('\n').at(-1);
  return line ? `: ${line}` : '';
}
