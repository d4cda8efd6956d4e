// Regions: the basic blocks that are translated together, as one function.
// Owns their discovery from a hot entry, through calls and over pages, and the caps that keep a translated function small.
// Never emits code.

import { DecodeResult, type Decoder } from '../decoder/decoder.ts';
import { DecodedInstruction } from '../decoder/instruction.ts';

/** Caps of one translated function. V8's optimizing compiler grows with the square of the blocks: see docs/architecture/measurements.md. */
export const REGION_BLOCKS = 40;
export const REGION_INSTRUCTIONS = 400;
/** Linear pages whose code a region takes in, its entry's included. */
export const REGION_PAGES = 4;
/** Calls inside each other that a region follows. */
export const CALL_DEPTH = 3;
/** Calls of functions outside of it that a region goes on behind: each has the registers' way to memory and back. */
export const OUTSIDE_CALLS = 8;
/** Instructions of a function that is taken into its callers, without what it calls itself. */
export const CALLEE_INSTRUCTIONS = 48;
const PAGE = 0x1000;

/** What discovery sees of the guest. Offsets are relative to the start of the entry's page. */
export interface CodeView {
  readonly bytes: Uint8Array;
  /** Where in `bytes` the page lies that is so many pages behind the entry's; -1 where that cannot be relied upon. */
  page(number: number): number;
  /** Whether the code at an offset has been executed as far as anybody knows. */
  executed(offset: number): boolean;
  /** Whether translations of the code at an offset have lately been lost to writes. */
  changing(offset: number): boolean;
}

/** The calls around a block that a region followed into functions: where the innermost returns to. */
export interface CallContext {
  readonly id: number;
  readonly depth: number;
  /** Offset of the function called, and of the instruction behind the call. */
  readonly callee: number;
  readonly returnTo: number;
  readonly parent: CallContext | undefined;
}

/** How a basic block ends. Offsets of blocks that are not in the region are exits. */
export interface BlockEnd {
  /**
   * `call` and `return` are those that the region follows; `outside` calls a function that has a translation of its own,
   * and goes on behind the call; `other` jumps, calls, returns or is carried out by TypeScript: the meaning says where to.
   */
  readonly kind: 'jump' | 'conditional' | 'call' | 'outside' | 'return' | 'other' | 'fall';
  /** Offset of a relative jump's target, or of where a return is expected to go. */
  readonly target: number;
  /** Offset of what follows the block. */
  readonly next: number;
}

export interface BasicBlock {
  readonly offset: number;
  readonly context: CallContext | undefined;
  readonly instructions: readonly DecodedInstruction[];
  readonly end: BlockEnd;
  /** Blocks of the region that it goes on to: taken target first. */
  successors: readonly BasicBlock[];
  /** Position in reverse postorder from the entry. */
  order: number;
}

export interface Region {
  /** In reverse postorder; the first is the entry. */
  readonly blocks: readonly BasicBlock[];
  /** Bytes that were decoded, as offsets: [from, to), each within one page. */
  readonly ranges: readonly (readonly [number, number])[];
  readonly instructionCount: number;
}

export const pageOf = (offset: number): number => Math.floor(offset / PAGE);

interface Decoded {
  readonly instruction: DecodedInstruction;
  /** As the instruction says; whether a call or return is followed depends on the context. */
  readonly end: BlockEnd | undefined;
}

/** How an instruction ends a block, or undefined where it does not. */
function endOf(instruction: DecodedInstruction, offset: number, codeSize: 16 | 32 | 64): BlockEnd | undefined {
  const { attributes, operands, row } = instruction.encoding;
  const next = offset + instruction.length;
  const relative = operands.some((operand) => operand.where === 'J');
  const target = relative ? next + instruction.immediate : -1;
  // A jump that cuts the instruction pointer to 16 bits leads elsewhere.
  if (relative && instruction.operandSize === 16 && codeSize !== 16) return { kind: 'other', target: -1, next };
  if (attributes.has('if')) return { kind: 'conditional', target, next };
  if (relative && row.name === 'JMP') return { kind: 'jump', target, next };
  if (relative && row.name === 'CALL') return { kind: 'call', target, next };
  if (row.name === 'CALL_INDIRECT' && instruction.operandSize !== 16) return { kind: 'outside', target: -1, next };
  if (row.name === 'RET') return { kind: 'return', target: -1, next };
  if (attributes.has('end') || row.meaning === 'cold') return { kind: 'other', target: -1, next };
  return undefined;
}

/** A place where a block begins: an offset, in a context. */
interface Leader {
  readonly offset: number;
  readonly context: CallContext | undefined;
}

/** One number for a place in a context. */
const keyOf = (offset: number, context: CallContext | undefined): number =>
  (context === undefined ? 0 : context.id) * 2 ** 34 + offset;

