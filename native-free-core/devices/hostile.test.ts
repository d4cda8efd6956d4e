// A guest may write anything anywhere, at any time. Whatever it does, every device answers with a value of the width
// asked for, nothing throws, and time goes on.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AcpiPm } from './acpi-pm.ts';
import { ApicBus } from './apic/apic-bus.ts';
import { messageSink } from './apic/interrupt-messages.ts';
import { IoApic } from './apic/io-apic.ts';
import { LOCAL_APIC_BASE, LOCAL_APIC_SIZE, LocalApic } from './apic/local-apic.ts';
import { IoBus } from './bus.ts';
import type { Device } from './device.ts';
import { HPET_BASE, Hpet } from './hpet.ts';
import { Cmos } from './legacy/cmos.ts';
import { KeyboardController } from './legacy/keyboard-controller.ts';
import { PicPair } from './legacy/pic.ts';
import { Pit } from './legacy/pit.ts';
import { Ps2Keyboard } from './legacy/ps2-keyboard.ts';
import { Ps2Mouse } from './legacy/ps2-mouse.ts';
import { SystemPorts } from './legacy/system-ports.ts';
import { Uart } from './legacy/uart.ts';
import { fanOut } from './lines.ts';
import { E1000 } from './net/e1000/e1000.ts';
import { Ne2000Isa } from './net/ne2000.ts';
import { Rtl8139 } from './net/rtl8139/rtl8139.ts';
import { TEST_ADDRESS, TestMemory, TestPort, testFrame } from './net/testing.ts';
import { HostBridge, IsaBridge } from './pci/bridges.ts';
import { PciBus } from './pci/pci-bus.ts';
import { PowerManagement } from './pci/power-management.ts';
import { SmbusController } from './pci/smbus.ts';
import { PciFunction } from './pci-function.ts';
import { TestTime } from './testing.ts';

const E1000_BASE = 0xfe000000;
const RTL8139_BASE = 0xfe100000;

