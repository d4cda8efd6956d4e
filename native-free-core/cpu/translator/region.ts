// Regions: the basic blocks of one code page that are translated together.
// Owns their discovery from a hot entry and the caps that keep a translated function small.
// Never emits code.

import { DecodeResult, type Decoder } from '../decoder/decoder.ts';
import { DecodedInstruction } from '../decoder/instruction.ts';

/** Caps of one translated function. V8's optimizing compiler grows with the square of the blocks: see ARCHITECTURE.md. */
export const REGION_BLOCKS = 40;
export const REGION_INSTRUCTIONS = 400;
const PAGE = 0x1000;

/** How a basic block ends. Offsets are relative to the page; those outside 0 to 4095, or not in the region, are exits. */
export interface BlockEnd {
  /** Its last instruction jumps, calls, returns or is carried out by TypeScript: the meaning says where to. */
  readonly kind: 'jump' | 'conditional' | 'other' | 'fall';
  /** Page offset of a relative jump's target. */
  readonly target: number;
  /** Page offset of what follows the block. */
  readonly next: number;
}

export interface BasicBlock {
  readonly offset: number;
  readonly instructions: readonly DecodedInstruction[];
  readonly end: BlockEnd;
  /** Blocks of the region that it goes on to, as indexes: taken target first. */
  successors: readonly BasicBlock[];
  /** Position in reverse postorder from the entry. */
  order: number;
}

export interface Region {
  /** In reverse postorder; the first is the entry. */
  readonly blocks: readonly BasicBlock[];
  /** Bytes that were decoded, as offsets in the page: [from, to). */
  readonly ranges: readonly (readonly [number, number])[];
  readonly instructionCount: number;
}

interface Decoded {
  readonly instruction: DecodedInstruction;
  readonly end: BlockEnd | undefined;
}

/** How an instruction ends a block, or undefined where it does not. */
function endOf(instruction: DecodedInstruction, offset: number): BlockEnd | undefined {
  const { attributes, operands, row } = instruction.encoding;
  const next = offset + instruction.length;
  const relative = operands.some((operand) => operand.where === 'J');
  const target = relative ? next + instruction.immediate : -1;
  if (attributes.has('if')) return { kind: 'conditional', target, next };
  if (relative && row.name === 'JMP') return { kind: 'jump', target, next };
  if (attributes.has('end') || row.meaning === 'cold') return { kind: 'other', target: -1, next };
  return undefined;
}

/**
 * Finds the region that begins at `entry` of the page at `page` (offsets into `bytes`). Undefined where not even one
 * instruction lies wholly in the page.
 */
export function discoverRegion(
  decoder: Decoder,
  bytes: Uint8Array,
  page: number,
  entry: number,
  codeSize: 16 | 32 | 64,
): Region | undefined {
  const decoded = new Map<number, Decoded>();
  const leaders = new Set([entry]);
  const work = [entry];
  // Breadth first: what is near the entry comes in before the caps are met.
  for (let first = work.shift(); first !== undefined; first = work.shift()) {
    let at = first;
    while (!decoded.has(at) && decoded.size < REGION_INSTRUCTIONS) {
      const instruction = new DecodedInstruction();
      if (decoder.decode(bytes, page + at, page + PAGE, codeSize, instruction) !== DecodeResult.decoded) break;
      const end = endOf(instruction, at);
      decoded.set(at, { instruction, end });
      if (end) {
        const onward = end.kind === 'conditional' ? [end.next, end.target] : end.kind === 'jump' ? [end.target] : [];
        for (const offset of onward) {
          if (offset < 0 || offset >= PAGE || leaders.has(offset) || leaders.size >= REGION_BLOCKS) continue;
          leaders.add(offset);
          work.push(offset);
        }
        break;
      }
      at += instruction.length;
      if (at >= PAGE) break;
    }
  }
  if (!decoded.has(entry)) return undefined;
  return assemble(entry, decoded, leaders);
}

function assemble(entry: number, decoded: ReadonlyMap<number, Decoded>, leaders: ReadonlySet<number>): Region {
  const blocks = new Map<number, BasicBlock>();
  const ranges: [number, number][] = [];
  let instructionCount = 0;
  for (const offset of leaders) {
    if (!decoded.has(offset)) continue;
    const instructions: DecodedInstruction[] = [];
    let at = offset;
    let end: BlockEnd | undefined;
    for (;;) {
      const item = decoded.get(at);
      if (!item || (at !== offset && leaders.has(at))) break;
      instructions.push(item.instruction);
      at += item.instruction.length;
      end = item.end;
      if (end) break;
    }
    instructionCount += instructions.length;
    ranges.push([offset, Math.min(at, PAGE)]);
    blocks.set(offset, {
      offset,
      instructions,
      end: end ?? { kind: 'fall', target: -1, next: at },
      successors: [],
      order: -1,
    });
  }
  for (const block of blocks.values()) {
    const { kind, target, next } = block.end;
    const onward = kind === 'conditional' ? [target, next] : kind === 'jump' ? [target] : kind === 'fall' ? [next] : [];
    block.successors = onward.flatMap((offset) => blocks.get(offset) ?? []);
  }
  return { blocks: reversePostorder(blocks.get(entry)!), ranges, instructionCount };
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
