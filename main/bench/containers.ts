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
  /** Guests that waited at once. */
  guests: number;
  /** Resident memory of the process for each guest beyond the first; null where the host does not tell. */
  mebibytesEach: number | null;
}

/** Starts that are measured, and those before that warm up. */
const STARTS = 15;
const WARM_UP = 3;
const IDLE_GUESTS = 20;
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

/** Measures with the workloads' program, whose folder is the guests' root. */
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
      await client.call('guests.create', { settings: { name, kind: 'os', image: dirname(program), command } });
    };
    progress?.('starts of a program that does nothing');
    await create('true', 'true');
    const runs: number[] = [];
    for (let run = 0; run < WARM_UP + STARTS; run++) {
      signal?.throwIfAborted();
      const began = performance.now();
      await oneRun(client, 'true');
      if (run >= WARM_UP) runs.push(performance.now() - began);
    }
    progress?.(`${IDLE_GUESTS} guests that wait`);
    let first: number | null = null;
    for (let guest = 0; guest < IDLE_GUESTS; guest++) {
      signal?.throwIfAborted();
      await create(`idle ${guest}`, 'idle');
      await client.call('guests.start', { guest: `idle ${guest}` });
      if (guest > 0) continue;
      await sleep(SETTLE);
      first = residentMiB(owner.pid!);
    }
    await sleep(SETTLE);
    const all = residentMiB(owner.pid!);
    client.close();
    return {
      startMilliseconds: median(runs),
      startRuns: runs,
      guests: IDLE_GUESTS,
      mebibytesEach: all === null || first === null ? null : (all - first) / (IDLE_GUESTS - 1),
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
