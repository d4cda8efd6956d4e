// Fuzzes the translator against the interpreter from the command line: npm run fuzz -- [--seed N] [--seconds S] [--programs P]
// Owns the loop, and what is printed of a program that shows a difference.
// Never decides what is a difference: compare.ts does.
import { parseArgs } from 'node:util';
import { differences, makeMachines, minimise } from './compare.ts';
import { generate } from './generator.ts';
import { listing } from './listing.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    seconds: { type: 'string', default: '60' },
    programs: { type: 'string', default: 'Infinity' },
    keep: { type: 'boolean', default: false },
  },
});
const [first, seconds, programs] = [values.seed, values.seconds, values.programs].map(Number);
if (![first, seconds, programs].every((value) => value >= 0)) {
  console.error('--seed, --seconds and --programs are numbers.');
  process.exit(2);
}
console.log(`from seed ${first} on`);
const started = performance.now();
let machines = makeMachines();
let count = 0;
let wrong = 0;
for (; count < programs && performance.now() - started < seconds * 1000; count++) {
  const program = generate(first + count);
  if (count % 500 === 499) machines = makeMachines();
  const found = differences(machines, program);
  if (found.length === 0) continue;
  wrong++;
  const least = minimise(machines, program);
  console.log(`seed ${program.seed}: interpreter and translator differ\n${listing(least)}`);
  console.log(differences(machines, least).join('\n'));
  if (!values.keep) break;
}
console.log(`${count} programs, ${wrong} with differences, ${((performance.now() - started) / 1000).toFixed(0)} s`);
process.exitCode = wrong > 0 ? 1 : 0;