/** A generator of numbers below `below`; the same for the same seed (xorshift). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function pc() {
  const time = new TestTime();
  const { clock, timers } = time;
  const bus = new IoBus();
  const apics = new ApicBus();
  let acknowledge = () => 0;
  const local = new LocalApic({
    id: 0,
    bootstrap: true,
    bus: apics,
    processor: { interruptChanged() {}, nmi() {}, smi() {}, init() {}, startup() {} },
    external: { acknowledge: () => acknowledge() },
    clock,
    timers,
    tsc: { read: () => BigInt(Math.floor(clock.now())), timeOf: Number },
  });
  apics.add(local);
  const io = new IoApic(apics, 1);
  apics.listen(io);
  const pic = new PicPair(local.lint0Line);
  acknowledge = () => pic.acknowledge();
  const isa = (irq: number) => fanOut(pic.line(irq), io.line(irq === 0 ? 2 : irq));
  const [keyboard, mouse] = [new Ps2Keyboard(), new Ps2Mouse()];
  const nothing = () => {};
  const pit = new Pit({ clock, timers, line: isa(0) });
  const memory = { low: 2 ** 28, high: 0 };
  const cmos = new Cmos({ clock, timers, line: isa(8), wallTime: () => Date.UTC(2024, 0, 1), memory });
  const uart = new Uart({ clock, timers, line: isa(4), output: nothing });
  const controller = new KeyboardController({
    ...{ clock, timers, keyboard, mouse, onA20: nothing, onReset: nothing },
    ...{ keyboardLine: isa(1), mouseLine: isa(12) },
  });
  const ports = new SystemPorts({ onA20: nothing, onReset: nothing });
  const pm = new AcpiPm({ clock, timers, line: isa(9), onPowerOff: nothing, onReset: nothing });
  const smbus = new SmbusController({ clock, timers, line: isa(9) });
  const power = new PowerManagement({
    pm: { registers: pm.registers, size: 64 },
    smbus: { registers: smbus.registers, size: 16 },
  });
  const messages = messageSink(apics, { write: nothing });
  const hpet = new Hpet({
    ...{ clock, timers, messages, onLegacy: nothing },
    lines: [20, 21, 22, 23].map((gsi) => io.line(gsi)),
    legacyLines: [isa(0), isa(8)],
  });
  hpet.attach(bus);
  const isaBridge = new IsaBridge({ isaInput: isa, gsiInputs: [16, 17, 18, 19].map((gsi) => io.line(gsi)) });
  const pci = new PciBus(bus, isaBridge.pirqs);
  const host = new HostBridge();
  const handler = { readPort: () => 1, writePort: nothing, readMmio: () => 1, writeMmio: nothing };
  const [first, second] = [2, 3].map(
    (slot) =>
      new PciFunction({
        vendor: 0x1af4,
        device: slot,
        classCode: 0,
        interruptPin: 1,
        bars: {
          0: { kind: 'io', size: 64, handler },
          1: { kind: 'memory', size: 4096, handler },
          2: { kind: 'memory64', size: 65536, handler },
        },
      }),
  );
  for (const device of [pic, pit, cmos, ports, controller, pm, io]) device.attach(bus);
  uart.attach(bus, 0x3f8);
  pci.attach();
  pci.add(0, 0, host.pci);
  pci.add(1, 0, isaBridge.pci);
  pci.add(1, 3, power.pci);
  power.attach(bus);
  power.program(0x600, 0x700);
  pci.attachWindow(0xfeb00000);
  second.addMsi(messages, 4);
  pci.add(2, 0, first);
  pci.add(3, 0, second);
  bus.claimMmio(LOCAL_APIC_BASE, LOCAL_APIC_SIZE, local);
  // Network cards: the PCI ones where firmware would have put them, all on cables that sometimes take nothing.
  const cables = [new TestPort(), new TestPort(), new TestPort()];
  const card = (port: TestPort) => ({ clock, timers, memory: new TestMemory(), port, address: TEST_ADDRESS });
  const e1000 = new E1000(card(cables[0]));
  const rtl8139 = new Rtl8139({ ...card(cables[1]), isPlus: true });
  const ne2000 = new Ne2000Isa({ port: cables[2], address: TEST_ADDRESS, line: isa(10) });
  ne2000.attach(bus, 0x300);
  pci.add(4, 0, e1000.pci);
  pci.add(5, 0, rtl8139.pci);
  e1000.pci.assignBar(0, E1000_BASE);
  rtl8139.pci.assignBar(1, RTL8139_BASE);
  for (const { pci: place } of [e1000, rtl8139]) place.writeConfig(4, 2, 7);
  const cards = [e1000, rtl8139, ne2000];
  const devices: Device[] = [
    ...cards,
    pic,
    pit,
    cmos,
    ports,
    controller,
    keyboard,
    mouse,
    pm,
    smbus,
    power,
    hpet,
    io,
    local,
    uart,
    pci,
    isaBridge,
    host,
  ];
  return { time, bus, local, keyboard, mouse, uart, first, second, cards, cables, devices };
}

const INTERESTING = [
  ...[0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xed],
  ...[0xb2, 0x600, 0x602, 0x604, 0x608, 0x60c, 0x60e, 0x700, 0x702, 0x704, 0x707, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcff],
  ...[0x300, 0x301, 0x302, 0x303, 0x307, 0x30a, 0x30c, 0x310, 0x31f],
  ...[0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff],
];
const PAGES = [0xfee00000, 0xfec00000, HPET_BASE, 0xfeb00000 + 3 * 0x8000, E1000_BASE, RTL8139_BASE];

test('random accesses, input and time', () => {
  const below = random(0x5eed);
  const { time, bus, local, keyboard, mouse, uart, first, second, cards, cables, devices } = pc();
  const values = [0, 1, 0xff, 0x80, 0x7fffffff, 0x80000000, 0xffffffff];
  for (let step = 0; step < 150_000; step++) {
    const size = [1, 2, 4][below(3)] as 1 | 2 | 4;
    const value = (below(2) === 0 ? values[below(values.length)] : below(2 ** 32)) % 2 ** (8 * size);
    const port = below(8) === 0 ? below(0x10000) : INTERESTING[below(INTERESTING.length)];
    const address = PAGES[below(PAGES.length)] + (below(2) === 0 ? below(0x40) * 0x10 : below(0x1000));
    let got = 0;
    switch (below(10)) {
      case 0:
      case 1:
        got = bus.readPort(port, size);
        break;
      case 2:
      case 3:
      case 4:
        // The PCI address often names a function that is there.
        if (port === 0xcf8 && below(2) === 0)
          bus.writePort(port, 4, 0x80000000 + below(4) * 0x800 + below(2) * 0x300 + below(64) * 4);
        else bus.writePort(port, size, value);
        break;
      case 5:
        got = bus.readMmio(address, size);
        break;
      case 6:
        bus.writeMmio(address, size, value);
        break;
      case 7:
        if (below(4) === 0) time.stall(below(2 ** 32) * below(100));
        else time.stall(below(1000));
        break;
      case 8:
        if (local.pending) {
          const vector = local.acknowledge();
          assert.ok(vector >= 0 && vector < 256, `vector ${vector}`);
        }
        (below(2) === 0 ? first : second).interrupt.set(below(2) === 0);
        break;
      default:
        keyboard.key(['KeyA', 'Pause', 'ArrowUp'][below(3)], below(2) === 0);
        mouse.move(below(1000) - 500, below(1000) - 500, below(10) - 5);
        mouse.setButtons(below(8));
        if (below(64) === 0) uart.input(new Uint8Array(below(20)));
        cables.forEach((cable, index) => {
          cable.waiting.splice(0, cable.waiting.length, testFrame(14 + below(2000)));
          cable.sent.length = 0;
          cable.room = below(4);
          cable.isUp = below(8) > 0;
          cards[index].poll();
        });
    }
    assert.ok(Number.isInteger(got) && got >= 0 && got < 2 ** (8 * size), `${got} from port ${port} or ${address}`);
    assert.ok(!Number.isNaN(time.timers.next()));
  }
  // What all that led to can be saved, and read again by devices that never saw it.
  const other = pc();
  other.time.nanoseconds = time.nanoseconds;
  devices.forEach((device, index) => {
    // Reading a state brings a device up to date, so both read it.
    const state = structuredClone(device.save());
    device.restore(state);
    other.devices[index].restore(state);
  });
  devices.forEach((device, index) => {
    assert.deepEqual(other.devices[index].save(), device.save(), device.constructor.name);
  });
});
