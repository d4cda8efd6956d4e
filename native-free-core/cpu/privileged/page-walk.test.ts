// The page walk in WebAssembly against system/'s, on random tables: rights, faults, accessed and dirty bits, the TLBs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MachineBook,
  memoryPages,
  PAGE_STATE_BASE,
  RAM_BASE,
  SAVED_STATE,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_STATE,
  TLB_SUPERVISOR,
  TLB_USER,
  TlbKind,
  WRITE_MAPPED_BASE,
} from '../../memory/layout.ts';
import { Cpu, type WorkMeter } from '../cpu.ts';
import { S } from '../state.ts';
import { Cr0, Cr4, Efer } from '../system/architecture.ts';
import { Access } from '../system/page-walk.ts';
import { PageKind } from '../system/physical.ts';
import { Walk } from './page-walk.ts';

const RAM_PAGES = 48;
const RAM_BYTES = RAM_PAGES * 0x1000;
const ROUNDS = 300;
const ACCESSES = 24;
/** Pages that hold paging structures; those behind are data. */
const TABLE_PAGES = 12;

const METER: WorkMeter = {
  exit: () => {},
  measure: (_part, act) => act(),
  time: (_part, act) => act(),
  timeTranslated: (act) => act(),
};
const SILENT = { readPort: () => 0, writePort: () => {}, readMmio: () => 0, writeMmio: () => {} };
const QUIET = { pending: () => false, acknowledge: () => 0, takeNmi: () => false };

