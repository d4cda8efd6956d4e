import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ImageMedium } from '../storage/medium.ts';
import { VirtioBlock } from './block.ts';
import { type Piece, TestDriver, TestMemory } from './testing.ts';

const SECTORS = 64;
const READ = 0;
const WRITE = 1;
const FLUSH = 4;
const ID = 8;
const DISCARD = 11;
const ZEROES = 13;
const OK = 0;
const ERROR = 1;
const UNSUPPORTED = 2;
const FEATURE_FLUSH = 1n << 9n;

/** A disk that notes what it is asked for; `broken` makes it fail, `prompt` answer at once. */
class TestDisk implements ImageMedium {
  readonly size = SECTORS * 512;
  readonly bytes = new Uint8Array(this.size).map((_, index) => (index >> 9) + 1);
  readonly acts: string[] = [];
  readonly isReadOnly: boolean;
  broken = false;
  prompt = false;

  constructor(isReadOnly = false) {
    this.isReadOnly = isReadOnly;
  }

  private async act(what: string, offset: number, length: number, done: () => void): Promise<void> {
    assert.ok(offset >= 0 && offset + length <= this.size);
    this.acts.push(`${what} ${offset / 512} ${length / 512}`);
    if (this.broken) throw new Error('broken');
    done();
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return this.act('read', offset, into.length, () => into.set(this.bytes.subarray(offset, offset + into.length)));
  }

  write(offset: number, from: Uint8Array): Promise<void> {
    return this.act('write', offset, from.length, () => this.bytes.set(from, offset));
  }

  readNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    return this.actNow('read', offset, buffers, (at, buffer) => {
      buffer.set(this.bytes.subarray(at, at + buffer.length));
    });
  }

  writeNow(offset: number, buffers: readonly Uint8Array[]): boolean {
    return this.actNow('write', offset, buffers, (at, buffer) => this.bytes.set(buffer, at));
  }

  private actNow(
    what: string,
    offset: number,
    buffers: readonly Uint8Array[],
    move: (at: number, buffer: Uint8Array) => void,
  ): boolean {
    if (!this.prompt) return false;
    let at = offset;
    for (const buffer of buffers) {
      move(at, buffer);
      at += buffer.length;
    }
    this.acts.push(`${what} ${offset / 512} ${(at - offset) / 512} at once`);
    return true;
  }

  flush(): Promise<void> {
    return this.act('flush', 0, 0, () => {});
  }

  discard(offset: number, length: number): Promise<void> {
    return this.act('discard', offset, length, () => {});
  }

  writeZeros(offset: number, length: number): Promise<void> {
    return this.act('zeros', offset, length, () => this.bytes.fill(0, offset, offset + length));
  }
}

function made({ isReadOnly = false, features = FEATURE_FLUSH, atOnce = false } = {}) {
  const memory = new TestMemory(1 << 20);
  const disk = new TestDisk(isReadOnly);
  const work: Promise<void>[] = [];
  const device = new VirtioBlock({
    ...{ memory, medium: disk, serial: 'TV-1', atOnce },
    follow: (each) => void work.push(each),
  });
  const driver = new TestDriver(memory, device, 'packed', features, 32);
  const [queue] = driver.queues;
  const header = (type: number, sector: number) => {
    const bytes = new Uint8Array(16);
    new DataView(bytes.buffer).setUint32(0, type, true);
    new DataView(bytes.buffer).setBigUint64(8, BigInt(sector), true);
    return { bytes };
  };
  /** A request, its answer, and its rooms. */
  const ask = async (type: number, sector: number, ...data: Piece[]) => {
    const id = queue.add([header(type, sector), ...data, { room: 1 }]);
    device.notify(0);
    await Promise.all(work.splice(0));
    const [used] = queue.take();
    assert.equal(used?.id, id);
    const rooms = data.filter((piece) => 'room' in piece).length;
    return { status: queue.room(id, rooms)[0], written: used.written, room: (index: number) => queue.room(id, index) };
  };
  return { memory, disk, device, driver, ask, queue, header, work };
}

const range = (sector: number, sectors: number, flags = 0) => {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(sector), true);
  view.setUint32(8, sectors, true);
  view.setUint32(12, flags, true);
  return { bytes };
};

test('sectors are read and written, in pieces however the driver cuts them', async () => {
  const { disk, ask } = made();
  const read = await ask(READ, 3, { room: 100 }, { room: 924 });
  assert.deepEqual([read.status, read.written], [OK, 1025]);
  assert.deepEqual([read.room(0)[0], read.room(1)[0], read.room(1)[923]], [4, 4, 5]);
  const written = await ask(WRITE, 10, { bytes: new Uint8Array(300).fill(9) }, { bytes: new Uint8Array(212).fill(8) });
  assert.deepEqual([written.status, written.written], [OK, 1]);
  assert.deepEqual([disk.bytes[5120], disk.bytes[5120 + 299], disk.bytes[5120 + 300], disk.bytes[5632]], [9, 9, 8, 12]);
  assert.deepEqual(disk.acts, ['read 3 2', 'write 10 1']);
});

