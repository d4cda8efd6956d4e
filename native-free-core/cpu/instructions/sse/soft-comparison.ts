// Exact SSE comparisons on one lane: minimum, maximum, relations, predicates.
// Owns the helper functions sse.min64, sse.compare64, sse.predicate64 and the like.
// Never writes MXCSR: helpers gather flags, the meaning commits them (mxcsr.ts).

import { call } from '../../builder/function.ts';
import { and, c32, c64, eq, eqz, extendU, ne, or, pure, select, shl, shrU, sub, xor } from '../../builder/nodes.ts';
import { Mxcsr } from '../../semantics/sse-control.ts';
import type { HelperFunction } from '../row.ts';
import { FORMATS, type Format, fromBits, i32, i64, scalarOp } from './common.ts';

import { denormals, flush, helper, isNan, isSignalingNan, raise } from './soft-numbers.ts';

function extreme(format: Format, name: 'min' | 'max'): HelperFunction {
  return helper(`sse.${name}${format.bits}`, [i64, i64], i64, (f) => {
    const a = f.parameter(0, i64);
    const b = f.parameter(1, i64);
    f.if(or(isNan(format, a), isNan(format, b)), () => {
      raise(f, c32(Mxcsr.ie));
      flush(f, format, b);
      f.return(b);
    });
    denormals(f, format, a, b);
    const first = pure(scalarOp(format, name === 'min' ? 'lt' : 'gt'), fromBits(format, a), fromBits(format, b));
    f.return(select(first, a, b));
    f.unreachable();
  });
}

/** Relations that sse.compare gives: bits, so that a predicate is a mask. */
export const Relation = { less: 1, equal: 2, greater: 4, unordered: 8 } as const;

/** sse.compare: (a, b, quiet i32) -> Relation. IE for any NaN unless quiet, then for signaling ones only. */
function comparison(format: Format): HelperFunction {
  return helper(`sse.compare${format.bits}`, [i64, i64, i32], i32, (f) => {
    const a = f.parameter(0, i64);
    const b = f.parameter(1, i64);
    const quiet = f.parameter(2, i32);
    f.if(or(isNan(format, a), isNan(format, b)), () => {
      const signaling = or(isSignalingNan(format, a), isSignalingNan(format, b));
      f.if(or(eqz(quiet), signaling), () => raise(f, c32(Mxcsr.ie)));
      f.return(c32(Relation.unordered));
    });
    denormals(f, format, a, b);
    const x = f.let(fromBits(format, a));
    const y = f.let(fromBits(format, b));
    f.return(
      select(
        pure(scalarOp(format, 'eq'), x, y),
        c32(Relation.equal),
        select(pure(scalarOp(format, 'lt'), x, y), c32(Relation.less), c32(Relation.greater)),
      ),
    );
    f.unreachable();
  });
}

/** sse.predicate: (a, b, predicate 0 to 7 as in CMPxx) -> all ones or zero. */
function predicate(format: Format): HelperFunction {
  // Relations that hold for EQ, LT, LE and UNORD, four bits each.
  const { less, equal, unordered } = Relation;
  const holds = equal | (less << 4) | ((less | equal) << 8) | (unordered << 12);
  return helper(`sse.predicate${format.bits}`, [i64, i64, i32], i64, (f, reference) => {
    const number = f.parameter(2, i32);
    const base = and(number, c32(3));
    const quiet = or(eqz(base), eq(base, c32(3)));
    const relation = call(reference(`sse.compare${format.bits}`), f.parameter(0, i64), f.parameter(1, i64), quiet);
    const holding = ne(and(shrU(c32(holds), shl(base, c32(2))), relation), c32(0));
    f.return(sub(c64(0), extendU(xor(holding, and(shrU(number, c32(2)), c32(1))))));
    f.unreachable();
  });
}

export const comparisonHelpers: readonly HelperFunction[] = FORMATS.flatMap((format) => [
  extreme(format, 'min'),
  extreme(format, 'max'),
  comparison(format),
  predicate(format),
]);