class Discovery {
  private readonly decoder: Decoder;
  private readonly view: CodeView;
  private readonly codeSize: 16 | 32 | 64;
  /** By offset; undefined where nothing can be decoded. */
  private readonly decoded = new Map<number, Decoded | undefined>();
  private readonly pages = new Set([0]);
  /** What is taken in, by place in context: how it ends a block there. */
  private readonly taken = new Map<number, BlockEnd | undefined>();
  private readonly leaders = new Map<number, Leader>();
  private readonly work: Leader[] = [];
  private readonly small = new Map<number, boolean>();
  private contexts = 0;
  private outsideLeft: number;

  constructor(decoder: Decoder, view: CodeView, codeSize: 16 | 32 | 64, behindCalls: boolean) {
    this.decoder = decoder;
    this.view = view;
    this.codeSize = codeSize;
    this.outsideLeft = behindCalls && codeSize !== 16 ? OUTSIDE_CALLS : 0;
  }

  run(entry: number): Region | undefined {
    this.lead({ offset: entry, context: undefined });
    // Breadth first: what is near the entry comes in before the caps are met.
    for (let index = 0; index < this.work.length; index++) this.takeFrom(this.work[index]);
    return this.taken.has(entry) ? this.assemble(entry) : undefined;
  }

  /** The instruction at an offset if it lies wholly in a page that can be relied upon. */
  private at(offset: number): Decoded | undefined {
    if (this.decoded.has(offset)) return this.decoded.get(offset);
    const page = this.view.page(pageOf(offset));
    let result: Decoded | undefined;
    if (page >= 0) {
      const instruction = new DecodedInstruction();
      const inPage = offset - pageOf(offset) * PAGE;
      const { decoder, view, codeSize } = this;
      if (decoder.decode(view.bytes, page + inPage, page + PAGE, codeSize, instruction) === DecodeResult.decoded)
        result = { instruction, end: endOf(instruction, offset, codeSize) };
    }
    this.decoded.set(offset, result);
    return result;
  }

  /** Whether a page is one of the region's, or becomes one. */
  private admits(offset: number): boolean {
    const page = pageOf(offset);
    if (this.pages.has(page)) return true;
    if (this.pages.size >= REGION_PAGES || this.view.page(page) < 0) return false;
    this.pages.add(page);
    return true;
  }

  private lead(leader: Leader): void {
    const key = keyOf(leader.offset, leader.context);
    if (this.leaders.has(key)) return;
    if (this.leaders.size >= REGION_BLOCKS || !this.admits(leader.offset)) return;
    this.leaders.set(key, leader);
    this.work.push(leader);
  }

  private takeFrom({ offset, context }: Leader): void {
    const { taken } = this;
    for (let at = offset; ; ) {
      // A block stays in one page, so that all of it stands or falls with one translation of its address.
      if (pageOf(at) !== pageOf(offset)) {
        this.lead({ offset: at, context });
        return;
      }
      const key = keyOf(at, context);
      if (taken.has(key) || taken.size >= REGION_INSTRUCTIONS) return;
      const decoded = this.at(at);
      if (!decoded) return;
      const { instruction, end } = decoded;
      const here = end && this.follow(end, context);
      taken.set(key, here);
      if (here) return;
      at += instruction.length;
    }
  }

  /** How a block ends in a context, with the ways on put on the list. */
  private follow(end: BlockEnd, context: CallContext | undefined): BlockEnd {
    const { view } = this;
    switch (end.kind) {
      case 'conditional':
        this.lead({ offset: end.next, context });
        if (view.executed(end.target)) this.lead({ offset: end.target, context });
        return end;
      case 'jump':
        this.lead({ offset: end.target, context });
        return end;
      case 'return':
        if (!context) return { ...end, kind: 'other' };
        this.lead({ offset: context.returnTo, context: context.parent });
        return { ...end, target: context.returnTo };
      case 'call': {
        const inner = this.enter(end, context);
        if (!inner) return this.goOnBehind(end, context);
        this.lead({ offset: end.target, context: inner });
        return this.leaders.has(keyOf(end.target, inner)) ? end : this.goOnBehind(end, context);
      }
      case 'outside':
        return this.goOnBehind(end, context);
      default:
        return end;
    }
  }

  /** A call of what is not in the region, whose code goes on behind it where that has been executed. */
  private goOnBehind(end: BlockEnd, context: CallContext | undefined): BlockEnd {
    if (this.outsideLeft === 0 || !this.view.executed(end.next)) return { ...end, kind: 'other' };
    this.lead({ offset: end.next, context });
    if (!this.leaders.has(keyOf(end.next, context))) return { ...end, kind: 'other' };
    this.outsideLeft--;
    return { ...end, kind: 'outside' };
  }

  private readonly entered = new Map<number, CallContext>();

