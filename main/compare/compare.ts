// `trivisor compare`: the same work as full, para and OS-level guests, one after the other and then all together.
// Owns the jobs, their order, and what is made of the measurements.
// Never prints: progress and results go to the caller.

import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { comparedJobs, comparedKinds, type GuestSettingsInput } from '../contract.ts';
import { Networks } from '../networks/networks.ts';
import { ComparedGuest, type ComparedGuestOptions, type Measured } from './compared-guest.ts';
import { type ComparedFiles, comparedFiles } from './guest-files.ts';
import { memoryTrial } from './memory-trial.ts';

export { comparedKinds };
export type ComparedKind = (typeof comparedKinds)[number];

/** In the order they are done. */
export const jobs = comparedJobs;
export type Job = (typeof jobs)[number];

export interface CompareOptions {
  kinds: readonly ComparedKind[];
  /** Jobs to do after the boot; none: all. */
  only: readonly Job[];
  /** MiB of the disk that is written and read. */
  diskMiB: number;
  /** Percent of the usual work. */
  scale: number;
  /** Also runs all kinds at once. */
  together: boolean;
  /** Also tries three guests that need more memory than there is for all. */
  memory: boolean;
  /** Seconds that one job may take. */
  timeout: number;
  progress?: (message: string) => void;
  /** Told with each job that is done: all that was measured so far. */
  measured?: (results: CompareResults) => void;
  signal?: AbortSignal;
}

export interface CompareResults {
  host: { processor: string; cores: number; node: string };
  /** Work of the jobs, where it has a size: MiB, or a number of pages. */
  work: { diskMiB: number; randomPages: number; networkMiB: number };
  alone: { kind: ComparedKind; job: Job; measured: Measured }[];
  /** All kinds at once: their boot, processor's work, processes and disk. */
  together: { kind: ComparedKind; job: Job; measured: Measured }[];
  memory: Awaited<ReturnType<typeof memoryTrial>> | null;
  /** What could not be measured, and why. */
  missing: { kind: ComparedKind; job: Job; reason: string }[];
}

const MEMORY = 512;
const USUAL = { integer: 3000, forks: 3000, randomPages: 8192, networkMiB: 256 };
/** Seconds a guest is left alone before it is watched, and watched. */
const IDLE = { settle: 10, watch: 20 };
/** Jobs that are done by all kinds at once: boot, processor, process storm, disk. */
const atOnce: readonly Job[] = ['boot', 'cpu', 'processes', 'write', 'read'];

export async function compare(options: CompareOptions): Promise<CompareResults> {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-compare-'));
  const networks = new Networks({ home: folder });
  try {
    options.progress?.('making the guests');
    const files = await comparedFiles(folder);
    return await new Comparison(options, files, networks, folder).run();
  } finally {
    await networks.settled();
    rmSync(folder, { recursive: true, force: true });
  }
}

class Comparison {
  readonly #options: CompareOptions;
  readonly #files: ComparedFiles;
  readonly #networks: Networks;
  readonly #folder: string;
  readonly #results: CompareResults;
  #guests = 0;

  constructor(options: CompareOptions, files: ComparedFiles, networks: Networks, folder: string) {
    this.#options = options;
    this.#files = files;
    this.#networks = networks;
    this.#folder = folder;
    const scaled = (usual: number) => Math.max(1, Math.round((usual * options.scale) / 100));
    const work = {
      diskMiB: options.diskMiB,
      randomPages: scaled(USUAL.randomPages),
      networkMiB: scaled(USUAL.networkMiB),
    };
    const host = {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: availableParallelism(),
      node: process.versions.node,
    };
    this.#results = { host, work, alone: [], together: [], memory: null, missing: [] };
  }

