// Tests of the TLB and the slow paths: what is cached, what never is, what flushes forget.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE_LINES_BASE, RAM_BASE, TlbKind } from '../../memory/layout.ts';
import { S } from '../state.ts';
import { A, D, G, P, PS, SystemFixture, U, W } from '../testing/system-fixture.ts';
import { writeControl } from './control.ts';
import { FETCH_DEVICE, FETCH_FAULT } from './paging.ts';
import { PageKind } from './physical.ts';

test('a read fills the read table, and the write table only once the page is dirty', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: 0x30000 | P | W });
  f.put(0x30008, 0x1122334455667788n);
  assert.equal(f.slowRead(0x30008n, 8), 0x1122334455667788n);
  assert.equal(f.tlb(TlbKind.read, 0x30008), RAM_BASE + 0x30008);
  assert.equal(f.tlb(TlbKind.write, 0x30008), undefined);
  assert.equal(f.get(0x13000 + 0x30 * 8), BigInt(0x30000 | P | W | A));
  assert.equal(f.slowWrite(0x30010n, 4, 0xaabbccddn), undefined);
  assert.equal(f.get32(0x30010), 0xaabbccdd);
  assert.equal(f.tlb(TlbKind.write, 0x30010), RAM_BASE + 0x30010);
  assert.equal(f.get(0x13000 + 0x30 * 8), BigInt(0x30000 | P | W | A | D));
});

test('user and supervisor have tables of their own', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: 0x30000 | P | W | U | A | D, 49: 0x31000 | P | W | A | D });
  f.slowRead(0x30000n, 4);
  assert.equal(f.tlb(TlbKind.write, 0x30000, true), undefined);
  f.setCpl(3);
  f.slowRead(0x30000n, 4);
  assert.equal(f.tlb(TlbKind.write, 0x30000, true), RAM_BASE + 0x30000);
  assert.deepEqual(f.slowRead(0x31000n, 4), [14, 5]);
  assert.equal(f.cpu.get64(S.cr2), 0x31000n);
});

test('a page with decoded code has no write entry, and writes to its lines are told', () => {
  const told: [number, number][] = [];
  const f = new SystemFixture({ onCodeWrite: (host, bytes) => told.push([host - RAM_BASE, bytes]) });
  f.longPaging({ 48: 0x30000 | P | W | A | D });
  f.slowRead(0x30000n, 4);
  assert.notEqual(f.tlb(TlbKind.write, 0x30000), undefined);
  // Line 1 of the page: bytes 40h to 7Fh.
  f.cpu.set32(CODE_LINES_BASE + 0x30 * 8, 2);
  f.cpu.mmu.protectCode(RAM_BASE + 0x30000);
  assert.equal(f.tlb(TlbKind.write, 0x30000), undefined);
  f.slowWrite(0x30000n, 4, 1n);
  f.slowWrite(0x3003en, 4, 1n);
  f.slowWrite(0x30080n, 8, 1n);
  assert.deepEqual(told, [[0x3003e, 4]]);
  assert.equal(f.tlb(TlbKind.write, 0x30000), undefined);
});

test('device memory is never cached and is accessed in aligned pieces', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: 0xfee00000n | BigInt(P | W | A | D), 49: 0x31000 | P | W | A | D });
  f.cpu.physical.setKind(0x31000, 0x1000, PageKind.mmio);
  f.slowRead(0x30002n, 8);
  f.slowWrite(0x31000n, 2, 0xbeefn);
  assert.deepEqual(
    f.events.map(({ what, at, size }) => [what, at, size]),
    [
      ['read', 0xfee00002, 2],
      ['read', 0xfee00004, 4],
      ['read', 0xfee00008, 2],
      ['write', 0x31000, 2],
    ],
  );
  assert.equal(f.tlb(TlbKind.read, 0x30000), undefined);
  assert.equal(f.tlb(TlbKind.read, 0x31000), undefined);
  assert.equal(f.cpu.mmu.fetch(0x30000, 0), FETCH_DEVICE);
});

test('ROM is read directly and ignores writes', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: 0x30000 | P | W | A | D });
  f.cpu.physical.setKind(0x30000, 0x1000, PageKind.rom);
  f.put32(0x30000, 77);
  assert.equal(f.slowWrite(0x30000n, 4, 1n), undefined);
  assert.equal(f.slowRead(0x30000n, 4), 77n);
  assert.notEqual(f.tlb(TlbKind.read, 0x30000), undefined);
  assert.equal(f.tlb(TlbKind.write, 0x30000), undefined);
});

