import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { DmaControllers } from './dma.ts';

const RAM = 2 ** 20;

function machine() {
  const bus = new IoBus();
  const ram = new Uint8Array(RAM);
  const inside = (at: number, length: number) => at >= 0 && at + length <= RAM;
  const dma = new DmaControllers({
    read(at, into) {
      if (inside(at, into.length)) into.set(ram.subarray(at, at + into.length));
      return inside(at, into.length);
    },
    write(at, bytes) {
      if (inside(at, bytes.length)) ram.set(bytes, at);
      return inside(at, bytes.length);
    },
  });
  dma.attach(bus);
  const out = (port: number, ...values: number[]) => {
    for (const value of values) bus.writePort(port, 1, value);
  };
  const in16 = (port: number) => bus.readPort(port, 1) + 256 * bus.readPort(port, 1);
  /** Programs channel 2 as a BIOS does before a floppy is read or written. */
  const program2 = (mode: number, address: number, count: number) => {
    out(0x0a, 6);
    out(0x0c, 0);
    out(0x0b, mode | 2);
    out(0x04, address & 0xff, (address >> 8) & 0xff);
    out(0x81, address >> 16);
    out(0x05, count & 0xff, count >> 8);
    out(0x0a, 2);
  };
  dma.program();
  return { bus, ram, dma, out, in16, program2, status: () => bus.readPort(0x08, 1) };
}

test('a channel moves what it was programmed for, tells terminal count once, and masks itself', () => {
  const { dma, ram, program2, in16, status, out } = machine();
  const channel = dma.channel(2);
  program2(0x44, 0x12345, 511);
  assert.equal(channel.isReady, true);
  channel.request(true);
  const data = Uint8Array.from({ length: 600 }, (_, i) => i * 3);
  assert.deepEqual(channel.toMemory(data.subarray(0, 200)), { moved: 200, terminal: false });
  out(0x0c, 0);
  assert.equal(in16(0x04), (0x2345 + 200) & 0xffff);
  assert.equal(in16(0x05), 511 - 200);
  assert.deepEqual(channel.toMemory(data.subarray(200)), { moved: 312, terminal: true });
  assert.deepEqual(ram.subarray(0x12345, 0x12345 + 512), data.subarray(0, 512));
  assert.equal(ram[0x12345 + 512], 0);
  assert.equal(channel.isReady, false);
  assert.deepEqual(channel.toMemory(data), { moved: 0, terminal: false });
  assert.equal(status(), 0x44, 'terminal count and the request');
  channel.request(false);
  assert.equal(status(), 0);
  assert.equal(in16(0x05), 0xffff);
});

test('addresses wrap in their page, also downwards, and where no memory is the bus floats', () => {
  const { dma, ram, program2 } = machine();
  const channel = dma.channel(2);
  program2(0x44, 0x1fffe, 3);
  assert.deepEqual(channel.toMemory(Uint8Array.of(1, 2, 3, 4)), { moved: 4, terminal: true });
  assert.deepEqual([ram[0x1fffe], ram[0x1ffff], ram[0x10000], ram[0x10001]], [1, 2, 3, 4]);
  assert.equal(ram[0x20000], 0);
  program2(0x64, 0x10001, 2);
  channel.toMemory(Uint8Array.of(5, 6, 7));
  assert.deepEqual([ram[0x10001], ram[0x10000], ram[0x1ffff]], [5, 6, 7]);
  ram[0x10002] = 8;
  program2(0x48, 0x10001, 1);
  const into = new Uint8Array(2);
  assert.deepEqual(channel.fromMemory(into), { moved: 2, terminal: true });
  assert.deepEqual([...into], [5, 8]);
  program2(0x48, 0xff0000, 1);
  channel.fromMemory(into);
  assert.deepEqual([...into], [0xff, 0xff]);
});

test('auto-initialization begins again, and verifying counts without moving', () => {
  const { dma, ram, program2 } = machine();
  const channel = dma.channel(2);
  program2(0x54, 0x5000, 3);
  for (const round of [1, 2]) {
    assert.deepEqual(channel.toMemory(Uint8Array.of(round, round, round, round)), { moved: 4, terminal: true });
    assert.deepEqual([...ram.subarray(0x5000, 0x5005)], [round, round, round, round, 0]);
    assert.equal(channel.isReady, true);
  }
  program2(0x40, 0x5000, 3);
  assert.deepEqual(channel.toMemory(Uint8Array.of(9, 9, 9, 9)), { moved: 4, terminal: true });
  assert.equal(ram[0x5000], 2);
  assert.equal(channel.isReady, false);
});

test('16-bit channels address words in 128 KiB, and an odd byte is left', () => {
  const { dma, ram, out } = machine();
  out(0xd8, 0);
  out(0xd6, 0x45);
  out(0xc4, 0x00, 0x80); // channel 5, word 8000h of its page
  out(0x8b, 0x03); // the lowest bit of the page is not used
  out(0xc6, 1, 0);
  out(0xd4, 1);
  const channel = dma.channel(5);
  assert.deepEqual(channel.toMemory(Uint8Array.of(1, 2, 3)), { moved: 2, terminal: false });
  assert.deepEqual(channel.toMemory(Uint8Array.of(3, 4, 5)), { moved: 2, terminal: true });
  assert.deepEqual([...ram.subarray(0x30000, 0x30005)], [1, 2, 3, 4, 0]);
});

test('a waiting device is told when its channel opens; cascade, disabling and master clear close it', () => {
  const { dma, out, program2, bus } = machine();
  const channel = dma.channel(2);
  let told = 0;
  channel.onReady = () => told++;
  channel.request(true);
  program2(0x44, 0, 10);
  assert.equal(told, 1);
  out(0x08, 4);
  assert.equal(channel.isReady, false);
  out(0x08, 0);
  assert.equal(channel.isReady, true);
  out(0xd4, 4); // the cascade channel masked
  assert.equal(channel.isReady, false);
  out(0xd4, 0);
  out(0x0d, 0);
  assert.equal(channel.isReady, false);
  assert.equal(bus.readPort(0x0f, 1), 0xff);
  out(0x0e, 0);
  assert.equal(channel.isReady, true);
  out(0x0f, 4);
  assert.equal(channel.isReady, false);
  assert.throws(() => dma.channel(4), RangeError);
});

test('a saved state is taken up, and a bad one refused', () => {
  const { dma, program2 } = machine();
  program2(0x54, 0x4321, 100);
  dma.channel(2).toMemory(new Uint8Array(10));
  const state = structuredClone(dma.save());
  const other = machine().dma;
  other.restore(state);
  assert.deepEqual(other.save(), state);
  assert.throws(() => other.restore({ ...state, commands: [0, 256] }), /commands/);
});
