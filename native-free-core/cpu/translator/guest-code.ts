// What region discovery sees of the guest: its code pages by linear address, and which of its blocks have been executed.
// Owns the pages that one discovery has asked for.
// Never fills a TLB: a region takes in only pages that the vCPU has executed from lately.

import { RAM_BASE } from '../../memory/layout.ts';
import type { BlockCache } from '../interpreter/blocks.ts';
import { codeSizeOf, S, Slot } from '../state.ts';
import type { SystemCpu } from '../system/core.ts';
import type { CodeView } from './region.ts';

interface CodePage {
  readonly host: number;
  readonly physicalPage: number;
}

export class GuestCode implements CodeView {
  readonly bytes: Uint8Array;
  private readonly system: SystemCpu;
  private readonly blocks: BlockCache;
  private readonly mode: number;
  private readonly pages = new Map<number, CodePage | undefined>();

  /** `host` is where the entry's page lies, which is that of the state's code base. */
  constructor(system: SystemCpu, blocks: BlockCache, host: number, mode: number) {
    this.system = system;
    this.bytes = system.u8;
    this.blocks = blocks;
    this.mode = mode;
    this.pages.set(0, { host, physicalPage: Math.floor(system.physical.physicalAddress(host) / 4096) });
  }

  private find(number: number): CodePage | undefined {
    const { u32 } = this.system;
    // With a base or a limit on the code segment, an instruction pointer says little about where the next page is.
    if (u32[S.linkKey >>> 2] === 0xffffffff) return undefined;
    const word = (S.regs + Slot.codeBase * 8) >>> 2;
    const sum = u32[word] + number * 4096;
    const code64 = codeSizeOf(this.mode) === 64;
    const high = code64 ? (u32[word + 1] + Math.floor(sum / 2 ** 32)) >>> 0 : 0;
    const page = this.system.mmu.cachedCodePage(sum >>> 0, high);
    return page !== undefined && page.host >= RAM_BASE ? page : undefined;
  }

  private at(number: number): CodePage | undefined {
    if (!this.pages.has(number)) this.pages.set(number, this.find(number));
    return this.pages.get(number);
  }

  page(number: number): number {
    return this.at(number)?.host ?? -1;
  }

  /** Number of the physical page; the page must be one that {@link page} gave. */
  physicalPage(number: number): number {
    return this.at(number)!.physicalPage;
  }

  changing(offset: number): boolean {
    const page = this.at(Math.floor(offset / 4096));
    return page !== undefined && this.blocks.isChanging(page.host);
  }

  executed(offset: number): boolean {
    const page = this.at(Math.floor(offset / 4096));
    // Where everything is translated at once, nothing has been executed yet.
    if (this.blocks.hotness <= 1) return page !== undefined;
    return page !== undefined && this.blocks.isKnown(page.physicalPage, offset & 0xfff, this.mode);
  }
}
