// Turns a region's control-flow graph into WebAssembly's nested blocks and loops.
// Owns dominators and the placement of blocks (N. Ramsey, Beyond Relooper, ICFP 2022).
// Never knows what is inside a basic block: a callback emits it.

import type { FunctionBuilder, Label } from '../builder/function.ts';
import type { BasicBlock } from './region.ts';

/** How control gets from one block to another in the nested code. */
export interface Structure {
  /** Immediate dominator by order; the entry's is itself. */
  readonly dominators: readonly number[];
  /** Blocks that a back edge leads to. */
  readonly loopHeads: ReadonlySet<BasicBlock>;
}

export function analyze(blocks: readonly BasicBlock[]): Structure {
  const predecessors = blocks.map((): number[] => []);
  for (const block of blocks) for (const successor of block.successors) predecessors[successor.order].push(block.order);
  // K. D. Cooper, T. J. Harvey, K. Kennedy, A Simple, Fast Dominance Algorithm.
  const dominators = blocks.map(() => -1);
  dominators[0] = 0;
  const meet = (a: number, b: number): number => {
    let x = a;
    let y = b;
    while (x !== y) {
      while (x > y) x = dominators[x];
      while (y > x) y = dominators[y];
    }
    return x;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (let order = 1; order < blocks.length; order++) {
      const known = predecessors[order].filter((p) => dominators[p] >= 0);
      const dominator = known.reduce(meet);
      if (dominators[order] !== dominator) {
        dominators[order] = dominator;
        changed = true;
      }
    }
  }
  const loopHeads = new Set<BasicBlock>();
  for (const block of blocks) {
    for (const successor of block.successors) {
      if (successor.order <= block.order && dominates(dominators, successor.order, block.order))
        loopHeads.add(successor);
    }
  }
  return { dominators, loopHeads };
}

export function dominates(dominators: readonly number[], a: number, b: number): boolean {
  let at = b;
  while (at > a) at = dominators[at];
  return at === a;
}

/** What the emission of a region asks of whoever knows the blocks' contents. */
export interface BlockEmitter {
  /** Emits a block; `go` emits the way to a successor (or an exit, where it is not in the region). */
  block(block: BasicBlock, go: (to: BasicBlock) => void, isLoopHead: boolean): void;
  /** Before a branch back to a loop's start: may leave instead. */
  backEdge(to: BasicBlock): void;
  /** A jump into a loop beside its head, which structured code cannot do: leaves for that address. */
  irreducible(to: BasicBlock): void;
}

/** Emits the whole region at this place. Every path through it must end in a branch, a return or an exit. */
export function emitStructured(f: FunctionBuilder, blocks: readonly BasicBlock[], emitter: BlockEmitter): void {
  const { dominators, loopHeads } = analyze(blocks);
  const isForward = (from: BasicBlock, to: BasicBlock): boolean => to.order > from.order;
  const forwardEntries = blocks.map(() => 0);
  for (const block of blocks) {
    for (const successor of new Set(block.successors))
      if (isForward(block, successor)) forwardEntries[successor.order]++;
  }
  // Blocks with several forward ways in, by their immediate dominator: each is placed behind a block of its own.
  const merges = blocks.map((): BasicBlock[] => []);
  for (const block of blocks) {
    if (block.order > 0 && forwardEntries[block.order] > 1) merges[dominators[block.order]].push(block);
  }
  const loops = new Map<BasicBlock, Label>();
  const places = new Map<BasicBlock, Label>();

  const go = (from: BasicBlock, to: BasicBlock): void => {
    if (!isForward(from, to)) {
      const label = loops.get(to);
      if (!label) {
        emitter.irreducible(to);
        return;
      }
      emitter.backEdge(to);
      f.br(label);
      return;
    }
    const place = places.get(to);
    if (place) f.br(place);
    else if (dominators[to.order] === from.order) tree(to);
    else emitter.irreducible(to);
  };

  const within = (block: BasicBlock, pending: readonly BasicBlock[]): void => {
    const outer = pending.at(-1);
    if (!outer) {
      emitter.block(block, (to) => go(block, to), loopHeads.has(block));
      return;
    }
    f.block((label) => {
      places.set(outer, label);
      within(block, pending.slice(0, -1));
    });
    places.delete(outer);
    tree(outer);
  };

  const tree = (block: BasicBlock): void => {
    // Behind the block come its merges, in order: the last is the outermost.
    const pending = merges[block.order];
    if (!loopHeads.has(block)) {
      within(block, pending);
      return;
    }
    f.loop((label) => {
      loops.set(block, label);
      within(block, pending);
      loops.delete(block);
    });
  };
  tree(blocks[0]);
}
