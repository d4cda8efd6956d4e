// Tests of control and model-specific registers, CPUID and the I/O permission bitmap.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodings } from '../instructions/table.ts';
import { Flag, S, Seg } from '../state.ts';
import { SystemFixture } from '../testing/system-fixture.ts';
import { Cr0, Cr4, Efer } from './architecture.ts';
import { readControl, writeControl } from './control.ts';
import { cpuid, SIGNATURE } from './cpuid.ts';
import { coldRows } from './dispatch.ts';
import { GuestFault } from './fault.ts';
import { Msr, readMsr, writeMsr } from './msr.ts';
import { checkPort, portOut } from './ports.ts';

const GP = 13;

function faults(vector: number, act: () => unknown): void {
  try {
    act();
  } catch (fault) {
    assert.ok(fault instanceof GuestFault, String(fault));
    assert.equal(fault.vector, vector);
    return;
  }
  assert.fail(`no exception ${vector}`);
}

test('long mode begins with paging and ends with it', () => {
  const { cpu } = new SystemFixture();
  writeControl(cpu, 0, BigInt(Cr0.pe | Cr0.et));
  writeMsr(cpu, Msr.efer, BigInt(Efer.lme));
  faults(GP, () => writeControl(cpu, 0, BigInt((Cr0.pg | Cr0.pe) >>> 0)));
  writeControl(cpu, 4, BigInt(Cr4.pae));
  writeControl(cpu, 0, BigInt((Cr0.pg | Cr0.pe) >>> 0));
  assert.ok(cpu.longMode);
  assert.equal(readMsr(cpu, Msr.efer), BigInt(Efer.lme | Efer.lma));
  faults(GP, () => writeControl(cpu, 4, 0n));
  faults(GP, () => writeMsr(cpu, Msr.efer, 0n));
  // 64-bit code may not turn paging off, compatibility code may.
  cpu.setSegment(Seg.cs, 8, 0n, 0xffffffff, 0xa09b);
  cpu.updateMode();
  faults(GP, () => writeControl(cpu, 0, BigInt(Cr0.pe)));
  cpu.setSegment(Seg.cs, 8, 0n, 0xffffffff, 0xc09b);
  cpu.updateMode();
  writeControl(cpu, 0, BigInt(Cr0.pe));
  assert.ok(!cpu.longMode);
});

test('reserved bits and combinations of CR0, CR3, CR4 and CR8', () => {
  const { cpu } = new SystemFixture();
  faults(GP, () => writeControl(cpu, 0, BigInt(Cr0.pg >>> 0)));
  faults(GP, () => writeControl(cpu, 0, BigInt(Cr0.nw)));
  faults(GP, () => writeControl(cpu, 0, 1n << 32n));
  faults(GP, () => writeControl(cpu, 4, BigInt(Cr4.vme)));
  faults(GP, () => writeControl(cpu, 4, 1n << 11n));
  faults(6, () => writeControl(cpu, 1, 0n));
  faults(6, () => writeControl(cpu, 8, 0n));
  writeControl(cpu, 0, 0n);
  assert.equal(readControl(cpu, 0), BigInt(Cr0.et));
});

test('PAE paging loads and checks the page-directory pointers with CR3', () => {
  const f = new SystemFixture();
  const { cpu } = f;
  f.put(0x20000, 0x21001n);
  f.put(0x20008, 0x22003n);
  writeControl(cpu, 0, BigInt(Cr0.pe));
  writeControl(cpu, 4, BigInt(Cr4.pae));
  writeControl(cpu, 3, 0x20000n);
  faults(GP, () => writeControl(cpu, 0, BigInt((Cr0.pe | Cr0.pg) >>> 0)));
  f.put(0x20008, 0x22001n);
  writeControl(cpu, 0, BigInt((Cr0.pe | Cr0.pg) >>> 0));
  assert.equal(cpu.get64(S.pdpte + 8), 0x22001n);
  // A change in memory counts only from the next load on.
  f.put(0x20008, 0x23001n);
  assert.equal(cpu.get64(S.pdpte + 8), 0x22001n);
  writeControl(cpu, 3, 0x20000n);
  assert.equal(cpu.get64(S.pdpte + 8), 0x23001n);
});

test('model-specific registers: canonical addresses, memory types, reserved bits, unknown ones', () => {
  const { cpu } = new SystemFixture();
  faults(GP, () => writeMsr(cpu, Msr.lstar, 1n << 47n));
  writeMsr(cpu, Msr.lstar, 0xffff_8000_0000_0000n);
  assert.equal(readMsr(cpu, Msr.lstar), 0xffff_8000_0000_0000n);
  faults(GP, () => writeMsr(cpu, Msr.pat, 0x02n));
  writeMsr(cpu, Msr.pat, 0x0007040600070406n);
  faults(GP, () => writeMsr(cpu, Msr.efer, 1n << 12n));
  faults(GP, () => writeMsr(cpu, Msr.sfmask, 1n << 32n));
  faults(GP, () => writeMsr(cpu, Msr.mtrrVariable + 1, 1n << 40n));
  writeMsr(cpu, Msr.mtrrVariable, 0xc0000006n);
  assert.equal(readMsr(cpu, Msr.mtrrVariable), 0xc0000006n);
  faults(GP, () => readMsr(cpu, 0x12345));
  faults(GP, () => writeMsr(cpu, 0x12345, 0n));
});

