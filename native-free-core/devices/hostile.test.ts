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
import { DmaControllers } from './legacy/dma.ts';
import { KeyboardController } from './legacy/keyboard-controller.ts';
import { NumericError } from './legacy/numeric-error.ts';
import { ParallelPort } from './legacy/parallel-port.ts';
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
import { Watchdog } from './pci/watchdog.ts';
import { PciFunction } from './pci-function.ts';
import { Ac97 } from './sound/ac97.ts';
import { AudioMixer } from './sound/audio-mixer.ts';
import { TestTime } from './testing.ts';
import { Uhci } from './usb/uhci.ts';
import { UsbTablet } from './usb/usb-tablet.ts';
import { VmwareBackdoor } from './vmware-backdoor.ts';

const E1000_BASE = 0xfe000000;
const RTL8139_BASE = 0xfe100000;
const WATCHDOG_BASE = 0xfe200000;
const [USB_PORTS, MIXER_PORTS, SOUND_PORTS, DMA_PORTS] = [0xc020, 0xc400, 0xc800, 0x00];
const BACKDOOR_MAGIC = 0x564d5868;
/** Enable, disable, tell positions, tell movements. */
const BACKDOOR_ASKS = [0x45414552, 0xf5, 0x53424152, 0x4c455252];

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
  /** How often each device did what it is for: accesses that never get that far prove little. */
  const done = { sent: 0, printed: 0, sounded: 0, reset: 0, nudged: 0, transferred: 0 };
  const com2 = new Uart({ clock, timers, line: isa(3), output: () => void done.sent++ });
  com2.attach(bus, 0x2f8);
  const lpt1 = new ParallelPort({ line: isa(7), output: () => void done.printed++ });
  lpt1.attach(bus, 0x378);
  const numericError = new NumericError(isa(13), () => {});
  // Schedules, rings and buffers are whatever the guest has in its memory.
  const ram = new TestMemory();
  const usbRam = {
    read: (at: number, into: Uint8Array) => ram.read(at, into),
    write: (at: number, from: Uint8Array) => {
      done.transferred++;
      return ram.write(at, from);
    },
  };
  const dma = new DmaControllers(ram);
  const registers = new Uint32Array(8);
  const backdoor = new VmwareBackdoor({
    registers: { reg32: (at) => registers[at], setReg32: (at, value) => void (registers[at] = value) },
    nudge: () => void done.nudged++,
  });
  for (const device of [numericError, dma, backdoor]) device.attach(bus);
  const tablet = new UsbTablet(clock);
  const usb = new Uhci({ clock, timers, memory: usbRam }, [tablet.plug, null]);
  const mixer = new AudioMixer({ clock, timers, output: () => void done.sounded++ });
  mixer.listen(true);
  const sound = new Ac97({ clock, timers, memory: ram, output: mixer });
  const watchdog = new Watchdog({ clock, timers, onReset: () => void done.reset++ });
  pci.add(1, 2, usb.pci);
  pci.add(6, 0, sound.pci);
  pci.add(7, 0, watchdog.pci);
  /** As firmware leaves the functions whose places a guest may change. */
  const place = () => {
    usb.pci.assignBar(4, USB_PORTS);
    sound.pci.assignBar(0, MIXER_PORTS);
    sound.pci.assignBar(1, SOUND_PORTS);
    watchdog.pci.assignBar(0, WATCHDOG_BASE);
    for (const { pci: one } of [usb, sound, watchdog]) one.writeConfig(4, 2, 7);
  };
  place();
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
    com2,
    lpt1,
    numericError,
    dma,
    backdoor,
    tablet,
    usb,
    sound,
    watchdog,
  ];
  const chipset = { com2, lpt1, numericError, backdoor, tablet, registers, ram, place, done };
  return { time, bus, local, keyboard, mouse, uart, first, second, cards, cables, devices, chipset };
}

