import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CpuClient, CpuShares, SHARES_MAX } from './cpu-shares.ts';

const SLICE = 10e6;

interface Guest {
  weight?: number;
  cap?: number;
  /** What the guest itself says. */
  urgency?: number;
  /** Nanoseconds of work after each so many of sleep; without it the guest always has something to do. */
  wakes?: { work: number; sleep: number };
}

interface Outcome {
  executed: number;
  /** From waking to executing, each time. */
  waits: number[];
}

/**
 * Guests on processors of a time of their own, as the threads of guests go about it. All that the shares decide is decided by
 * the product's code; only waiting is not done by blocking.
 */
class Simulation extends CpuShares {
  now = 0;

  run(guests: readonly Guest[], nanoseconds: number): Outcome[] {
    const threads = guests.map(({ weight = 100, cap = 0, urgency, wakes }) => {
      const id = this.join()!;
      this.set(id, { weight, cap });
      const client = new CpuClient(this.buffer, id);
      if (urgency !== undefined) client.hurry(urgency);
      return {
        id,
        client,
        wakes,
        executed: 0,
        waits: [] as number[],
        until: 0,
        readyAt: 0,
        left: wakes?.work ?? Infinity,
      };
    });
    const executes = new Set<(typeof threads)[number]>();
    const events: { at: number; act: () => void }[] = [];
    const at = (time: number, act: () => void) => {
      events.push({ at: time, act });
    };
    const begin = (thread: (typeof threads)[number]): void => {
      if (thread.wakes && thread.left === thread.wakes.work) thread.waits.push(this.now - thread.readyAt);
      executes.add(thread);
      const length = Math.min(SLICE, thread.left);
      at(this.now + length, () => {
        executes.delete(thread);
        thread.executed += length;
        thread.left -= length;
        if (thread.left > 0) {
          const { keeps, rest } = thread.client.renew(length);
          // Whoever rests with its processor asks anew whether it keeps it.
          const isKept = () => keeps && (rest === 0 || thread.client.renew(0).keeps);
          at(this.now + rest, () => (isKept() ? begin(thread) : ask(thread)));
          return;
        }
        thread.client.release(length);
        thread.left = thread.wakes!.work;
        thread.readyAt = this.now + thread.wakes!.sleep;
        at(thread.readyAt, () => ask(thread));
      });
    };
    const waiting = new Set<(typeof threads)[number]>();
    const ask = (thread: (typeof threads)[number]): void => {
      if (thread.client.acquire(0)) begin(thread);
      else waiting.add(thread);
    };
    for (const thread of threads) ask(thread);
    while (events.length > 0) {
      events.sort((one, other) => one.at - other.at);
      const event = events.shift()!;
      if (event.at > nanoseconds) break;
      this.now = event.at;
      event.act();
      for (const thread of waiting) {
        if (!thread.client.has) continue;
        waiting.delete(thread);
        begin(thread);
      }
    }
    return threads.map(({ executed, waits }) => ({ executed, waits }));
  }
}

function simulate(processors: number, reserve: number, guests: readonly Guest[], nanoseconds = 10e9): Outcome[] {
  return new Simulation(CpuShares.create(processors, reserve).buffer).run(guests, nanoseconds);
}

const share = (outcomes: readonly Outcome[], index: number) =>
  outcomes[index]!.executed / outcomes.reduce((sum, { executed }) => sum + executed, 0);

test('guests that always have something to do share by their weights', () => {
  const outcomes = simulate(1, 0, [{ weight: 100 }, { weight: 200 }, { weight: 400 }]);
  for (const [index, wanted] of [1 / 7, 2 / 7, 4 / 7].entries())
    assert.ok(Math.abs(share(outcomes, index) - wanted) < 0.02, `guest ${index}: ${share(outcomes, index)}`);
  const twice = simulate(2, 0, [{ weight: 100 }, { weight: 100 }, { weight: 200 }, { weight: 200 }]);
  for (const [index, wanted] of [1 / 6, 1 / 6, 2 / 6, 2 / 6].entries())
    assert.ok(Math.abs(share(twice, index) - wanted) < 0.02, `guest ${index}: ${share(twice, index)}`);
});

test('what guests say of their urgency counts, within bounds, and the weight that a person gave beside it', () => {
  const shares = (guests: Guest[]) => {
    const outcomes = simulate(1, 0, guests);
    return guests.map((_, index) => share(outcomes, index));
  };
  const near = (given: number, wanted: number) => Math.abs(given - wanted) < 0.02;
  const [urgent, usual] = shares([{ urgency: 75 }, {}]);
  assert.ok(near(urgent!, 2 / 3) && near(usual!, 1 / 3), `${urgent} and ${usual}`);
  // Whatever it says, no more than four times, and no less than a quarter.
  const [most, least] = [shares([{ urgency: 1e9 }, {}]), shares([{ urgency: -1e9 }, {}])];
  assert.ok(near(most[0]!, 4 / 5) && near(least[0]!, 1 / 5), `${most[0]} and ${least[0]}`);
  const [weighted] = shares([{ weight: 400, urgency: 0 }, { urgency: 50 }]);
  assert.ok(near(weighted!, 1 / 2), `${weighted}`);
  // The next thread in its place begins as all do.
  const places = CpuShares.create(1, 0);
  const place = places.join()!;
  new CpuClient(places.buffer, place).hurry(100);
  places.leave(place);
  assert.equal(places.join(), place);
  assert.equal(new Int32Array(places.buffer)[8 + place * 4 + 3], 50);
});

