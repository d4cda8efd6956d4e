// Memory that the processor itself looks at (descriptors, gates, the TSS, frames), found through the TLB in WebAssembly.
// Owns the look-up with supervisor privilege; whatever is not in the TLB goes another way.
// Never walks page tables and never faults.

import { TLB_ENTRIES, type TlbKind } from '../../memory/layout.ts';
import type { FunctionBuilder, Label } from '../builder/function.ts';
import { add, and, c32, c64, field, load, loadOp, type Node, ne, shrU, wrap } from '../builder/nodes.ts';
import { S } from '../state.ts';

export type Local = Node & { kind: 'local' };

/**
 * Host address (i32) of `bytes` at a linear address (i64), as an access with supervisor privilege finds them in the TLB.
 * Branches to `miss` where they are not there or cross a page.
 */
export function supervisorHost(f: FunctionBuilder, kind: TlbKind, linear: Local, bytes: number, miss: Label): Local {
  const index = and(shrU(wrap(linear), c32(8)), c32((TLB_ENTRIES - 1) << 4));
  const entry = f.let(add(field(loadOp.i32_load, S.tlbBank), index));
  // The last byte's page: of an access that crosses a page it is not the page that the entry is for.
  const page = and(add(linear, c64(bytes - 1)), c64(~0xfffn));
  f.brIf(miss, ne(load(loadOp.i64_load, entry, kind), page));
  return f.let(add(wrap(linear), load(loadOp.i32_load, entry, kind + 8)));
}