const INTERESTING = [
  ...[0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xed],
  ...[0xb2, 0x600, 0x602, 0x604, 0x608, 0x60c, 0x60e, 0x700, 0x702, 0x704, 0x707, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcff],
  ...[0x300, 0x301, 0x302, 0x303, 0x307, 0x30a, 0x30c, 0x310, 0x31f],
  ...[0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff],
  ...[0x2f8, 0x2f9, 0x2fa, 0x2fb, 0x2fc, 0x2fd, 0x2fe, 0x2ff],
  ...[0x378, 0x379, 0x37a, 0x778, 0x779, 0x77a, 0xf0, 0xf1, 0x5658, 0x5658, 0x5659, 0x565a],
  ...[0, 1, 2, 3, 8, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf].map((port) => DMA_PORTS + port),
  ...[0x81, 0x83, 0x87, 0x89, 0xc0, 0xc2, 0xd0, 0xd4, 0xd6, 0xd8, 0xda, 0xdc, 0xde],
  ...[0, 2, 4, 6, 8, 12, 0x10, 0x12].map((register) => USB_PORTS + register),
  ...[0, 2, 0x18, 0x26, 0x2a, 0x2c, 0x7c].map((register) => MIXER_PORTS + register),
  ...[0x10, 0x14, 0x15, 0x16, 0x18, 0x1a, 0x1b, 0x2c, 0x30, 0x34].map((register) => SOUND_PORTS + register),
];
// The window of configuration space shows the functions at 1:2, 2, 3, 6 and 7.
const CONFIGURATIONS = [0xa000, 2 * 0x8000, 3 * 0x8000, 6 * 0x8000, 7 * 0x8000].map((at) => 0xfeb00000 + at);
const PAGES = [0xfee00000, 0xfec00000, HPET_BASE, E1000_BASE, RTL8139_BASE, WATCHDOG_BASE, ...CONFIGURATIONS];

test('random accesses, input and time', () => {
  const below = random(0x5eed);
  const { time, bus, local, keyboard, mouse, uart, first, second, cards, cables, devices, chipset } = pc();
  const values = [0, 1, 0xff, 0x80, 0x7fffffff, 0x80000000, 0xffffffff];
  for (let step = 0; step < 200_000; step++) {
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
          bus.writePort(
            port,
            4,
            0x80000000 + [0, 1, 2, 3, 6, 7][below(6)] * 0x800 + [0, 2, 3][below(3)] * 0x100 + below(64) * 4,
          );
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
        if (below(64) === 0) (below(2) === 0 ? uart : chipset.com2).input(new Uint8Array(below(20)));
        if (below(16) === 0) chipset.numericError.raise();
        if (below(8) === 0) chipset.place();
        // A USB schedule, whose links lead wherever they do, with packets that the tablet may answer.
        if (below(8) === 0) bus.writePort(USB_PORTS + 8, 4, below(2) * 0x1000);
        if (below(4) === 0) {
          const packet = below(0x200) * 16;
          const token = [0x2d, 0x69, 0xe1][below(3)] | (below(2) << 8) | (below(2) << 15) | (below(16) << 21);
          [below(0x2000), (1 << 23) | (below(2) << 24), token, below(0x2000)].forEach((word, index) => {
            chipset.ram.view.setUint32(packet + index * 4, word, true);
          });
          bus.writePort(USB_PORTS + 0x10, 2, [0, 4, 0x200][below(3)]);
          bus.writePort(USB_PORTS, 2, 1);
        }
        // The sequence that opens the watchdog's registers for one write.
        if (below(4) === 0) for (const word of [0x80, 0x86]) bus.writeMmio(WATCHDOG_BASE + 0xc, 2, word);
        if (below(8) === 0) bus.writeMmio(WATCHDOG_BASE + 4 * below(4), 4, below(0x200));
        if (below(8) === 0) bus.writeMmio(0xfeb00000 + 7 * 0x8000 + 0x68, 1, 2);
        for (const pointer of [chipset.tablet, chipset.backdoor])
          pointer.report(below(65536), below(65536), below(8), below(5) - 2);
        // What the guest has in its registers and in its memory, where links and lengths are often small numbers.
        for (let at = 0; at < 8; at++) chipset.registers[at] = below(2 ** 32);
        if (below(2) === 0) {
          const argument = below(2) === 0 ? BACKDOOR_ASKS[below(BACKDOOR_ASKS.length)] : below(128);
          chipset.registers.set([BACKDOOR_MAGIC, below(2) === 0 ? 39 + below(3) : below(64), 0x5658, argument]);
          bus.readPort(0x5658, 4);
        }
        for (let at = below(2048) * 4, count = 0; count < 16; count++, at += 4)
          chipset.ram.view.setUint32(at, below(3) === 0 ? below(2 ** 32) : below(0x2000), true);
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
  for (const [what, times] of Object.entries(chipset.done)) assert.ok(times > 0, what);
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
