// A vCPU's TLBs: tables in guest memory that WebAssembly looks into, and what is known of their entries.
// Owns filling entries, finding and forgetting them, and the numbers by which links between translations stay valid.
// Never walks page tables: it is told which page is where.

import {
  MachineBook,
  PAGE_STATE_BASE,
  PageState,
  RAM_BASE,
  TLB_DISPLACED,
  TLB_ENTRIES,
  TLB_ENTRY_BYTES,
  TLB_ENTRY_STATE,
  TLB_FILLED,
  TLB_FILLED_GLOBAL,
  TLB_LARGE,
  TLB_LARGE_ENTRIES,
  TLB_NO_TAG,
  TLB_TABLES,
  TLB_USER_OFFSET,
  TlbBook,
  TlbEntryState,
  TlbKind,
} from '../../memory/layout.ts';

const WORDS_PER_ENTRY = TLB_ENTRY_BYTES / 4;
const ENTRIES = TLB_TABLES * TLB_ENTRIES;
const NO_TAG = Number(TLB_NO_TAG);

const { listed: LISTED, listedGlobal: LISTED_GLOBAL, holdsGlobal: HOLDS_GLOBAL } = TlbEntryState;
/** What has been displaced: a page's entry that is not global, one that is. */
const DISPLACED = 1;
const DISPLACED_GLOBAL = 2;
/** Link keys have room for such numbers; cpu.ts forgets all links before they come round. */
const LINK_NUMBER_MASK = 0x7ffffff;

/** Numbers that all TLBs of a guest take from one source: none has another one's. */
export class LinkNumbers {
  /** How many have been taken. */
  taken = 0;

  next(): number {
    return ++this.taken & LINK_NUMBER_MASK;
  }
}

/** What there is to know of a page that an entry is to be for. */
export interface MappedPage {
  /** The linear page: bits 12 to 31, and 32 to 63. */
  readonly low: number;
  readonly high: number;
  readonly host: number;
  readonly physicalPage: number;
  readonly global: boolean;
  readonly user: boolean;
  /** The page is RAM, not a device's memory. */
  readonly isRam: boolean;
}

export class Tlb {
  /** Address of its bank (memory/layout.ts). */
  readonly bank: number;
  /** What links hold under: renewed whenever a code page's entry is dropped, in supervisor's execute table and in user's. */
  readonly linkNumbers = [0, 0];
  /** Linear pages with data breakpoints, as the low and high halves of each; they get no entries. */
  watched: readonly { low: number; high: number }[] = [];
  onWatched: ((low: number, high: number, bytes: number, write: boolean) => void) | undefined;
  private readonly u32: Uint32Array;
  private readonly numbers: LinkNumbers;
  // Entries filled since the last flush, so that a flush visits only those: non-global ones, and global ones.
  private readonly filled: Int32Array;
  private readonly filledGlobal: Int32Array;
  private readonly entryState: Uint8Array;
  /** By hash, linear regions of 4 MiB of which a larger page than 4 KiB may be cached. */
  private readonly large: Uint8Array;
  /** By index, supervisor's then user's: execute entries that another page displaced, so that nobody saw them dropped. */
  private readonly displaced: Uint8Array;
  private readonly displacedAny = [0, 0];
  /** {@link PageState} of each page. */
  private readonly pages: Uint8Array;
  private readonly onLinkNumber: () => void;
  private readonly filledCount: number;
  private readonly filledGlobalCount: number;

