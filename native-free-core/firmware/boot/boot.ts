// What every boot protocol shares: guest memory as a loader sees it, what is loaded, and the state a kernel starts in.
// Owns the types, the descriptor table and the placement of a loader's structures.
// Never knows a CPU: the entry state is plain data that whoever owns the CPU turns into registers.

import type { MemoryMapEntry, MemoryRegion } from '../memory-map.ts';
import type { HostUnpack } from './payload.ts';
import type { ScreenInfo } from './screen-info.ts';

/** Guest-physical memory. Addresses are numbers; a range that is not RAM is an error of the caller. */
export interface BootMemory {
  readonly regions: readonly MemoryRegion[];
  write(address: number, bytes: Uint8Array): void;
  read(address: number, length: number): Uint8Array;
}

export interface BootOptions {
  initrd?: Uint8Array;
  /** The kernel's command line; ASCII or UTF-8. */
  append: string;
  memoryMap: readonly MemoryMapEntry[];
  /** Guest-physical address of the ACPI RSDP, if there is one. */
  rsdp?: number;
  /** Enter a bzImage in 64-bit mode where it has such an entry; otherwise the 32-bit entry is taken. */
  prefer64?: boolean;
  /** Unpacks the kernel of a bzImage before the guest begins, and enters it directly; without it the guest unpacks it. */
  unpack?: HostUnpack;
  /** Sets the video mode that a command line asks for (undefined: none), and tells what is set. Without it there is no display. */
  setVideoMode?(number: number | undefined): ScreenInfo;
}

/** How a kernel starts: everything not named is zero; interrupts are off; there is no IDT. */
export interface EntryState {
  protocol: 'linux' | 'pvh' | 'multiboot';
  /** `protected32`: paging off, flat segments. `long64`: 4-level paging that maps the first 4 GiB onto themselves. */
  mode: 'protected32' | 'long64';
  rip: number;
  rax: number;
  rbx: number;
  rsi: number;
  /** Zero: protocols leave the stack to the kernel. */
  rsp: number;
  rflags: number;
  cr0: number;
  cr3: number;
  cr4: number;
  efer: number;
  gdt: { base: number; limit: number };
  codeSelector: number;
  /** For DS, ES, FS, GS and SS. */
  dataSelector: number;
  taskSelector: number;
}

const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const TASK_SELECTOR = 0x20;
/** Flat, 4 GiB, present, ring 0, accessed. */
const CODE_32 = 0x00cf9b000000ffffn;
const CODE_64 = 0x00af9b000000ffffn;
const DATA = 0x00cf93000000ffffn;
/** A busy TSS at 0 of the smallest size, as PVH asks for. */
const TASK = 0x00008b0000000067n;

const CR0_PE = 0x1;
const CR0_ET = 0x10;
const CR0_PG = 0x80000000;
const CR4_PAE = 0x20;
const EFER_LONG_MODE = 0x500;
const PAGE = 0x1000;
const LARGE_PAGE = 0x200000;
const PAGE_PRESENT_WRITABLE = 0x3n;
const PAGE_LARGE = 0x80n;

/** Bytes under construction, written little-endian at fixed offsets. */
export class ByteRecord {
  readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  u8(offset: number, value: number): this {
    this.view.setUint8(offset, value);
    return this;
  }

  u16(offset: number, value: number): this {
    this.view.setUint16(offset, value, true);
    return this;
  }

  u32(offset: number, value: number): this {
    this.view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: number | bigint): this {
    this.view.setBigUint64(offset, BigInt(value), true);
    return this;
  }
}

const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
const hex = (value: number) => `0x${value.toString(16)}`;

/** Gives out guest memory for a kernel, its initrd and the loader's own structures, so that none overlap. */
export class Placement {
  private readonly memory: BootMemory;
  private readonly taken: MemoryRegion[] = [];

  constructor(memory: BootMemory) {
    this.memory = memory;
  }

  /** RAM from 0 on, in bytes. */
  get lowRam(): number {
    return this.memory.regions.find(({ base }) => base === 0)?.length ?? 0;
  }

  /** Takes a range where a kernel wants it. `what` begins the sentence of the Error if it is not all RAM. */
  take(what: string, base: number, length: number): void {
    const inRam = this.memory.regions.some((ram) => base >= ram.base && base + length <= ram.base + ram.length);
    if (!inRam) {
      throw new Error(
        `${what} needs memory at ${hex(base)} to ${hex(base + length)}, but the guest has ${mebibytes(this.lowRam)} there`,
      );
    }
    this.taken.push({ base, length });
  }

