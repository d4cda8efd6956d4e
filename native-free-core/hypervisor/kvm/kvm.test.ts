import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApicMessage } from '../../devices/apic/apic-bus.ts';
import type { HypercallRegisters, ParavirtMachine } from '../paravirt.ts';
import { clockScale } from './clock.ts';
import { KvmInterface } from './kvm.ts';
import { Msr } from './numbers.ts';

// What Linux's Documentation/virt/kvm/x86/{cpuid,msr,hypercalls}.rst promises a guest.

const RAM = 0x10000;
const GIGAHERTZ = 1_000_000_000;

class Rig {
  readonly ram = new DataView(new ArrayBuffer(RAM));
  now = 0;
  offset = 0n;
  readonly sent: ApicMessage[] = [];
  readonly acts: string[] = [];
  /** Bytes written, by address, in the order they were. */
  readonly writes: [number, number[]][] = [];
  readonly machine: ParavirtMachine;
  readonly kvm: KvmInterface;

  constructor(timestampHz = GIGAHERTZ) {
    const bytes = new Uint8Array(this.ram.buffer);
    const isRam = (address: number, length: number): boolean => address >= 0 && address + length <= RAM;
    this.machine = {
      vcpus: 4,
      memory: {
        isRam,
        read: (address, into) => {
          assert.ok(isRam(address, into.length));
          into.set(bytes.subarray(address, address + into.length));
          return true;
        },
        write: (address, from) => {
          assert.ok(isRam(address, from.length));
          bytes.set(from, address);
          this.writes.push([address, [...from]]);
          return true;
        },
      },
      now: () => this.now,
      wallAtStart: () => 1_700_000_000_123.5,
      timestamp: (vcpu, now) =>
        BigInt.asUintN(64, BigInt(Math.round(now * (timestampHz / 1e9))) + this.offset + BigInt(vcpu)),
      timestampHz,
      send: (message) => {
        this.sent.push(message);
        return message.destination < 4;
      },
      wake: (id) => this.acts.push(`wake ${id}`),
      yieldTo: (id) => this.acts.push(`yield to ${id}`),
      flushTlb: () => this.acts.push('flush'),
      withdrawEndOfInterrupt: (vcpu) => this.acts.push(`withdraw ${vcpu}`),
    };
    this.kvm = new KvmInterface(this.machine);
  }

  /** The time that a guest makes of a vCPU's page and its time-stamp counter (msr.rst). */
  time(page: number, counter: bigint): number {
    const { ram } = this;
    const delta = BigInt.asUintN(64, counter - ram.getBigUint64(page + 8, true));
    const shift = ram.getInt8(page + 28);
    const shifted = shift < 0 ? delta >> BigInt(-shift) : delta << BigInt(shift);
    return Number(ram.getBigUint64(page + 16, true) + ((shifted * BigInt(ram.getUint32(page + 24, true))) >> 32n));
  }

  call(rax: number | bigint, args: readonly (number | bigint)[] = [], over: Partial<HypercallRegisters> = {}): bigint {
    const [rbx = 0n, rcx = 0n, rdx = 0n, rsi = 0n] = args.map(BigInt);
    return this.kvm.hypercall(0, { rax: BigInt(rax), rbx, rcx, rdx, rsi, r8: 0n, is64: true, privilege: 0, ...over });
  }
}

test('CPUID names the interface and exactly what is here', () => {
  const { kvm } = new Rig();
  const [most, ...letters] = kvm.leaf(0x40000000)!;
  assert.equal(most, 0x40000001);
  assert.equal(Buffer.from(Uint32Array.from(letters).buffer).toString('latin1'), 'KVMKVMKVM\0\0\0');
  // Clock (old and new registers, stable), no I/O delay, steal time, EOI, unhalt, TLB flush, IPI, poll control, yield.
  assert.deepEqual(kvm.leaf(0x40000001), [0x01003aeb, 0, 0, 0]);
  for (const leaf of [0x40000002, 0x40000010, 0x400000ff]) assert.equal(kvm.leaf(leaf), undefined);
});

test('the scale of a clock keeps its time', () => {
  for (const hertz of [1e9, 3_579_545, 24_000_000, 999_999_999, 1_000_000_001, 2_394_560_000, 5e9, 32_768]) {
    const { shift, multiplier } = clockScale(hertz);
    assert.ok(multiplier >= 2 ** 31 && multiplier < 2 ** 32, `${hertz}: ${multiplier}`);
    const nanoseconds = 2 ** shift * (multiplier / 2 ** 32);
    assert.ok(Math.abs(nanoseconds * (hertz / 1e9) - 1) < 1e-9, `${hertz}: ${nanoseconds}`);
  }
});

