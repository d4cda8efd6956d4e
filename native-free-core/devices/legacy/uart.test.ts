import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestLine, TestTime } from '../testing.ts';
import { Uart } from './uart.ts';

function machine() {
  const time = new TestTime();
  const line = new TestLine();
  const sent: number[] = [];
  const uart = new Uart({ ...time, clock: time.clock, line, output: (byte) => sent.push(byte) });
  const read = (offset: number) => uart.readPort(offset, 1);
  const write = (offset: number, value: number) => uart.writePort(offset, 1, value);
  return { time, line, sent, uart, read, write };
}
const text = (value: string) => new TextEncoder().encode(value);

test('output goes out at once and the transmitter interrupt falls and rises', () => {
  const { line, sent, read, write } = machine();
  write(4, 0x0b);
  write(1, 0x02);
  assert.equal(line.level, true);
  assert.equal(read(2) & 0x0f, 0x02);
  assert.equal(line.level, false, 'reading the identification clears it');
  write(0, 0x41);
  assert.equal(line.edges, 2);
  write(0, 0x42);
  assert.equal(line.edges, 3);
  assert.deepEqual(sent, [0x41, 0x42]);
  assert.equal(read(5) & 0x60, 0x60);
  write(4, 0x03);
  assert.equal(line.level, false, 'OUT2 gates the interrupt');
});

test('input of any length arrives whole, in order, at the speed of the line', () => {
  const { time, read, write, uart } = machine();
  write(2, 0x07);
  const input = text('0123456789'.repeat(100));
  uart.input(input.slice(0, 300));
  uart.input(input.slice(300));
  const got: number[] = [];
  // A slow guest: looks every 20 ms.
  for (let i = 0; i < 200; i++) {
    time.advance(20e6);
    assert.equal(read(5) & 0x02, 0, 'no overrun');
    while ((read(5) & 1) !== 0) got.push(read(0));
  }
  assert.deepEqual(Uint8Array.from(got), input);
  uart.input(text('abc'));
  time.advance(90_000);
  assert.equal(read(5) & 1, 1);
  read(0);
  assert.equal(read(5) & 1, 0, 'the next character needs its time');
});

test('the trigger level and the character timeout interrupt', () => {
  const { time, line, read, write, uart } = machine();
  write(4, 0x08);
  write(1, 0x01);
  write(2, 0x81); // trigger at 8
  uart.input(text('12345678'));
  time.advance(7 * 87_000);
  assert.equal(line.level, false);
  time.advance(2 * 87_000);
  assert.equal(read(2), 0xc4);
  for (let i = 0; i < 7; i++) read(0);
  assert.equal(line.level, false);
  time.advance(5 * 87_000);
  assert.equal(read(2), 0xcc, 'one character is left over');
  assert.equal(read(0), 0x38);
  assert.equal(line.level, false);
});

test('divisor latch, scratch, loopback and modem status', () => {
  const { read, write, sent, uart, line } = machine();
  write(3, 0x83);
  write(0, 0x0c);
  write(1, 0x01);
  assert.deepEqual([read(0), read(1)], [0x0c, 0x01]);
  write(3, 0x03);
  write(7, 0xa5);
  assert.equal(read(7), 0xa5);
  assert.equal(read(6), 0xb0);
  write(4, 0x1a);
  assert.equal(read(6) & 0xf0, 0x90, 'RTS and OUT2 come back as CTS and DCD');
  write(0, 0x99);
  assert.equal(read(0), 0x99);
  assert.deepEqual(sent, []);
  write(1, 0x08);
  write(4, 0x08);
  assert.equal(line.level, true, 'modem lines changed');
  assert.notEqual(read(6) & 0x0f, 0);
  assert.equal(line.level, false);
  uart.break();
  assert.equal(read(5) & 0x11, 0x11);
});

test('what was typed before the guest found its serial port is there when it reads', () => {
  const { time, read, write, uart } = machine();
  uart.input(text('early'));
  time.advance(1e9);
  // A driver's way: FIFO on and cleared, a read to clear the receiver, off and on again.
  write(2, 0x01);
  write(2, 0x07);
  write(2, 0x00);
  read(0);
  write(2, 0x07);
  read(0);
  let got = '';
  for (let i = 0; i < 20; i++) {
    time.advance(90_000);
    if ((read(5) & 1) !== 0) got += String.fromCharCode(read(0));
  }
  assert.equal(got, 'early');
  write(4, 0x10);
  write(0, 0x55);
  write(2, 0x07);
  write(4, 0x00);
  time.advance(1e6);
  assert.equal(read(5) & 1, 0, 'what came from loopback is cleared');
});

test('queued input survives loopback, reset and saving', () => {
  const { time, uart, write, read } = machine();
  uart.input(text('xyz'));
  write(4, 0x10);
  time.advance(1e6);
  write(4, 0x00);
  time.advance(90_000);
  assert.equal(read(0), 0x78);
  uart.reset();
  const other = machine();
  other.uart.restore(structuredClone(uart.save()));
  other.time.advance(90_000);
  assert.equal(other.read(0), 0x79);
  assert.throws(() => other.uart.restore({ version: 1, divisor: -1 }), /no valid divisor/);
});
