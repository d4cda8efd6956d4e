import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AcpiCommand, AcpiPm, AcpiPorts, PM_BASE, PM_BLOCK_SIZE, PM_TIMER_HZ } from './acpi-pm.ts';
import { IoBus } from './bus.ts';
import { PciBus } from './pci/pci-bus.ts';
import { TestLine, TestTime } from './testing.ts';

function machine() {
  const time = new TestTime();
  const line = new TestLine();
  const events: string[] = [];
  const pm = new AcpiPm({
    clock: time.clock,
    timers: time.timers,
    line,
    onPowerOff: () => events.push('off'),
    onReset: () => events.push('reset'),
  });
  const bus = new IoBus();
  pm.attach(bus);
  bus.claimPorts(PM_BASE, PM_BASE + PM_BLOCK_SIZE - 1, {
    readPort: (port, size) => pm.registers.readPort(port - PM_BASE, size),
    writePort: (port, size, value) => pm.registers.writePort(port - PM_BASE, size, value),
  });
  new PciBus(bus, []).attach();
  return { time, line, events, pm, bus };
}

test('the PM timer counts at 3.579545 MHz and reads in any width', () => {
  const { time, bus } = machine();
  time.advance(1e9);
  assert.equal(bus.readPort(AcpiPorts.pmTimer, 4), PM_TIMER_HZ);
  assert.equal(bus.readPort(AcpiPorts.pmTimer + 1, 1), (PM_TIMER_HZ >> 8) & 0xff);
  time.advance(2000e9);
  assert.equal(bus.readPort(AcpiPorts.pmTimer, 4), (2001 * PM_TIMER_HZ) % 2 ** 32);
});

test('the timer status is set when the highest bit changes', () => {
  const { time, line, bus } = machine();
  bus.writePort(AcpiPorts.smiCommand, 1, AcpiCommand.enable);
  bus.writePort(AcpiPorts.pm1aEvent + 2, 2, 1);
  time.advance(599e9);
  assert.equal(line.level, false);
  time.advance(2e9);
  assert.equal(line.level, true);
  bus.writePort(AcpiPorts.pm1aEvent, 2, 1);
  assert.equal(line.level, false);
});

test('ACPI mode, power button, soft off', () => {
  const { line, events, pm, bus } = machine();
  assert.equal(bus.readPort(AcpiPorts.pm1aControl, 2) & 1, 0);
  bus.writePort(AcpiPorts.smiCommand, 1, AcpiCommand.enable);
  assert.equal(bus.readPort(AcpiPorts.pm1aControl, 2) & 1, 1);
  pm.pressPowerButton();
  assert.equal(line.level, false, 'not enabled');
  bus.writePort(AcpiPorts.pm1aEvent + 2, 2, 0x100);
  assert.equal(line.level, true);
  assert.equal(bus.readPort(AcpiPorts.pm1aEvent, 2), 0x100);
  bus.writePort(AcpiPorts.pm1aEvent, 2, 0x100);
  assert.equal(line.level, false);
  bus.writePort(AcpiPorts.pm1aControl, 2, 0x2001 | (1 << 10));
  assert.deepEqual(events, [], 'S1 is not there');
  bus.writePort(AcpiPorts.pm1aControl, 2, 0x2001 | (5 << 10));
  assert.deepEqual(events, ['off']);
  assert.equal(bus.readPort(AcpiPorts.pm1aControl, 2), 1 | (5 << 10), 'SLP_EN reads as zero');
});

test("the clock's alarm is an event at its edge", () => {
  const { line, pm, bus } = machine();
  bus.writePort(AcpiPorts.smiCommand, 1, AcpiCommand.enable);
  bus.writePort(AcpiPorts.pm1aEvent + 2, 2, 0x400);
  pm.rtcLine.set(true);
  assert.equal(line.level, true);
  bus.writePort(AcpiPorts.pm1aEvent, 2, 0x400);
  pm.rtcLine.set(true);
  assert.equal(line.level, false);
  pm.rtcLine.set(false);
  pm.rtcLine.set(true);
  assert.equal(bus.readPort(AcpiPorts.pm1aEvent, 2), 0x400);
});

test('general-purpose events and the reset register beside the PCI address register', () => {
  const { line, events, pm, bus } = machine();
  bus.writePort(AcpiPorts.smiCommand, 1, AcpiCommand.enable);
  bus.writePort(AcpiPorts.gpe0 + 2, 1, 0x04);
  pm.raiseGpe(2);
  assert.equal(line.level, true);
  bus.writePort(AcpiPorts.gpe0, 1, 0x04);
  assert.equal(line.level, false);
  bus.writePort(0xcf8, 4, 0x80000600);
  assert.deepEqual(events, [], 'a dword at CF8h is the PCI address');
  bus.writePort(AcpiPorts.reset, 1, 0x02);
  bus.writePort(AcpiPorts.reset, 1, 0x06);
  assert.deepEqual(events, ['reset']);
});

test('state survives saving', () => {
  const { pm, bus, line } = machine();
  bus.writePort(AcpiPorts.smiCommand, 1, AcpiCommand.enable);
  bus.writePort(AcpiPorts.pm1aEvent + 2, 2, 0x100);
  pm.pressPowerButton();
  const state = structuredClone(pm.save());
  pm.reset();
  assert.equal(line.level, false);
  pm.restore(state);
  assert.equal(line.level, true);
  assert.throws(() => pm.restore({ version: 1 }), /no valid status/);
});
