// One guest of `trivisor compare`: started, given commands a line at a time, and measured from outside at each.
// Owns the guest's run and the reading of its counters between two commands.
// Never believes what the guest says of time for anything but its own seconds.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import { rootConfig } from '../containers/images/import-image.ts';
import { GuestSettings, type GuestSettingsInput, type Report, VolumeSettings } from '../contract.ts';
import { RunningGuest } from '../guests/running-guest.ts';
import type { ContainerStart } from '../guests/worker-messages.ts';
import type { Networks } from '../networks/networks.ts';
import { fileThreadSeconds } from './file-threads.ts';
import type { ComparedFiles } from './guest-files.ts';

/** Longest line of a console that is looked at. */
const LINE_MAX = 4096;
/** A key that a terminal shows: x. */
const KEY = 0x78;
/** Milliseconds that a guest which has answered may take to have nothing to do, when its counters are whole. */
const SETTLE = 2000;

/** What one job took, by the host's clock and counters. */
export interface Measured {
  wallSeconds: number;
  guestSeconds: number;
  /** Of the shared kernel, for kind os. */
  kernelSeconds: number;
  hypervisorSeconds: number;
  /** Their parts, but for the seconds of the threads that read and wrote files for it. */
  hypervisorParts: Report['hypervisorSeconds'];
  fileSeconds: number;
  /** Seconds that the host's processors executed this process: all of its threads, whose only work this was. 0: not measured. */
  processorSeconds: number;
  /** Hypervisor seconds of both. */
  hypervisorShare: number;
  exits: number;
  exitsByReason: Record<string, number>;
  instructions: number;
  residentMiB: number;
}

const hypervisorOf = ({ hypervisorSeconds }: Report): number =>
  Object.values(hypervisorSeconds).reduce((sum, seconds) => sum + seconds, 0);

type ProcessWork = Pick<Measured, 'fileSeconds' | 'processorSeconds'>;

/** What this process has executed, since an earlier time where that is given. */
function processWork(since: ProcessWork = { fileSeconds: 0, processorSeconds: 0 }): ProcessWork {
  const { user, system } = process.cpuUsage();
  return {
    fileSeconds: fileThreadSeconds() - since.fileSeconds,
    processorSeconds: (user + system) / 1e6 - since.processorSeconds,
  };
}

/** What happened between two reports of a run. */
export function difference(
  before: Report | null,
  after: Report,
  wallSeconds: number,
  { fileSeconds, processorSeconds }: ProcessWork = { fileSeconds: 0, processorSeconds: 0 },
): Measured {
  const guestSeconds = after.guestSeconds - (before?.guestSeconds ?? 0);
  const hypervisorSeconds = hypervisorOf(after) - (before ? hypervisorOf(before) : 0) + fileSeconds;
  const hypervisorParts = { ...after.hypervisorSeconds };
  for (const part of Object.keys(hypervisorParts) as (keyof typeof hypervisorParts)[])
    hypervisorParts[part] -= before?.hypervisorSeconds[part] ?? 0;
  const busy = guestSeconds + hypervisorSeconds;
  const exitsByReason = Object.fromEntries(
    Object.entries(after.exits).map(([reason, count]) => [reason, count - (before?.exits[reason] ?? 0)]),
  );
  return {
    wallSeconds,
    guestSeconds,
    // Extrapolated from samples, it may be less than it was.
    kernelSeconds: Math.max(0, after.kernelSeconds - (before?.kernelSeconds ?? 0)),
    hypervisorSeconds,
    hypervisorParts,
    fileSeconds,
    processorSeconds,
    hypervisorShare: busy > 0 ? hypervisorSeconds / busy : 0,
    exits: Object.values(exitsByReason).reduce((sum, count) => sum + count, 0),
    exitsByReason,
    instructions: after.instructions - (before?.instructions ?? 0),
    residentMiB: after.memory.residentMiB,
  };
}

export interface ComparedGuestOptions {
  kind: 'full' | 'para' | 'os';
  files: ComparedFiles;
  networks: Networks;
  name: string;
  memoryMiB: number;
  /** A folder of the host that an OS-level guest has as /disk. */
  volume?: string;
  /** Further settings. */
  settings?: Partial<GuestSettingsInput>;
  signal?: AbortSignal | undefined;
  /** The processors that it shares with others. */
  processors?: CpuShares;
  /** An OS-level guest has a terminal, as the others do. */
  tty?: boolean;
}

function containerOf(
  { root, command }: ComparedFiles,
  hostName: string,
  volume: string | undefined,
  tty: boolean,
): ContainerStart {
  const volumes = volume === undefined ? [] : [VolumeSettings.parse({ host: volume, guest: '/disk' })];
  const image = { type: 'folder' as const, folder: root, config: rootConfig() };
  return { root: image, hostName, command, env: [], workdir: null, user: null, volumes, tty, folder: null };
}

