// Records in the guest's memory that translated code works with: link slots, guard slots, cold micro-ops.
// Owns the room for them and their initial contents; whoever translates owns the records.
// Never reads one back.

import { TRANSLATION_BASE, TRANSLATION_LIMIT } from '../../memory/layout.ts';
import { MICRO_OP_BYTES } from '../interpreter/micro-op.ts';
import { GuardSlot, LinkSlot } from '../interpreter/module.ts';

/** A link key that never is one: its mode would be 64-bit code with a bit that such code does not have. */
const NO_KEY = 0xfffffffe;
/** Bytes of a link or guard slot, of which there are many: a region has one for each way out. */
const SLOT_BYTES = 16;

export class TranslationRecords {
  private readonly u32: Uint32Array;
  private top = TRANSLATION_BASE;

  /** `u32` is the guest's whole memory. */
  constructor(u32: Uint32Array) {
    this.u32 = u32;
  }

  /** Takes all room back: no translation that has records is used any more. */
  clear(): void {
    this.top = TRANSLATION_BASE;
  }

  /** Whether so many records of any kind fit. */
  hasRoom(records: number): boolean {
    return this.top + records * MICRO_OP_BYTES <= TRANSLATION_LIMIT;
  }

  /** A link slot for an exit to an offset of its page. */
  linkSlot(offset: number): number {
    const at = this.take(SLOT_BYTES);
    this.u32[(at + LinkSlot.key) >>> 2] = NO_KEY;
    this.u32[(at + LinkSlot.offset) >>> 2] = offset;
    return at;
  }

  /** A slot by which a region checks that another page of its code is still where it was. */
  guardSlot(physicalPage: number): number {
    const at = this.take(SLOT_BYTES);
    this.u32[(at + GuardSlot.key) >>> 2] = NO_KEY;
    this.u32[(at + GuardSlot.page) >>> 2] = physicalPage;
    return at;
  }

  /** Room for the micro-op of an instruction that TypeScript carries out; the guest's thread fills it. */
  coldMicroOp(): number {
    return this.take(MICRO_OP_BYTES);
  }

  private take(bytes: number): number {
    const at = this.top;
    this.top += bytes;
    this.u32.fill(0, at >>> 2, this.top >>> 2);
    return at;
  }
}
