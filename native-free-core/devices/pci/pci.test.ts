import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { PciFunction } from '../pci-function.ts';
import { TestLine } from '../testing.ts';
import { HostBridge, IsaBridge } from './bridges.ts';
import { PciBus } from './pci-bus.ts';

function machine() {
  const bus = new IoBus();
  const isa = Array.from({ length: 16 }, () => new TestLine());
  const gsis = Array.from({ length: 4 }, () => new TestLine());
  const isaBridge = new IsaBridge({ isaInput: (irq) => isa[irq], gsiInputs: gsis });
  const pci = new PciBus(bus, isaBridge.pirqs);
  pci.attach();
  const maps: string[] = [];
  const device = new PciFunction({
    vendor: 0x1af4,
    device: 0x1000,
    classCode: 0x020000,
    subsystem: 1,
    interruptPin: 1,
    bars: {
      0: { kind: 'io', size: 32, handler: { readPort: (port) => port, writePort: () => {} } },
      1: { kind: 'memory', size: 4096, handler: { readMmio: (offset) => offset, writeMmio: () => {} } },
      4: { kind: 'memory64', size: 16384, prefetchable: true, handler: { readMmio: () => 7, writeMmio: () => {} } },
    },
    onMap: (bar, base) => maps.push(`${bar} ${base?.toString(16)}`),
  });
  const host = new HostBridge();
  pci.add(0, 0, host.pci);
  pci.add(1, 0, isaBridge.pci);
  pci.add(3, 0, device);
  const select = (slot: number, register: number) =>
    bus.writePort(0xcf8, 4, 0x80000000 + (slot << 11) + (register & 0xfc));
  const read = (slot: number, register: number, size: 1 | 2 | 4 = 4) => {
    select(slot, register);
    return bus.readPort(0xcfc + (register & 3), size);
  };
  const write = (slot: number, register: number, value: number, size: 1 | 2 | 4 = 4) => {
    select(slot, register);
    bus.writePort(0xcfc + (register & 3), size, value);
  };
  pci.attachWindow(0xfeb00000);
  return { bus, isa, gsis, isaBridge, pci, device, maps, read, write };
}

test('configuration mechanism 1: dwords, words, bytes, and nobody home', () => {
  const { bus, read } = machine();
  assert.equal(read(0, 0), 0x12378086);
  assert.equal(read(1, 2, 2), 0x7000);
  assert.equal(read(1, 0x0b, 1), 0x06);
  assert.equal(read(1, 0x0e, 1), 0x80);
  assert.equal(read(2, 0), 0xffffffff);
  bus.writePort(0xcf8, 4, 0x80010000);
  assert.equal(bus.readPort(0xcfc, 4), 0xffffffff, 'bus 1');
  assert.equal(bus.readPort(0xcf8, 4), 0x80010000);
  bus.writePort(0xcf8, 1, 0);
  assert.equal(bus.readPort(0xcf8, 4), 0x80010000, 'a byte write does not reach the address register');
  bus.writePort(0xcf8, 4, 0);
  assert.equal(bus.readPort(0xcfc, 4), 0xffffffff, 'not enabled');
  assert.equal(bus.readPort(0xcff, 4), 0xffffffff);
});

test('BARs are sized, placed, moved and switched off', () => {
  const { bus, read, write, maps, device } = machine();
  write(3, 0x10, 0xffffffff);
  assert.equal(read(3, 0x10), 0xffffffe1);
  write(3, 0x14, 0xffffffff);
  assert.equal(read(3, 0x14), 0xfffff000);
  write(3, 0x20, 0xffffffff);
  write(3, 0x24, 0xffffffff);
  assert.equal(read(3, 0x20), 0xffffc00c);
  assert.equal(read(3, 0x24), 0xffffffff);
  write(3, 0x18, 0xffffffff);
  assert.equal(read(3, 0x18), 0, 'no BAR there');
  write(3, 0x10, 0xc001);
  write(3, 0x14, 0xe0000000);
  write(3, 0x20, 0x4);
  write(3, 0x24, 0x1);
  assert.deepEqual(maps, []);
  write(3, 0x04, 0x0003, 2);
  assert.deepEqual(maps, ['0 c000', '1 e0000000', '4 100000000']);
  assert.equal(bus.readPort(0xc004, 1), 4);
  assert.equal(bus.readMmio(0xe0000010, 4), 0x10);
  assert.equal(bus.readMmio(0x100000000, 4), 7);
  write(3, 0x14, 0xe1000000);
  assert.equal(bus.readMmio(0xe0000010, 4), 0xffffffff);
  assert.equal(bus.readMmio(0xe1000010, 4), 0x10);
  assert.equal(device.barBase(1), 0xe1000000);
  write(3, 0x04, 0x0001, 2);
  assert.equal(bus.readMmio(0xe1000010, 4), 0xffffffff);
  assert.equal(bus.readPort(0xc004, 1), 4);
});

