// Memory of a home's running guests as one pool: what each uses and wants, and how large its balloon is to be.
// Owns the pace, the budget that applies, and what was told to each balloon last.
// Never divides memory itself: that is the balancer's; and never reaches into a guest.

import {
  type BalancedGuest,
  balanceMemory,
  type MemoryStatistics,
  memoryDemand,
} from '../../native-free-core/hypervisor/memory-balancer.ts';
import type { GuestSettings, MemoryPoolView } from '../contract.ts';

const MIB = 2 ** 20;
const BALLOON_PAGE = 4096;

/** Milliseconds between two looks at the guests. */
const PERIOD = 500;
/** Looks between two questions for statistics while there is enough for all: each question wakes a guest. */
const CALM_LOOKS = 10;
/** Of the host's memory, what guests may have where nobody has said how much. */
const HOST_SHARE = 3 / 4;
/** Of a guest's memory, what is left to it in any case where its settings do not say; and the least that Linux does with. */
const MINIMUM_SHARE = 1 / 4;
const MINIMUM_LEAST = 64;

/** What a guest's balloon has told: bytes, but for faults, which are counts. */
export interface ToldMemory {
  /** Pages in the balloon now. */
  readonly balloonPages: number;
  /** How often the guest has told the rest, which says nothing before the first time. */
  readonly tellings: number;
  readonly used: number;
  readonly available: number;
  readonly swappedIn: number;
  readonly majorFaults: number;
}

/** A guest in memory, as the pool sees it. */
export interface PooledGuest {
  readonly id: string;
  readonly settings: GuestSettings;
  /** It stands still, and answers nothing. */
  readonly isPaused: boolean;
  readonly told: ToldMemory;
  /** Sets what the balloon is to hold; the guest is asked for its statistics too where `ask` says so. */
  setBalloon(pages: number, ask: boolean): void;
}

export interface MemoryPoolOptions {
  /** Guests in memory now, those without a balloon too. */
  guests(): readonly PooledGuest[];
  /** MiB that guests with balloons may have together; null: what {@link HOST_SHARE} leaves beside the others. */
  budgetMiB(): number | null;
  hostMiB: number;
  changed(view: MemoryPoolView): void;
  /** MiB that a guest itself says it could make use of; undefined: it says nothing. */
  wish?(id: string): number | undefined;
}

interface Account {
  tellings: number;
  now: MemoryStatistics | undefined;
  before: MemoryStatistics | undefined;
  /** Pages that were asked for last; -1: nothing yet. */
  pages: number;
}

/** Whether the guest has a balloon at all. */
export function hasBalloon({ kind, virtio }: GuestSettings): boolean {
  return kind === 'para' || (kind === 'full' && virtio.includes('balloon'));
}

/** MiB that a guest keeps, whoever wants them; and that it has at most. */
export function memoryBounds(settings: GuestSettings): { minimum: number; maximum: number } {
  const { memoryMiB, memoryMinMiB, balloonMiB } = settings;
  const maximum = memoryMiB - balloonMiB;
  const own = memoryMinMiB ?? Math.max(MINIMUM_LEAST, Math.floor(memoryMiB * MINIMUM_SHARE));
  return { minimum: Math.min(own, maximum), maximum };
}

export class MemoryPool {
  readonly #options: MemoryPoolOptions;
  readonly #accounts = new Map<string, Account>();
  #timer: NodeJS.Timeout | undefined;
  #looks = 0;
  #view: MemoryPoolView;

  constructor(options: MemoryPoolOptions) {
    this.#options = options;
    this.#view = this.#look();
  }

  /** How memory is divided, as of the last look. */
  get view(): MemoryPoolView {
    return this.#view;
  }