test('a guest that sleeps and wakes goes first, beside any number of busy ones', () => {
  const busy = Array.from({ length: 8 }, () => ({}));
  const outcomes = simulate(1, 0, [{ wakes: { work: 1e6, sleep: 99e6 } }, ...busy]);
  const { waits } = outcomes[0]!;
  assert.ok(waits.length > 80, `${waits.length} times`);
  assert.ok(Math.max(...waits) <= SLICE, `${Math.max(...waits) / 1e6} ms`);
});

test('others are looked for when a thread has executed for a slice, however many it took', () => {
  const shares = CpuShares.create(1, 100);
  const [one, other] = Array.from({ length: 2 }, () => new CpuClient(shares.buffer, shares.join()!));
  assert.equal(one!.ask(), true);
  assert.equal(other!.ask(), false);
  for (const part of [0.1, 0.2, 0.3]) assert.deepEqual(one!.renew(part * SLICE), { keeps: true, rest: 0 });
  // The reserve is that of all of them.
  const { keeps, rest } = one!.renew(0.4 * SLICE);
  assert.deepEqual([keeps, Math.round(rest)], [true, Math.round(SLICE / 9)]);
  assert.equal(one!.renew(0).keeps, false);
  assert.equal(other!.has, true);
});

test('one that has slept for long goes at once, and keeps nobody from a processor behind a slice', () => {
  const shares = CpuShares.create(1, 0);
  const [busy, other, woken] = Array.from({ length: 3 }, () => new CpuClient(shares.buffer, shares.join()!));
  assert.equal(busy!.ask(), true);
  assert.equal(other!.ask(), false);
  const whoRuns = () => [busy!, other!].find((client) => client.has)!;
  for (let slice = 0; slice < 10; slice++) {
    const runs = whoRuns();
    if (!runs.renew(SLICE).keeps) assert.equal(runs.ask(), false);
  }
  assert.equal(shares.load.executing, 1);
  assert.equal(woken!.ask(), true, 'it does not wait for the end of a slice');
  assert.deepEqual(shares.load, { executing: 2, waiting: 1 });
  const runs = whoRuns();
  assert.equal(runs.renew(SLICE).keeps, false, 'who renews is one too many');
  assert.equal(runs.ask(), false, 'and has not slept');
  assert.deepEqual(shares.load, { executing: 1, waiting: 2 });
  assert.equal(woken!.release(1e6).keeps, false);
  assert.deepEqual(shares.load, { executing: 1, waiting: 1 });
});

test('whoever has slept has no claim on that time', () => {
  const outcomes = simulate(1, 0, [{ wakes: { work: 2e9, sleep: 3e9 } }, {}]);
  // It is awake for about two thirds of the time, and then has half.
  assert.ok(share(outcomes, 0) < 0.45, `${share(outcomes, 0)}`);
  assert.ok(share(outcomes, 1) > 0.5);
});

test('nobody starves beside the heaviest weights', () => {
  const outcomes = simulate(2, 0, [{ weight: 10_000 }, { weight: 10_000 }, { weight: 10_000 }, { weight: 1 }], 100e9);
  assert.ok(outcomes[3]!.executed >= SLICE);
});

test('a cap holds, whether anybody else wants the processor or not', () => {
  const [alone] = simulate(2, 0, [{ cap: 250 }]);
  assert.ok(Math.abs(alone!.executed / 10e9 - 0.25) < 0.01, `${alone!.executed / 10e9}`);
  const [capped, other] = simulate(1, 0, [{ cap: 250 }, {}]);
  assert.ok(capped!.executed / 10e9 <= 0.26);
  assert.ok(other!.executed / 10e9 > 0.7);
});

test('the reserve is left over while every processor is taken, and only then', () => {
  const total = (outcomes: readonly Outcome[]) => outcomes.reduce((sum, { executed }) => sum + executed, 0) / 10e9;
  assert.ok(Math.abs(total(simulate(2, 100, [{}, {}, {}])) - 1.8) < 0.02);
  assert.ok(Math.abs(total(simulate(2, 100, [{}])) - 1) < 0.01);
});

test('a thread that ends gives up its processor, its wait and a lock that it held', () => {
  const shares = CpuShares.create(1, 0);
  const [one, two] = [shares.join()!, shares.join()!];
  const clients = [one, two].map((id) => new CpuClient(shares.buffer, id));
  assert.equal(clients[0]!.acquire(0), true);
  assert.equal(clients[1]!.acquire(0), false);
  // As if it had been ended in the midst of an act.
  const words = new Int32Array(shares.buffer);
  words[0] = one + 2;
  words[3]++;
  shares.leave(one);
  assert.deepEqual(shares.load, { executing: 1, waiting: 0 });
  assert.equal(clients[1]!.has, true);
  clients[1]!.withdraw();
  assert.deepEqual(shares.load, { executing: 0, waiting: 0 });
});

test('there are places for so many threads', () => {
  const shares = CpuShares.create(4, 0);
  for (let index = 0; index < SHARES_MAX; index++) assert.equal(shares.join(), index);
  assert.equal(shares.join(), undefined);
  shares.leave(7);
  assert.equal(shares.join(), 7);
});