test('the time-stamp counter can be set, and TSC_ADJUST follows', () => {
  let now = 1000;
  const { cpu } = new SystemFixture({ timestamp: () => now, timestampHz: 1e9 });
  writeMsr(cpu, Msr.tsc, 5000n);
  assert.equal(readMsr(cpu, Msr.tscAdjust), 4000n);
  now += 10;
  assert.equal(readMsr(cpu, Msr.tsc), 5010n);
  writeMsr(cpu, Msr.tscAdjust, 0n);
  assert.equal(readMsr(cpu, Msr.tsc), 1010n);
  assert.equal(cpu.timeOfTimestamp(2000n), 2000);
});

test('CPUID: identity, limits, and what depends on the state', () => {
  const { cpu } = new SystemFixture();
  const [limit, ebx, ecx, edx] = cpuid(cpu, 0, 0);
  assert.equal(limit, 0x16);
  const bytes = new Uint8Array(new Uint32Array([ebx, edx, ecx]).buffer);
  assert.equal(new TextDecoder().decode(bytes), 'GenuineIntel');
  assert.equal(cpuid(cpu, 1, 0)[0], SIGNATURE);
  assert.equal((cpuid(cpu, 1, 0)[2] >>> 27) & 1, 0);
  cpu.set64(S.cr4, BigInt(Cr4.osxsave));
  assert.equal((cpuid(cpu, 1, 0)[2] >>> 27) & 1, 1);
  assert.deepEqual(cpuid(cpu, 0x40000000, 0), [0, 0, 0, 0]);
  assert.deepEqual(cpuid(cpu, 0x12345, 0), cpuid(cpu, 0x16, 0));
  assert.equal(cpuid(cpu, 0x80000000, 0)[0], 0x80000008);
});

test('CPUID announces only instructions that the table has', () => {
  const { cpu } = new SystemFixture();
  const texts = encodings.map((encoding) => encoding.text);
  const has = (start: string): boolean => texts.some((text) => text.startsWith(start));
  const [, , leaf1c, leaf1d] = cpuid(cpu, 1, 0);
  const [, leaf7b] = cpuid(cpu, 7, 0);
  const [, , extended1c, extended1d] = cpuid(cpu, 0x80000001, 0);
  const checks: [number, number, string][] = [
    [leaf1c, 0, 'F2. 0F D0'],
    [leaf1c, 1, '66. 0F 3A 44'],
    [leaf1c, 9, 'NP. 0F 38 00'],
    [leaf1c, 13, '0F C7/1'],
    [leaf1c, 19, '66. 0F 38 10'],
    [leaf1c, 20, '66. 0F 38 37'],
    [leaf1c, 22, 'NP. 0F 38 F0'],
    [leaf1c, 23, 'F3. 0F B8'],
    [leaf1c, 25, '66. 0F 38 DC'],
    [leaf1c, 26, 'NP. 0F AE/4'],
    [leaf1d, 8, '0F C7/1'],
    [leaf1d, 11, '0F 34'],
    [leaf1d, 15, '0F 40'],
    [leaf1d, 19, 'NP. 0F AE/7'],
    [leaf1d, 23, 'NP. 0F FC'],
    [leaf1d, 24, 'NP. 0F AE/0'],
    [leaf1d, 25, 'NP. 0F 58'],
    [leaf1d, 26, '66. 0F 58'],
    [leaf7b, 0, 'F3. 0F AE/0'],
    [leaf7b, 3, 'VEX.NP'],
    [leaf7b, 8, 'VEX.F2'],
    [extended1c, 0, '9F'],
    [extended1c, 5, 'F3. 0F BD'],
    [extended1c, 8, '0F 0D'],
    [extended1d, 27, '0F 01 F9'],
  ];
  const missing = checks.filter(([word, bit, start]) => (word >>> bit) & 1 && !has(start)).map(([, , start]) => start);
  assert.deepEqual(missing, []);
});

test('every cold row has a meaning', () => {
  const cold = new Set(encodings.filter(({ row }) => row.meaning === 'cold').map(({ row }) => row.name));
  assert.deepEqual(
    [...cold].filter((name) => !coldRows.has(name)),
    [],
  );
});

test('the I/O permission bitmap decides where IOPL does not', () => {
  const f = new SystemFixture();
  const { cpu } = f;
  writeControl(cpu, 0, BigInt(Cr0.pe));
  const tss = 0x8000;
  cpu.setSegment(Seg.tr, 0x28, BigInt(tss), 0x68 + 0x40, 0x8b);
  f.put32(tss + 0x64, 0x68 << 16);
  // Ports 10h and 13h are forbidden; the map ends after port 1F8h.
  f.put32(tss + 0x68, 0);
  f.put32(tss + 0x6a, 0b1001);
  f.setCpl(3);
  checkPort(cpu, 0x11, 2);
  faults(GP, () => checkPort(cpu, 0x10, 1));
  faults(GP, () => checkPort(cpu, 0x12, 2));
  faults(GP, () => checkPort(cpu, 0x0f, 2));
  faults(GP, () => checkPort(cpu, 0x400, 1));
  cpu.setFlags(Flag.iopl);
  portOut(cpu, 0x10, 1, 0x1ff);
  assert.deepEqual(f.events, [{ what: 'out', at: 0x10, size: 1, value: 0xff }]);
  // Virtual-8086 mode looks at the map whatever IOPL is.
  cpu.setFlags(Flag.iopl | Flag.vm);
  faults(GP, () => checkPort(cpu, 0x10, 1));
  // A 16-bit TSS has no map.
  cpu.setFlags(0);
  cpu.setSegment(Seg.tr, 0x28, BigInt(tss), 0xffff, 0x83);
  faults(GP, () => checkPort(cpu, 0x11, 1));
});
