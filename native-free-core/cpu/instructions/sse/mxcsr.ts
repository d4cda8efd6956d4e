// MXCSR as meanings change it: flags that an instruction has raised, and LDMXCSR.
// Owns the helper functions sse.commit and sse.setMxcsr, the only writers of MXCSR in WebAssembly.
// Never raises an exception: it gives the vector, the meaning raises.

import { loadOp, storeOp } from '../../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../../builder/function.ts';
import { and, c32, eqz, field, mul, ne, not, or, select, shrU } from '../../builder/nodes.ts';
import { CR4_OSXMMEXCPT, Mxcsr, SseSlow } from '../../semantics/sse-control.ts';
import { S } from '../../state.ts';
import type { HelperFunction } from '../row.ts';
import { i32, type Local } from './common.ts';

import { helper, mxcsr, raised } from './soft-numbers.ts';

/** Stores MXCSR (i32 local) and what follows from it. */
function storeMxcsr(f: FunctionBuilder, value: Local): void {
  f.storeField(storeOp.i32_store, S.mxcsr, value);
  const control = ne(and(value, c32(Mxcsr.round | Mxcsr.ftz | Mxcsr.daz | Mxcsr.masks)), c32(Mxcsr.masks));
  const exactness = eqz(and(value, c32(Mxcsr.pe)));
  f.storeField(
    storeOp.i32_store,
    S.sseSlow,
    or(mul(exactness, c32(SseSlow.inexactUnseen)), mul(control, c32(SseSlow.control))),
  );
}

/** sse.setMxcsr: (value i32), already checked for reserved bits. */
const setMxcsr = helper('sse.setMxcsr', [i32], undefined, (f) => storeMxcsr(f, f.parameter(0, i32)));

/** sse.commit: moves the raised flags to MXCSR; gives the vector to raise, or 0. */
const commit = helper('sse.commit', [], i32, (f) => {
  const flags = f.let(raised());
  f.if(eqz(flags), () => f.return(c32(0)));
  f.storeField(storeOp.i32_store, S.sseRaised, c32(0));
  const value = f.let(mxcsr());
  const unmasked = f.let(and(flags, not(shrU(value, c32(Mxcsr.maskShift)))));
  // An unmasked pre-computation exception leaves the post-computation ones unseen (Intel SDM volume 1, 11.5.2.3).
  const before = Mxcsr.ie | Mxcsr.de | Mxcsr.ze;
  f.if(and(unmasked, c32(before)), () => f.set(flags, and(flags, c32(before))));
  f.set(value, or(value, flags));
  storeMxcsr(f, value);
  f.if(eqz(unmasked), () => f.return(c32(0)));
  f.return(select(and(field(loadOp.i32_load, S.cr4), c32(CR4_OSXMMEXCPT)), c32(19), c32(6)));
  f.unreachable();
});

export const mxcsrHelpers: readonly HelperFunction[] = [setMxcsr, commit];
