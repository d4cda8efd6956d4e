// Three guests that each come to need more than a third of the memory there is: divided once for all, and as one pool.
// Owns the numbers of the trial.
// Never measures speed: the question is whether they finish.

import { MemoryPool } from '../guests/memory-pool.ts';
import { hostMemoryMiB } from '../host.ts';
import type { ComparedGuest } from './compared-guest.ts';

/** MiB: what there is for all, what each may have at most, and what each program comes to hold beside its kernel's own. */
export const memoryTrialSizes = { budget: 800, maximum: 512, program: 370 } as const;
const GUESTS = 3;

export interface MemoryTrial {
  /** Guests of three that finished. */
  fixed: number;
  pooled: number;
  /** The most that the guests had together while pooled, and the least that one was left with, in MiB. */
  mostMiB: number;
  leastMiB: number;
}

type Start = (options: { kind: 'para'; memoryMiB: number }) => ComparedGuest;

const finishes = (guest: ComparedGuest, seconds: number): Promise<number> =>
  guest.command(`hold ${memoryTrialSizes.program}`, seconds).then(
    () => 1,
    () => 0,
  );

/** `seconds`: the longest that one guest may take for its boot, and for its work. */
export async function memoryTrial(start: Start, seconds: number): Promise<MemoryTrial> {
  const { budget, maximum } = memoryTrialSizes;
  let fixed = 0;
  for (let one = 0; one < GUESTS; one++) {
    await using guest = start({ kind: 'para', memoryMiB: Math.floor(budget / GUESTS) });
    await guest.boot(seconds);
    fixed += await finishes(guest, seconds);
  }
  await using stack = new AsyncDisposableStack();
  const guests = Array.from({ length: GUESTS }, () => stack.use(start({ kind: 'para', memoryMiB: maximum })));
  let [mostMiB, leastMiB] = [0, maximum as number];
  let isBooted = false;
  const pool = new MemoryPool({
    guests: () =>
      guests.map(({ run, name }) => ({
        id: name,
        settings: run.settings,
        isPaused: false,
        told: run.memory,
        setBalloon: (pages, ask) => run.setBalloon(pages, ask),
      })),
    budgetMiB: () => budget,
    hostMiB: hostMemoryMiB(),
    changed: ({ guests: shares }) => {
      if (!isBooted) return;
      mostMiB = Math.max(
        mostMiB,
        shares.reduce((sum, { actualMiB }) => sum + actualMiB, 0),
      );
      leastMiB = Math.min(leastMiB, ...shares.map(({ actualMiB }) => actualMiB));
    },
  });
  await Promise.all(guests.map((guest) => guest.boot(seconds)));
  pool.begin();
  stack.defer(() => pool.end());
  let pooled = 0;
  for (const guest of guests) {
    pooled += await finishes(guest, seconds);
    // The first has begun while all still had what they started with.
    isBooted = true;
  }
  return { fixed, pooled, mostMiB, leastMiB };
}