  /** Takes and writes; the bytes between the data and `length` are zeroed. */
  load(what: string, base: number, bytes: Uint8Array, length = bytes.length): void {
    this.take(what, base, length);
    this.memory.write(base, bytes);
    this.zero(base + bytes.length, length - bytes.length);
  }

  private zero(base: number, length: number): void {
    const zeros = new Uint8Array(Math.min(length, LARGE_PAGE));
    for (let done = 0; done < length; done += zeros.length) {
      this.memory.write(base + done, zeros.subarray(0, Math.min(zeros.length, length - done)));
    }
  }

  private blocker(base: number, length: number): MemoryRegion | undefined {
    return this.taken.find((range) => base < range.base + range.length && range.base < base + length);
  }

  /**
   * Places a structure of the loader in conventional memory, page-aligned, and gives its address. Structures that
   * name their own address are made by a function of it.
   */
  low(length: number, make: (base: number) => Uint8Array): number {
    // The first page belongs to the BIOS, the end to the EBDA.
    for (let base = PAGE; base + length <= 0x90000; ) {
      const blocker = this.blocker(base, length);
      if (blocker === undefined) {
        this.load('the loader', base, make(base), length);
        return base;
      }
      base = Math.ceil((blocker.base + blocker.length) / PAGE) * PAGE;
    }
    throw new Error('the kernel leaves no conventional memory for what the loader has to tell it');
  }

  /** Places bytes as high as possible below `end` (exclusive) and above 1 MiB, page-aligned. */
  high(what: string, bytes: Uint8Array, end: number): number {
    const top = Math.min(end, this.lowRam);
    for (let base = Math.floor((top - bytes.length) / PAGE) * PAGE; base >= 0x100000; ) {
      const blocker = this.blocker(base, bytes.length);
      if (blocker === undefined) {
        this.load(what, base, bytes);
        return base;
      }
      base = Math.floor((blocker.base - bytes.length) / PAGE) * PAGE;
    }
    const room = `the ${mebibytes(this.lowRam)} of guest memory beside the kernel`;
    throw new Error(`${what} of ${mebibytes(bytes.length)} does not fit ${room}`);
  }
}

/** The state of a 32-bit entry: flat segments, paging off. */
export function protectedEntry(
  placement: Placement,
  entry: Pick<EntryState, 'protocol' | 'rip'> & Partial<EntryState>,
  codeDescriptor = CODE_32,
): EntryState {
  return {
    mode: 'protected32',
    rax: 0,
    rbx: 0,
    rsi: 0,
    rsp: 0,
    rflags: 2,
    cr0: CR0_PE | CR0_ET,
    cr3: 0,
    cr4: 0,
    efer: 0,
    gdt: descriptorTable(placement, codeDescriptor),
    codeSelector: CODE_SELECTOR,
    dataSelector: DATA_SELECTOR,
    taskSelector: TASK_SELECTOR,
    ...entry,
  };
}

/** The state of a 64-bit entry: the same segments with a 64-bit code segment, and identity page tables. */
export function longEntry(
  placement: Placement,
  entry: Pick<EntryState, 'protocol' | 'rip'> & Partial<EntryState>,
): EntryState {
  return {
    ...protectedEntry(placement, entry, CODE_64),
    mode: 'long64',
    cr0: CR0_PG + CR0_ET + CR0_PE,
    cr3: identityPageTables(placement),
    cr4: CR4_PAE,
    efer: EFER_LONG_MODE,
  };
}

function descriptorTable(placement: Placement, code: bigint): { base: number; limit: number } {
  // The last one is the upper half of a 64-bit TSS descriptor.
  const descriptors = [0n, 0n, code, DATA, TASK, 0n];
  const table = new ByteRecord(8 * descriptors.length);
  descriptors.forEach((descriptor, index) => {
    table.u64(8 * index, descriptor);
  });
  return { base: placement.low(table.bytes.length, () => table.bytes), limit: table.bytes.length - 1 };
}

/** Maps the first 4 GiB onto themselves in pages of 2 MiB: six tables in one piece. */
function identityPageTables(placement: Placement): number {
  return placement.low(6 * PAGE, (base) => {
    const tables = new ByteRecord(6 * PAGE);
    tables.u64(0, BigInt(base + PAGE) | PAGE_PRESENT_WRITABLE);
    for (let directory = 0; directory < 4; directory++) {
      const at = (2 + directory) * PAGE;
      tables.u64(PAGE + 8 * directory, BigInt(base + at) | PAGE_PRESENT_WRITABLE);
      for (let entry = 0; entry < 512; entry++) {
        const page = BigInt((directory * 512 + entry) * LARGE_PAGE);
        tables.u64(at + 8 * entry, page | PAGE_LARGE | PAGE_PRESENT_WRITABLE);
      }
    }
    return tables.bytes;
  });
}
