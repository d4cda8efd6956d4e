import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBench } from '../../main/bench/bench.ts';
import { native, peers, trivisor } from '../../main/bench/engines.ts';
import { canMeasureIdle } from '../../main/bench/idle.ts';
import { compileWorkloads, usualWorkloads, widths } from '../../main/bench/workloads.ts';
import { noDebian } from './debian.ts';
import { engine, patience } from './engines.ts';

/** Why the workloads cannot be compiled here, for a test's `skip`; false where they can. */
const noCompiler: string | false = (() => {
  try {
    for (const width of widths) compileWorkloads(width);
    return false;
  } catch (error) {
    return (error as Error).message;
  }
})();

// A hundredth part of the work shows that every engine runs every workload to the same result; times are another matter.
test('the benchmark runs every workload on every engine that is here, to the same results', {
  skip: noDebian || noCompiler,
}, async (context) => {
  const results = await runBench({
    peers: Object.keys(peers),
    widths,
    only: [],
    runs: 1,
    scale: 1,
    native: true,
    idle: engine === 'trivisor' && canMeasureIdle,
    withoutTrivisor: engine !== 'trivisor',
    timeout: 600 * patience,
  });
  const expected = [trivisor, ...Object.values(peers), native].filter(
    (one) => engine === 'trivisor' || one !== trivisor,
  );
  for (const { share } of results.idle) assert.ok(share > 0 && share < 1, `${share}`);
  assert.equal(results.idle.length, engine === 'trivisor' && canMeasureIdle ? widths.length : 0);
  for (const width of widths) {
    for (const one of expected) {
      const reason = one.missing(width);
      const figures = results.figures.filter((figure) => figure.engine === one.name && figure.width === width);
      if (reason !== null) {
        context.diagnostic(`not run: ${one.name}, ${width} bits: ${reason}`);
        assert.deepEqual(figures, []);
        continue;
      }
      const failed = results.missing.find((missing) => missing.engine === one.name && missing.width === width);
      assert.equal(failed, undefined);
      const rows = one === native ? usualWorkloads : ['boot', ...usualWorkloads];
      assert.deepEqual(
        figures.map(({ workload }) => workload),
        rows,
      );
    }
  }
  assert.deepEqual(results.disagreements, []);
});
