import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { TestLine } from '../testing.ts';
import { ParallelPort } from './parallel-port.ts';

function machine(withPrinter = true) {
  const printed: number[] = [];
  const line = new TestLine();
  const port = new ParallelPort({ line, output: withPrinter ? (byte) => void printed.push(byte) : undefined });
  const bus = new IoBus();
  port.attach(bus, 0x378);
  const read = (offset: number) => bus.readPort(0x378 + offset, 1);
  const write = (offset: number, value: number) => bus.writePort(0x378 + offset, 1, value);
  return { printed, line, port, read, write };
}

test('a byte is printed at the strobe and acknowledged by an interrupt where one is wanted', () => {
  const { printed, line, read, write } = machine();
  write(0, 0x41);
  assert.equal(read(0), 0x41);
  assert.equal(read(1) & 0xf8, 0xd8);
  write(2, 0x0d);
  write(2, 0x0c);
  assert.deepEqual(printed, [0x41]);
  assert.equal(line.edges, 0);
  write(2, 0x1c);
  write(2, 0x1d);
  write(2, 0x1d);
  assert.deepEqual(printed, [0x41, 0x41]);
  assert.equal(line.edges, 1);
  assert.equal(read(2), 0xdd);
});

test('with nothing connected the lines float and nothing is taken', () => {
  const { printed, line, read, write } = machine(false);
  assert.equal(read(1) & 0xf8, 0x78, 'busy, out of paper');
  write(2, 0x11);
  assert.deepEqual(printed, []);
  assert.equal(line.edges, 0);
});

test('the extended port is found as drivers look for it, with a FIFO of 16 and thresholds of 8', () => {
  const { read, write, line } = machine();
  write(2, 0x0c);
  assert.equal(read(0x402) & 3, 1);
  write(0x402, 0x34);
  assert.equal(read(0x402), 0x35);
  write(0x402, 0xc4);
  let depth = 0;
  while ((read(0x402) & 2) === 0 && depth < 100) {
    write(0x400, 0xaa);
    depth++;
  }
  assert.equal(depth, 16);
  write(0x402, 0xc0);
  let taken = 0;
  while ((read(0x402) & 4) === 0 && taken < 100) {
    assert.equal(read(0x400), 0xaa);
    taken++;
  }
  assert.equal(taken, 8);
  assert.equal(line.edges, 1);
  write(0x402, 0xe0);
  assert.equal(read(0x400), 0x94);
  write(0x402, 0x24);
  assert.equal(read(0x402) & 1, 1, 'modes without a FIFO empty it');
});

test('the FIFO prints, the lines can be turned round, and state survives saving', () => {
  const { printed, port, read, write } = machine();
  write(0x402, 0x54);
  for (const byte of [1, 2, 3]) write(0x400, byte);
  assert.deepEqual(printed, [1, 2, 3]);
  write(0x402, 0x34);
  write(0, 0x12);
  write(2, 0x20);
  assert.equal(read(0), 0xff);
  const state = structuredClone(port.save());
  port.reset();
  assert.equal(read(0x402), 0x15);
  port.restore(state);
  assert.equal(read(0x402), 0x35);
  assert.throws(() => port.restore({ ...state, fifo: [256] }), /no valid fifo/);
});
