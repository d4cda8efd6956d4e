// The guest scheduler measured with real guests: shares by weight, the reserve, its own cost, and how long a key waits.
// Owns which guests compete, how long they are watched, and the arithmetic.
// Never prints; what it judges by is in figures that a busy host does not change: processor time, not the clock's.

import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CpuShares } from '../../../native-free-core/hypervisor/cpu-shares.ts';
import { ComparedGuest } from '../../compare/compared-guest.ts';
import { type ComparedFiles, comparedFiles } from '../../compare/guest-files.ts';
import type { ProcessorSeconds } from '../../contract.ts';
import { Networks } from '../../networks/networks.ts';

export interface SchedulerBenchOptions {
  /** Per cent of the usual time that is watched, and of the keys. */
  scale: number;
  /** Seconds that a guest's boot may take. */
  timeout: number;
  progress?: (message: string) => void;
}

const kinds = ['full', 'para', 'os'] as const;
type Kind = (typeof kinds)[number];

/** What one guest had while all wanted everything. */
export interface WeighedGuest {
  kind: Kind;
  weight: number;
  /** Of what all had; by its weight. */
  share: number;
  fair: number;
}

export interface ReserveFigure {
  /** Per cent: what was asked for, and what guests left of the processor time that the host gave. */
  asked: number;
  left: number;
}

/** Milliseconds from a key to its picture. */
export interface KeyFigure {
  kind: Kind;
  alone: { median: number; p99: number };
  busy: { median: number; p99: number };
  keys: number;
}

export interface SchedulerResults {
  host: { processor: string; cores: number; node: string };
  seconds: number;
  guests: WeighedGuest[];
  reserves: ReserveFigure[];
  /** Finding out who has a processor, as a part of the processor time of all guests. */
  cost: number;
  keys: KeyFigure[];
}

const WEIGHTS = [100, 200, 400];
const MEMORY = 128;
/** Seconds until hot code is translated, and that shares are watched for. */
const SETTLE = 8;
const WATCH = 10;
const RESERVES = [0, 10, 25];
/** Guests that are busy beside the one that is typed at. */
const BUSY = 3;
const KEYS = 200;
/** Milliseconds without a key, between so many and so many. */
const PAUSE = { least: 20, most: 150 };
/** More than anybody waits for. */
const FOREVER = 4_000_000_000;
const busyWith: Record<Kind, string> = {
  full: `cpu ${FOREVER}`,
  para: `processes ${FOREVER}`,
  os: `cpu ${FOREVER}`,
};

/** The value below which so large a part of the values are. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)]!;
}

/** What happened between two readings. */
export function spent(before: ProcessorSeconds, after: ProcessorSeconds): ProcessorSeconds {
  return {
    executed: after.executed - before.executed,
    stolen: after.stolen - before.stolen,
    waited: after.waited - before.waited,
    sharing: after.sharing - before.sharing,
  };
}

const sum = (all: readonly ProcessorSeconds[], name: keyof ProcessorSeconds): number =>
  all.reduce((total, each) => total + each[name], 0);

/**
 * Per cent of the processors that guests left unused, of the time that the host gave them: time in which it did something else
 * while a guest had its turn is nobody's.
 */
export function leftOver(all: readonly ProcessorSeconds[], processors: number, seconds: number): number {
  return 100 * (1 - sum(all, 'executed') / (processors * seconds - sum(all, 'stolen')));
}

/** Shares of guests of such weights, beside what they were to have. */
export function sharesOf(guests: readonly { kind: Kind; weight: number; executed: number }[]): WeighedGuest[] {
  const executed = guests.reduce((total, guest) => total + guest.executed, 0);
  const weights = guests.reduce((total, guest) => total + guest.weight, 0);
  return guests.map(({ kind, weight, executed: own }) => ({
    kind,
    weight,
    share: own / executed,
    fair: weight / weights,
  }));
}

export async function runSchedulerBench(options: SchedulerBenchOptions): Promise<SchedulerResults> {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-scheduler-'));
  const networks = new Networks({ home: folder });
  try {
    options.progress?.('making the guests');
    return await new SchedulerBench(options, await comparedFiles(folder), networks).run();
  } finally {
    await networks.settled();
    rmSync(folder, { recursive: true, force: true });
  }
}

class SchedulerBench {
  readonly #options: SchedulerBenchOptions;
  readonly #files: ComparedFiles;
  readonly #networks: Networks;
  readonly #cores = availableParallelism();
  readonly #shares = CpuShares.create(this.#cores, 0);
  #guests = 0;