  /** Empty tables. `onLinkNumber` is told when links no longer hold. */
  constructor(u32: Uint32Array, bank: number, numbers: LinkNumbers, onLinkNumber: () => void) {
    const { buffer } = u32;
    this.u32 = u32;
    this.bank = bank;
    this.numbers = numbers;
    this.onLinkNumber = onLinkNumber;
    this.pages = new Uint8Array(buffer, PAGE_STATE_BASE, Math.floor((buffer.byteLength - RAM_BASE) / 4096));
    this.entryState = new Uint8Array(buffer, bank + TLB_ENTRY_STATE, ENTRIES).fill(0);
    this.filled = new Int32Array(buffer, bank + TLB_FILLED, ENTRIES);
    this.filledGlobal = new Int32Array(buffer, bank + TLB_FILLED_GLOBAL, ENTRIES);
    this.displaced = new Uint8Array(buffer, bank + TLB_DISPLACED, 2 * TLB_ENTRIES).fill(0);
    this.large = new Uint8Array(buffer, bank + TLB_LARGE, TLB_LARGE_ENTRIES).fill(0);
    this.filledCount = (bank + TlbBook.filled) >>> 2;
    this.filledGlobalCount = (bank + TlbBook.filledGlobal) >>> 2;
    for (const count of Object.values(TlbBook)) u32[(bank + count) >>> 2] = 0;
    for (let entry = 0; entry < ENTRIES; entry++) this.clear(entry);
    this.renumber();
  }

  /** Index in a Uint32Array of the entry that a linear page has, if any, in one of the tables. */
  wordOf(kind: TlbKind, low: number, user: boolean): number {
    return (this.bank + (user ? TLB_USER_OFFSET : 0) + kind + ((low >>> 8) & ((TLB_ENTRIES - 1) << 4))) >>> 2;
  }

  /** Makes the entry of a page in one of the tables. */
  put(kind: TlbKind, { low, high, host, physicalPage, global, user, isRam }: MappedPage): void {
    const word = this.wordOf(kind, low, user);
    if (kind === TlbKind.execute) this.displace(user ? 1 : 0, low, high, word);
    this.u32[word] = low;
    this.u32[word + 1] = high;
    this.u32[word + 2] = host - low;
    this.u32[word + 3] = physicalPage;
    const ramPage = (host - RAM_BASE) >>> 12;
    if (isRam && (this.pages[ramPage] & PageState.touched) === 0) {
      this.pages[ramPage] |= PageState.touched;
      this.u32[MachineBook.touchedPages >>> 2]++;
    }
    const entry = this.entryAt(word);
    const state = this.entryState[entry];
    if (global) {
      if ((state & LISTED_GLOBAL) === 0) this.filledGlobal[this.u32[this.filledGlobalCount]++] = entry;
      this.entryState[entry] = state | LISTED_GLOBAL | HOLDS_GLOBAL;
    } else {
      if ((state & LISTED) === 0) this.filled[this.u32[this.filledCount]++] = entry;
      this.entryState[entry] = (state | LISTED) & ~HOLDS_GLOBAL;
    }
  }

  /** Notes which kind of code page loses its entry to this one: INVLPG and CR3 would not find it there any more. */
  private displace(user: 0 | 1, page: number, high: number, word: number): void {
    const { u32 } = this;
    if (u32[word] === NO_TAG || (u32[word] === page && u32[word + 1] === high)) return;
    const entry = this.entryAt(word);
    const kind = this.entryState[entry] & HOLDS_GLOBAL ? DISPLACED_GLOBAL : DISPLACED;
    this.displaced[user * TLB_ENTRIES + (entry % TLB_ENTRIES)] |= kind;
    this.displacedAny[user] |= kind;
  }

  /** Links into code pages of a privilege no longer hold. */
  private codeFlushed(user: 0 | 1): void {
    this.linkNumbers[user] = this.numbers.next();
    if (this.displacedAny[user] !== 0) {
      this.displaced.fill(0, user * TLB_ENTRIES, (user + 1) * TLB_ENTRIES);
      this.displacedAny[user] = 0;
    }
    this.onLinkNumber();
  }

  /** Links hold no longer, in any code page. */
  renumber(): void {
    this.codeFlushed(0);
    this.codeFlushed(1);
  }

  private entryAt(word: number): number {
    return (word - (this.bank >>> 2)) / WORDS_PER_ENTRY;
  }

