import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readVsock, VSOCK_HEADER_BYTES, VSOCK_STREAM, VsockOp, vsockPacket } from '../../network/vsock/packet.ts';
import type { PacketPort } from '../packets.ts';
import { VirtioSocket } from './socket.ts';
import { TestDriver, TestMemory } from './testing.ts';

const packet = (data: Uint8Array) =>
  vsockPacket(
    {
      ...{ source: 2, destination: 3, sourcePort: 1, destinationPort: 2, type: VSOCK_STREAM },
      ...{ op: VsockOp.data, flags: 0, bufferBytes: 1000, taken: 0 },
    },
    data,
  );

function made(cid = 3) {
  const sent: Uint8Array[] = [];
  const waiting: Uint8Array[] = [];
  const state = { hasRoom: true };
  const port: PacketPort = {
    isUp: true,
    send: (bytes) => state.hasRoom && sent.push(bytes.slice()) > 0,
    next: () => waiting[0],
    advance: () => void waiting.shift(),
  };
  const memory = new TestMemory(1 << 18);
  const device = new VirtioSocket({ memory, cid, port });
  return { device, driver: new TestDriver(memory, device, 'split'), sent, waiting, state };
}

test('a packet is given in as many pieces as the driver’s buffers need, each with its length', () => {
  const { device, driver, waiting } = made();
  const [receive] = driver.queues;
  const data = Uint8Array.from({ length: 250 }, (_, index) => index);
  waiting.push(packet(data));
  const ids = [1, 2].map(() => receive.add([{ room: VSOCK_HEADER_BYTES + 100 }]));
  device.poll();
  assert.deepEqual(
    receive.take().map(({ written }) => written),
    [144, 144],
  );
  const last = receive.add([{ room: 44 }, { room: 100 }]);
  device.poll();
  assert.deepEqual(receive.take(), [{ id: last, written: 94 }]);
  const pieces = [...ids.map((id) => receive.room(id).slice()), receive.room(last, 0)];
  assert.deepEqual([...pieces[0].subarray(44)], [...data.subarray(0, 100)]);
  assert.deepEqual([...pieces[1].subarray(44)], [...data.subarray(100, 200)]);
  assert.deepEqual([...receive.room(last, 1).subarray(0, 50)], [...data.subarray(200)]);
  assert.equal(readVsock(pieces[0])?.op, VsockOp.data);
  assert.equal(waiting.length, 0);
});

test('what the port has no room for waits, and its queue with it', () => {
  const { device, driver, sent, state } = made();
  const [, send] = driver.queues;
  state.hasRoom = false;
  const first = send.add([{ bytes: packet(Uint8Array.of(1)) }]);
  const second = send.add([{ bytes: packet(Uint8Array.of(2)) }]);
  device.notify(1);
  assert.deepEqual(send.take(), []);
  state.hasRoom = true;
  device.poll();
  assert.deepEqual(
    send.take().map(({ id }) => id),
    [first, second],
  );
  assert.deepEqual(
    sent.map((bytes) => bytes[44]),
    [1, 2],
  );
});

test('a guest that goes on elsewhere is told its address there, and that its connections are gone', () => {
  const before = made(3);
  const event = before.driver.queues[2].add([{ room: 4 }]);
  const state = before.device.save();
  const waiting: Uint8Array[] = [];
  const port = { isUp: true, send: () => true, next: () => waiting[0], advance: () => void waiting.shift() };
  const device = new VirtioSocket({ memory: before.driver.memory, cid: 9, port });
  device.restore(state);
  assert.equal(device.readConfig(0, 8), 9);
  before.driver.queues[2].room(event).fill(0xff);
  device.poll();
  device.poll();
  assert.deepEqual(before.driver.queues[2].take(), [{ id: event, written: 4 }]);
  assert.deepEqual([...before.driver.queues[2].room(event)], [0, 0, 0, 0]);
});

test('a buffer without room for a header stops the device', () => {
  const { device, driver, waiting } = made();
  waiting.push(packet(new Uint8Array(1)));
  driver.queues[0].add([{ room: 43 }]);
  device.poll();
  assert.equal(driver.needsReset, true);
  driver.device.setStatus(0);
  assert.equal(device.deviceStatus, 0);
});