  constructor(options: SchedulerBenchOptions, files: ComparedFiles, networks: Networks) {
    this.#options = options;
    this.#files = files;
    this.#networks = networks;
  }

  async run(): Promise<SchedulerResults> {
    const { scale, timeout, progress } = this.#options;
    const seconds = Math.max(1, (WATCH * scale) / 100);
    const keys = Math.max(10, Math.round((KEYS * scale) / 100));
    const host = {
      processor: cpus()[0]?.model ?? 'unknown',
      cores: this.#cores,
      node: process.versions.node,
    };
    await using stack = new AsyncDisposableStack();
    const typed = kinds.map((kind) => stack.use(this.#guest(kind, 100)));
    // A guest of each weight for each core, the kinds in turn.
    const busy = Array.from({ length: this.#cores * WEIGHTS.length }, (_, index) => {
      const weight = WEIGHTS[index % WEIGHTS.length]!;
      const kind = kinds[(index + Math.floor(index / WEIGHTS.length)) % kinds.length]!;
      return stack.use(this.#guest(kind, weight));
    });
    const all = [...typed, ...busy];
    progress?.(`${all.length} guests start`);
    await Promise.all(all.map((guest) => guest.boot(timeout)));
    const alone: KeyFigure['alone'][] = [];
    for (const guest of typed) {
      progress?.(`keys at a guest of kind ${guest.kind}, alone`);
      alone.push(await type(guest, keys, timeout));
    }
    for (const guest of busy) guest.begin(busyWith[guest.kind]);
    await sleep(SETTLE * 1000);
    const weighed = await this.#weighed(busy, seconds);
    progress?.(`so far: ${JSON.stringify(weighed)}`);
    for (const { run } of busy.slice(BUSY)) run.pause();
    await sleep(SETTLE * 1000);
    const figures: KeyFigure[] = [];
    for (const [index, guest] of typed.entries()) {
      progress?.(`keys at a guest of kind ${guest.kind}, beside ${BUSY} busy ones`);
      const { kind } = guest as { kind: Kind };
      figures.push({ kind, keys, alone: alone[index]!, busy: await type(guest, keys, timeout) });
    }
    return { host, seconds, ...weighed, keys: figures };
  }

  #guest(kind: Kind, weight: number): ComparedGuest {
    const shared = { files: this.#files, networks: this.#networks, processors: this.#shares, tty: true };
    const settings = { cpuWeight: weight };
    return new ComparedGuest({ kind, memoryMiB: MEMORY, name: `guest-${++this.#guests}`, settings, ...shared });
  }

  /** All have more to do than there is time. */
  async #weighed(
    guests: readonly ComparedGuest[],
    seconds: number,
  ): Promise<Pick<SchedulerResults, 'guests' | 'reserves' | 'cost'>> {
    const reserves: ReserveFigure[] = [];
    let shares: WeighedGuest[] = [];
    let cost = 0;
    for (const asked of RESERVES) {
      this.#options.progress?.(`${guests.length} guests want everything, the reserve is ${asked} %`);
      this.#shares.setReserve(asked * 10);
      const { all, watched } = await watch(guests, seconds);
      reserves.push({ asked, left: leftOver(all, this.#cores, watched) });
      if (asked !== 0) continue;
      shares = sharesOf(
        guests.map(({ kind, run }, index) => ({
          kind,
          weight: run.settings.cpuWeight,
          executed: all[index]!.executed,
        })),
      );
      cost = sum(all, 'sharing') / sum(all, 'executed');
    }
    this.#shares.setReserve(0);
    return { guests: shares, reserves, cost };
  }
}

async function watch(
  guests: readonly ComparedGuest[],
  seconds: number,
): Promise<{ all: ProcessorSeconds[]; watched: number }> {
  const before = guests.map(({ run }) => run.report().processor);
  const began = performance.now();
  await sleep(seconds * 1000);
  const all = guests.map(({ run }, index) => spent(before[index]!, run.report().processor));
  return { all, watched: (performance.now() - began) / 1000 };
}

async function type(guest: ComparedGuest, keys: number, seconds: number): Promise<KeyFigure['alone']> {
  const answers: number[] = [];
  for (let key = 0; key < keys; key++) {
    await sleep(PAUSE.least + Math.random() * (PAUSE.most - PAUSE.least));
    answers.push(await guest.key(seconds));
  }
  return { median: quantile(answers, 0.5), p99: quantile(answers, 0.99) };
}