function machine(): Cpu {
  const pages = memoryPages(RAM_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  return new Cpu(memory, RAM_BYTES, SILENT, QUIET, METER, {}, { hotness: 0 });
}

type Random = (below: number) => number;
function generator(seed: number): Random {
  let state = Math.imul(seed, 0x9e3779b1) | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Paging = 'long' | 'pae' | 'legacy';

/** An entry of any level: mostly present and allowed, leading to a table or a page of RAM, and now and then anything. */
function randomEntry(random: Random, wide: boolean): bigint {
  const inRam = random(wide ? 6 : 2) > 0 ? random(TABLE_PAGES) : random(RAM_PAGES);
  const target = random(80) === 0 ? 0x3000 + random(4096) : inRam;
  let entry = BigInt(target) << 12n;
  const often = (bit: number, outOf: number): void => {
    if (random(outOf) > 0) entry |= BigInt(bit);
  };
  const rarely = (bit: bigint, outOf: number): void => {
    if (random(outOf) === 0) entry |= bit;
  };
  often(1, 24);
  often(2, 6);
  often(4, 6);
  often(0x20, 2);
  often(0x40, 2);
  rarely(0x80n, 24);
  rarely(0x100n, 3);
  if (wide) {
    rarely(1n << 63n, 10);
    rarely(1n << BigInt(40 + random(23)), 60);
  }
  return entry;
}

function prepare(cpu: Cpu, seed: number, paging: Paging): void {
  const random = generator(seed);
  const { system } = cpu;
  system.reset();
  const wide = paging !== 'legacy';
  for (let at = 0; at < TABLE_PAGES * 0x1000; at += wide ? 8 : 4) {
    const entry = randomEntry(random, wide);
    if (wide) system.view.setBigUint64(RAM_BASE + at, entry, true);
    else system.view.setUint32(RAM_BASE + at, Number(entry & 0xffffffffn), true);
  }
  const flag = (bit: number, outOf: number): number => (random(outOf) > 0 ? bit : 0);
  system.set64(S.cr3, BigInt(random(TABLE_PAGES) * 0x1000));
  system.set64(S.cr0, BigInt((Cr0.pe | Cr0.pg | flag(Cr0.wp, 3)) >>> 0));
  const extensions = flag(Cr4.pge, 2) | flag(Cr4.pse, 2) | flag(Cr4.smep, 2);
  system.set64(S.cr4, BigInt((wide ? Cr4.pae : 0) | extensions));
  const long = paging === 'long' ? Efer.lme | Efer.lma : 0;
  system.set64(S.efer, BigInt(long | flag(Efer.nxe, 2)));
  for (let page = 0; page < RAM_PAGES; page++) system.physical.setKind(page * 0x1000, 0x1000, PageKind.ram);
  system.physical.setKind(random(RAM_PAGES) * 0x1000, 0x1000, PageKind.rom);
  system.physical.setKind(random(RAM_PAGES) * 0x1000, 0x1000, PageKind.mmio);
  system.controlChanged();
  if (paging === 'pae')
    for (let index = 0; index < 4; index++)
      system.set64(S.pdpte + index * 8, BigInt(random(TABLE_PAGES) * 0x1000 + (random(8) > 0 ? 1 : 0)));
}

/** The access in TypeScript: what it gives is in the state. */
function byDefinition(cpu: Cpu, linear: bigint, access: number): boolean {
  const { system } = cpu;
  const user = (access & Access.user) !== 0;
  system.set64(S.slowAddress, linear);
  if (access & Access.fetch) return system.mmu.fetch(Number(linear & 0xffffffffn), Number(linear >> 32n)) === -1;
  return (access & Access.write ? system.mmu.probe(1, user) : system.mmu.read(1, user)) === 1;
}

function areasOf(cpu: Cpu): [string, Buffer][] {
  const { buffer } = cpu.system.u8;
  const area = (from: number, to: number): Buffer => Buffer.from(buffer as ArrayBuffer, from, to - from);
  return [
    ['TLB', area(TLB_BASE, TLB_BASE + TLB_ENTRY_STATE)],
    ['entries', area(TLB_BASE + TLB_ENTRY_STATE, TLB_BASE + SAVED_STATE)],
    ['machine', area(MachineBook.touchedPages, MachineBook.highRam + 8)],
    ['write-mapped pages', area(WRITE_MAPPED_BASE, WRITE_MAPPED_BASE + RAM_PAGES)],
    ['page state', area(PAGE_STATE_BASE, PAGE_STATE_BASE + RAM_PAGES)],
    ['RAM', area(RAM_BASE, RAM_BASE + RAM_BYTES)],
  ];
}

for (const paging of ['long', 'pae', 'legacy'] as const) {
  test(`the walk of ${paging} paging in WebAssembly is the one of its definition`, () => {
    const fast = machine();
    const slow = machine();
    const walk = (fast as unknown as { exports: { walk_page(linear: bigint, access: number): number } }).exports
      .walk_page;
    const seen = [0, 0, 0];
    for (let round = 1; round <= ROUNDS; round++) {
      prepare(fast, round, paging);
      prepare(slow, round, paging);
      const random = generator(round + 7777);
      // A few pages again and again, so that entries are met marked, filled, and displaced.
      const bases = Array.from({ length: 6 }, () => {
        const low = BigInt(random(2 ** 32));
        if (paging !== 'long') return low;
        return BigInt.asUintN(64, BigInt.asIntN(48, (BigInt(random(0x10000)) << 32n) | low));
      });
      for (let index = 0; index < ACCESSES; index++) {
        const linear = bases[random(bases.length)];
        const fetch = random(3) === 0;
        const user = random(2) === 0;
        const access = (fetch ? Access.fetch : random(2) * Access.write) | (user ? Access.user : 0);
        for (const cpu of [fast, slow]) {
          cpu.system.set32(S.cpl, user ? 3 : 0);
          cpu.system.set32(S.faulted, 0);
          cpu.system.set32(S.faultCode, 0);
        }
        if (isHeld(fast, linear, access)) continue;
        const result = walk(linear, access);
        seen[result]++;
        const faulted = result === Walk.unusual ? byDefinition(fast, linear, access) : result === Walk.fault;
        const name = `round ${round}, access ${index}: ${access} at ${linear.toString(16)} gave ${result}`;
        assert.equal(faulted, byDefinition(slow, linear, access), name);
        for (const field of [S.faulted, S.faultCode, S.cr2, S.cr2 + 4])
          assert.equal(fast.system.get32(field), slow.system.get32(field), name);
      }
      const name = `round ${round}`;
      const expected = new Map(areasOf(slow));
      for (const [area, bytes] of areasOf(fast))
        if (area !== 'entries') assert.ok(bytes.equals(expected.get(area)!), `${name}: ${area}`);
      checkBook(fast, slow, name);
    }
    for (const result of Object.values(Walk)) assert.ok(seen[result] > 100, `result ${result}: ${seen[result]} times`);
  });
}

/** The TLB has the page already: nobody would walk. */
function isHeld({ system }: Cpu, linear: bigint, access: number): boolean {
  const kind = access & Access.fetch ? TlbKind.execute : access & Access.write ? TlbKind.write : TlbKind.read;
  const index = Number((linear >> 12n) & BigInt(TLB_ENTRIES - 1));
  const at = (access & Access.user ? TLB_USER : TLB_SUPERVISOR) + kind + index * 16;
  return system.get64(at) === (linear & ~0xfffn);
}

/** Marks of large pages come before the rights are looked at: they may be too many, never too few. */
function checkBook(fast: Cpu, slow: Cpu, name: string): void {
  const book = (cpu: Cpu): Buffer => new Map(areasOf(cpu)).get('entries')!;
  const [mine, theirs] = [book(fast), book(slow)];
  if (mine.equals(theirs)) return;
  const large = [...mine.keys()].filter((at) => mine[at] !== theirs[at]);
  for (const at of large)
    assert.ok(mine[at] === 1 && theirs[at] === 0, `${name}: byte ${at} of what is known of entries`);
}
