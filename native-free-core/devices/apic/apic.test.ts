import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { TestTime } from '../testing.ts';
import { ApicBus } from './apic-bus.ts';
import { IO_APIC_BASE, IoApic } from './io-apic.ts';
import { EXTERNAL_INTERRUPT, LocalApic } from './local-apic.ts';

function machine(processors = 1) {
  const time = new TestTime();
  const bus = new ApicBus();
  const events: string[] = [];
  const tsc = { read: () => BigInt(Math.floor(time.nanoseconds * 2)), timeOf: (value: bigint) => Number(value) / 2 };
  const apics = Array.from({ length: processors }, (_, id) => {
    const apic = new LocalApic({
      id,
      bootstrap: id === 0,
      bus,
      processor: {
        interruptChanged: () => {},
        nmi: () => events.push(`${id} nmi`),
        smi: () => events.push(`${id} smi`),
        init: () => events.push(`${id} init`),
        startup: (vector) => events.push(`${id} startup ${vector}`),
      },
      external: { acknowledge: () => 0x08 },
      clock: time.clock,
      timers: time.timers,
      tsc,
    });
    bus.add(apic);
    return apic;
  });
  const io = new IoApic(bus, processors);
  bus.listen(io);
  const read = (register: number, id = 0) => apics[id].readMmio(register, 4);
  const write = (register: number, value: number, id = 0) => apics[id].writeMmio(register, 4, value);
  for (let id = 0; id < processors; id++) write(0xf0, 0x1ff, id);
  const redirect = (input: number, low: number, destination = 0) => {
    io.writeMmio(0, 4, 0x11 + 2 * input);
    io.writeMmio(0x10, 4, (destination << 24) >>> 0);
    io.writeMmio(0, 4, 0x10 + 2 * input);
    io.writeMmio(0x10, 4, low);
  };
  return { time, bus, apics, io, read, write, redirect, events };
}

test('the reset state and the read-only registers', () => {
  const { apics, read, write } = machine(2);
  assert.equal(read(0x20, 1), 0x01000000);
  assert.equal(read(0x30), 0x00050014);
  assert.equal(read(0x320), 0x10000);
  assert.equal(apics[0].base, 0xfee00900n);
  assert.equal(apics[1].base, 0xfee00800n);
  write(0x30, 0);
  assert.equal(read(0x30), 0x00050014);
  assert.equal(apics[0].readMmio(0x33, 1), 0);
  assert.equal(apics[0].readMmio(0x32, 2), 0x0005);
  // A register that is not there is an error, shown after a write to the ESR.
  read(0x40);
  write(0x280, 0);
  assert.equal(read(0x280), 0x80);
});

test('priorities: what is pending, in service, and let through by TPR', () => {
  const { apics, read, write } = machine();
  const [apic] = apics;
  const self = (vector: number) => write(0x300, 0x40000 | vector);
  self(0x31);
  self(0x45);
  assert.equal(apic.highestPending(), 0x45);
  assert.equal(apic.acknowledge(), 0x45);
  assert.equal(read(0xa0), 0x40, 'PPR');
  assert.equal(apic.pending, false, '31h waits');
  self(0x52);
  assert.equal(apic.acknowledge(), 0x52);
  write(0xb0, 0);
  assert.equal(apic.pending, false);
  write(0xb0, 0);
  assert.equal(apic.highestPending(), 0x31);
  apic.taskPriorityClass = 3;
  assert.equal(apic.pending, false);
  assert.equal(read(0x80), 0x30);
  write(0x80, 0x20);
  assert.equal(apic.acknowledge(), 0x31);
  assert.equal(read(0x110), 1 << (0x31 - 0x20), 'ISR');
  assert.equal(apic.acknowledge(), 0xff, 'nothing pending: the spurious vector');
});

test('illegal vectors are errors, and the error interrupt tells of them', () => {
  const { apics, read, write } = machine();
  write(0x370, 0xfe);
  write(0x300, 0x40000 | 5);
  assert.equal(apics[0].highestPending(), 0xfe);
  write(0x280, 0);
  assert.equal(read(0x280), 0x20);
  // An error entry that is itself illegal does not recurse.
  write(0x370, 0x05);
  write(0x300, 0x40000 | 5);
});

