import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { TRANSLATION_DEFAULTS } from '../../native-free-core/cpu/cpu.ts';
import { REGION_SLOTS } from '../../native-free-core/cpu/interpreter/module.ts';
import { REGION_BLOCKS, REGION_INSTRUCTIONS } from '../../native-free-core/cpu/translator/region.ts';
import { FUNCTION_BYTES, MODULE_REGIONS } from '../../native-free-core/cpu/translator/region-compiler.ts';
import { TRANSLATED_BYTES, TRANSLATION_QUEUE } from '../../native-free-core/cpu/translator/translator.ts';
import { repositoryRoot } from '../house/sources.ts';
import { needsTrivisor } from './engines.ts';
import { hostilePrograms } from './hostile-programs.ts';
import type { HostileResult } from './hostile-run.ts';

// Each hostile guest has a process of its own with a peaceful guest in it: what a hostile one must never do is end the
// process, as V8 does when a function is too large for its compiler, or starve the other.

/** Seconds that a guest runs for; more by hand, to look for what grows slowly. */
const SECONDS = Number(process.env.TRIVISOR_HOSTILE ?? 1);
/** How often everything is dropped in the run that shows that it gives its memory back. */
const FLUSHES = Number(process.env.TRIVISOR_HOSTILE_FLUSHES ?? 3);
/** Most memory of a process with two guests, in MiB: about 60 KiB of it for each of {@link REGION_SLOTS} modules. */
const MEMORY = 1024;
/** Most milliseconds that 1,000 instructions may keep the thread: pages of code compiled, or gigabytes of REP STOS. */
const LONGEST_TURN = 10_000;
interface RunOptions {
  /** Entries of a block after which it is translated. */
  readonly hotness: number;
  /** Where: in the guest's own thread, or in one beside it. */
  readonly thread?: 'own' | 'beside';
  readonly flushes?: number;
  /** Of the guest's life; {@link SECONDS} in its own thread where nothing is said. */
  readonly seconds?: number;
  readonly node?: readonly string[];
}

async function run(program: string, options: RunOptions) {
  const { hotness, thread = 'own', flushes = 0, node = [] } = options;
  // Another thread takes a while to start.
  const { seconds = thread === 'beside' ? 3 * SECONDS : SECONDS } = options;
  const script = join(repositoryRoot, 'tests/guests/hostile-run.ts');
  // Rejects with what the process said if it did not end by itself and well.
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...node, '--expose-gc', script, program, String(hotness), thread, String(seconds), String(flushes)],
    { timeout: (seconds + 300) * 1000 },
  );
  return JSON.parse(stdout) as HostileResult;
}

function checkBounds(result: HostileResult): void {
  const { largest } = result;
  assert.ok(largest.blocks <= REGION_BLOCKS, `a region had ${largest.blocks} blocks`);
  assert.ok(largest.instructions <= REGION_INSTRUCTIONS, `a region had ${largest.instructions} instructions`);
  assert.ok(largest.bytes <= FUNCTION_BYTES, `a region had ${largest.bytes} bytes`);
  assert.ok(result.mostRegions <= REGION_SLOTS, `${result.mostRegions} regions were installed`);
  assert.ok(result.mostBytes <= TRANSLATED_BYTES, `${result.mostBytes} bytes were installed`);
  assert.ok(result.mostWaiting <= TRANSLATION_QUEUE, `${result.mostWaiting} requests waited`);
  assert.ok(result.peakMemory <= MEMORY, `the process took ${result.peakMemory} MiB`);
  assert.ok(result.longestTurn <= LONGEST_TURN, `a turn took ${Math.round(result.longestTurn)} ms`);
  assert.ok(result.instructions > 100, 'the hostile guest got on');
  assert.ok(result.peacefulTurns > 0, 'the peaceful guest got on');
}

/** Programs that get far enough to meet other bounds when only hot code is translated, or in its time beside them. */
const alsoHot = ['all branches, 64 bits', 'a million tiny functions', 'the largest regions', 'new code for ever'];

describe('hostile code', { skip: needsTrivisor, concurrency: availableParallelism() }, () => {
  for (const program of Object.keys(hostilePrograms)) {
    test(`${program}: every bound holds, and the guest beside it goes on`, async (t) => {
      const result = await run(program, { hotness: 1 });
      t.diagnostic(JSON.stringify(result));
      checkBounds(result);
      assert.ok(result.regions > 0, 'code was translated');
    });
  }

  for (const program of alsoHot) {
    test(`${program}, translated when hot: every bound holds`, async (t) => {
      const result = await run(program, { hotness: TRANSLATION_DEFAULTS.hotness });
      t.diagnostic(JSON.stringify(result));
      checkBounds(result);
    });

    test(`${program}, translated in a thread beside it: every bound holds`, async (t) => {
      const result = await run(program, { hotness: 1, thread: 'beside' });
      t.diagnostic(JSON.stringify(result));
      checkBounds(result);
    });
  }

  for (const thread of ['own', 'beside'] as const) {
    test(`translations that are dropped give their memory back (translated in thread: ${thread})`, async (t) => {
      const result = await run('new code for ever', { hotness: 1, thread, flushes: FLUSHES });
      t.diagnostic(JSON.stringify(result));
      checkBounds(result);
      const { memory, regions } = result;
      if (thread === 'own')
        assert.ok(regions > (FLUSHES - 1) * (REGION_SLOTS - MODULE_REGIONS), `only ${regions} regions were translated`);
      assert.ok(regions > 0, 'code was translated');
      const last = memory[memory.length - 1];
      // V8 hands what it has freed to the next modules, not to the system. A module is freed once both threads that know it
      // have collected their garbage, which the translating one does in its own time.
      const halfway = memory[(memory.length - 1) >> 1];
      assert.ok(
        last <= halfway * (thread === 'own' ? 1.25 : 1.6),
        `memory went from ${halfway} to ${last} MiB: ${memory.join(', ')}`,
      );
    });
  }

  test('the largest regions are no danger to the optimizing compiler', async (t) => {
    // Without the baseline compiler each region goes through the optimizing one when it is first called.
    const result = await run('the largest regions', { hotness: 1, node: ['--no-liftoff'] });
    t.diagnostic(JSON.stringify(result));
    checkBounds(result);
    assert.ok(result.regions > 0, 'code was translated');
  });

  test('a vCPU that faults in every fault is shut down, and can be powered on again', async () => {
    // A busy machine powers it on once in a second.
    assert.ok((await run('exceptions in exceptions', { hotness: 1, seconds: 5 * SECONDS })).restarts > 1);
  });

  test('a million tiny functions fill the arena again and again', async () => {
    const { decoded, flushes } = await run('a million tiny functions', { hotness: 0, flushes: 3 });
    assert.ok(decoded > 500_000 && flushes >= 3, `${decoded} blocks were decoded, everything dropped ${flushes} times`);
  });
});
