import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import type { PortHandler } from '../device.ts';
import { TestLine, TestTime } from '../testing.ts';
import { PciBus } from './pci-bus.ts';
import { PowerManagement } from './power-management.ts';
import { SMBUS_BLOCK_SIZE, SmbusController } from './smbus.ts';

function machine() {
  const time = new TestTime();
  const bus = new IoBus();
  const line = new TestLine();
  const smbus = new SmbusController({ clock: time.clock, timers: time.timers, line });
  const writes: string[] = [];
  const registers: PortHandler = {
    readPort: (offset) => 0x40 + offset,
    writePort: (offset, size, value) => writes.push(`${offset}/${size}=${value}`),
  };
  const power = new PowerManagement({
    pm: { registers, size: 64 },
    smbus: { registers: smbus.registers, size: SMBUS_BLOCK_SIZE },
  });
  power.attach(bus);
  const pci = new PciBus(bus, []);
  pci.attach();
  pci.add(1, 3, power.pci);
  const write = (register: number, size: 1 | 2 | 4, value: number) => {
    bus.writePort(0xcf8, 4, 0x80000b00 + (register & 0xfc));
    bus.writePort(0xcfc + (register & 3), size, value);
  };
  const read = (register: number, size: 1 | 2 | 4) => {
    bus.writePort(0xcf8, 4, 0x80000b00 + (register & 0xfc));
    return bus.readPort(0xcfc + (register & 3), size);
  };
  return { time, bus, line, smbus, power, writes, write, read };
}

test('the block is decoded where PMBASE says once PMREGMISC enables it', () => {
  const { bus, writes, write, read } = machine();
  assert.equal(read(0, 4), 0x71138086);
  assert.equal(read(0x40, 4), 1, 'it says that these are ports');
  write(0x40, 4, 0xffffffff);
  assert.equal(read(0x40, 4), 0xffc1, '64 ports, aligned');
  write(0x40, 4, 0x8001);
  assert.equal(bus.readPort(0x8004, 1), 0xff, 'not enabled');
  write(0x80, 1, 0xff);
  assert.equal(read(0x80, 1), 1);
  assert.equal(bus.readPort(0x8004, 1), 0x44);
  bus.writePort(0x8008, 2, 0x1234);
  assert.deepEqual(writes, ['8/2=4660']);
  write(0x40, 4, 0x600);
  assert.equal(bus.readPort(0x8004, 1), 0xff);
  assert.equal(bus.readPort(0x604, 1), 0x44);
  write(0x80, 1, 0);
  assert.equal(bus.readPort(0x604, 1), 0xff);
});

test('over another device it is not decoded, and reset takes it away', () => {
  const { bus, power, write } = machine();
  bus.claimPorts(0x620, 0x620, { readPort: () => 9, writePort: () => {} });
  power.program(0x600, 0x700);
  assert.equal(bus.readPort(0x604, 1), 0xff);
  assert.equal(bus.readPort(0x620, 1), 9);
  write(0x40, 4, 0x640);
  assert.equal(bus.readPort(0x644, 1), 0x44);
  power.reset();
  assert.equal(bus.readPort(0x644, 1), 0xff);
  assert.equal(bus.readPort(0x700, 1), 0xff);
});

test('a restored function decodes what it decoded', () => {
  const { power, bus } = machine();
  power.program(0x600, 0x700);
  const state = structuredClone(power.save());
  power.reset();
  power.restore(state);
  assert.equal(bus.readPort(0x604, 1), 0x44);
  assert.throws(() => power.restore({ version: 9 }), /version 9/);
});

test('a transaction on the SMBus is busy for its time and finds nobody', () => {
  const { time, bus, line, smbus, power } = machine();
  power.program(0x600, 0x700);
  assert.equal(bus.readPort(0x700, 1), 0);
  bus.writePort(0x704, 1, 0xa1);
  bus.writePort(0x702, 1, 0x48 | 1);
  assert.equal(bus.readPort(0x700, 1), 1);
  const state = structuredClone(smbus.save());
  time.advance(1e6);
  assert.equal(line.level, true);
  assert.equal(bus.readPort(0x700, 1), 4);
  bus.writePort(0x700, 1, 0xff);
  assert.equal(bus.readPort(0x700, 1), 0);
  assert.equal(line.level, false);
  smbus.restore(state);
  assert.equal(bus.readPort(0x700, 1), 1, 'restored while busy');
  bus.writePort(0x702, 1, 2);
  assert.equal(bus.readPort(0x700, 1), 0x10, 'killed');
});
