// Which bytes of RAM decoded code was made from, and which blocks stand for them.
// Owns the map of lines that the slow write paths look at, and how often each page's translations were lost.
// Never touches a micro-op: it says which blocks a write hits, and whoever asked drops them.

import { CODE_LINES_BASE, RAM_BASE } from '../../memory/layout.ts';

const PAGE = 0x1000;
/** log2 of the bytes of a line. */
const LINE_SHIFT = 6;
/** Doublings of the entries after which a block of a page that keeps changing is translated, at most. */
export const BACK_OFF_LIMIT = 10;
/** What losing a translation adds to the doublings, and what a new one takes off: a page that keeps changing goes up. */
const BACK_OFF_LOST = 2;
const BACK_OFF_MADE = 1;
/** Instructions after which a doubling is taken off: a kernel that patched itself at its start is not changing code. */
const BACK_OFF_FORGIVEN = 20_000_000;

/** Pages that count as changing at once, the latest: every request for a translation names them. */
export const CHANGING_PAGES = 256;

/** A block that is kept, by its micro-ops: [start, end) of the arena. */
export interface CodeBlock {
  readonly start: number;
  readonly end: number;
  /** Index of its entry in the block table. */
  readonly entry: number;
  dropped: boolean;
}

/** Bytes [from, to) of a page that a block was made from. */
interface Span {
  readonly block: CodeBlock;
  readonly from: number;
  readonly to: number;
}

interface CodePage {
  spans: Span[];
  /** One bit a byte that a span covers; made when a write first comes near, kept up to date from then on. */
  bytes: Uint32Array | undefined;
  /** Doublings of the hotness that a block here needed when so many instructions had been executed. */
  backOff: number;
  backOffAt: number;
}

/** Pages are named by the host address of any of their bytes. */
export class CodePages {
  private readonly lines: Uint32Array;
  private readonly executed: () => number;
  private readonly pages = new Map<number, CodePage>();
  /** Indexes of the pages with a back-off that had it last, in the order in which they got it. */
  private readonly backedOff = new Set<number>();

  /** `u32` is the guest's whole memory, `executed` tells how many instructions have been executed. */
  constructor(u32: Uint32Array, executed: () => number) {
    this.lines = u32;
    this.executed = executed;
  }

  /** Notes that a block was made from bytes [from, to) of a page. */
  cover(host: number, from: number, to: number, block: CodeBlock): void {
    const index = (host - RAM_BASE) >>> 12;
    let page = this.pages.get(index);
    if (!page) {
      page = { spans: [], bytes: undefined, backOff: 0, backOffAt: 0 };
      this.pages.set(index, page);
    }
    page.spans.push({ block, from, to });
    if (page.bytes) mark(page.bytes, from, to);
    this.markLines(index, from, to);
  }

  /** Whether any of `length` bytes, all in one page, is one that a block was made from. */
  holds(host: number, length: number): boolean {
    const page = this.pages.get((host - RAM_BASE) >>> 12);
    if (!page || page.spans.length === 0) return false;
    if (!page.bytes) {
      page.bytes = new Uint32Array(PAGE / 32);
      for (const { from, to } of page.spans) mark(page.bytes, from, to);
    }
    const first = host & (PAGE - 1);
    for (let at = first; at < first + length; at++) if ((page.bytes[at >>> 5] >>> (at & 31)) & 1) return true;
    return false;
  }

  /** Forgets the blocks that were made from any of `length` bytes, all in one page, and gives them. */
  take(host: number, length: number): readonly CodeBlock[] {
    if (!this.holds(host, length)) return [];
    const first = host & (PAGE - 1);
    return this.forget(host, (span) => span.from < first + length && span.to > first);
  }

  /** Forgets the block that a micro-op of the page's blocks belongs to, and gives it. */
  takeBlockOf(host: number, pc: number): readonly CodeBlock[] {
    return this.forget(host, ({ block }) => block.start <= pc && pc < block.end);
  }