  /** Looks after the guests from now on, until none is in memory. */
  begin(): void {
    this.#timer ??= setInterval(() => this.tick(), PERIOD);
    this.tick();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Takes in what guests have told, and tells their balloons. */
  tick(): void {
    const view = this.#look();
    if (this.#options.guests().length === 0) this.end();
    if (JSON.stringify(view) === JSON.stringify(this.#view)) return;
    this.#view = view;
    this.#options.changed(view);
  }

  #look(): MemoryPoolView {
    const all = this.#options.guests();
    const pooled = all.filter(({ settings }) => hasBalloon(settings));
    for (const id of this.#accounts.keys()) if (!pooled.some((guest) => guest.id === id)) this.#accounts.delete(id);
    const others = all.reduce((sum, guest) => sum + (hasBalloon(guest.settings) ? 0 : guest.settings.memoryMiB), 0);
    const own = this.#options.budgetMiB();
    const budgetMiB = own ?? Math.max(0, Math.floor(this.#options.hostMiB * HOST_SHARE) - others);
    const balanced = pooled.map((guest) => this.#balanced(guest));
    const { targets, shortage } = balanceMemory(balanced, budgetMiB * MIB);
    const isEnough = balanced.reduce((sum, { maximum }) => sum + maximum, 0) <= budgetMiB * MIB;
    const isAsked = !isEnough || this.#looks++ % CALM_LOOKS === 0;
    const guests = pooled.map((guest, index) => {
      const { minimum, maximum, demand, actual } = balanced[index]!;
      const target = isEnough ? maximum : (targets.get(guest.id) ?? maximum);
      const account = this.#accounts.get(guest.id)!;
      const pages = Math.round((guest.settings.memoryMiB * MIB - target) / BALLOON_PAGE);
      if (!guest.isPaused && (isAsked || pages !== account.pages)) {
        account.pages = pages;
        guest.setBalloon(pages, isAsked);
      }
      const { tellings, used, available } = guest.told;
      return {
        id: guest.id,
        name: guest.settings.name,
        memoryMiB: guest.settings.memoryMiB,
        minimumMiB: minimum / MIB,
        maximumMiB: maximum / MIB,
        demandMiB: tellings === 0 ? null : toMib(demand),
        usedMiB: tellings === 0 ? null : toMib(used),
        availableMiB: tellings === 0 ? null : toMib(available),
        actualMiB: toMib(actual),
        targetMiB: toMib(target),
      };
    });
    return { budgetMiB, isBudgetOwn: own !== null, shortageMiB: toMib(shortage), guests };
  }

  #balanced({ id, settings, isPaused, told }: PooledGuest): BalancedGuest {
    const { minimum, maximum } = memoryBounds(settings);
    let account = this.#accounts.get(id);
    if (!account) this.#accounts.set(id, (account = { tellings: 0, now: undefined, before: undefined, pages: -1 }));
    // A guest that has started over tells from the beginning.
    if (told.tellings < account.tellings) account.now = account.before = undefined;
    if (told.tellings !== account.tellings) {
      account.before = account.now;
      account.now = told.tellings === 0 ? undefined : told;
      account.tellings = told.tellings;
    }
    const actual = settings.memoryMiB * MIB - told.balloonPages * BALLOON_PAGE;
    const shared = { name: id, actual, weight: 1 };
    // What stands still gives nothing back and takes nothing.
    if (isPaused) return { ...shared, minimum: actual, maximum: actual, demand: actual };
    const bounds = { minimum: minimum * MIB, maximum: maximum * MIB };
    // One that has told nothing yet is still starting.
    if (account.now === undefined) return { ...shared, ...bounds, demand: bounds.minimum };
    const wish = (this.#options.wish?.(id) ?? 0) * MIB;
    // A guest that has come to use more than it said is taken by what it uses.
    const demand = wish > account.now.used ? wish : memoryDemand(account.now, account.before);
    return { ...shared, ...bounds, demand };
  }
}

/** To tenths: what is told is for people. */
function toMib(bytes: number): number {
  return Math.round((10 * bytes) / MIB) / 10;
}