for (const [name, register] of [
  ['new', Msr.systemTime],
  ['old', Msr.systemTimeOld],
] as const)
  test(`the clock's page gives guest time, by the ${name} register`, () => {
    for (const hertz of [GIGAHERTZ, 2_394_560_000, 24_000_000]) {
      const rig = new Rig(hertz);
      const { kvm, ram, machine } = rig;
      rig.now = 5_000_000_123;
      ram.setUint32(0x2000, 7, true);
      assert.equal(kvm.writeMsr(1, register, 0x2001n), true);
      assert.equal(kvm.readMsr(1, register), 0x2001n);
      assert.equal(kvm.readMsr(0, register), 0n, 'each vCPU has its own');
      assert.equal(ram.getUint8(0x2000 + 29), 1, 'stable');
      for (const now of [5_000_000_123, 5_000_001_000, 3_600_000_000_000]) {
        const difference = rig.time(0x2000, machine.timestamp(1, now)) - now;
        assert.ok(Math.abs(difference) < 1000 + now * 1e-9, `${hertz} Hz, ${now}: ${difference}`);
      }
      // The version was odd before anything else changed, and is even now.
      const versions = rig.writes.map(([address, bytes]) => [address, bytes[0] & 1]);
      assert.deepEqual(versions, [
        [0x2000, 1],
        [0x2000, 1],
        [0x2000, 0],
      ]);
      const version = ram.getUint32(0x2000, true);
      rig.offset = -1_000_000n;
      kvm.timestampMoved(1);
      assert.equal(ram.getUint32(0x2000, true), version + 2);
      const late = 6_000_000_000;
      assert.ok(Math.abs(rig.time(0x2000, machine.timestamp(1, late)) - late) < 1000);
      assert.equal(kvm.writeMsr(1, register, 0x2000n), true);
      kvm.timestampMoved(1);
      assert.equal(ram.getUint32(0x2000, true), version + 2, 'disabled');
    }
  });

test('registers refuse what is reserved and what is not memory', () => {
  const { kvm } = new Rig();
  const refused: [number, bigint][] = [
    [Msr.systemTime, 0x2003n],
    [Msr.systemTime, BigInt(RAM - 16) | 1n],
    [Msr.systemTime, 0xffff_ffff_ffff_fff1n],
    [Msr.wallClock, 0x2001n],
    [Msr.wallClock, BigInt(RAM)],
    [Msr.stealTime, 0x2003n],
    [Msr.stealTime, 0x2021n],
    [Msr.stealTime, BigInt(RAM) | 1n],
    [Msr.endOfInterrupt, 0x2003n],
    [Msr.endOfInterrupt, BigInt(RAM) | 1n],
    [Msr.pollControl, 2n],
  ];
  for (const [index, value] of refused) {
    const before = kvm.readMsr(0, index);
    assert.equal(kvm.writeMsr(0, index, value), false, `${index.toString(16)} ${value.toString(16)}`);
    assert.equal(kvm.readMsr(0, index), before);
  }
  for (const index of [0x4b564d02, 0x4b564d06, 0x4b564d07, 0x4b564d08, 0x4b564d09, 0x13]) {
    assert.equal(kvm.readMsr(0, index), undefined);
    assert.equal(kvm.writeMsr(0, index, 0n), undefined);
  }
  assert.equal(kvm.readMsr(3, Msr.pollControl), 1n);
  assert.equal(kvm.writeMsr(3, Msr.pollControl, 0n), true);
  assert.deepEqual([kvm.readMsr(2, Msr.pollControl), kvm.readMsr(3, Msr.pollControl)], [1n, 0n]);
});

test('the wall clock is that of the start, and pairs with the counter', () => {
  const rig = new Rig();
  const { kvm, ram } = rig;
  rig.now = 2_500_000_000;
  assert.equal(kvm.writeMsr(0, Msr.wallClock, 0x3000n), true);
  assert.deepEqual(
    [0, 4, 8].map((at) => ram.getUint32(0x3000 + at, true)),
    [2, 1_700_000_000, 123_500_000],
  );
  assert.equal(rig.call(9, [0x4000, 0]), 0n);
  assert.deepEqual(
    [0, 8, 16].map((at) => ram.getBigUint64(0x4000 + at, true)),
    [1_700_000_002n, 623_500_000n, 2_500_000_000n],
  );
  assert.equal(BigInt.asIntN(64, rig.call(9, [0x4000, 1])), -95n);
  assert.equal(BigInt.asIntN(64, rig.call(9, [RAM - 8, 0])), -14n);
});

test('steal time is told with turns, and flushes are done that others left', () => {
  const rig = new Rig();
  const { kvm, ram } = rig;
  kvm.writeMsr(2, Msr.stealTime, 0x5001n);
  const told = () => [Number(ram.getBigUint64(0x5000, true)), ram.getUint8(0x5010)];
  assert.deepEqual(told(), [0, 0]);
  kvm.left(2);
  assert.deepEqual(told(), [0, 1]);
  kvm.entered(2, 1_234_567.8);
  assert.deepEqual(told(), [1_234_567, 0]);
  kvm.stole(2, 100_000);
  assert.deepEqual(told(), [1_334_567, 0]);
  assert.equal(ram.getUint32(0x5008, true) % 2, 0);
  assert.deepEqual(rig.acts, []);
  kvm.left(2);
  ram.setUint8(0x5010, ram.getUint8(0x5010) | 2);
  kvm.entered(2, 0);
  assert.deepEqual(rig.acts, ['flush']);
  assert.deepEqual(told(), [1_334_567, 0]);
  // What is not announced is nobody's memory.
  kvm.writeMsr(2, Msr.stealTime, 0n);
  rig.writes.length = 0;
  kvm.left(2);
  kvm.entered(2, 5);
  assert.deepEqual(rig.writes, []);
});

