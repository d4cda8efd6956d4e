import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApicBus, type ApicMessage } from './apic/apic-bus.ts';
import { interruptMessage, messageSink } from './apic/interrupt-messages.ts';
import { IoBus } from './bus.ts';
import { PciFunction } from './pci-function.ts';
import { TestLine } from './testing.ts';

function machine(vectors?: number) {
  const sent: string[] = [];
  const sink = { write: (address: number, data: number) => sent.push(`${address.toString(16)}=${data.toString(16)}`) };
  const line = new TestLine();
  const pci = new PciFunction({ vendor: 1, device: 2, classCode: 0, interruptPin: 1 });
  if (vectors !== undefined) pci.addMsi(sink, vectors);
  pci.connect(new IoBus(), line);
  return { sent, sink, line, pci };
}

test('MSI takes the place of the pin while it is enabled', () => {
  const { sent, line, pci } = machine(1);
  assert.equal(pci.readConfig(0x34, 1), 0x40);
  assert.equal(pci.readConfig(0x40, 4), 0x01800005);
  pci.writeConfig(0x44, 4, 0xfee00007);
  assert.equal(pci.readConfig(0x44, 4), 0xfee00004);
  pci.writeConfig(0x4c, 2, 0x4142);
  pci.interrupt.set(true);
  assert.equal(line.level, true);
  assert.deepEqual(sent, []);
  pci.writeConfig(0x42, 2, 0xffff);
  assert.equal(line.level, false, 'the pin is released');
  pci.interrupt.set(false);
  pci.interrupt.set(true);
  assert.deepEqual(sent, [], 'no message without bus mastering');
  pci.writeConfig(0x04, 2, 4);
  pci.interrupt.set(false);
  pci.interrupt.set(true);
  pci.interrupt.set(true);
  assert.deepEqual(sent, ['fee00004=4142'], 'one at the rise');
  pci.writeConfig(0x50, 4, 1);
  pci.interrupt.set(false);
  pci.interrupt.set(true);
  assert.equal(pci.readConfig(0x54, 4), 1, 'pending while masked');
  pci.writeConfig(0x50, 4, 0);
  assert.equal(sent.length, 2);
  assert.equal(pci.readConfig(0x54, 4), 0);
  pci.reset();
  assert.equal(pci.readConfig(0x42, 2), 0x0180);
});

test('several vectors differ in the low bits of the data, as many as were granted', () => {
  const { sent, pci } = machine(8);
  const msi = machine(8).pci.addMsi({ write: () => {} }, 8);
  assert.equal(msi.enabled, false);
  assert.equal(pci.readConfig(0x42, 2), 0x0186);
  pci.writeConfig(0x44, 4, 0xfee00000);
  pci.writeConfig(0x4c, 2, 0x47);
  pci.writeConfig(0x04, 2, 4);
  pci.writeConfig(0x42, 2, 0x0021);
  pci.interrupt.set(true);
  assert.deepEqual(sent, ['fee00000=44']);
  assert.throws(() => machine(3), /no 3 vectors/);
});

test('MSI-X: entries, masks, pending bits, saving', () => {
  const { sent, sink, pci } = machine();
  const table = pci.addMsix(sink, { vectors: 5, bar: 1, table: 0x100, pending: 0x800 });
  assert.equal(pci.readConfig(0x42, 2), 4);
  assert.equal(pci.readConfig(0x44, 4), 0x101);
  assert.equal(pci.readConfig(0x48, 4), 0x801);
  assert.ok(table.covers(0x14f) && table.covers(0x807) && !table.covers(0x150) && !table.covers(0xff));
  pci.writeConfig(0x04, 2, 4);
  pci.writeConfig(0x42, 2, 0x8000);
  for (const [offset, value] of [0xfee00000, 0, 0x31].entries()) table.writeMmio(0x110 + offset * 4, 4, value);
  table.send(1);
  assert.deepEqual(sent, []);
  assert.equal(table.readMmio(0x800, 4), 2, 'entries are masked at first');
  table.writeMmio(0x11c, 4, 0);
  assert.deepEqual(sent, ['fee00000=31']);
  pci.writeConfig(0x42, 2, 0xc000);
  table.send(1);
  const state = structuredClone(table.save());
  pci.writeConfig(0x42, 2, 0x8000);
  assert.equal(sent.length, 2);
  for (const vector of [-1, 5, 1e9, 0.5]) table.send(vector);
  assert.equal(sent.length, 2);
  const whole = structuredClone(pci.save());
  pci.reset();
  assert.equal(table.readMmio(0x110, 4), 0);
  assert.equal(table.enabled, false);
  pci.restore(whole);
  assert.equal(table.enabled, true);
  table.restore(state);
  assert.equal(table.readMmio(0x110, 4), 0xfee00000);
  assert.equal(table.readMmio(0x800, 4), 2);
  table.writeMmio(0x7fe, 4, 0xffffffff);
});

test('a write to the window of the APICs is an interrupt, elsewhere it is a write', () => {
  assert.deepEqual(interruptMessage(0xfee03004, 0x8931), {
    mode: 1,
    vector: 0x31,
    level: true,
    destination: 3,
    logical: true,
  });
  const taken: ApicMessage[] = [];
  const bus = new ApicBus();
  bus.add({
    id: 3,
    matchesLogical: () => false,
    arbitrationPriority: 0,
    acceptsInterrupts: true,
    accept: (message) => void taken.push(message),
  });
  const written: [number, number[]][] = [];
  const sink = messageSink(bus, { write: (address, bytes) => written.push([address, [...bytes]]) });
  sink.write(0xfee03000, 0x55);
  assert.equal(taken[0]?.vector, 0x55);
  sink.write(0x1fee03000, 0x12345678);
  sink.write(0x1000, 1);
  assert.equal(taken.length, 1);
  assert.deepEqual(written, [
    [0x1fee03000, [0x78, 0x56, 0x34, 0x12]],
    [0x1000, [1, 0, 0, 0]],
  ]);
});
