// Where everything lies in a guest's one WebAssembly memory.
// Owns the addresses: CPU state, TLBs, block table, micro-op arena, guest RAM.
// Never reads or writes the memory.

/** Address 0 is never valid, so that 0 can mean "none". */
export const STATE_BASE = 0x1000;
export const STATE_LIMIT = 0x4000;

/** Tables of the x87's transcendental functions (cpu/float80/tables.ts). */
export const X87_TABLES = 0x8000;

/** Entries of one TLB table. A power of two. */
export const TLB_ENTRIES = 4096;
/** An entry: tag (i64, linear page), addend (i32, host minus linear address), physical page number (i32). */
export const TLB_ENTRY_BYTES = 16;
export const TLB_TABLE_BYTES = TLB_ENTRIES * TLB_ENTRY_BYTES;
/**
 * What a vCPU has of TLBs is a bank: six tables (supervisor's read, write and execute, then user's), what is known of their
 * entries, and {@link TlbBook}. The first vCPU's bank is here, those of others lie behind RAM; offsets in it are the same.
 */
export const TLB_BASE = 0x10000;
export const TLB_TABLES = 6;
export const TlbKind = { read: 0, write: TLB_TABLE_BYTES, execute: 2 * TLB_TABLE_BYTES } as const;
export type TlbKind = (typeof TlbKind)[keyof typeof TlbKind];
/** Offset of the user's tables in a bank; the supervisor's are its first. */
export const TLB_USER_OFFSET = 3 * TLB_TABLE_BYTES;
/** The first vCPU's. */
export const TLB_SUPERVISOR = TLB_BASE;
export const TLB_USER = TLB_BASE + TLB_USER_OFFSET;
/**
 * Behind the tables, as offsets in a bank: a byte an entry ({@link TlbEntryState}), lists of the entries filled since the last
 * flush (i32 each: non-global ones, global ones), a byte an execute entry that says what another page displaced, a byte a
 * hash of linear regions of 4 MiB of which larger pages than 4 KiB may be cached, and {@link TlbBook}.
 */
export const TLB_ENTRY_STATE = TLB_TABLES * TLB_TABLE_BYTES;
export const TLB_FILLED = TLB_ENTRY_STATE + TLB_TABLES * TLB_ENTRIES;
export const TLB_FILLED_GLOBAL = TLB_FILLED + TLB_TABLES * TLB_ENTRIES * 4;
export const TLB_DISPLACED = TLB_FILLED_GLOBAL + TLB_TABLES * TLB_ENTRIES * 4;
export const TLB_LARGE = TLB_DISPLACED + 2 * TLB_ENTRIES;
export const TLB_LARGE_ENTRIES = 0x4000;
const TLB_BOOK = TLB_LARGE + TLB_LARGE_ENTRIES;
/** State of a TLB entry: it stands in the list of non-global entries, of global ones; what it holds now is global. */
export const TlbEntryState = { listed: 1, listedGlobal: 2, holdsGlobal: 4 } as const;
/** Offsets in a bank. */
export const TlbBook = {
  /** i32 each: entries in the lists. */
  filled: TLB_BOOK,
  filledGlobal: TLB_BOOK + 4,
  /** i32: not 0 while data breakpoints keep pages out of the TLBs. */
  watching: TLB_BOOK + 8,
  /** i32: not 0 where translations do not come from page tables, and WebAssembly must leave all misses to TypeScript. */
  walksElsewhere: TLB_BOOK + 12,
} as const;
/** Offset in a bank: the vCPU's state while another vCPU executes. */
export const SAVED_STATE = TLB_BOOK + 0x1000;
/** Bytes of a bank. */
export const TLB_BANK_BYTES = 0xa0000;
/** Most vCPUs of a guest. */
export const VCPU_LIMIT = 8;

/** A tag that no linear page has. */
export const TLB_NO_TAG = 1n;

/**
 * Direct-mapped shortcut from an instruction pointer to its block. An entry: instruction pointer (i64), link key (i32),
 * micro-op (i32), function table index of its translation (i32, or 0).
 */
export const JUMP_CACHE_BASE = 0xb0000;
export const JUMP_CACHE_ENTRIES = 4096;
export const JUMP_CACHE_ENTRY_BYTES = 32;

/** Tables in which nothing is ever found, for code whose every access is checked: read, write, execute. */
export const TLB_NEVER = 0xd0000;

/** Direct-mapped table from a block's key to its micro-ops. An entry: key (i64), micro-op address (i32), spare. */
export const BLOCK_TABLE_BASE = 0x100000;
export const BLOCK_TABLE_ENTRIES = 65536;
export const BLOCK_TABLE_ENTRY_BYTES = 16;

/** Micro-ops of decoded blocks, allocated upwards; when full, everything decoded is dropped. */
export const MICRO_OP_BASE = 0x200000;
export const MICRO_OP_LIMIT = 0x3200000;

/** Records of translations: link slots, guard slots, micro-ops of what TypeScript carries out for them. */
export const TRANSLATION_BASE = MICRO_OP_LIMIT;
export const TRANSLATION_LIMIT = 0x3ac0000;

/** What page walks in WebAssembly know of the machine, whichever vCPU they are for. */
export const MachineBook = {
  /** i32: pages of RAM that have been in a TLB. */
  touchedPages: 0x3ac0000,
  /** i32: not 0 while the A20 gate is closed. */
  a20Closed: 0x3ac0004,
  /** i64: bytes of RAM below 4 GiB, and above. */
  lowRam: 0x3ac0008,
  highRam: 0x3ac0010,
} as const;

/** One byte a page of RAM: 1 where it may have write entries in the TLBs. */
export const WRITE_MAPPED_BASE = 0x3b00000;
/** One byte a page of RAM: what kind of memory it is, and whether it has been in a TLB. */
export const PAGE_STATE_BASE = 0x3c00000;
export const PageState = { kindMask: 3, touched: 4 } as const;

/** One 64-bit map a physical page: which of its 64-byte lines hold bytes of decoded code. */
export const CODE_LINES_BASE = 0x3d00000;

/** Guest RAM starts here and is contiguous: first what lies below the PCI hole, then what lies above 4 GiB. */
export const RAM_BASE = 0x4800000;

/** RAM below 4 GiB ends here at the latest; PCI, APICs and firmware are above. */
export const LOW_RAM_LIMIT = 0xc0000000;
/** Most directly mapped memory that a machine's devices have, behind RAM: a display's, and a firmware's ROM. */
export const DEVICE_MEMORY_LIMIT = 48 << 20;
/** Most RAM a guest can have: a 32-bit WebAssembly memory less what lies before and behind it. */
export const RAM_LIMIT = 0x100000000 - RAM_BASE - DEVICE_MEMORY_LIMIT - VCPU_LIMIT * TLB_BANK_BYTES;

/**
 * Size of the memory a guest needs, in WebAssembly pages of 64 KiB: `deviceBytes` of its devices' own memory follow RAM, and
 * behind them, at the memory's end, the TLBs of all vCPUs but the first.
 */
export function memoryPages(ramBytes: number, deviceBytes = 0, vcpus = 1): number {
  return Math.ceil((RAM_BASE + ramBytes + deviceBytes) / 65536) + (vcpus - 1) * (TLB_BANK_BYTES / 65536);
}

/** Address of a vCPU's bank of TLBs in a memory of so many bytes; vCPUs are numbered from 0. */
export function tlbBank(memoryBytes: number, vcpu: number): number {
  return vcpu === 0 ? TLB_BASE : memoryBytes - vcpu * TLB_BANK_BYTES;
}
