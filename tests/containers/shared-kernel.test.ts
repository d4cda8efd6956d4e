// Many guests on one machine: what they share, what they give back, and that the fault of one is no other's.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { archiveOf, layerOf } from '../../native-free-core/containers/images/testing/archives.ts';
import type { FileSystem } from '../../native-free-core/containers/vfs/types.ts';
import { OsMachine } from '../../native-free-core/machines/os-machine.ts';
import { type OsRunOptions, osGuest, osRun } from './os-run.ts';

const isAble = process.platform === 'linux' && process.arch === 'x64' && spawnSync('gcc', ['--version']).status === 0;
const skip = isAble ? false : 'it needs a Linux host of x86-64 with gcc';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-shared-'));
after(() => rmSync(folder, { recursive: true }));
let archive: Uint8Array;

before(() => {
  if (!isAble) return;
  const program = join(folder, 'program');
  const source = join(import.meta.dirname, 'shared', 'everything.c');
  execFileSync('gcc', ['-O1', '-w', '-static', '-o', program, source]);
  const content = readFileSync(program, 'latin1');
  archive = archiveOf([{ name: 'program', content, mode: 0o755 }]);
});

const TOOK = 'took memory 1 file 1 segment 1 terminal 1\n';

/** How guests of one image begin on a machine, which keeps the image's pages. */
function optionsOn(machine: OsMachine): OsRunOptions {
  let layer = layers.get(machine);
  if (!layer) layers.set(machine, (layer = layerOf(archive)));
  return { machine, memoryMiB: 32, container: { layers: [layer] } };
}
const layers = new Map<OsMachine, FileSystem>();

test('what a guest took is everybody’s again at its end', { skip }, async () => {
  const machine = new OsMachine({ memoryMiB: 64 });
  const { processor } = machine;
  const seen: number[][] = [];
  for (let run = 0; run < 12; run++) {
    const { output, status, guest } = await osRun(folder, ['/program'], optionsOn(machine));
    assert.deepEqual([output, status], [TOOK, 0]);
    assert.ok(guest.kernel.cgroup.memoryUsed > 0);
    guest.close();
    assert.equal(guest.kernel.cgroup.memoryUsed, 0, 'nothing is counted for it any more');
    seen.push([processor.pool.used, processor.kernels.size, processor.caches.size]);
  }
  // Pages of the image stay, once.
  assert.deepEqual(new Set(seen.slice(1).map(String)), new Set([String(seen[0])]));
  const cached = [...processor.caches].reduce((sum, pages) => sum + pages.cached, 0);
  assert.equal(processor.pool.used, cached + 1, 'beside them there is the page of zeros');
});

test('guests map the image’s pages together, and change only their own', { skip }, async () => {
  const machine = new OsMachine({ memoryMiB: 64 });
  const { pool } = machine.processor;
  const outputs = ['', '', ''];
  const guests = outputs.map((_, at) =>
    osGuest(folder, ['/program', 'wait'], optionsOn(machine), (bytes) => {
      outputs[at] += Buffer.from(bytes).toString('latin1');
    }),
  );
  const used: number[] = [];
  for (const [at, guest] of guests.entries()) {
    while (!outputs[at].includes('\n')) guest.run(20);
    used.push(pool.used);
  }
  assert.deepEqual(new Set(outputs), new Set([TOOK.replace('\n', '\r\n')]));
  assert.ok(used[2] - used[1] < used[0], `pages after each guest: ${used}`);
  // Programs of the one are no programs of the other.
  for (const guest of guests)
    assert.deepEqual(
      guest.processes().map(({ pid }) => pid),
      [1, 2, 3, 4],
    );
  // The end of one, whatever it was at, leaves the others what they have.
  guests[0].close();
  for (const guest of guests.slice(1)) {
    guest.powerButton();
    let result = guest.run(50);
    for (let slices = 0; result.state !== 'ended' && slices < 1000; slices++) result = guest.run(50);
    assert.equal(result.state === 'ended' && result.end.status, 128 + 15);
    guest.close();
  }
});

test('a fault of ours in one guest’s call ends that guest alone', { skip }, async () => {
  const machine = new OsMachine({ memoryMiB: 64 });
  let output = '';
  const good = osGuest(folder, ['/program', 'wait'], optionsOn(machine), (bytes) => {
    output += Buffer.from(bytes).toString('latin1');
  });
  const bad = osGuest(folder, ['/program'], optionsOn(machine), () => {});
  good.run(1);
  bad.kernel.timers.at = () => {
    throw new TypeError('as by a mistake of ours');
  };
  assert.throws(() => {
    for (;;) bad.run(20);
  }, /a mistake of ours/);
  machine.recover();
  bad.close();
  while (!output.includes('\n')) good.run(20);
  assert.equal(output, TOOK.replace('\n', '\r\n'));
  good.close();
  const next = await osRun(folder, ['/program'], optionsOn(machine));
  assert.deepEqual([next.output, next.status], [TOOK, 0]);
});

test('one guest’s hunger is met by its own limit, be the machine full or not', { skip }, async () => {
  const machine = new OsMachine({ memoryMiB: 24 });
  const { guest } = await osRun(folder, ['/program'], { ...optionsOn(machine), memoryMiB: 16 });
  assert.equal(guest.kernel.memoryTotal, 16 << 20);
  guest.close();
});