export class ComparedGuest implements AsyncDisposable {
  readonly run: RunningGuest;
  readonly kind: ComparedGuestOptions['kind'];
  readonly name: string;
  readonly #startedAt = performance.now();
  #line = '';
  #heard: (line: string) => void = () => {};
  /** Called once with whatever comes next. */
  #answered: (() => void) | null = null;
  #decoder = new TextDecoder();
  readonly #signal: AbortSignal | undefined;

  constructor(options: ComparedGuestOptions) {
    const { kind, files, networks, name, memoryMiB, settings, volume, signal, processors, tty = false } = options;
    this.kind = kind;
    this.name = name;
    this.#signal = signal;
    const boot =
      kind === 'os' ? {} : { kernel: files.kernel, initrd: files.initrd[kind], append: 'console=ttyS0 panic=-1' };
    this.run = new RunningGuest({
      settings: GuestSettings.parse({ name, kind, memoryMiB, noReboot: true, ...boot, ...settings }),
      output: (bytes) => this.#hear(bytes),
      networks,
      identity: randomUUID(),
      ...(kind === 'os' ? { container: containerOf(files, name, volume, tty) } : {}),
      ...(processors ? { processors } : {}),
    });
  }

  #hear(bytes: Uint8Array): void {
    this.#answered?.();
    this.#answered = null;
    const lines = (this.#line + this.#decoder.decode(bytes, { stream: true })).split('\n');
    this.#line = lines.pop()!.slice(-LINE_MAX);
    for (const line of lines) this.#heard(line.trim());
  }

  /** The first line that matches; rejects where the guest fails or ends before, or it takes longer than `seconds`. */
  async #waitFor(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    const found = Promise.withResolvers<RegExpExecArray>();
    this.#heard = (line) => {
      const match = pattern.exec(line);
      if (match) found.resolve(match);
      else if (/COMPARE failed|Out of memory: Killed|Kernel panic/.test(line)) found.reject(new Error(line));
    };
    const timer = setTimeout(() => found.reject(new Error(`it took longer than ${seconds} seconds`)), seconds * 1000);
    const aborted = (): void => found.reject(new Error('interrupted'));
    this.#signal?.addEventListener('abort', aborted);
    try {
      const ended = this.run.ended.then(({ detail }) => Promise.reject(new Error(`the guest ended: ${detail}`)));
      return await Promise.race([found.promise, ended]);
    } finally {
      clearTimeout(timer);
      this.#signal?.removeEventListener('abort', aborted);
    }
  }

  /** The counters are whole once the guest has nothing to do. */
  async #settledReport(): Promise<Report> {
    for (const until = performance.now() + SETTLE; !this.run.isHalted && performance.now() < until; ) await sleep(5);
    return this.run.report();
  }

  /** From the start to the program's first line. */
  async boot(seconds: number): Promise<Measured> {
    await this.#waitFor(/COMPARE ready/, seconds);
    const wall = (performance.now() - this.#startedAt) / 1000;
    return difference(null, await this.#settledReport(), wall);
  }

  /** Has the program do something to its end. */
  async command(text: string, seconds: number): Promise<Measured> {
    const before = await this.#settledReport();
    const work = processWork();
    const began = performance.now();
    const done = this.#waitFor(new RegExp(`COMPARE done ${text.split(' ')[0]} `), seconds);
    this.#type(text);
    await done;
    const wall = (performance.now() - began) / 1000;
    const after = await this.#settledReport();
    return difference(before, after, wall, processWork(work));
  }

  /** Has the program begin something whose end is not waited for. */
  begin(text: string): void {
    this.#type(text);
  }

  /** Presses a key at its console: milliseconds until it is shown there. */
  async key(seconds: number): Promise<number> {
    const answered = Promise.withResolvers<void>();
    this.#answered = answered.resolve;
    const late = setTimeout(() => answered.reject(new Error(`no answer within ${seconds} seconds`)), seconds * 1000);
    const pressed = performance.now();
    this.run.input(Uint8Array.of(KEY));
    try {
      await answered.promise;
      return performance.now() - pressed;
    } finally {
      clearTimeout(late);
    }
  }

  /** Begins to take what another guest sends; `done` is the end of that. */
  async serve(seconds: number): Promise<{ done: Promise<Measured> }> {
    const before = await this.#settledReport();
    const began = performance.now();
    const serving = this.#waitFor(/COMPARE serving/, seconds);
    this.#type('serve');
    await serving;
    const served = this.#waitFor(/COMPARE done serve /, seconds);
    const measure = async (): Promise<Measured> => {
      await served;
      return difference(before, await this.#settledReport(), (performance.now() - began) / 1000);
    };
    return { done: measure() };
  }

  /** Leaves it alone at its prompt. */
  async idle(settle: number, seconds: number): Promise<Measured> {
    await sleep(settle * 1000, undefined, this.#signal ? { signal: this.#signal } : {});
    const before = this.run.report();
    const began = performance.now();
    await sleep(seconds * 1000, undefined, this.#signal ? { signal: this.#signal } : {});
    return difference(before, this.run.report(), (performance.now() - began) / 1000);
  }

  #type(text: string): void {
    this.run.input(new TextEncoder().encode(`${text}\n`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run.forceStop();
  }
}
