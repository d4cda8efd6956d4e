// The pages that are mapped at each address of one address space: what page tables would hold.
// Owns the entries, as one 32-bit word a page in tables of 2 MiB of addresses.
// Never decides what may be mapped, and holds no page: address-space.ts does.

/** Bits of an entry. The low 20 are the physical page number. */
export const Entry = {
  page: 0xfffff,
  present: 1 << 20,
  read: 1 << 21,
  /** May be written at once: the page is this address space's alone, or it is shared and known to be dirty. */
  write: 1 << 22,
  execute: 1 << 23,
} as const;

const ENTRIES = 512;
const TABLE_BYTES = 512 * 4096;

export class PageTable {
  /** By address divided by 2 MiB. */
  private readonly tables = new Map<number, Int32Array>();
  private lastKey = -1;
  private lastTable: Int32Array | undefined;

  private tableAt(key: number): Int32Array | undefined {
    if (key === this.lastKey) return this.lastTable;
    const table = this.tables.get(key);
    if (table) {
      this.lastKey = key;
      this.lastTable = table;
    }
    return table;
  }

  /** The entry of an address below 2^47; 0 where nothing is mapped. */
  get(address: number): number {
    const table = this.tableAt(Math.floor(address / TABLE_BYTES));
    return table === undefined ? 0 : table[(address / 4096) & (ENTRIES - 1)];
  }

  /** The same by the halves of the address. */
  getHalves(low: number, high: number): number {
    const table = this.tableAt(high * 2048 + (low >>> 21));
    return table === undefined ? 0 : table[(low >>> 12) & (ENTRIES - 1)];
  }

  set(address: number, entry: number): void {
    const key = Math.floor(address / TABLE_BYTES);
    let table = this.tableAt(key);
    if (!table) {
      table = new Int32Array(ENTRIES);
      this.tables.set(key, table);
      this.lastKey = key;
      this.lastTable = table;
    }
    table[(address % TABLE_BYTES) / 4096] = entry;
  }

  /** Visits what is mapped in [from, to), both multiples of 4096, and puts what `visit` gives in its place. */
  update(from: number, to: number, visit: (address: number, entry: number) => number): void {
    const first = Math.floor(from / TABLE_BYTES);
    const last = Math.floor((to - 1) / TABLE_BYTES);
    const visitTable = (key: number, table: Int32Array): void => {
      const base = key * TABLE_BYTES;
      const start = Math.max(0, (from - base) / 4096);
      const end = Math.min(ENTRIES, (to - base) / 4096);
      let used = false;
      for (let index = start; index < end; index++) {
        const entry = table[index];
        if (entry === 0) continue;
        table[index] = visit(base + index * 4096, entry);
        used ||= table[index] !== 0;
      }
      if (used || end - start < ENTRIES) return;
      this.tables.delete(key);
      if (this.lastKey === key) this.lastKey = -1;
    };
    if (last - first > this.tables.size) {
      for (const [key, table] of this.tables) if (key >= first && key <= last) visitTable(key, table);
      return;
    }
    for (let key = first; key <= last; key++) {
      const table = this.tables.get(key);
      if (table) visitTable(key, table);
    }
  }

  /** Entries that are mapped in [from, to). */
  count(from: number, to: number): number {
    let count = 0;
    this.update(from, to, (_address, entry) => {
      count++;
      return entry;
    });
    return count;
  }
}
