import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Unfinished } from '../offload.ts';
import type { PacketPort } from '../packets.ts';
import { VirtioNet } from './net.ts';
import { TestDriver, TestMemory } from './testing.ts';

const PLAIN = 0x0001_0021n;
/** Checksums and TCP over IPv4, in both directions; mergeable buffers. */
const OFFLOADS = 0x8883n | PLAIN;

interface Sent {
  frame: Uint8Array;
  header?: Uint8Array;
}

function made(features: bigint, ring: 'split' | 'packed' = 'split') {
  const memory = new TestMemory(1 << 22);
  const sent: Sent[] = [];
  const waiting: Sent[] = [];
  const state = { takes: -1 };
  const port: PacketPort = {
    isUp: true,
    send: (frame) => sent.push({ frame: frame.slice() }) > 0,
    sendUnfinished: (frame, header) => sent.push({ frame: frame.slice(), header: header.slice() }) > 0,
    take(kinds) {
      state.takes = kinds;
    },
    get header() {
      return waiting[0]?.header;
    },
    next: () => waiting[0]?.frame,
    advance: () => void waiting.shift(),
  };
  const device = new VirtioNet({ memory, port, address: Uint8Array.of(2, 0, 0, 0, 0, 1) });
  const driver = new TestDriver(memory, device, ring, features, 64);
  return { device, driver, sent, waiting, state };
}

/** A TCP message over IPv4 to the device, with as many bytes of data. */
function message(data: number): Uint8Array {
  const bytes = new Uint8Array(54 + data).fill(0x33, 54);
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45]);
  bytes[23] = 6;
  bytes[46] = 5 << 4;
  return bytes;
}
const header = (gso: number) => Uint8Array.of(1, gso, 54, 0, 0xe8, 0x03, 34, 0, 16, 0, 0, 0);

test('what a driver leaves unfinished goes out as it is where somebody finishes it', () => {
  const { device, driver, sent, state } = made(OFFLOADS);
  assert.equal(state.takes, Unfinished.checksum | Unfinished.tcp4);
  driver.queues[1].add([{ bytes: header(1) }, { bytes: message(5000) }]);
  device.notify(1);
  assert.deepEqual(sent, [{ frame: message(5000), header: header(1) }]);
  // A checksum beyond the frame.
  const wrong = header(0).fill(0xff, 6, 8);
  driver.queues[1].add([{ bytes: wrong }, { bytes: message(10) }]);
  device.notify(1);
  assert.equal(driver.needsReset, true);
  assert.equal(sent.length, 1);
});

test('an unfinished message comes in over several buffers, with its header', () => {
  const { device, driver, waiting } = made(OFFLOADS);
  for (let i = 0; i < 4; i++) driver.queues[0].add([{ room: 1536 }]);
  waiting.push({ frame: message(5000), header: header(1) });
  device.poll();
  assert.equal(waiting.length, 0);
  assert.deepEqual(
    driver.queues[0].take().map(({ written }) => written),
    [1536, 1536, 1536, 12 + 5054 - 3 * 1536],
  );
});

for (const ring of ['split', 'packed'] as const)
  test(`a message waits until there are buffers for all of it: ${ring} ring`, () => {
    const { device, driver, waiting } = made(OFFLOADS, ring);
    for (let i = 0; i < 2; i++) driver.queues[0].add([{ room: 1536 }]);
    waiting.push({ frame: message(5000), header: header(1) }, { frame: message(100) });
    device.poll();
    device.poll();
    assert.deepEqual([waiting.length, driver.queues[0].take().length, driver.needsReset], [2, 0, false]);
    for (let i = 0; i < 3; i++) driver.queues[0].add([{ room: 1536 }]);
    device.poll();
    assert.deepEqual(
      driver.queues[0].take().map(({ written }) => written),
      [1536, 1536, 1536, 12 + 5054 - 3 * 1536, 12 + 154],
    );
    assert.equal(waiting.length, 0);
    // What no number of buffers of this queue would hold is lost.
    for (let i = 0; i < 64; i++) driver.queues[0].add([{ room: 16 }]);
    waiting.push({ frame: message(5000), header: header(1) }, { frame: message(100).subarray(0, 60) });
    device.poll();
    assert.equal(waiting.length, 0);
  });

test('one that came for a driver that took more is lost', () => {
  const { device, driver, waiting, state } = made(PLAIN);
  assert.equal(state.takes, 0);
  driver.queues[0].add([{ room: 1536 }]);
  waiting.push({ frame: message(100), header: header(0) }, { frame: message(100) });
  device.poll();
  assert.equal(waiting.length, 0);
  assert.deepEqual(
    driver.queues[0].take().map(({ written }) => written),
    [12 + 154],
  );
});
