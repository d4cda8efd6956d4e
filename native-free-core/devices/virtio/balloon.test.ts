import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtioBalloon } from './balloon.ts';
import { TestDriver, TestMemory } from './testing.ts';

const pages = (...numbers: number[]) => ({ bytes: new Uint8Array(Uint32Array.from(numbers).buffer) });

function made() {
  const memory = new TestMemory(1 << 20);
  const heard: number[] = [];
  const device = new VirtioBalloon({ memory, memoryBytes: 16_384, clear: (_, length) => heard.push(length) });
  const driver = new TestDriver(memory, device, 'split', device.features & 0xffffffn);
  return { device, driver, heard };
}

test('a balloon counts each page once, whatever the guest says how often', () => {
  const { device, driver } = made();
  const [inflate, deflate] = driver.queues;
  inflate.add([pages(1, 2, 3, 3)]);
  device.notify(0);
  inflate.add([pages(2)]);
  device.notify(0);
  assert.equal(device.pages, 3);
  deflate.add([pages(2, 2, 9)]);
  device.notify(1);
  assert.equal(device.pages, 2);
  assert.equal(inflate.take().length + deflate.take().length, 3);
  device.setStatus(0);
  assert.equal(device.pages, 0);
});

test('another target is a change of the configuration', () => {
  const { device, driver } = made();
  device.target = 256;
  assert.equal(device.readConfig(0, 4), 256);
  assert.equal(driver.transport.changes, 1);
  assert.throws(() => {
    device.target = -1;
  }, RangeError);
});

test('statistics come when they are asked for, and unknown ones are left out', () => {
  const { device, driver } = made();
  const queue = driver.queues[2];
  const told = new Uint8Array(30);
  const view = new DataView(told.buffer);
  [
    [4, 1000],
    [6, 5000],
    [999, 7],
  ].forEach(([tag, value], index) => {
    view.setUint16(10 * index, tag, true);
    view.setBigUint64(10 * index + 2, BigInt(value), true);
  });
  const id = queue.add([{ bytes: told }]);
  device.notify(2);
  assert.deepEqual(device.statistics, { free: 1000, available: 5000 });
  assert.deepEqual(queue.take(), []);
  device.askStatistics();
  assert.deepEqual(queue.take(), [{ id, written: 0 }]);
});

test('reported memory is counted, and a page that there is not stops the device', () => {
  const { device, driver } = made();
  driver.queues[4].add([{ room: 8192 }, { room: 4096 }]);
  device.notify(4);
  assert.equal(device.reportedBytes, 12288);
  driver.queues[0].add([pages(0xffffffff)]);
  device.notify(0);
  assert.equal(driver.needsReset, true);
  assert.equal(device.pages, 0);
});

test('statistics that the driver sent before it was ready are taken when it is', () => {
  const memory = new TestMemory(1 << 20);
  const device = new VirtioBalloon({ memory });
  const told = new Uint8Array(10);
  new DataView(told.buffer).setUint16(0, 6, true);
  new DataView(told.buffer).setBigUint64(2, 5000n, true);
  new TestDriver(memory, device, 'split', device.features & 0xffffffn, 8, (queues) => {
    queues[2].add([{ bytes: told }]);
    device.notify(2);
    assert.equal(device.tellings, 0);
  });
  assert.deepEqual([device.tellings, device.statistics], [1, { available: 5000 }]);
});

test('a restored balloon has its pages, and asks for statistics as before', () => {
  const { device, driver } = made();
  driver.queues[0].add([pages(1, 2, 40)]);
  device.notify(0);
  const told = new Uint8Array(10);
  new DataView(told.buffer).setUint16(0, 6, true);
  const id = driver.queues[2].add([{ bytes: told }]);
  device.notify(2);
  const state = structuredClone(device.save());
  device.restore(state);
  assert.equal(device.pages, 3);
  assert.deepEqual(device.statistics, { available: 0 });
  device.askStatistics();
  assert.deepEqual(driver.queues[2].take(), [{ id, written: 0 }]);
  assert.throws(() => device.restore({ ...state, held: 'all' }), /no valid pages/);
});

test('a guest that is asked tells which memory is free, until it has told all, and has it back when that is over', () => {
  const { device, driver, heard } = made();
  const queue = driver.queues[3];
  const told = (command: number) => {
    queue.add([{ bytes: new Uint8Array(Uint32Array.of(command).buffer) }]);
    device.notify(3);
    assert.equal(queue.take().length, 1);
  };
  const hint = (...rooms: number[]) => {
    queue.add(rooms.map((room) => ({ room })));
    device.notify(3);
    assert.equal(queue.take().length, 1);
  };
  const command = () => device.readConfig(8, 4);
  hint(4096);
  assert.ok(device.clearFree());
  const first = command();
  assert.ok(first >= 2);
  assert.equal(driver.transport.changes, 1);
  // Nothing counts before the driver has begun with this request, nor what is more than there can be.
  hint(4096);
  told(first + 1);
  hint(4096);
  told(0);
  told(first);
  hint(4096, 8192);
  hint(8192);
  assert.deepEqual(heard, [4096, 8192]);
  assert.ok(device.isHinting);
  told(0);
  assert.equal(device.isHinting, false);
  hint(4096);
  assert.deepEqual(heard, [4096, 8192]);
  device.endHints();
  assert.equal(command(), 1);
  assert.equal(driver.transport.changes, 2);
  // Another time is another request.
  assert.ok(device.clearFree());
  assert.equal(command(), first + 1);
  device.setStatus(0);
  assert.equal(device.isHinting, false);
  assert.equal(command(), 0);
  assert.equal(device.clearFree(), false, 'there is no driver');
});
