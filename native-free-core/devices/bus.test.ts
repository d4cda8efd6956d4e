import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClaimOverlapError, IoBus } from './bus.ts';
import type { MmioHandler, PortHandler } from './device.ts';

function recorder() {
  const log: string[] = [];
  const handler: PortHandler & MmioHandler = {
    readPort: (port, size) => {
      log.push(`r${port}/${size}`);
      return port & 0xff;
    },
    writePort: (port, size, value) => void log.push(`w${port}/${size}=${value}`),
    readMmio: (offset, size) => {
      log.push(`r${offset}/${size}`);
      return offset + 1;
    },
    writeMmio: (offset, size, value) => void log.push(`w${offset}/${size}=${value}`),
  };
  return { log, handler };
}

test('unclaimed ports and addresses read as all ones and swallow writes', () => {
  const bus = new IoBus();
  assert.equal(bus.readPort(0x1234, 1), 0xff);
  assert.equal(bus.readPort(0x1234, 2), 0xffff);
  assert.equal(bus.readPort(0xffff, 4), 0xffffffff);
  assert.equal(bus.readMmio(0xfec00000, 4), 0xffffffff);
  assert.equal(bus.readMmio64(0xfec00000), 0xffffffffffffffffn);
  bus.writePort(0x80, 1, 1);
  bus.writeMmio(0xd0000000, 4, 1);
});

test('an access goes whole to one handler and in bytes to two', () => {
  const bus = new IoBus();
  const { log, handler } = recorder();
  bus.claimPorts(0x10, 0x13, handler);
  assert.equal(bus.readPort(0x10, 4), 0x10);
  assert.equal(bus.readPort(0x13, 2), 0xff13);
  bus.writePort(0x12, 4, 0x44332211);
  assert.deepEqual(log, ['r16/4', 'r19/1', 'w18/1=17', 'w19/1=34']);
  bus.releasePorts(0x10, 0x13);
  assert.equal(bus.readPort(0x10, 1), 0xff);
});

test('MMIO offsets are relative, 8 bytes are two dwords, a straddling access is split', () => {
  const bus = new IoBus();
  const { log, handler } = recorder();
  bus.claimMmio(0x1_0000_0000, 0x10, handler);
  assert.equal(bus.readMmio(0x1_0000_0004, 4), 5);
  assert.equal(bus.readMmio64(0x1_0000_0000), (5n << 32n) | 1n);
  bus.writeMmio64(0x1_0000_0008, 0x1122334455667788n);
  assert.equal(bus.readMmio(0x1_0000_000e, 4), 0xffff100f);
  assert.deepEqual(log, ['r4/4', 'r0/4', 'r4/4', `w8/4=${0x55667788}`, `w12/4=${0x11223344}`, 'r14/1', 'r15/1']);
  bus.releaseMmio(0x1_0000_0000);
  assert.equal(bus.readMmio(0x1_0000_0004, 4), 0xffffffff);
});

test('overlapping claims are refused, touching ones are not', () => {
  const bus = new IoBus();
  const { handler } = recorder();
  bus.claimMmio(0x1000, 0x1000, handler);
  bus.claimMmio(0x2000, 0x1000, handler);
  bus.claimMmio(0x0, 0x1000, handler);
  assert.throws(() => bus.claimMmio(0x2fff, 2, handler), ClaimOverlapError);
  assert.throws(() => bus.claimMmio(0, 0x10000, handler), /physical address 0x0 is claimed twice/);
  bus.claimPorts(0x60, 0x64, handler);
  assert.throws(() => bus.claimPorts(0x50, 0x60, handler), /port 0x60 is claimed twice/);
  assert.throws(() => bus.claimPorts(0xfff0, 0x10000, handler), RangeError);
});
