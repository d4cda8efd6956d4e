// The page walk: from a linear page to a physical page and its rights, in every paging mode.
// Owns the meaning of paging-structure entries, their reserved bits, accessed and dirty bits, and error codes.
// Never caches: see paging.ts. SDM volume 3, chapter 4.
//
// A linear address is two 32-bit halves, a physical one a number: no BigInt on this path.

import { S } from '../state.ts';
import { Cr0, Cr4, Efer, PHYSICAL_ADDRESS_BITS } from './architecture.ts';
import type { SystemCpu } from './core.ts';

/** What an access needs, as bits of the page fault's error code. */
export const Access = { present: 1, write: 2, user: 4, reserved: 8, fetch: 16 } as const;

const P = 1;
const W = 2;
const U = 4;
const A = 0x20;
const D = 0x40;
const PS = 0x80;
const G = 0x100;

/** Bits 32 to 51 of an entry that no physical address has. */
const BEYOND_PHYSICAL = 0xfffff & ~((1 << (PHYSICAL_ADDRESS_BITS - 32)) - 1);
const HIGH = 0x1_0000_0000;

export class PageWalk {
  /** Physical address of the page (4 KiB granularity), after a walk that succeeded. */
  page = 0;
  /** Rights of all levels together. */
  user = false;
  writable = false;
  executable = false;
  global = false;
  /** The dirty bit is set: writes need no further walk. */
  dirty = false;
  /** Bits of the offset in the page: 12, 21, 22 or 30. */
  pageBits = 12;
  /** Error code after a walk that failed. */
  errorCode = 0;

  private readonly cpu: SystemCpu;
  // The entries of the walk, from the top; their accessed bits are set once the access is known to be allowed.
  private readonly entryAddress = [0, 0, 0, 0];
  private readonly entryLow = [0, 0, 0, 0];
  private depth = 0;

  constructor(cpu: SystemCpu) {
    this.cpu = cpu;
  }

  /**
   * Walks for the page of the linear address `high:low`. `access` is a combination of write, user and fetch. True when it
   * is allowed; then accessed bits (and for a write the dirty bit) are set in memory. False: `errorCode` says why.
   */
  walk(low: number, high: number, access: number): boolean {
    const { cr0, cr4, efer } = this.cpu;
    if ((cr0 & Cr0.pg) === 0) {
      this.page = this.cpu.physical.gated((low & ~0xfff) >>> 0);
      this.user = this.writable = this.executable = this.dirty = true;
      this.global = false;
      this.pageBits = 12;
      return true;
    }
    this.depth = 0;
    this.pageBits = 12;
    this.user = this.writable = this.executable = true;
    const pae = (cr4 & Cr4.pae) !== 0;
    const nx = pae && (efer & Efer.nxe) !== 0;
    // The I bit of the error code exists only where fetches are told apart.
    const code = nx || cr4 & Cr4.smep ? access : access & ~Access.fetch;
    const found = pae ? this.walk64(low, high, code, nx) : this.walk32(low, code, (cr4 & Cr4.pse) !== 0);
    if (!found) return false;

    const denied =
      access & Access.user
        ? !this.user || (access & Access.write && !this.writable)
        : access & Access.write && !this.writable && cr0 & Cr0.wp;
    const noFetch =
      access & Access.fetch &&
      (!this.executable || (this.user && (access & Access.user) === 0 && (cr4 & Cr4.smep) !== 0));
    if (denied || noFetch) return this.fail(code | Access.present);
    this.global = this.global && (cr4 & Cr4.pge) !== 0;
    this.page = this.cpu.physical.gated(this.page);
    this.mark((access & Access.write) !== 0);
    return true;
  }

  private walk32(low: number, code: number, pse: boolean): boolean {
    const memory = this.cpu.physical;
    const directory = memory.gated(((this.cpu.u32[S.cr3 >>> 2] & ~0xfff) >>> 0) + (low >>> 22) * 4);
    const pde = memory.read32(directory);
    if ((pde & P) === 0) return this.fail(code);
    this.step(directory, pde);
    if (pse && pde & PS) {
      // Bits 13 to 20 are bits 32 to 39 of the address (PSE-36); bit 21 must be clear.
      if (pde & 0x200000) return this.fail(code | Access.present | Access.reserved);
      this.pageBits = 22;
      this.page = ((pde >>> 13) & 0xff) * HIGH + (((pde & 0xffc00000) | (low & 0x3ff000)) >>> 0);
      this.leaf(pde);
      return true;
    }
    const table = memory.gated(((pde & ~0xfff) >>> 0) + ((low >>> 12) & 0x3ff) * 4);
    const pte = memory.read32(table);
    if ((pte & P) === 0) return this.fail(code);
    this.step(table, pte);
    this.page = (pte & ~0xfff) >>> 0;
    this.leaf(pte);
    return true;
  }