  /** The context of a call that is worth following, the same each time. */
  private enter({ target, next }: BlockEnd, context: CallContext | undefined): CallContext | undefined {
    const known = this.entered.get(keyOf(next, context));
    if (known) return known;
    const depth = (context?.depth ?? 0) + 1;
    if (depth > CALL_DEPTH || !this.view.executed(target)) return undefined;
    // A function that keeps changing would take its callers' translations with it.
    if (this.view.changing(target) || !this.isSmall(target)) return undefined;
    for (let outer = context; outer; outer = outer.parent) if (outer.callee === target) return undefined;
    const inner = { id: ++this.contexts, depth, callee: target, returnTo: next, parent: context };
    this.entered.set(keyOf(next, context), inner);
    return inner;
  }

  /** Whether a function comes to its returns within a few instructions. */
  private isSmall(offset: number): boolean {
    const known = this.small.get(offset);
    if (known !== undefined) return known;
    const seen = new Set<number>();
    const work = [offset];
    let returns = false;
    for (let at = work.pop(); at !== undefined; at = work.pop()) {
      while (!seen.has(at) && seen.size <= CALLEE_INSTRUCTIONS) {
        const decoded = this.at(at);
        if (!decoded) break;
        seen.add(at);
        const { end } = decoded;
        if (end?.kind === 'return') returns = true;
        if (end?.kind === 'return' || end?.kind === 'other') break;
        if (end?.kind === 'conditional' && this.view.executed(end.target)) work.push(end.target);
        at = end?.kind === 'jump' ? end.target : at + decoded.instruction.length;
      }
      if (seen.size > CALLEE_INSTRUCTIONS) break;
    }
    const small = returns && seen.size <= CALLEE_INSTRUCTIONS;
    this.small.set(offset, small);
    return small;
  }

  private assemble(entry: number): Region {
    const { taken, leaders } = this;
    const blocks = new Map<number, BasicBlock>();
    const ranges: [number, number][] = [];
    for (const [key, { offset, context }] of leaders) {
      if (!taken.has(key)) continue;
      const instructions: DecodedInstruction[] = [];
      let at = offset;
      let end: BlockEnd | undefined;
      for (;;) {
        const place = keyOf(at, context);
        if (!taken.has(place) || (at !== offset && leaders.has(place))) break;
        if (pageOf(at) !== pageOf(offset)) break;
        end = taken.get(place);
        const { instruction } = this.decoded.get(at)!;
        instructions.push(instruction);
        at += instruction.length;
        if (end) break;
      }
      ranges.push([offset, at]);
      blocks.set(key, {
        offset,
        context,
        instructions,
        end: end ?? { kind: 'fall', target: -1, next: at },
        successors: [],
        order: -1,
      });
    }
    for (const block of blocks.values()) block.successors = this.successorsOf(block, blocks);
    return { blocks: reversePostorder(blocks.get(entry)!), ranges, instructionCount: taken.size };
  }

  private successorsOf({ context, end }: BasicBlock, blocks: ReadonlyMap<number, BasicBlock>): BasicBlock[] {
    const at = (offset: number, where = context): BasicBlock[] => {
      const block = blocks.get(keyOf(offset, where));
      return block ? [block] : [];
    };
    switch (end.kind) {
      case 'conditional':
        return [...at(end.target), ...at(end.next)];
      case 'jump':
        return at(end.target);
      case 'fall':
      case 'outside':
        return at(end.next);
      case 'call':
        return at(end.target, this.entered.get(keyOf(end.next, context)));
      case 'return':
        return at(end.target, context?.parent);
      case 'other':
        return [];
    }
  }
}

/**
 * Finds the region that begins at `entry`, an offset in page 0 of the view; with `behindCalls` it goes on behind calls of
 * functions that it does not take in. Undefined where not even one instruction lies
 * wholly in the page.
 */
export function discoverRegion(
  decoder: Decoder,
  view: CodeView,
  entry: number,
  codeSize: 16 | 32 | 64,
  behindCalls: boolean,
): Region | undefined {
  return new Discovery(decoder, view, codeSize, behindCalls).run(entry);
}

function reversePostorder(entry: BasicBlock): BasicBlock[] {
  const order: BasicBlock[] = [];
  const seen = new Set<BasicBlock>([entry]);
  const stack: { block: BasicBlock; next: number }[] = [{ block: entry, next: 0 }];
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    // The fall-through side last, so that it comes first in reverse.
    const successor = top.block.successors[top.next++];
    if (successor === undefined) {
      order.push(top.block);
      stack.pop();
    } else if (!seen.has(successor)) {
      seen.add(successor);
      stack.push({ block: successor, next: 0 });
    }
  }
  order.reverse();
  order.forEach((block, index) => {
    block.order = index;
  });
  return order;
}
