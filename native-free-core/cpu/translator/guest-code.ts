// What region discovery sees of the guest: its code pages by linear address, and which of its blocks have been executed.
// Owns copies of the pages that one discovery has asked for, since the guest may go on meanwhile.
// Never fills a TLB: a region takes in only pages that the vCPU has executed from lately.

import { BLOCK_TABLE_BASE, BLOCK_TABLE_ENTRY_BYTES, RAM_BASE, TLB_ENTRIES } from '../../memory/layout.ts';
import { blockHash, blockKeyHigh, blockKeyLow } from '../interpreter/module.ts';
import { codeSizeOf } from '../state.ts';
import type { CodeView } from './region.ts';
import type { TranslationRequest } from './translation.ts';

const PAGE = 4096;
/** Pages that are looked at in one discovery: the region's, and those of functions found too large for it. */
const PAGES = 16;

interface CodePage {
  /** Where its copy begins. */
  readonly copy: number;
  readonly physicalPage: number;
}

export class GuestCode implements CodeView {
  readonly bytes = new Uint8Array(PAGES * PAGE);
  private readonly u8: Uint8Array;
  private readonly u32: Uint32Array;
  private request!: TranslationRequest;
  private readonly pages = new Map<number, CodePage | undefined>();
  private readonly changingPages = new Set<number>();
  private copies = 0;

  /** Views of the guest's whole memory. */
  constructor(u8: Uint8Array, u32: Uint32Array) {
    this.u8 = u8;
    this.u32 = u32;
  }

  /** Looks at what a request asks for. Everything from before is void. */
  open(request: TranslationRequest): void {
    this.request = request;
    this.pages.clear();
    this.copies = 0;
    this.pages.set(0, this.copy(request.page, request.physicalPage));
  }

  /** From here on these physical pages count as changing. */
  setChanging(pages: readonly number[]): void {
    this.changingPages.clear();
    for (const page of pages) this.changingPages.add(page);
  }

  private copy(host: number, physicalPage: number): CodePage | undefined {
    if (this.copies >= PAGES || host < RAM_BASE || host + PAGE > this.u8.length) return undefined;
    const copy = this.copies++ * PAGE;
    this.bytes.set(this.u8.subarray(host, host + PAGE), copy);
    return { copy, physicalPage };
  }

  /**
   * By the execute TLB of the request's privilege. The guest may be changing the entry: a mixture of two leads to a page that
   * the region's guard, or the comparison of its bytes when it is installed, does not accept.
   */
  private find(number: number): CodePage | undefined {
    const { mode, codeBaseLow, codeBaseHigh, executeTable, linear } = this.request;
    if (!linear) return undefined;
    const sum = codeBaseLow + number * PAGE;
    const low = sum >>> 0;
    const high = codeSizeOf(mode) === 64 ? (codeBaseHigh + Math.floor(sum / 2 ** 32)) >>> 0 : 0;
    const word = (executeTable + ((low >>> 8) & ((TLB_ENTRIES - 1) << 4))) >>> 2;
    if (this.u32[word] !== low || this.u32[word + 1] !== high) return undefined;
    return this.copy((low + this.u32[word + 2]) >>> 0, this.u32[word + 3]);
  }

  private at(number: number): CodePage | undefined {
    if (!this.pages.has(number)) this.pages.set(number, this.find(number));
    return this.pages.get(number);
  }

  page(number: number): number {
    return this.at(number)?.copy ?? -1;
  }

  /** Number of the physical page; the page must be one that {@link page} gave. */
  physicalPage(number: number): number {
    return this.at(number)!.physicalPage;
  }

  changing(offset: number): boolean {
    const page = this.at(Math.floor(offset / PAGE));
    return page !== undefined && this.changingPages.has(page.physicalPage);
  }

  executed(offset: number): boolean {
    const page = this.at(Math.floor(offset / PAGE));
    if (!page || this.request.everything) return page !== undefined;
    // A block that has lost its place in the table to another one looks as if it had not been executed.
    const inPage = offset & (PAGE - 1);
    const entry = blockHash(page.physicalPage, inPage);
    const word = (BLOCK_TABLE_BASE + entry * BLOCK_TABLE_ENTRY_BYTES) >>> 2;
    const low = blockKeyLow(page.physicalPage, inPage, this.request.mode);
    return this.u32[word] === low && this.u32[word + 1] === blockKeyHigh(page.physicalPage);
  }
}
