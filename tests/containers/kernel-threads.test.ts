// The thread that guests share, seen from main: who is on it, how long it is kept, and what its end means for them.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { containerStart } from '../../main/containers/container-start.ts';
import { rootFolder } from '../../main/containers/guest-root.ts';
import { KernelThreads } from '../../main/containers/kernel-threads.ts';
import { GuestSettings } from '../../main/contract.ts';
import { RunningGuest } from '../../main/guests/running-guest.ts';

const isAble = process.platform === 'linux' && process.arch === 'x64' && spawnSync('gcc', ['--version']).status === 0;
const skip = isAble ? false : 'it needs a Linux host of x86-64 with gcc';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-threads-'));
after(() => rmSync(folder, { recursive: true }));

before(() => {
  const source = join(import.meta.dirname, 'shared', 'inner.c');
  if (isAble) execFileSync('gcc', ['-O1', '-static', '-o', join(folder, 'program'), source]);
});

/** A guest that waits in namespaces of its own, once it has said so. */
async function waiting(kernels: KernelThreads, name: string): Promise<RunningGuest> {
  const said = Promise.withResolvers<string>();
  const settings = GuestSettings.parse({ name, kind: 'os', image: folder, command: ['/program'], memoryMiB: 32 });
  const run = new RunningGuest({
    settings,
    kernels,
    container: containerStart(rootFolder(folder)!, settings, null),
    output: (bytes) => said.resolve(new TextDecoder().decode(bytes)),
  });
  void run.ended.then(({ detail }) => said.resolve(detail));
  await run.started;
  assert.equal(await said.promise, 'ready 0 0 1\n');
  return run;
}

test('guests share a thread, which one’s end leaves alone, and which is kept for the next', { skip }, async () => {
  const kernels = new KernelThreads({ keep: 100, memoryMiB: 128 });
  const [one, two] = [await waiting(kernels, 'one'), await waiting(kernels, 'two')];
  assert.deepEqual(kernels.count, { threads: 1, guests: 2 });
  assert.equal((await one.forceStop()).reason, 'forced');
  assert.deepEqual(kernels.count, { threads: 1, guests: 1 });
  const [{ command, state }] = await two.processes();
  assert.deepEqual([command, state], ['/program', 'S']);
  two.pause();
  two.resume();
  const heard = Promise.withResolvers<string>();
  const program = {
    command: ['/program', 'look'],
    environment: [],
    workingDirectory: null,
    user: null,
    terminal: null,
  };
  await two.execute(program, (message) => {
    if (message.type === 'output') heard.resolve(new TextDecoder().decode(message.bytes));
  });
  assert.match(await heard.promise, /^host inner/);
  await two.forceStop();
  assert.deepEqual(kernels.count, { threads: 1, guests: 0 });
  const next = await waiting(kernels, 'next');
  await sleep(200);
  assert.deepEqual(kernels.count, { threads: 1, guests: 1 }, 'a thread with guests is not given up');
  await next.forceStop();
  while (kernels.count.threads > 0) await sleep(20);
  // The end of a thread is that of its guests, and the next one begins a new thread.
  const [three, four] = [await waiting(kernels, 'three'), await waiting(kernels, 'four')];
  await kernels.close();
  for (const { reason, detail } of [await three.ended, await four.ended])
    assert.match(`${reason}: ${detail}`, /^crashed: .*the thread of the shared kernel is gone/);
  const last = await waiting(kernels, 'last');
  await last.forceStop();
  await kernels.close();
  assert.deepEqual(kernels.count, { threads: 0, guests: 0 });
});