  /** PAE and 4-level paging: the same entries below the top. */
  private walk64(low: number, high: number, code: number, nx: boolean): boolean {
    const cpu = this.cpu;
    const long = (cpu.efer & Efer.lma) !== 0;
    let reservedHigh = BEYOND_PHYSICAL | (nx ? 0 : 0x80000000);
    let table: number;
    if (long) {
      const cr3 = ((cpu.u32[S.cr3 >>> 2] & ~0xfff) >>> 0) + (cpu.u32[(S.cr3 >>> 2) + 1] & 0xfffff) * HIGH;
      table = this.level(cr3 + ((high >>> 7) & 0x1ff) * 8, code, reservedHigh, PS);
      if (table < 0) return false;
      table = this.level(table + (((high << 2) | (low >>> 30)) & 0x1ff) * 8, code, reservedHigh, 0);
      if (table < 0) return false;
      const pdpte = this.entryLow[1];
      if (pdpte & PS) {
        if (pdpte & 0x3fffe000) return this.fail(code | Access.present | Access.reserved);
        this.pageBits = 30;
        this.page = table - (table % 0x40000000) + ((low & 0x3ffff000) >>> 0);
        this.leaf(pdpte);
        return true;
      }
    } else {
      // Bits 52 to 62 are reserved here, where 4-level paging ignores them. The PDPTEs were checked with MOV CR3.
      reservedHigh |= 0x7ff00000;
      const register = (S.pdpte >>> 2) + (low >>> 30) * 2;
      if ((cpu.u32[register] & P) === 0) return this.fail(code);
      table = ((cpu.u32[register] & ~0xfff) >>> 0) + (cpu.u32[register + 1] & 0xfffff) * HIGH;
    }
    table = this.level(table + ((low >>> 21) & 0x1ff) * 8, code, reservedHigh, 0);
    if (table < 0) return false;
    const pde = this.entryLow[this.depth - 1];
    if (pde & PS) {
      if (pde & 0x1fe000) return this.fail(code | Access.present | Access.reserved);
      this.pageBits = 21;
      this.page = table - (table % 0x200000) + (low & 0x1ff000);
      this.leaf(pde);
      return true;
    }
    this.page = this.level(table + ((low >>> 12) & 0x1ff) * 8, code, reservedHigh, 0);
    if (this.page < 0) return false;
    this.leaf(this.entryLow[this.depth - 1]);
    return true;
  }

  /** Reads an 8-byte entry. Gives the address it holds, or -1 with the error code set. */
  private level(entry: number, code: number, reservedHigh: number, reservedLow: number): number {
    const address = this.cpu.physical.gated(entry);
    const low = this.cpu.physical.read32(address);
    if ((low & P) === 0) {
      this.fail(code);
      return -1;
    }
    const high = this.cpu.physical.read32(address + 4);
    if (high & reservedHigh || low & reservedLow) {
      this.fail(code | Access.present | Access.reserved);
      return -1;
    }
    this.step(address, low);
    if (high & 0x80000000) this.executable = false;
    return ((low & ~0xfff) >>> 0) + (high & 0xfffff) * HIGH;
  }

  private step(address: number, low: number): void {
    this.entryAddress[this.depth] = address;
    this.entryLow[this.depth++] = low;
    if ((low & W) === 0) this.writable = false;
    if ((low & U) === 0) this.user = false;
  }

  private leaf(low: number): void {
    this.global = (low & G) !== 0;
    this.dirty = (low & D) !== 0;
  }

  private mark(write: boolean): void {
    const last = this.depth - 1;
    for (let level = 0; level <= last; level++) {
      const low = this.entryLow[level];
      const marked = low | A | (write && level === last ? D : 0);
      if (marked !== low) this.cpu.physical.write32(this.entryAddress[level], marked);
    }
    if (write) this.dirty = true;
  }

  private fail(code: number): false {
    this.errorCode = code;
    return false;
  }
}
