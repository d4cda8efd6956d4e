// A vCPU with RAM and page tables alone, which runs machine code from an address to its HLT.
// Owns the flat environment of 16, 32 or 64 bits, and the engines that a test of code is run with.
// Never checks a result: tests read registers, memory and the engine's counters.

import { memoryPages, RAM_BASE } from '../../memory/layout.ts';
import { Cpu, type InterruptSource, RunEnd, TRANSLATION_DEFAULTS, type WorkMeter } from '../cpu.ts';
import { S, Seg } from '../state.ts';
import { Cr0, Cr4, Efer } from '../system/architecture.ts';
import type { PortBus } from '../system/hooks.ts';
import type { MmioBus } from '../system/physical.ts';
import type { TranslationThread } from '../translator/translation.ts';

/** Entries of a block after which it is translated, by the engine's name. */
export const ENGINES = { off: 0, hot: TRANSLATION_DEFAULTS.hotness, eager: 1 } as const;
export type Engine = keyof typeof ENGINES;
export const engines = Object.keys(ENGINES) as Engine[];

/** Physical addresses of what a machine sets up; tests have what lies above. */
const GDT = 0x1000;
const IDT = 0x2000;
const TABLES = 0x4000;
/** Linear addresses from 0 on that have a page table of their own, and so can be mapped page by page. */
const MAPPED = 4 << 20;
/** The first address that is a test's. */
export const FREE = 0x20000;
const STACK = FREE;

const PRESENT_WRITABLE = 3;
const LARGE = 0x80;
const NO_INTERRUPTS: InterruptSource = { pending: () => false, acknowledge: () => 0, takeNmi: () => false };
const NO_METER: WorkMeter = {
  exit: () => {},
  measure: (_part, act) => act(),
  time: (_part, act) => act(),
  timeTranslated: (act) => act(),
};
const NO_DEVICES: PortBus & MmioBus = {
  readPort: () => 0xffffffff,
  writePort: () => {},
  readMmio: () => 0xffffffff,
  writeMmio: () => {},
};

export class CodeMachine {
  readonly cpu: Cpu;
  readonly bits: 16 | 32 | 64;

  /**
   * `ramBytes` is a multiple of 4 MiB, 1 GiB at most. In 16 bits there is no paging: real mode. `background` makes who
   * translates beside the guest's thread. `deviceBytes` can be allocated as directly mapped memory.
   * Of several `vcpus` the first has the turn; the others are as zeros until they are set up.
   */
  constructor(
    bits: 16 | 32 | 64,
    hotness: number,
    devices: Partial<PortBus & MmioBus> = {},
    ramBytes = MAPPED,
    background?: (memory: WebAssembly.Memory) => TranslationThread,
    deviceBytes = 0,
    vcpus = 1,
  ) {
    const pages = memoryPages(ramBytes, deviceBytes, vcpus);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.bits = bits;
    const translation = { hotness, ...(background ? { background: background(memory) } : {}) };
    this.cpu = new Cpu(
      memory,
      ramBytes,
      { ...NO_DEVICES, ...devices },
      NO_INTERRUPTS,
      NO_METER,
      { processors: vcpus },
      translation,
    );
    this.powerOn();
  }

  /** Begins anew: the processor is reset, its environment is set up again, and the rest of RAM stays as it is. */
  powerOn(): void {
    const { bits } = this;
    this.cpu.reset();
    const { system } = this.cpu;
    system.setReg(4, BigInt(bits === 16 ? 0xfff0 : STACK));
    if (bits === 16) {
      for (const segment of [Seg.es, Seg.cs, Seg.ss, Seg.ds]) system.setSegment(segment, 0, 0n, 0xffff, 0x93);
      system.setSegment(Seg.cs, 0, 0n, 0xffff, 0x9b);
      system.controlChanged();
      return;
    }
    this.put64(GDT + 8, bits === 64 ? 0x00af9b000000ffffn : 0x00cf9b000000ffffn);
    this.put64(GDT + 16, 0x00cf93000000ffffn);
    system.set64(S.gdtBase, BigInt(GDT));
    system.set32(S.gdtLimit, 0x17);
    system.set64(S.idtBase, BigInt(IDT));
    system.set32(S.idtLimit, 0);
    for (const segment of [Seg.es, Seg.ss, Seg.ds, Seg.fs, Seg.gs])
      system.setSegment(segment, 0x10, 0n, 0xffffffff, 0xc093);
    system.setSegment(Seg.cs, 8, 0n, 0xffffffff, bits === 64 ? 0xa09b : 0xc09b);
    this.pageTables();
    system.set64(S.cr3, BigInt(TABLES));
    system.set64(S.cr0, BigInt((Cr0.pe | Cr0.pg | Cr0.wp | Cr0.et | Cr0.ne) >>> 0));
    system.set64(S.cr4, BigInt(bits === 64 ? Cr4.pae | Cr4.pge : Cr4.pse | Cr4.pge));
    system.set64(S.efer, BigInt(bits === 64 ? Efer.lme | Efer.lma : 0));
    system.controlChanged();
  }