  /** Marks the 4 MiB around a linear address as holding a larger page. */
  markLarge(low: number, high: number): void {
    this.large[largeHash(low, high)] = 1;
  }

  private clear(entry: number): void {
    const word = (this.bank >>> 2) + entry * WORDS_PER_ENTRY;
    this.u32[word] = NO_TAG;
    this.u32[word + 1] = 0;
  }

  // ---- flushing

  /** Forgets translations of non-global pages: a write to CR3. */
  flushNonGlobal(): void {
    const code = [this.displacedAny[0] & DISPLACED, this.displacedAny[1] & DISPLACED];
    const count = this.u32[this.filledCount];
    for (let index = 0; index < count; index++) {
      const entry = this.filled[index];
      if ((this.entryState[entry] & HOLDS_GLOBAL) === 0) {
        const user = executeTableOf(entry);
        if (user >= 0) code[user] = 1;
        this.clear(entry);
      }
      this.entryState[entry] &= ~LISTED;
    }
    this.u32[this.filledCount] = 0;
    if (code[0] !== 0) this.codeFlushed(0);
    if (code[1] !== 0) this.codeFlushed(1);
  }

  /** Forgets every translation. */
  flushAll(): void {
    const count = this.u32[this.filledGlobalCount];
    for (let index = 0; index < count; index++) {
      const entry = this.filledGlobal[index];
      this.clear(entry);
      this.entryState[entry] &= ~(LISTED_GLOBAL | HOLDS_GLOBAL);
    }
    this.u32[this.filledGlobalCount] = 0;
    this.flushNonGlobal();
    this.renumber();
    this.large.fill(0);
  }

  /** INVLPG: forgets one linear page, global or not. */
  flushPage(low: number, high: number): void {
    const page = (low & ~0xfff) >>> 0;
    // Large pages are cached by 4 KiB: INVLPG of any address in one forgets all of them. Rare enough to forget everything.
    if (this.large[largeHash(low, high)] !== 0) {
      this.flushAll();
      return;
    }
    const index = (page >>> 12) & (TLB_ENTRIES - 1);
    for (let table = 0; table < TLB_TABLES; table++) {
      const entry = table * TLB_ENTRIES + index;
      const word = (this.bank >>> 2) + entry * WORDS_PER_ENTRY;
      const user = executeTableOf(entry);
      const held = this.u32[word] === page && this.u32[word + 1] === high;
      if (held) this.clear(entry);
      if (user >= 0 && (held || this.displaced[user * TLB_ENTRIES + index] !== 0)) this.codeFlushed(user as 0 | 1);
    }
  }

  /** Drops write entries of pages in [from, to), host addresses. */
  dropWrites(from: number, to: number): void {
    this.dropListedWrites(this.filled, this.u32[this.filledCount], from, to);
    this.dropListedWrites(this.filledGlobal, this.u32[this.filledGlobalCount], from, to);
  }

  private dropListedWrites(list: Int32Array, count: number, from: number, to: number): void {
    for (let index = 0; index < count; index++) {
      const entry = list[index];
      const table = Math.floor(entry / TLB_ENTRIES);
      if (table !== 1 && table !== 4) continue;
      const word = (this.bank >>> 2) + entry * WORDS_PER_ENTRY;
      if (this.u32[word] === NO_TAG) continue;
      const host = (this.u32[word] + this.u32[word + 2]) >>> 0;
      if (host >= from && host < to) this.clear(entry);
    }
  }
}

/** Whose execute table an entry is in: 0 supervisor's, 1 user's, -1 neither. */
function executeTableOf(entry: number): -1 | 0 | 1 {
  const table = (entry / TLB_ENTRIES) | 0;
  return table === 2 ? 0 : table === 5 ? 1 : -1;
}

/** Which of the marks of large pages is an address's. Mirrored in privileged/page-walk.ts. */
const largeHash = (low: number, high: number): number => ((low >>> 22) ^ (high << 10)) & (TLB_LARGE_ENTRIES - 1);
