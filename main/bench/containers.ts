// What guests of kind os cost beside executing: their start, and the memory of those that wait.
// Owns the process that runs them, and its home.
// Never measures what a host does not tell: the memory of a process is Linux's word.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../contract.ts';
import { connectToOwner } from '../home/home.ts';
import { bundledCommandLine } from './engines.ts';
import type { BenchGuest } from './guest.ts';
import { median } from './results.ts';
import { compileWorkloads, type Width, type Workload, workloads } from './workloads.ts';

export interface ContainerFigures {
  /** From the call that starts a guest to the word of its end, in a process that has run such a guest before. */
  startMilliseconds: number;
  startRuns: number[];
  /** Milliseconds of processor time that a start takes in all threads of the process; null where the host does not tell. */
  processorMilliseconds: number | null;
  /** Guests that waited at once, and resident memory of the process for each beyond the first; empty where the host does not tell. */
  idle: { guests: number; mebibytesEach: number }[];
}

/** Starts that are measured, and those before that warm up. */
const STARTS = 50;
const WARM_UP = 3;
const IDLE_GUESTS = [50, 200] as const;
const isMeasured = (guests: number): boolean => IDLE_GUESTS.some((each) => each === guests);
const IMAGE = 'bench';
/** Milliseconds of a clock tick, as /proc counts them: USER_HZ is 100 wherever Linux runs. */
const TICK = 10;
/** Milliseconds for a process to answer, and for a guest to begin. */
const PATIENCE = 30_000;
/** Milliseconds in which guests that wait become quiet. */
const SETTLE = 3000;

/** The workloads as a program that a container runs; what a system in a machine would need besides is left empty. */
export async function osProgram(width: Width, only: readonly Workload[], scale: number): Promise<BenchGuest> {
  const programArguments = [`scale=${scale}`, ...(only.length > 0 ? only : workloads)];
  const files = { kernel: '', initrd: '', append: '', appendIdle: '' };
  return { width, ...files, memoryMiB: 256, program: compileWorkloads(width), programArguments };
}

/** Measures with the workloads' program, which becomes an image first, as guests' programs are. */
export async function containerFigures(
  program: string,
  { progress, signal }: { progress?: (message: string) => void; signal?: AbortSignal },
): Promise<ContainerFigures> {
  const home = mkdtempSync(join(tmpdir(), 'trivisor-bench-'));
  const owner = spawn(process.execPath, [bundledCommandLine(), 'daemon', '--home', home], { stdio: 'ignore' });
  try {
    const client = await connect(home, owner);
    const create = async (name: string, word: string): Promise<void> => {
      const command = [`/${basename(program)}`, word];
      await client.call('guests.create', { settings: { name, kind: 'os', image: IMAGE, command } });
    };
    await client.call('images.import', { source: dirname(program), name: IMAGE });
    progress?.('starts of a program that does nothing');
    await create('true', 'true');
    const runs: number[] = [];
    let processorBefore: number | null = null;
    for (let run = 0; run < WARM_UP + STARTS; run++) {
      signal?.throwIfAborted();
      const began = performance.now();
      await oneRun(client, 'true');
      if (run >= WARM_UP) runs.push(performance.now() - began);
      if (run === WARM_UP) processorBefore = processorMilliseconds(owner.pid!);
    }
    const processorAfter = processorMilliseconds(owner.pid!);
    const most = Math.max(...IDLE_GUESTS);
    progress?.(`${most} guests that wait`);
    const idle: ContainerFigures['idle'] = [];
    let first: number | null = null;
    for (let guest = 1; guest <= most; guest++) {
      signal?.throwIfAborted();
      await create(`idle ${guest}`, 'idle');
      await client.call('guests.start', { guest: `idle ${guest}` });
      if (guest !== 1 && !isMeasured(guest)) continue;
      await sleep(SETTLE);
      const now = residentMiB(owner.pid!);
      if (guest === 1) first = now;
      else if (now !== null && first !== null) idle.push({ guests: guest, mebibytesEach: (now - first) / (guest - 1) });
    }
    client.close();
    return {
      startMilliseconds: median(runs),
      startRuns: runs,
      processorMilliseconds:
        processorBefore === null || processorAfter === null ? null : (processorAfter - processorBefore) / (STARTS - 1),
      idle,
    };
  } finally {
    const gone = new Promise((resolve) => owner.once('exit', resolve));
    if (owner.exitCode === null && owner.kill('SIGTERM')) await gone;
    rmSync(home, { recursive: true, force: true });
  }
}

/** Starts a guest and waits for its end. */
async function oneRun(client: Client, guest: string): Promise<void> {
  const ended = Promise.withResolvers<void>();
  const off = client.on('guest.ended', (event) => {
    if (event.name === guest) ended.resolve();
  });
  client.onClose((reason) => ended.reject(new Error(reason)));
  await client.call('guests.start', { guest });
  await ended.promise;
  off();
}

async function connect(home: string, owner: { exitCode: number | null }): Promise<Client> {
  for (const late = Date.now() + PATIENCE; Date.now() < late && owner.exitCode === null; await sleep(50)) {
    const client = await connectToOwner(home);
    if (client) return client;
  }
  throw new Error('the process that runs the guests did not answer');
}

/** Resident memory of a process; null where the host does not tell (proc_pid_status(5)). */
function residentMiB(pid: number): number | null {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return null;
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(file, 'utf8'));
  return found ? Number(found[1]) / 1024 : null;
}

/** Processor time of a process and all its threads so far; null where the host does not tell (proc_pid_stat(5)). */
function processorMilliseconds(pid: number): number | null {
  const file = `/proc/${pid}/stat`;
  if (!existsSync(file)) return null;
  // Behind the name, which may hold anything, comes the state as the third field: utime and stime are 14 and 15.
  const fields = readFileSync(file, 'utf8').split(') ').at(-1)!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}