test('the timer: one-shot, periodic, masked, deadline', () => {
  const { time, apics, read, write } = machine();
  const [apic] = apics;
  const taken = () => {
    if (!apic.pending) return 0;
    const vector = apic.acknowledge();
    write(0xb0, 0);
    return vector;
  };
  write(0x3e0, 0x0b); // divide by 1
  write(0x320, 0x40);
  write(0x380, 1_000_000);
  time.advance(400_000);
  assert.equal(read(0x390), 600_000);
  assert.equal(taken(), 0);
  time.advance(600_000);
  assert.equal(taken(), 0x40);
  assert.equal(read(0x390), 0);
  time.advance(5e6);
  assert.equal(taken(), 0, 'once');

  write(0x3e0, 0x03); // divide by 16
  write(0x320, 0x20041);
  write(0x380, 62_500); // 1 ms
  let count = 0;
  for (let i = 0; i < 100; i++) {
    time.advance(1e6);
    if (taken() === 0x41) count++;
  }
  assert.equal(count, 100);
  time.stall(50e6);
  assert.equal(taken(), 0x41, 'fifty missed ticks are one interrupt');
  time.advance(1e6);
  assert.equal(taken(), 0x41, 'and the next comes in its time');

  write(0x320, 0x30041);
  time.advance(5e6);
  assert.equal(taken(), 0, 'masked');
  assert.ok(read(0x390) > 0, 'but counting');

  // A guest that asks for the impossible does not keep the machine busy.
  write(0x3e0, 0x0b);
  write(0x320, 0x20041);
  write(0x380, 1);
  let runs = 0;
  for (let i = 0; i < 1000; i++) {
    time.stall(1000);
    if (taken() !== 0) runs++;
  }
  assert.ok(runs <= 101, `${runs} interrupts in 1 ms`);

  write(0x320, 0x40042);
  apic.tscDeadline = BigInt((time.nanoseconds + 5000) * 2);
  assert.notEqual(apic.tscDeadline, 0n);
  time.advance(4999);
  assert.equal(taken(), 0);
  time.advance(1);
  assert.equal(taken(), 0x42);
  assert.equal(apic.tscDeadline, 0n);
  apic.tscDeadline = 1n;
  time.advance(0);
  assert.equal(taken(), 0x42, 'a deadline in the past expires at once');
});

test('a one-shot that is due is not lost when its entry is rewritten before the timers run', () => {
  const { time, apics, write } = machine();
  write(0x3e0, 0x0b);
  write(0x320, 0x40);
  write(0x380, 1000);
  time.nanoseconds += 2000;
  write(0x320, 0x40);
  time.timers.run(time.nanoseconds);
  assert.equal(apics[0].highestPending(), 0x40);
});

test('IPIs: INIT, start-up, NMI, shorthands, physical and logical destinations', () => {
  const { apics, write, events } = machine(3);
  write(0x310, 0x02000000);
  write(0x300, 0xc500); // INIT, level, assert
  write(0x300, 0x8500); // INIT level de-assert: nothing
  write(0x300, 0x4608); // start-up at 8000h
  assert.deepEqual(events, ['2 init', '2 startup 8']);
  events.length = 0;
  write(0xf0, 0x1ff, 2);
  write(0x300, 0xc0400); // NMI, all but self
  assert.deepEqual(events, ['1 nmi', '2 nmi']);
  const pending = () => apics.map((apic) => apic.highestPending());
  write(0x300, 0x80055); // all
  assert.deepEqual(pending(), [0x55, 0x55, 0x55]);
  for (const [id, apic] of apics.entries()) {
    apic.acknowledge();
    write(0xb0, 0, id);
    write(0xd0, (1 << (24 + id)) >>> 0, id);
  }
  write(0x310, 0x06000000);
  write(0x300, 0x0860); // logical, flat: 1 and 2
  assert.deepEqual(pending(), [-1, 0x60, 0x60]);
  apics[1].acknowledge();
  apics[2].acknowledge();
  write(0xb0, 0, 2);
  write(0x300, 0x0961); // lowest priority among 1 and 2: 1 is busy
  assert.deepEqual(pending(), [-1, -1, 0x61]);
  for (const id of [0, 1, 2]) {
    write(0xe0, 0, id); // cluster model
    write(0xd0, ((0x10 | (1 << id)) << 24) >>> 0, id);
  }
  write(0x310, 0x15000000);
  write(0x300, 0x0872);
  assert.deepEqual(pending(), [0x72, -1, 0x72]);
});