test('an access across two pages that lie apart, and one whose second page is absent', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: 0x40000 | P | W, 49: 0x50000 | P | W });
  f.put32(0x40ffc, 0x44332211);
  f.put32(0x50000, 0x88776655);
  assert.equal(f.slowRead(0x30ffen, 4), 0x66554433n);
  assert.equal(f.slowWrite(0x30ffdn, 8, 0x0807060504030201n), undefined);
  assert.equal(f.get32(0x40ffc), 0x03020111);
  assert.deepEqual(f.slowWrite(0x31ffen, 4, 0n), [14, 2]);
  assert.equal(f.cpu.get64(S.cr2), 0x32000n);
});

test('a write to CR3 forgets all but global pages, CR4.PGE forgets them too', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: 0x30000 | P | W | A | D, 49: 0x31000 | P | W | A | D | G });
  f.slowRead(0x30000n, 4);
  f.slowRead(0x31000n, 4);
  writeControl(f.cpu, 3, 0x10000n);
  assert.equal(f.tlb(TlbKind.read, 0x30000), undefined);
  assert.notEqual(f.tlb(TlbKind.read, 0x31000), undefined);
  // An entry that was global and is replaced by one that is not goes with the next CR3.
  f.put(0x13000 + 0x31 * 8, 0x31000 | P | W | A | D);
  f.cpu.mmu.flushPage(0x31000, 0);
  f.slowRead(0x31000n, 4);
  writeControl(f.cpu, 3, 0x10000n);
  assert.equal(f.tlb(TlbKind.read, 0x31000), undefined);
  f.put(0x13000 + 0x31 * 8, 0x31000 | P | W | A | D | G);
  f.slowRead(0x31000n, 4);
  writeControl(f.cpu, 4, BigInt(f.cpu.cr4 & ~0x80));
  assert.equal(f.tlb(TlbKind.read, 0x31000), undefined);
});

test('INVLPG forgets every part of a large page', () => {
  const f = new SystemFixture();
  f.longPaging({});
  f.put(0x12000, P | W | PS | A | D);
  f.slowRead(0x30000n, 4);
  f.slowRead(0x31000n, 4);
  assert.notEqual(f.tlb(TlbKind.write, 0x31000), undefined);
  f.cpu.mmu.flushPage(0x80000, 0);
  assert.equal(f.tlb(TlbKind.read, 0x30000), undefined);
  assert.equal(f.tlb(TlbKind.write, 0x31000), undefined);
});

test('a gigabyte page, and its reserved bits', () => {
  const f = new SystemFixture();
  f.longPaging({});
  f.put(0x11000, P | W | PS);
  f.put32(0x54320, 99);
  assert.equal(f.slowRead(0x54320n, 4), 99n);
  f.put(0x11000, P | W | PS | 0x2000);
  f.cpu.mmu.flushAll();
  assert.deepEqual(f.slowRead(0x54320n, 4), [14, 9]);
});

test('NX and SMEP stop fetches alone', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: (1n << 63n) | BigInt(0x30000 | P | U), 49: 0x31000 | P | U });
  assert.equal(f.slowRead(0x30000n, 1), 0n);
  assert.equal(f.cpu.mmu.fetch(0x30000, 0), FETCH_FAULT);
  assert.equal(f.cpu.get32(S.faultCode), 0x11);
  assert.equal(f.cpu.mmu.fetch(0x31000, 0), RAM_BASE + 0x31000);
  writeControl(f.cpu, 4, BigInt(f.cpu.cr4 | (1 << 20)));
  assert.equal(f.cpu.mmu.fetch(0x31000, 0), FETCH_FAULT);
  f.setCpl(3);
  assert.equal(f.cpu.mmu.fetch(0x31000, 0), RAM_BASE + 0x31000);
});

test('watched pages are never cached and every access to them is reported', () => {
  const f = new SystemFixture();
  f.longPaging({ 48: 0x30000 | P | W | A | D });
  const seen: [number, number, boolean][] = [];
  f.cpu.mmu.watch([{ low: 0x30000, high: 0 }], (low, _high, bytes, write) => seen.push([low, bytes, write]));
  f.slowRead(0x30004n, 4);
  f.slowWrite(0x30008n, 2, 0n);
  assert.deepEqual(seen, [
    [0x30004, 4, false],
    [0x30008, 2, true],
  ]);
  assert.equal(f.tlb(TlbKind.read, 0x30000), undefined);
});

test('RAM above the PCI hole begins at 4 GiB', () => {
  const f = new SystemFixture();
  const { physical } = f.cpu;
  assert.equal(physical.ramAddress(0), RAM_BASE);
  assert.equal(physical.ramAddress(0xfffff), RAM_BASE + 0xfffff);
  assert.equal(physical.ramAddress(0x100000), -1);
  assert.equal(physical.ramAddress(0x1_0000_0000), -1);
  assert.equal(physical.physicalAddress(RAM_BASE + 0x1234), 0x1234);
});
