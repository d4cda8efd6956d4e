// A vCPU's privileged side alone, with a little RAM and recording buses, for unit tests of system/.
// Owns the set-up and page tables built by hand.
// Never executes an instruction.

import { RAM_BASE, TLB_ENTRIES, TLB_SUPERVISOR, TLB_USER, type TlbKind } from '../../memory/layout.ts';
import { S } from '../state.ts';
import { Cr0, Cr4, Efer } from '../system/architecture.ts';
import { SystemCpu } from '../system/core.ts';
import type { CpuHooks } from '../system/hooks.ts';

export const RAM_BYTES = 1 << 20;

/** Entry bits of page tables. */
export const P = 1;
export const W = 2;
export const U = 4;
export const A = 0x20;
export const D = 0x40;
export const PS = 0x80;
export const G = 0x100;

export interface BusEvent {
  readonly what: 'in' | 'out' | 'read' | 'write';
  readonly at: number;
  readonly size: number;
  readonly value: number;
}

export class SystemFixture {
  readonly cpu: SystemCpu;
  readonly events: BusEvent[] = [];
  /** What reads of ports and devices give. */
  answer = 0x12345678;

  constructor(hooks: Partial<CpuHooks> = {}) {
    const buffer = new ArrayBuffer(RAM_BASE + RAM_BYTES);
    const note = (what: BusEvent['what'], at: number, size: number, value: number): void => {
      this.events.push({ what, at, size, value });
    };
    const read = (what: 'in' | 'read') => (at: number, size: number) => {
      const value = size === 4 ? this.answer : this.answer & ((1 << (size * 8)) - 1);
      note(what, at, size, value);
      return value;
    };
    this.cpu = new SystemCpu(
      { buffer },
      RAM_BYTES,
      {
        readPort: read('in'),
        writePort: (port, size, value) => note('out', port, size, value),
        readMmio: read('read'),
        writeMmio: (physical, size, value) => note('write', physical, size, value),
      },
      hooks,
    );
  }

  /** 64 bits of RAM at a physical address. */
  put(physical: number, value: bigint | number): void {
    this.cpu.view.setBigUint64(RAM_BASE + physical, BigInt(value), true);
  }

  get(physical: number): bigint {
    return this.cpu.view.getBigUint64(RAM_BASE + physical, true);
  }

  put32(physical: number, value: number): void {
    this.cpu.view.setUint32(RAM_BASE + physical, value, true);
  }

  get32(physical: number): number {
    return this.cpu.view.getUint32(RAM_BASE + physical, true);
  }

  /** Four-level tables at 10000h: PML4, PDPT, PD and PT, the first entry of each leading to the next. */
  longPaging(leaves: Readonly<Record<number, bigint | number>>): void {
    this.put(0x10000, 0x11000 | P | W | U);
    this.put(0x11000, 0x12000 | P | W | U);
    this.put(0x12000, 0x13000 | P | W | U);
    for (const [page, entry] of Object.entries(leaves)) this.put(0x13000 + Number(page) * 8, entry);
    this.cpu.set64(S.cr3, 0x10000n);
    this.control(Cr0.pe | Cr0.pg | Cr0.wp, Cr4.pae | Cr4.pge, Efer.lme | Efer.lma | Efer.nxe);
    this.cpu.setSegment(1, 8, 0n, 0xffffffff, 0xa09b);
    this.cpu.updateMode();
  }

  control(cr0: number, cr4: number, efer: number): void {
    this.cpu.set64(S.cr0, BigInt(cr0 >>> 0));
    this.cpu.set64(S.cr4, BigInt(cr4));
    this.cpu.set64(S.efer, BigInt(efer));
    this.cpu.controlChanged();
  }

  setCpl(cpl: number): void {
    this.cpu.set32(S.cpl, cpl);
    this.cpu.updateTlb();
  }

  /** Host address behind a TLB entry for a linear address, or undefined where it misses. */
  tlb(kind: TlbKind, linear: number, user = false): number | undefined {
    const at = (user ? TLB_USER : TLB_SUPERVISOR) + kind + ((linear >>> 12) & (TLB_ENTRIES - 1)) * 16;
    const page = (linear & ~0xfff) >>> 0;
    if (this.cpu.get64(at) !== BigInt(page)) return undefined;
    return (linear + this.cpu.get32(at + 8)) >>> 0;
  }

  /** Reads through the slow path: the value, or the exception as [vector, code]. */
  slowRead(linear: bigint, bytes: number): bigint | [number, number] {
    this.cpu.set64(S.slowAddress, linear);
    this.cpu.set64(S.slowValue, 0n);
    if (this.cpu.mmu.slowRead(bytes)) return this.fault();
    return this.cpu.get64(S.slowValue);
  }

  slowWrite(linear: bigint, bytes: number, value: bigint): undefined | [number, number] {
    this.cpu.set64(S.slowAddress, linear);
    this.cpu.set64(S.slowValue, value);
    return this.cpu.mmu.slowWrite(bytes) ? this.fault() : undefined;
  }

  private fault(): [number, number] {
    return [this.cpu.get32(S.faultVector), this.cpu.get32(S.faultCode) | 0];
  }
}
