// The translator against the interpreter over real boots: the same registers, memory, devices and console at every stop.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { architectures, debianGuest, noDebian, prompt } from './debian.ts';
import { needsTrivisor } from './engines.ts';
import { compareBoot, lockstepMachine, visible } from './lockstep.ts';

/** Instructions to compare region by region; more by hand, to look for a fault that shows later. */
const INSTRUCTIONS = Number(process.env.TRIVISOR_LOCKSTEP ?? 4_000_000);
/** Instructions to compare burst by burst, with timers and interrupts. */
const BOUNDED = 250_000_000;
/** Far behind the prompt. */
const WHOLE = 40_000_000_000;

/** Why the whole boots are not compared each time; false where they are. */
const nightly: string | false =
  process.env.TRIVISOR_NIGHTLY === '1'
    ? false
    : 'nightly: about seven minutes of processor time; TRIVISOR_NIGHTLY=1 compares both boots to the prompt';

for (const architecture of architectures) {
  const name = `the translator keeps step with the interpreter through the start of Debian's ${architecture} kernel`;
  test(name, { skip: noDebian || needsTrivisor }, async () => {
    const guest = await debianGuest(architecture);
    const translated = lockstepMachine(guest, 'eager').cpu;
    const interpreted = lockstepMachine(guest, 'off').cpu;
    while (translated.instructions < INSTRUCTIONS) {
      translated.run(1);
      while (interpreted.instructions < translated.instructions) interpreted.executeOne();
      const expected = visible(interpreted);
      if (visible(translated) !== expected) {
        // A fault is delivered at the end of a region, and alone by the interpreter: it counts no instruction.
        interpreted.executeOne();
        assert.equal(interpreted.instructions, translated.instructions, `after ${expected}`);
      }
      assert.equal(visible(translated), visible(interpreted), `after ${translated.instructions} instructions`);
    }
    assert.ok(translated.translator.regions > 10, `${translated.translator.regions} regions were translated`);
  });
}

for (const architecture of architectures) {
  for (const [what, limit, skip] of [
    ['the first part of', BOUNDED, false],
    ['the whole of', WHOLE, nightly],
  ] as const) {
    const name = `translated and interpreted, ${what} the boot of Debian's ${architecture} kernel is the same`;
    test(name, { skip: noDebian || needsTrivisor || skip }, async (t) => {
      const guest = await debianGuest(architecture);
      const result = compareBoot(guest, 'eager', prompt, limit);
      t.diagnostic(`${result.instructions} instructions, compared ${result.comparisons} times`);
      assert.equal(result.difference, '');
      if (limit === WHOLE) assert.match(result.serial, prompt);
      else assert.ok(result.instructions >= limit);
    });
  }
}
