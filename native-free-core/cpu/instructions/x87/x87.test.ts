// x87 instructions against a processor: results, flags and condition codes in every rounding and precision mode.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coldRows } from '../../system/dispatch.ts';
import { CASES, casesOf, Digest, runCase } from '../../testing/x87-digest.ts';
import { X87Runner } from '../../testing/x87-run.ts';
import { encodings } from '../table.ts';
import { recordedDigests } from './recorded-digests.ts';
import { x87 } from './x87.ts';

test('x87 instructions do to generated states what the recorded processor did', () => {
  const runner = new X87Runner();
  const rows = new Set(x87.rows);
  const wrong: string[] = [];
  for (const encoding of encodings) {
    // What TypeScript carries out, if only in part, is recorded apart: see system/x87.test.ts.
    if (!rows.has(encoding.row) || coldRows.has(encoding.row.name)) continue;
    const expected = recordedDigests[encoding.text];
    assert.ok(expected !== undefined, `${encoding.text} has a recording`);
    const digest = new Digest();
    for (const one of casesOf(encoding, 1, CASES)) digest.state(runCase(runner, encoding, one));
    if (digest.value !== expected) wrong.push(`${encoding.row.name} (${encoding.text})`);
  }
  assert.deepEqual(wrong, []);
});
