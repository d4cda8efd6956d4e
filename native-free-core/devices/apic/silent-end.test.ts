import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestTime } from '../testing.ts';
import { ApicBus } from './apic-bus.ts';
import { IO_APIC_BASE, IoApic } from './io-apic.ts';
import { LocalApic } from './local-apic.ts';

// Interrupts whose end a guest marks in memory instead of writing the EOI register.

const EOI = 0xb0;
const ISR = 0x100;
const PPR = 0xa0;
const TPR = 0x80;

function rig({ wants = true } = {}) {
  const time = new TestTime();
  const bus = new ApicBus();
  /** The word in the guest's memory: 1 while it may end the interrupt by clearing it. */
  const word = { value: 0 };
  const apic: LocalApic = new LocalApic({
    id: 0,
    bootstrap: true,
    bus,
    processor: { interruptChanged() {}, nmi() {}, smi() {}, init() {}, startup() {} },
    external: { acknowledge: () => 8 },
    clock: time.clock,
    timers: time.timers,
    tsc: { read: () => 0n, timeOf: Number },
    silentEnd: {
      offer() {
        if (wants) word.value = 1;
        return wants;
      },
      isTaken: () => word.value === 0,
      withdraw() {
        word.value = 0;
      },
    },
  });
  bus.add(apic);
  apic.writeMmio(0xf0, 4, 0x1ff);
  let writes = 0;
  const read = (register: number): number => apic.readMmio(register, 4);
  return {
    apic,
    bus,
    word,
    read,
    interrupt: (vector: number, level = false) =>
      bus.deliver({ mode: 0, vector, level, destination: 0, logical: false }),
    /** As a guest's kernel ends an interrupt: silently where it may, by the register otherwise. */
    end(): void {
      if (word.value === 1) word.value = 0;
      else {
        writes++;
        apic.writeMmio(EOI, 4, 0);
      }
    },
    inService: () => [0, 1, 2, 3, 4, 5, 6, 7].map((index) => read(ISR + index * 0x10)).some((word) => word !== 0),
    get writes() {
      return writes;
    },
  };
}

test('interrupts one after the other end without a write', () => {
  const guest = rig();
  for (let round = 0; round < 5; round++) {
    guest.interrupt(0x31);
    assert.equal(guest.apic.acknowledge(), 0x31);
    assert.equal(guest.word.value, 1);
    guest.end();
  }
  assert.equal(guest.writes, 0);
  assert.equal(guest.inService(), false);
  assert.equal(guest.read(PPR), 0);
});

test('who does not want to writes', () => {
  const guest = rig({ wants: false });
  guest.interrupt(0x31);
  guest.apic.acknowledge();
  assert.equal(guest.inService(), true);
  guest.end();
  assert.equal(guest.writes, 1);
  assert.equal(guest.inService(), false);
});

test('an interrupt that came meanwhile is pending at once when the guest has ended the first', () => {
  const guest = rig();
  guest.interrupt(0x41);
  guest.apic.acknowledge();
  guest.end();
  guest.interrupt(0x31);
  assert.equal(guest.apic.pending, true);
  assert.equal(guest.apic.acknowledge(), 0x31);
});

test('an interrupt of lower priority makes the end of the one in service told', () => {
  const guest = rig();
  guest.interrupt(0x41);
  guest.apic.acknowledge();
  guest.interrupt(0x31);
  assert.equal(guest.apic.pending, false);
  assert.equal(guest.word.value, 0, 'no longer offered');
  guest.end();
  assert.equal(guest.writes, 1);
  assert.equal(guest.apic.acknowledge(), 0x31);
  guest.end();
  assert.equal(guest.writes, 1, 'the last one of them is silent again');
  assert.equal(guest.inService(), false);
});

test('an interrupt of higher priority nests, and each end is its own', () => {
  const guest = rig();
  guest.interrupt(0x31);
  guest.apic.acknowledge();
  guest.interrupt(0x41);
  assert.equal(guest.apic.acknowledge(), 0x41);
  assert.equal(guest.word.value, 0);
  guest.end();
  assert.equal(guest.read(ISR + 0x10), 1 << (0x31 - 0x20));
  guest.end();
  assert.equal(guest.writes, 2);
  assert.equal(guest.inService(), false);
});

test('a second interrupt that already waits keeps the first from being silent', () => {
  const guest = rig();
  guest.interrupt(0x31);
  guest.interrupt(0x41);
  guest.apic.acknowledge();
  assert.equal(guest.word.value, 0);
});

test("a level-triggered interrupt's end is told, because I/O APICs wait for it", () => {
  const guest = rig();
  const io = new IoApic(guest.bus, 1);
  guest.bus.listen(io);
  assert.ok(IO_APIC_BASE > 0);
  io.writeMmio(0, 4, 0x11 + 2 * 9);
  io.writeMmio(0x10, 4, 0);
  io.writeMmio(0, 4, 0x10 + 2 * 9);
  io.writeMmio(0x10, 4, 0x8000 | 0x51);
  io.line(9).set(true);
  assert.equal(guest.apic.acknowledge(), 0x51);
  assert.equal(guest.word.value, 0);
  io.line(9).set(false);
  guest.end();
  assert.equal(guest.writes, 1);
});

test('a guest that writes the register although it need not ends the interrupt once', () => {
  const guest = rig();
  guest.interrupt(0x31);
  guest.apic.acknowledge();
  guest.apic.writeMmio(EOI, 4, 0);
  assert.equal(guest.word.value, 0);
  assert.equal(guest.inService(), false);
  guest.interrupt(0x31);
  assert.equal(guest.apic.acknowledge(), 0x31);
  guest.end();
  assert.equal(guest.inService(), false);
});

test('what depends on priorities sees a silent end', () => {
  const guest = rig();
  guest.interrupt(0x51);
  guest.apic.acknowledge();
  guest.end();
  assert.equal(guest.apic.arbitrationPriority, 0);
  guest.interrupt(0x61);
  guest.apic.acknowledge();
  guest.end();
  guest.apic.writeMmio(TPR, 4, 0x20);
  assert.equal(guest.read(PPR), 0x20);
  guest.interrupt(0x61);
  guest.apic.acknowledge();
  guest.apic.withdrawSilentEnd();
  assert.equal(guest.word.value, 0);
  assert.equal(guest.inService(), true);
  guest.apic.reset();
  assert.equal(guest.inService(), false);
});