test('a BAR over another device leaves that one in place', () => {
  const { bus, write, device, read } = machine();
  bus.claimPorts(0x3f8, 0x3ff, { readPort: () => 0x42, writePort: () => {} });
  write(3, 0x10, 0x3e1);
  write(3, 0x04, 1, 2);
  assert.equal(device.barBase(0), undefined);
  assert.equal(bus.readPort(0x3f8, 1), 0x42);
  write(3, 0x10, 0xcf81 & ~0x1f);
  assert.equal(device.barBase(0), 0xcf80);
  for (const base of [0xfffffff0, 0, 0xffff]) write(3, 0x10, base);
  write(3, 0x04, 0xffff, 2);
  assert.equal(read(3, 0x04, 2), 0x0547);
});

test('interrupt pins go through the PIRQ routing to the PIC and to inputs 16 to 19', () => {
  const { device, isa, gsis, isaBridge, write, read } = machine();
  device.interrupt.set(true);
  assert.equal(read(3, 0x06, 2) & 8, 8, 'interrupt status');
  assert.deepEqual(
    gsis.map((line) => line.level),
    [false, false, false, true],
    'device 3, INTA: PIRQD',
  );
  assert.ok(isa.every((line) => !line.level));
  isaBridge.route(3, 11);
  assert.equal(isa[11].level, true);
  write(1, 0x63, 0x05, 1);
  assert.equal(isa[11].level, false);
  assert.equal(isa[5].level, true);
  write(3, 0x04, 0x400, 2);
  assert.equal(isa[5].level, false, 'disabled by the command register');
  write(3, 0x04, 0, 2);
  device.interrupt.set(false);
  assert.equal(isa[5].level, false);
  write(1, 0x60, 0x00, 1);
  assert.equal(isa[0].level, false, 'IRQ 0 cannot be routed to');
});

test('capabilities are linked, and state survives saving', () => {
  const { device, read, write } = machine();
  const first = device.addCapability(0x11, 12);
  const second = device.addCapability(0x09, 16);
  assert.equal(read(3, 0x34, 1), first);
  assert.equal(read(3, first, 2), 0x11 | (second << 8));
  assert.equal(read(3, second, 2), 0x09);
  assert.equal(read(3, 0x06, 2) & 0x10, 0x10);
  write(3, 0x14, 0xe0000000);
  write(3, 0x04, 2, 2);
  const state = structuredClone(device.save());
  device.reset();
  assert.equal(device.barBase(1), undefined);
  device.restore(state);
  assert.equal(device.barBase(1), 0xe0000000);
  assert.throws(() => device.restore({ version: 1, config: new Uint8Array(256) }), /that of another device/);
});

test('configuration space in memory: all of it, split accesses, and nothing beyond a function of 256 bytes', () => {
  const { bus, pci, read } = machine();
  const at = (slot: number, register: number) => 0xfeb00000 + (slot << 15) + register;
  assert.equal(bus.readMmio(at(3, 0), 4), 0x10001af4);
  assert.equal(bus.readMmio(at(3, 1), 2), 0x001a);
  assert.equal(bus.readMmio(at(2, 0), 4), 0xffffffff);
  bus.writeMmio(at(3, 0x12), 4, 0xe000_c001);
  assert.equal(read(3, 0x10), 0xc0010001);
  assert.equal(read(3, 0x14), 0xe000 & ~0xfff);
  bus.writeMmio(at(3, 0xfe), 4, 0);
  assert.equal(bus.readMmio(at(3, 0x100), 4), 0xffffffff);
  const extended = new PciFunction({ vendor: 1, device: 2, classCode: 0, extended: true });
  extended.writable[0xfff] = 0xff;
  pci.add(31, 7, extended);
  bus.writeMmio(0xfebfffff, 1, 0x5a);
  assert.equal(bus.readMmio(0xfebffffc, 4), 0x5a000000);
  bus.writeMmio(0xfebffffd, 4, 0x11223344);
  assert.equal(bus.readMmio(0xfebffffc, 4), 0x22000000);
});
