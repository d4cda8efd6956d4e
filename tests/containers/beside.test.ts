// Programs that are started beside a container's first: where they are, and what they find.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { osGuest } from './os-run.ts';

const isAble = process.platform === 'linux' && process.arch === 'x64' && spawnSync('gcc', ['--version']).status === 0;
const skip = isAble ? false : 'it needs a Linux host of x86-64 with gcc';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-beside-'));
after(() => rmSync(folder, { recursive: true }));

test('a program is where the first one is by then', { skip }, () => {
  const source = join(import.meta.dirname, 'shared', 'inner.c');
  execFileSync('gcc', ['-O1', '-static', '-o', join(folder, 'program'), source]);
  let first = '';
  const guest = osGuest(folder, ['/program'], { memoryMiB: 32 }, (bytes) => {
    first += Buffer.from(bytes).toString('latin1');
  });
  while (!first.includes('\n')) guest.run(20);
  assert.equal(first, 'ready 0 0 1\r\n');
  let output = '';
  let status: number | undefined;
  guest.execute(
    { command: ['/program', 'look'], environment: [], workingDirectory: null, user: null, terminal: null },
    {
      output: (bytes) => {
        output += Buffer.from(bytes).toString('latin1');
      },
      taken: () => {},
      ended: (ended) => {
        status = ended;
      },
    },
  );
  while (status === undefined) guest.run(20);
  assert.deepEqual([output, status], ['host inner, file 0, pid of the first 0\n', 0]);
  guest.close();
});
