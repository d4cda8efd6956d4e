// Fuzzes the translator against the interpreter for a while: seeds that are always the same, then some that never were.
// `npm run fuzz` goes on for as long as one likes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, makeMachines, minimise } from './compare.ts';
import { generate } from './generator.ts';
import { listing } from './listing.ts';

/** Programs of each test, as far as the seconds go: a slow machine runs fewer. */
const PROGRAMS = 1500;
const SECONDS = 25;

function fuzz(first: number): { programs: number; trouble: string } {
  const machines = makeMachines();
  const until = performance.now() + SECONDS * 1000;
  let programs = 0;
  for (; programs < PROGRAMS && performance.now() < until; programs++) {
    const program = generate(first + programs);
    if (differences(machines, program).length === 0) continue;
    const least = minimise(machines, program);
    const wrong = differences(machines, least).join('\n');
    return { programs, trouble: `npm run fuzz -- --seed ${program.seed} --programs 1\n${listing(least)}\n${wrong}` };
  }
  return { programs, trouble: '' };
}

for (const [name, seed] of [
  ['the same seeds every time', 1],
  ['fresh seeds', Date.now() % 1_000_000_000],
] as const) {
  test(`translated programs end as interpreted ones: ${name}`, (t) => {
    const { programs, trouble } = fuzz(seed);
    t.diagnostic(`${programs} programs from seed ${seed} on`);
    assert.equal(trouble, '');
    assert.ok(programs > 20, `only ${programs} programs in ${SECONDS} seconds`);
  });
}