  /** RAM onto itself: the first 4 MiB page by page, the rest by large pages. */
  private pageTables(): void {
    const { ramBytes } = this.cpu.system.physical;
    if (this.bits === 64) {
      this.put64(TABLES, BigInt((TABLES + 0x1000) | PRESENT_WRITABLE));
      this.put64(TABLES + 0x1000, BigInt((TABLES + 0x2000) | PRESENT_WRITABLE));
      for (let table = 0; table < 2; table++)
        this.put64(TABLES + 0x2000 + table * 8, BigInt((TABLES + 0x3000 + table * 0x1000) | PRESENT_WRITABLE));
      for (let at = MAPPED; at < ramBytes; at += 2 << 20)
        this.put64(TABLES + 0x2000 + (at >>> 21) * 8, BigInt(at | LARGE | PRESENT_WRITABLE));
    } else {
      this.put32(TABLES, (TABLES + 0x3000) | PRESENT_WRITABLE);
      for (let at = MAPPED; at < ramBytes; at += MAPPED)
        this.put32(TABLES + (at >>> 22) * 4, at | LARGE | PRESENT_WRITABLE);
    }
    for (let at = 0; at < MAPPED; at += 0x1000) this.map(at, at);
  }

  /** Physical address of the page table entry of a linear address below 4 MiB. */
  entryOf(linear: number): number {
    return TABLES + 0x3000 + (linear >>> 12) * (this.bits === 64 ? 8 : 4);
  }

  /** What a page table entry holds that maps a physical page. */
  entryFor(physical: number): number {
    return physical | PRESENT_WRITABLE;
  }

  /** Maps a linear page below 4 MiB; the TLBs are not told. */
  map(linear: number, physical: number): void {
    if (this.bits === 64) this.put64(this.entryOf(linear), BigInt(this.entryFor(physical)));
    else this.put32(this.entryOf(linear), this.entryFor(physical));
  }

  /** Makes the code segment one of 64 bits, or of 32 or 16 bits in compatibility mode; for machines of 64 bits. */
  codeSegment(bits: 16 | 32 | 64): void {
    const { system } = this.cpu;
    system.setSegment(Seg.cs, 8, 0n, 0xffffffff, bits === 64 ? 0xa09b : bits === 32 ? 0xc09b : 0x809b);
    system.updateMode();
  }

  /** Lets x87, MMX and SSE instructions run. */
  enableFloating(): void {
    const { system } = this.cpu;
    system.set64(S.cr4, system.get64(S.cr4) | BigInt(Cr4.osfxsr | Cr4.osxmmexcpt));
    system.controlChanged();
  }

  /** All exceptions go to one address, without a change of privilege or stack. */
  handleExceptions(handler: number): void {
    const { system } = this.cpu;
    system.set32(S.idtLimit, 32 * (this.bits === 64 ? 16 : 8) - 1);
    for (let vector = 0; vector < 32; vector++) {
      const gate = (BigInt(handler >>> 16) << 48n) | 0x8e00_0008_0000n | BigInt(handler & 0xffff);
      if (this.bits === 64) {
        this.put64(IDT + vector * 16, gate);
        this.put64(IDT + vector * 16 + 8, 0n);
      } else this.put64(IDT + vector * 8, gate);
    }
  }

  /** Brings bytes into RAM as a device's DMA does. */
  write(physical: number, bytes: Uint8Array | readonly number[]): void {
    const { physical: memory } = this.cpu.system;
    if (!memory.write(physical, Uint8Array.from(bytes))) throw new Error(`No RAM at 0x${physical.toString(16)}.`);
  }

  put32(physical: number, value: number): void {
    this.write(physical, new Uint8Array(Uint32Array.of(value).buffer));
  }

  put64(physical: number, value: bigint): void {
    this.write(physical, new Uint8Array(BigUint64Array.of(value).buffer));
  }

  get32(physical: number): number {
    return this.cpu.system.view.getUint32(RAM_BASE + physical, true);
  }

  /** A general register, its low 32 bits. */
  reg(register: number): number {
    return this.cpu.system.reg32(register);
  }

  /** Starts over at an address, which {@link go} then executes from. */
  at(ip: number): void {
    const { system } = this.cpu;
    system.ip = BigInt(ip);
    system.set32(S.halted, 0);
    system.updateMode();
  }

  /** Executes about so many instructions: whether HLT came. Throws where the vCPU shuts down. */
  go(instructions: number): boolean {
    const end = this.cpu.run(instructions);
    if (end === RunEnd.shutdown) throw new Error(`The vCPU has shut down at 0x${this.cpu.system.ip.toString(16)}.`);
    return end === RunEnd.halted;
  }

  /** Executes from an address to HLT, for at most so many instructions, `burst` at a time. */
  run(ip: number, instructions = 10_000_000, burst = instructions): void {
    this.at(ip);
    for (let left = instructions; left > 0; left -= burst) if (this.go(burst)) return;
    throw new Error(`No HLT after ${instructions} instructions; at 0x${this.cpu.system.ip.toString(16)}.`);
  }
}