  /** The block with this first micro-op, or undefined where it has been dropped. */
  blockAt(host: number, start: number): CodeBlock | undefined {
    return this.pages.get((host - RAM_BASE) >>> 12)?.spans.find(({ block }) => block.start === start)?.block;
  }

  /** The blocks that are left on a page; one may come more than once. */
  *blocksOf(host: number): Generator<CodeBlock> {
    for (const { block } of this.pages.get((host - RAM_BASE) >>> 12)?.spans ?? []) yield block;
  }

  /** Forgets everything. */
  clear(): void {
    for (const index of this.pages.keys()) this.clearLines(index);
    this.pages.clear();
    this.backedOff.clear();
  }

  // ---- backing off

  /** Grows whenever {@link changing} gets or loses a page. */
  changes = 0;

  /** How often the entries that make a block of this page hot have to be doubled. */
  backOff(host: number): number {
    const page = this.pages.get((host - RAM_BASE) >>> 12);
    return page ? this.backOffOf(page) : 0;
  }

  /** Host addresses of the pages with a back-off. */
  get changing(): readonly number[] {
    return [...this.backedOff].map((index) => RAM_BASE + index * PAGE).filter((host) => this.backOff(host) > 0);
  }

  /** A translation of the page was lost to a write. */
  lostTranslation(host: number): void {
    const index = (host - RAM_BASE) >>> 12;
    const page = this.pages.get(index);
    if (!page) return;
    this.setBackOff(page, Math.min(BACK_OFF_LIMIT, this.backOffOf(page) + BACK_OFF_LOST));
    if (!this.backedOff.delete(index)) this.changes++;
    this.backedOff.add(index);
    if (this.backedOff.size > CHANGING_PAGES)
      for (const oldest of this.backedOff) {
        this.backedOff.delete(oldest);
        break;
      }
  }

  /** The page was left alone for long enough that one of its blocks became hot. */
  madeTranslation(host: number): void {
    const page = this.pages.get((host - RAM_BASE) >>> 12);
    if (page) this.setBackOff(page, Math.max(0, this.backOffOf(page) - BACK_OFF_MADE));
    if (page?.backOff === 0 && this.backedOff.delete((host - RAM_BASE) >>> 12)) this.changes++;
  }

  private backOffOf({ backOff, backOffAt }: CodePage): number {
    if (backOff === 0) return 0;
    return Math.max(0, backOff - Math.floor((this.executed() - backOffAt) / BACK_OFF_FORGIVEN));
  }

  private setBackOff(page: CodePage, backOff: number): void {
    page.backOff = backOff;
    page.backOffAt = this.executed();
  }

  private forget(host: number, isHit: (span: Span) => boolean): readonly CodeBlock[] {
    const index = (host - RAM_BASE) >>> 12;
    const page = this.pages.get(index);
    if (!page) return [];
    const taken: CodeBlock[] = [];
    for (const span of page.spans) {
      if (span.block.dropped || !isHit(span)) continue;
      span.block.dropped = true;
      taken.push(span.block);
    }
    // A block that crosses a page leaves its span in the other page until something there is dropped: it only makes a
    // write there look closer than needed.
    page.spans = page.spans.filter(({ block }) => !block.dropped);
    page.bytes = undefined;
    this.clearLines(index);
    for (const { from, to } of page.spans) this.markLines(index, from, to);
    return taken;
  }

  private clearLines(index: number): void {
    const word = (CODE_LINES_BASE >>> 2) + index * 2;
    this.lines[word] = 0;
    this.lines[word + 1] = 0;
  }

  private markLines(index: number, from: number, to: number): void {
    const word = (CODE_LINES_BASE >>> 2) + index * 2;
    for (let line = from >>> LINE_SHIFT; line <= (to - 1) >>> LINE_SHIFT; line++)
      this.lines[word + (line >>> 5)] |= 1 << (line & 31);
  }
}

function mark(bits: Uint32Array, from: number, to: number): void {
  for (let at = from; at < to; at++) bits[at >>> 5] |= 1 << (at & 31);
}