test('an interrupt may end by a word in memory', () => {
  const rig = new Rig();
  const { kvm, ram } = rig;
  const flag = kvm.endOfInterruptFlag(1);
  assert.equal(flag.offer(), false, 'nothing is set up');
  assert.equal(flag.isTaken(), false);
  ram.setUint32(0x6000, 0xa0, true);
  assert.equal(kvm.writeMsr(1, Msr.endOfInterrupt, 0x6001n), true);
  assert.equal(flag.offer(), true);
  assert.equal(ram.getUint32(0x6000, true), 0xa1);
  assert.equal(flag.isTaken(), false);
  ram.setUint32(0x6000, 0xa0, true);
  assert.equal(flag.isTaken(), true);
  flag.offer();
  flag.withdraw();
  assert.equal(ram.getUint32(0x6000, true), 0xa0);
  rig.acts.length = 0;
  kvm.writeMsr(1, Msr.endOfInterrupt, 0n);
  assert.deepEqual(rig.acts, ['withdraw 1'], 'before the word is given up');
});

test('hypercalls: their numbers, arguments and errors', () => {
  const rig = new Rig();
  const ended = (value: bigint): bigint => BigInt.asIntN(64, value);
  for (const call of [0, 2, 3, 4, 6, 8, 12, 13, 100, 2 ** 32, 2n ** 64n - 1n])
    assert.equal(ended(rig.call(call)), -1000n);
  assert.equal(rig.call(1), 0n);
  assert.equal(ended(rig.call(1, [], { privilege: 3 })), -1n);
  assert.equal(ended(rig.call(99, [], { privilege: 3 })), -1n);
  assert.equal(rig.call(0x1_0000_0063n, [], { is64: false }), 0xffff_fc18n, 'an error of 32 bits');
  assert.equal(rig.call(5, [0, 3]), 0n);
  assert.equal(rig.call(5, [0, 0xffff_ffff_0000_0002n]), 0n);
  assert.equal(rig.call(11, [1]), 0n);
  assert.deepEqual(rig.acts, ['wake 3', 'wake 2', 'yield to 1']);
});

test('one hypercall sends an interrupt to many', () => {
  const rig = new Rig();
  const sent = () => rig.sent.splice(0).map(({ destination, vector, mode }) => `${destination}:${vector}:${mode}`);
  assert.equal(rig.call(10, [0b1011, 0, 0, 0xfb]), 3n);
  assert.deepEqual(sent(), ['0:251:0', '1:251:0', '3:251:0']);
  assert.equal(rig.call(10, [0b110, 0, 1, 0x400]), 2n, 'an NMI; APIC 2 and 3');
  assert.deepEqual(sent(), ['2:0:4', '3:0:4']);
  assert.equal(rig.call(10, [1, 1, 0, 0x40]), 1n, 'bit 64 is an APIC that is not there');
  assert.deepEqual(sent(), ['0:64:0', '64:64:0']);
  assert.equal(rig.call(10, [1, 1, 0, 0x40], { is64: false }), 1n, 'in 32-bit code the second word begins at 32');
  assert.deepEqual(sent(), ['0:64:0', '32:64:0']);
  assert.equal(rig.call(10, [2n ** 64n - 1n, 2n ** 64n - 1n, 250, 0x40]), 0n);
  assert.deepEqual(
    sent().map((each) => Number.parseInt(each, 10)),
    [250, 251, 252, 253, 254],
    'never the one that means all',
  );
  for (const command of [0x40040, 0xc0040, 0x840])
    assert.equal(BigInt.asIntN(64, rig.call(10, [1, 0, 0, command])), -22n, command.toString(16));
  assert.deepEqual(sent(), []);
});

test('after a reset nothing is written any more', () => {
  const rig = new Rig();
  const { kvm } = rig;
  for (const vcpu of [0, 1]) {
    kvm.writeMsr(vcpu, Msr.systemTime, BigInt(0x1001 + vcpu * 0x100));
    kvm.writeMsr(vcpu, Msr.stealTime, BigInt(0x2001 + vcpu * 0x100));
    kvm.writeMsr(vcpu, Msr.endOfInterrupt, BigInt(0x3001 + vcpu * 0x100));
  }
  kvm.resetVcpu(1);
  const act = (vcpu: number): number => {
    rig.writes.length = 0;
    kvm.timestampMoved(vcpu);
    kvm.left(vcpu);
    kvm.entered(vcpu, 1);
    kvm.endOfInterruptFlag(vcpu).offer();
    return rig.writes.length;
  };
  assert.deepEqual([act(0) > 0, act(1)], [true, 0]);
  kvm.reset();
  assert.equal(act(0), 0);
});
