import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ParavirtMachine } from '../paravirt.ts';
import { HyperVInterface } from './hyper-v.ts';

// Hypervisor Top-Level Functional Specification 6.0b, chapters 2 (discovery), 3 (hypercalls) and 12 (timers).

const RAM = 0x10000;

function rig(timestampHz = 1_000_000_000) {
  const ram = new DataView(new ArrayBuffer(RAM));
  const time = { now: 0, offset: 0n };
  const machine: ParavirtMachine = {
    vcpus: 2,
    memory: {
      isRam: (address, length) => address >= 0 && address + length <= RAM,
      read: () => assert.fail('nothing of the guest is read'),
      write: (address, bytes) => {
        new Uint8Array(ram.buffer).set(bytes, address);
        return true;
      },
    },
    now: () => time.now,
    wallAtStart: () => 0,
    timestamp: (_, now) => BigInt.asUintN(64, BigInt(Math.round(now * (timestampHz / 1e9))) + time.offset),
    timestampHz,
    send: () => false,
    wake() {},
    yieldTo() {},
    flushTlb() {},
    withdrawEndOfInterrupt() {},
  };
  return { ram, time, machine, hyperV: new HyperVInterface(machine) };
}

const registers = { rax: 0n, rbx: 0n, rcx: 0n, rdx: 0n, rsi: 0n, r8: 0n, is64: true, privilege: 0 };

test('CPUID says who it is and what there is', () => {
  const { hyperV } = rig();
  const [most, ...letters] = hyperV.leaf(0x40000000)!;
  assert.equal(most, 0x40000006);
  assert.equal(Buffer.from(Uint32Array.from(letters).buffer).toString('latin1'), 'Microsoft Hv');
  assert.equal(Buffer.from(Uint32Array.of(hyperV.leaf(0x40000001)![0]).buffer).toString('latin1'), 'Hv#1');
  const [features, , , more] = hyperV.leaf(0x40000003)!;
  assert.deepEqual([features, more], [0xa62, 0x100]);
  assert.equal(hyperV.leaf(0x40000004)![0], 0x20, 'relaxed timing');
  assert.equal(hyperV.leaf(0x40000007), undefined);
});

test('the hypercall page is there for who has a name', () => {
  const { ram, hyperV } = rig();
  assert.equal(hyperV.writeMsr(0, 0x40000001, 0x3001n), true);
  assert.equal(hyperV.readMsr(0, 0x40000001), 0x3000n, 'not before the guest has told who it is');
  assert.equal(hyperV.hypercall(0, registers), undefined);
  hyperV.writeMsr(0, 0x40000000, 0x8100n << 48n);
  assert.equal(hyperV.writeMsr(0, 0x40000001, 0x3001n), true);
  assert.equal(ram.getUint32(0x3000, false), 0x0f01c1c3);
  assert.equal(hyperV.hypercall(0, { ...registers, rcx: 0x5cn }), 2n, 'no such call');
  assert.equal(hyperV.hypercall(0, { ...registers, rcx: 8n }), 0n);
  assert.equal(hyperV.hypercall(0, { ...registers, is64: false, rax: 8n, rcx: 1n }), 0n);
  assert.equal(hyperV.hypercall(0, { ...registers, rcx: 8n, privilege: 3 }), undefined);
  assert.equal(hyperV.writeMsr(0, 0x40000001, 0x10001n), false, 'no memory');
  hyperV.writeMsr(0, 0x40000000, 0n);
  assert.equal(hyperV.hypercall(0, registers), undefined);
});

test('reference time by register and by page', () => {
  for (const hertz of [1e9, 2_394_560_000, 24_000_000]) {
    const { ram, time, machine, hyperV } = rig(hertz);
    time.now = 7_000_000_000;
    assert.equal(hyperV.readMsr(1, 0x40000020), 70_000_000n);
    assert.equal(hyperV.writeMsr(1, 0x40000021, 0x4001n), true);
    const reference = (now: number): number => {
      const counted = (machine.timestamp(0, now) * ram.getBigUint64(0x4008, true)) >> 64n;
      return Number(counted + ram.getBigInt64(0x4010, true));
    };
    for (const now of [7e9, 7e9 + 12_345, 3600e9]) assert.ok(Math.abs(reference(now) - now / 100) <= 10);
    assert.equal(ram.getUint32(0x4000, true), 1);
    time.offset = 123_456_789n;
    hyperV.timestampMoved();
    assert.ok(Math.abs(reference(8e9) - 8e7) <= 10);
    assert.equal(ram.getUint32(0x4000, true), 2);
  }
});

test('registers that can only be read, and those that are not there', () => {
  const { hyperV } = rig();
  assert.equal(hyperV.readMsr(1, 0x40000002), 1n);
  assert.equal(hyperV.readMsr(0, 0x40000022), 1_000_000_000n);
  for (const index of [0x40000002, 0x40000020, 0x40000022, 0x40000023])
    assert.equal(hyperV.writeMsr(0, index, 1n), false);
  for (const index of [0x40000003, 0x40000070, 0x40000080, 0x400000b0]) {
    assert.equal(hyperV.readMsr(0, index), undefined);
    assert.equal(hyperV.writeMsr(0, index, 1n), undefined);
  }
  assert.equal(hyperV.writeMsr(0, 0x40000021, 0x100001n), false);
});
