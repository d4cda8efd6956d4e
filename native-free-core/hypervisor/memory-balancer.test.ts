import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BalancedGuest, balanceMemory, divideMemory, memoryDemand, SMALLEST_MOVE } from './memory-balancer.ts';

const MIB = 2 ** 20;
const PAGE = 4096;

/** In MiB; what is left out is unimportant. */
function guest(name: string, over: Partial<Omit<BalancedGuest, 'name'>>): BalancedGuest {
  const { minimum = 64, maximum = 512, demand = 64, actual = minimum, weight = 100 } = over;
  const bytes = { minimum: minimum * MIB, maximum: maximum * MIB, demand: demand * MIB, actual: actual * MIB };
  return { name, ...bytes, weight };
}

const inMib = (shares: ReadonlyMap<string, number>): number[] =>
  [...shares.values()].map((bytes) => Math.round(bytes / MIB));

const cases: [string, BalancedGuest[], number, number[]][] = [
  ['demand is met where there is enough', [guest('a', { demand: 300 }), guest('b', { demand: 100 })], 800, [300, 100]],
  ['nobody gets less than its minimum', [guest('a', { demand: 0 }), guest('b', { demand: 2000 })], 500, [64, 436]],
  ['nor more than its maximum', [guest('a', { demand: 2000 }), guest('b', { demand: 2000 })], 4000, [512, 512]],
  ['what is missing is missing to both', [guest('a', { demand: 400 }), guest('b', { demand: 400 })], 600, [300, 300]],
  [
    'by weight, beyond the minimum',
    [guest('a', { demand: 500, weight: 300 }), guest('b', { demand: 500 })],
    528,
    [364, 164],
  ],
  [
    'what one does not want goes to the others by weight',
    [guest('a', { demand: 100 }), guest('b', { demand: 500, weight: 200 }), guest('c', { demand: 500 })],
    700,
    [100, 379, 221],
  ],
  [
    'what nobody wants stays where it is',
    [guest('a', { demand: 80, actual: 500 }), guest('b', { demand: 100 })],
    700,
    [500, 100],
  ],
  ['until somebody wants it', [guest('a', { demand: 80, actual: 500 }), guest('b', { demand: 500 })], 700, [200, 500]],
  ['too little for all minimums', [guest('a', {}), guest('b', { demand: 500 })], 100, [64, 64]],
  ['nobody', [], 100, []],
];

for (const [name, guests, budget, shares] of cases)
  test(`division: ${name}`, () => assert.deepEqual(inMib(divideMemory(guests, budget * MIB)), shares));

test('memory is given on only when it has been given back', () => {
  const guests = [guest('a', { demand: 80, actual: 512 }), guest('b', { demand: 500, actual: 200 })];
  const first = balanceMemory(guests, 720 * MIB);
  assert.deepEqual(inMib(first.targets), [220, 208], 'b gets the 8 MiB that are free, a is told to give');
  // The balloon of a gives back in steps; b follows it.
  const second = balanceMemory(
    [guest('a', { demand: 80, actual: 400 }), guest('b', { demand: 500, actual: 208 })],
    720 * MIB,
  );
  assert.deepEqual(inMib(second.targets), [220, 320]);
});

test('small differences move nothing, and a shortage is told', () => {
  const actual = 300;
  const near = guest('a', { demand: actual + SMALLEST_MOVE / MIB - 1, actual });
  assert.equal(balanceMemory([near], 800 * MIB).targets.get('a'), actual * MIB);
  const { shortage, targets } = balanceMemory([guest('a', {}), guest('b', {})], 100 * MIB);
  assert.equal(shortage, 28 * MIB);
  assert.deepEqual(inMib(targets), [64, 64]);
});

test('three guests of 512 MiB on a budget of 800, each in turn needing 450: all get them', () => {
  const names = ['a', 'b', 'c'];
  const actual = new Map(names.map((name) => [name, 800 / 3]));
  for (const busy of names) {
    let periods = 0;
    for (; actual.get(busy)! < 450; periods++) {
      assert.ok(periods < 40, `${busy} has ${actual.get(busy)}`);
      const guests = names.map((name) =>
        guest(name, { demand: name === busy ? 460 : 120, actual: actual.get(name)!, minimum: 96 }),
      );
      const { targets } = balanceMemory(guests, 800 * MIB);
      for (const name of names) {
        const target = targets.get(name)! / MIB;
        const has = actual.get(name)!;
        // A balloon takes 32 MiB a period at most; deflating is at once.
        actual.set(name, target < has ? Math.max(target, has - 32) : target);
      }
      const sum = [...actual.values()].reduce((a, b) => a + b, 0);
      assert.ok(sum <= 800 + 1e-6, `${sum} MiB are in use`);
    }
    assert.ok(periods <= 12, `${periods} periods for ${busy}`);
  }
});

test('whatever guests there are, the bounds hold', () => {
  let state = 12345;
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  for (let round = 0; round < 2000; round++) {
    const guests = Array.from({ length: 1 + random(6) }, (_, index) => {
      const minimum = random(300);
      const maximum = minimum + random(900);
      return guest(`g${index}`, {
        minimum,
        maximum,
        demand: random(1500),
        actual: minimum + random(maximum - minimum + 1),
        weight: 1 + random(10_000),
      });
    });
    const minimums = guests.reduce((sum, { minimum }) => sum + minimum, 0);
    const budget = random(4000) * MIB;
    const { targets, shortage } = balanceMemory(guests, budget);
    assert.equal(shortage, Math.max(0, minimums - budget));
    let afterwards = 0;
    let held = 0;
    for (const { name, minimum, maximum, actual } of guests) {
      const target = targets.get(name)!;
      assert.equal(target % PAGE, 0);
      assert.ok(target >= minimum && target <= maximum, `round ${round}, ${name}: ${target}`);
      afterwards += Math.max(target, actual);
      held += Math.max(actual, minimum);
    }
    // Nobody is given what others still have: with all that has yet to be given back, the budget is kept where it was.
    assert.ok(afterwards <= Math.max(budget, held, minimums) + 1, `round ${round}`);
  }
});

test('demand by what a guest uses, and by what comes back from its disk', () => {
  const statistics = (over: object) => ({ used: 300 * MIB, swappedIn: 0, majorFaults: 0, ...over });
  const before = statistics({});
  assert.equal(memoryDemand(before, undefined), 350 * MIB);
  assert.equal(memoryDemand(statistics({ used: 12 * MIB }), before), 28 * MIB, 'some room at least');
  assert.equal(memoryDemand(statistics({ majorFaults: 300 }), before), 450 * MIB);
  assert.equal(memoryDemand(statistics({ swappedIn: 2 * MIB }), before), 450 * MIB);
  assert.equal(memoryDemand(statistics({ used: 0 }), before), 16 * MIB);
});