test('what is beyond the disk, no whole sector or not offered is refused, and the disk not asked', async () => {
  const { disk, driver, ask } = made();
  const data = { bytes: new Uint8Array(512) };
  const cases: [number, number, Piece, number][] = [
    [READ, SECTORS, { room: 512 }, ERROR],
    [READ, SECTORS - 1, { room: 1024 }, ERROR],
    [READ, 2 ** 52, { room: 512 }, ERROR],
    [READ, 0, { room: 511 }, ERROR],
    [WRITE, SECTORS, data, ERROR],
    [DISCARD, 0, range(SECTORS - 1, 2), ERROR],
    [DISCARD, 0, range(0, 1, 1), UNSUPPORTED],
    [DISCARD, 0, { bytes: new Uint8Array(15) }, ERROR],
    [ZEROES, 0, range(2 ** 40, 1), ERROR],
    [ZEROES, 0, range(0, 1, 2), UNSUPPORTED],
    [77, 0, data, UNSUPPORTED],
  ];
  for (const [type, sector, piece, status] of cases)
    assert.equal((await ask(type, sector, piece)).status, status, `${type} ${sector}`);
  assert.deepEqual(disk.acts, []);
  assert.equal(driver.needsReset, false);
});

test('flush, discard and zeroes reach the disk, the serial number the driver', async () => {
  const { disk, ask } = made();
  assert.equal((await ask(FLUSH, 0)).status, OK);
  assert.equal((await ask(DISCARD, 0, range(8, 8), range(32, 1))).status, OK);
  assert.equal((await ask(ZEROES, 0, range(1, 2, 1))).status, OK);
  assert.deepEqual(disk.acts, ['flush 0 0', 'discard 8 8', 'discard 32 1', 'zeros 1 2']);
  const id = await ask(ID, 0, { room: 20 });
  assert.equal(new TextDecoder().decode(id.room(0)).replace(/\0+$/, ''), 'TV-1');
});

test('a driver that cannot flush has written when it is told so', async () => {
  const { disk, ask } = made({ features: 0n });
  await ask(WRITE, 0, { bytes: new Uint8Array(512) });
  assert.deepEqual(disk.acts, ['write 0 1', 'flush 0 0']);
});

test('a protected disk is not written, and what a broken one cannot do is an error of the request', async () => {
  const { disk, ask } = made({ isReadOnly: true });
  assert.equal((await ask(WRITE, 0, { bytes: new Uint8Array(512) })).status, ERROR);
  assert.equal((await ask(ZEROES, 0, range(0, 1))).status, ERROR);
  assert.deepEqual(disk.acts, []);
  disk.broken = true;
  assert.equal((await ask(READ, 0, { room: 512 })).status, ERROR);
});

test('a request without a header, or into memory that there is not, stops the device; an answer after a reset is nobody’s', async () => {
  const { device, driver } = made();
  driver.queues[0].add([{ bytes: new Uint8Array(15) }, { room: 1 }]);
  device.notify(0);
  assert.equal(driver.needsReset, true);

  const other = made();
  const late = other.driver.queues[0].add([{ bytes: new Uint8Array(16) }, { room: 512 }, { room: 1 }]);
  other.device.notify(0);
  assert.throws(() => other.device.save(), /waits for its medium/);
  other.device.setStatus(0);
  const before = other.memory.bytes.slice();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(other.memory.bytes, before, `${late}`);
  assert.doesNotThrow(() => other.device.save());
});

test('what the medium has is moved while the driver notifies, straight into its memory, with one interrupt for all', async () => {
  const { memory, disk, device, driver, queue, header, ask } = made({ atOnce: true });
  disk.prompt = true;
  const read = queue.add([header(READ, 3), { room: 100 }, { room: 924 }, { room: 1 }], true);
  const written = queue.add([header(WRITE, 10), { bytes: new Uint8Array(512).fill(9) }, { room: 1 }]);
  device.notify(0);
  assert.deepEqual(disk.acts, ['read 3 2 at once', 'write 10 1 at once']);
  assert.equal(driver.transport.interrupts, 1);
  assert.deepEqual(queue.take(), [
    { id: read, written: 1025 },
    { id: written, written: 1 },
  ]);
  assert.deepEqual([queue.room(read, 0)[0], queue.room(read, 1)[0], queue.room(read, 2)[0]], [4, 4, OK]);
  assert.equal(disk.bytes[5120], 9);
  // Whoever has decoded code there is told.
  assert.equal(
    memory.changes.map((each) => Number(each.split(' ')[1])).reduce((sum, each) => sum + each),
    1024,
  );
  assert.doesNotThrow(() => device.save());
  disk.prompt = false;
  assert.equal((await ask(READ, 3, { room: 512 })).status, OK);
  assert.equal(disk.acts.at(-1), 'read 3 1');
});

test('nothing is moved at once that is refused, is to be durable, or is not memory', async () => {
  const { memory, disk, device, driver, ask, queue, header } = made({ atOnce: true });
  disk.prompt = true;
  assert.equal((await ask(READ, SECTORS, { room: 512 })).status, ERROR);
  assert.equal((await ask(READ, 0, { room: 511 })).status, ERROR);
  assert.equal((await ask(77, 0, { room: 512 })).status, UNSUPPORTED);
  assert.deepEqual(disk.acts, []);
  const unflushed = made({ atOnce: true, features: 0n });
  unflushed.disk.prompt = true;
  await unflushed.ask(WRITE, 0, { bytes: new Uint8Array(512) });
  assert.deepEqual(unflushed.disk.acts, ['write 0 1', 'flush 0 0']);
  const isReadOnly = made({ atOnce: true, isReadOnly: true });
  isReadOnly.disk.prompt = true;
  assert.equal((await isReadOnly.ask(WRITE, 0, { bytes: new Uint8Array(512) })).status, ERROR);
  assert.deepEqual(isReadOnly.disk.acts, []);
  // A room that lies beyond memory.
  queue.add([header(READ, 0), { room: 512 }, { room: 1 }]);
  const { descriptors } = device.queues[0];
  for (let at = descriptors; at < descriptors + 16 * 32; at += 16)
    if (memory.view.getUint32(at + 8, true) === 512) memory.view.setUint32(at + 4, 1, true);
  device.notify(0);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(driver.needsReset, true);
});