test('the virtual wire: external interrupts through LINT0, and with the APIC off', () => {
  const { apics, write } = machine();
  const [apic] = apics;
  apic.programVirtualWire();
  apic.lint0Line.set(true);
  assert.equal(apic.highestPending(), EXTERNAL_INTERRUPT);
  assert.equal(apic.acknowledge(), 0x08);
  write(0x350, 0x10700);
  assert.equal(apic.pending, false, 'masked');
  assert.equal(apic.writeBase(0xfee00000n), true);
  assert.equal(apic.highestPending(), EXTERNAL_INTERRUPT, 'LINT0 is INTR when the APIC is off');
  assert.equal(apic.writeBase(0xfee00c00n), false, 'x2APIC is not there');
  assert.equal(apic.writeBase(0xfed00900n), true);
  assert.equal(apic.base, 0xfed00900n);
});

test('software-disabling masks the local entries and refuses interrupts', () => {
  const { apics, read, write } = machine();
  write(0x320, 0x40);
  write(0xf0, 0xff);
  assert.equal(read(0x320) & 0x10000, 0x10000);
  write(0x320, 0x40);
  assert.equal(read(0x320) & 0x10000, 0x10000, 'and keeps them masked');
  write(0x300, 0x40055);
  assert.equal(apics[0].pending, false);
});

test('I/O APIC: edges, levels with remote IRR, masks and registers', () => {
  const { apics, io, write, redirect } = machine();
  const [apic] = apics;
  const entry = (input: number) => {
    io.writeMmio(0, 4, 0x10 + 2 * input);
    return io.readMmio(0x10, 4);
  };
  io.writeMmio(0, 4, 1);
  assert.equal(io.readMmio(0x10, 4), 0x00170011);
  assert.equal(entry(23), 0x10000);
  io.line(1).set(true);
  io.line(1).set(false);
  redirect(1, 0x31);
  assert.equal(apic.pending, false, 'an edge on a masked input is lost');
  io.line(1).set(true);
  io.line(1).set(true);
  assert.equal(apic.acknowledge(), 0x31);
  write(0xb0, 0);
  assert.equal(apic.pending, false);

  redirect(10, 0x803a | 0x800, 0x01);
  write(0xd0, 0x01000000);
  io.line(10).set(true);
  assert.equal(apic.acknowledge(), 0x3a);
  assert.equal(entry(10) & 0x4000, 0x4000, 'remote IRR');
  assert.equal(apic.readMmio(0x180 + 0x10, 4), 1 << (0x3a - 0x20), 'TMR');
  io.line(10).set(false);
  io.line(10).set(true);
  assert.equal(apic.pending, false, 'in service');
  write(0xb0, 0);
  assert.equal(apic.acknowledge(), 0x3a, 'still asserted: again');
  io.line(10).set(false);
  write(0xb0, 0);
  assert.equal(entry(10) & 0x4000, 0);
  assert.equal(apic.pending, false);

  // A level that is there when the input is unmasked interrupts.
  redirect(11, 0x1803b | 0x10000, 0);
  io.line(11).set(true);
  assert.equal(apic.pending, false);
  redirect(11, 0x803b, 0);
  assert.equal(apic.acknowledge(), 0x3b);
  redirect(11, 0x1003b, 0); // to edge: remote IRR is forgotten
  assert.equal(entry(11) & 0x4000, 0);
  // Registers beyond the table are zero.
  io.writeMmio(0, 4, 0xff);
  assert.equal(io.readMmio(0x10, 4), 0);
  io.writeMmio(0x10, 4, 1);
});

test('the I/O APIC answers on the bus, and everything survives saving', () => {
  const { time, apics, io, bus, write, redirect } = machine();
  const ioBus = new IoBus();
  io.attach(ioBus);
  ioBus.writeMmio(IO_APIC_BASE, 4, 1);
  assert.equal(ioBus.readMmio(IO_APIC_BASE + 0x10, 4), 0x00170011);
  redirect(4, 0x8034);
  io.line(4).set(true);
  write(0x3e0, 0x0b);
  write(0x320, 0x40);
  write(0x380, 1000);
  const [apicState, ioState] = structuredClone([apics[0].save(), io.save()]);
  apics[0].reset();
  io.reset();
  assert.equal(apics[0].pending, false);
  apics[0].restore(apicState);
  io.restore(ioState);
  assert.equal(apics[0].acknowledge(), 0x34);
  time.advance(1000);
  assert.equal(apics[0].highestPending(), 0x40);
  assert.throws(() => io.restore({ ...ioState, low: [1] }), /no valid low/);
  bus.endOfInterrupt(0x34);
});
