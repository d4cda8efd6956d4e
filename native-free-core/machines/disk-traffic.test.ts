import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BlockDevice, DiskError, HostFullError } from '../disk/block.ts';
import { DiskTraffic } from './disk-traffic.ts';

function machine() {
  const done: string[] = [];
  const said: string[] = [];
  const host = { room: 0, broken: false };
  const act = (name: string) => async () => {
    if (host.broken) throw new DiskError('broken');
    if (host.room <= 0) throw new HostFullError('The host is full.');
    host.room--;
    done.push(name);
  };
  const disk: BlockDevice = {
    ...{ size: 4096, isReadOnly: false },
    read: async () => void done.push('read'),
    readNow: () => done.push('read now') > 0,
    writeNow: () => done.push('write now') > 0,
    write: (offset) => act(`write ${offset}`)(),
    flush: act('flush'),
    discard: act('discard'),
    writeZeros: act('write zeros'),
    zerosFrom: async () => 0,
    close: async () => {},
  };
  const traffic = new DiskTraffic(
    () => 0,
    () => {},
    () => {},
    (reason) => said.push(reason),
  );
  return { traffic, medium: traffic.medium(disk), done, said, host };
}

test('what the host has no room for waits, in order, and is done once', async () => {
  const { traffic, medium, done, said, host } = machine();
  const settled: string[] = [];
  const note = (name: string, work: Promise<void>) =>
    work.then(
      () => settled.push(name),
      () => settled.push(`not ${name}`),
    );
  const all = [
    note('first', medium.write(0, new Uint8Array(512))),
    note('second', medium.write(512, new Uint8Array(512))),
    note('flush', medium.flush()),
  ];
  await medium.read(0, new Uint8Array(512));
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(settled, []);
  assert.equal(said[0], 'The host is full.');
  assert.equal(traffic.pending, 3);
  host.room = 1;
  assert.equal(await traffic.retry(), false);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(settled, ['first']);
  host.room = 5;
  const [once, twice] = await Promise.all([traffic.retry(), traffic.retry()]);
  assert.deepEqual([once, twice], [true, true]);
  await Promise.all(all);
  assert.deepEqual(done, ['read', 'write 0', 'write 512', 'flush']);
  assert.deepEqual(settled, ['first', 'second', 'flush']);
  assert.equal(traffic.pending, 0);
});

test('another failure is the drive’s business, also when it comes of trying again', async () => {
  const { traffic, medium, host, said } = machine();
  host.broken = true;
  await assert.rejects(medium.write(0, new Uint8Array(512)), DiskError);
  assert.deepEqual(said, []);
  host.broken = false;
  const waiting = medium.flush();
  await new Promise((resolve) => setImmediate(resolve));
  host.broken = true;
  assert.equal(await traffic.retry(), true);
  await assert.rejects(waiting, DiskError);
});

test('what is done at once is no request under way, and nothing is written before what waits for room', async () => {
  const { traffic, medium, done, host } = machine();
  assert.ok(medium.readNow!(0, [new Uint8Array(512)]));
  assert.ok(medium.writeNow!(0, [new Uint8Array(512)]));
  assert.equal(traffic.pending, 0);
  const waiting = medium.write(0, new Uint8Array(512));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(medium.writeNow!(0, [new Uint8Array(512)]), false);
  host.room = 1;
  await traffic.retry();
  await waiting;
  assert.ok(medium.writeNow!(0, [new Uint8Array(512)]));
  assert.deepEqual(done, ['read now', 'write now', 'write 0', 'write now']);
});
