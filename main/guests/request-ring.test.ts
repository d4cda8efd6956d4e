import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import type { TranslationRequest } from '../../native-free-core/cpu/translator/translation.ts';
import { createRing, RequestReader, RequestWriter } from './request-ring.ts';

function request(pc: number, changing?: readonly number[]): TranslationRequest {
  return {
    pc,
    generation: 3,
    page: 0xfeed_f000,
    physicalPage: 0xfffff,
    offset: 0xfff,
    mode: 15,
    codeBaseLow: 0xffff_f000,
    codeBaseHigh: 0xffff_ffff,
    executeTable: 0xf000_0000 + pc,
    user: pc % 2 === 0,
    linear: pc % 3 === 0,
    everything: pc % 5 === 0,
    ...(changing ? { changing } : {}),
  };
}

test('requests come out as they went in, around the end of the ring', () => {
  const ring = createRing();
  const writer = new RequestWriter(ring);
  const reader = new RequestReader(ring, () => 0);
  for (let round = 0; round < 20_000; round++) {
    const sent = request(round, round % 7 === 0 ? [1, 0xfffff, round] : round % 11 === 0 ? [] : undefined);
    assert.ok(writer.write(sent));
    assert.deepEqual(reader.read(), sent);
    assert.equal(reader.read(), undefined);
  }
});

test('a full ring refuses, and takes again what there is room for', () => {
  const ring = createRing();
  const writer = new RequestWriter(ring);
  const reader = new RequestReader(ring, () => 0);
  let count = 0;
  while (writer.write(request(count))) count++;
  assert.ok(count > 5000);
  assert.equal(writer.write(request(count)), false);
  assert.deepEqual(reader.read(), request(0));
  assert.ok(writer.write(request(count)));
  for (let pc = 1; pc <= count; pc++) assert.equal(reader.read()?.pc, pc);
  assert.equal(reader.read(), undefined);
});

test('a reader that sleeps is woken', async () => {
  const ring = createRing();
  const source = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { RequestReader } = await import(workerData.module);
    // A clock that leaps: the reader goes to sleep at once.
    let now = 0;
    const reader = new RequestReader(workerData.ring, () => (now += 1000));
    for (let seen = 0; seen < 50; ) {
      const request = reader.read();
      if (request) parentPort.postMessage(request.pc), seen++;
      else reader.wait();
    }`;
  const worker = new Worker(source, {
    eval: true,
    workerData: { ring, module: new URL('./request-ring.ts', import.meta.url).href },
    execArgv: ['--input-type=module'],
  });
  const writer = new RequestWriter(ring);
  for (let pc = 0; pc < 50; pc++) {
    const answer = new Promise((resolve) => worker.once('message', resolve));
    assert.ok(writer.write(request(pc)));
    writer.wake();
    assert.equal(await answer, pc);
  }
  await worker.terminate();
});