  async run(): Promise<CompareResults> {
    const { kinds, progress, together, memory, signal } = this.#options;
    for (const kind of kinds) {
      await this.#alone(kind);
      signal?.throwIfAborted();
    }
    if (together) {
      progress?.('all together');
      await Promise.all(kinds.map((kind) => this.#together(kind)));
    }
    if (memory) {
      progress?.('three guests and too little memory for all');
      this.#results.memory = await memoryTrial((trial) => this.#guest(trial), this.#options.timeout);
    }
    return this.#results;
  }

  #guest(options: Pick<ComparedGuestOptions, 'kind' | 'settings' | 'volume'> & { memoryMiB?: number }): ComparedGuest {
    const { signal } = this.#options;
    const name = `compared-${++this.#guests}`;
    const shared = { files: this.#files, networks: this.#networks, signal };
    return new ComparedGuest({ memoryMiB: MEMORY, ...options, ...shared, name });
  }

  #isWanted(job: Job): boolean {
    return this.#options.only.length === 0 || this.#options.only.includes(job);
  }

  /** Text of a job for the program in a guest of this kind. */
  #command(kind: 'full' | 'para' | 'os', job: Job): string {
    const { work } = this.#results;
    const disk = { full: '/dev/sda', para: '/dev/vda', os: '/disk/file' }[kind];
    const scaled = (usual: number) => Math.max(1, Math.round((usual * this.#options.scale) / 100));
    switch (job) {
      case 'cpu':
        return `cpu ${scaled(USUAL.integer)}`;
      case 'processes':
        return `processes ${scaled(USUAL.forks)}`;
      case 'random':
        return `random ${disk} ${work.diskMiB} ${work.randomPages}`;
      default:
        return `${job} ${disk} ${work.diskMiB}`;
    }
  }

  async #alone(kind: ComparedKind): Promise<void> {
    const { progress, timeout, signal } = this.#options;
    const { alone, missing } = this.#results;
    const net = { network: 'internal:compare', model: kind === 'para' ? ('virtio' as const) : ('e1000' as const) };
    const hasMachine = kind !== 'os';
    const { volume, disks } = this.#disk(kind, 'alone');
    const settings = hasMachine ? { disks, nets: [net] } : {};
    await using guest = this.#guest({ kind, settings, ...(hasMachine ? {} : { volume }) });
    for (const job of jobs) {
      if (job !== 'boot' && !this.#isWanted(job)) continue;
      signal?.throwIfAborted();
      try {
        if (!hasMachine && job === 'network') throw new Error('an OS-level guest has no network card of its own');
        progress?.(`${kind}: ${job}`);
        const measured =
          job === 'boot'
            ? await guest.boot(timeout)
            : job === 'idle'
              ? await guest.idle(IDLE.settle, IDLE.watch)
              : job === 'network'
                ? await this.#network(guest, settings)
                : await guest.command(this.#command(kind, job), timeout);
        alone.push({ kind, job, measured });
        this.#options.measured?.(this.#results);
      } catch (error) {
        signal?.throwIfAborted();
        missing.push({ kind, job, reason: (error as Error).message });
        if (job === 'boot' || guest.run.end !== null) return;
      }
    }
  }

  /** A disk for a guest of a kind, or the folder with it as a file. */
  #disk(kind: ComparedKind, name: string): { volume: string; disks: NonNullable<GuestSettingsInput['disks']> } {
    const volume = join(this.#folder, `${kind}-${name}`);
    mkdirSync(volume);
    const file = join(volume, 'file');
    writeFileSync(file, '');
    truncateSync(file, this.#results.work.diskMiB * 2 ** 20);
    return { volume, disks: [{ file, interface: kind === 'para' ? 'virtio' : 'ide' }] };
  }

  /** A second guest of the same kind, to which the first sends. */
  async #network(guest: ComparedGuest, settings: Partial<ComparedGuestOptions['settings']>): Promise<Measured> {
    const { timeout } = this.#options;
    await using peer = this.#guest({ kind: guest.kind, settings: { ...settings, disks: [] } });
    await peer.boot(timeout);
    await guest.command('address eth0 10.0.0.1', timeout);
    await peer.command('address eth0 10.0.0.2', timeout);
    const { done } = await peer.serve(timeout);
    const sent = guest.command(`send 10.0.0.2 ${this.#results.work.networkMiB}`, timeout);
    const [measured, other] = await Promise.all([sent, done]);
    // Both ends' work is what the transfer costs.
    const guestSeconds = measured.guestSeconds + other.guestSeconds;
    const hypervisorSeconds = measured.hypervisorSeconds + other.hypervisorSeconds;
    return {
      ...measured,
      guestSeconds,
      hypervisorSeconds,
      hypervisorShare: hypervisorSeconds / (guestSeconds + hypervisorSeconds),
      exits: measured.exits + other.exits,
    };
  }

  async #together(kind: ComparedKind): Promise<void> {
    const { timeout, signal } = this.#options;
    const { volume, disks } = this.#disk(kind, 'together');
    await using guest = this.#guest({
      kind,
      settings: kind === 'os' ? {} : { disks },
      ...(kind === 'os' ? { volume } : {}),
    });
    for (const job of atOnce) {
      if (job !== 'boot' && !this.#isWanted(job)) continue;
      signal?.throwIfAborted();
      try {
        const measured = await (job === 'boot'
          ? guest.boot(timeout)
          : guest.command(this.#command(kind, job), timeout));
        this.#results.together.push({ kind, job, measured });
        this.#options.measured?.(this.#results);
      } catch (error) {
        this.#results.missing.push({ kind, job, reason: `together: ${(error as Error).message}` });
        return;
      }
    }
  }
}
