// SSE float comparisons: CMPxx into masks, COMISx and UCOMISx into EFLAGS.
// Owns the fast paths for numbers; a NaN in any lane goes to the exact helpers.
// Never compares integers: see integer.ts.

import {
  and,
  c32,
  eq,
  extract,
  type Node,
  ne,
  op,
  or,
  pure,
  replace,
  select,
  shl,
  shrU,
  sub,
} from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import type { Row } from '../row.ts';
import {
  bitsOf,
  commit,
  every,
  FORMATS,
  type Format,
  guarded,
  keep,
  knownByte,
  packedOp,
  readScalar,
  row,
  scalarOp,
  unless,
  v128,
} from './common.ts';
import { Relation } from './soft-comparison.ts';

/** Predicates 0 to 2 of ordered operands; 3, unordered, is then always false. */
const PREDICATES = ['eq', 'lt', 'le'] as const;

/** The mask of a predicate on operands without NaNs. */
function compareOrdered(m: Meaning, format: Format, a: Node, b: Node, predicate: Node): Node {
  const by = (number: number): Node =>
    number === 3 ? pure(op.i32x4_splat, c32(0)) : pure(packedOp(format, PREDICATES[number]), a, b);
  const known = knownByte(predicate);
  if (known !== undefined) return known & 4 ? pure(op.v128_not, by(known & 3)) : by(known & 3);
  const choose = (yes: number, no: number) => () =>
    m.ifValue(
      v128,
      and(predicate, c32(1)),
      () => by(yes),
      () => by(no),
    );
  const base = m.ifValue(v128, and(predicate, c32(2)), choose(3, 2), choose(1, 0));
  const inverted = sub(c32(0), and(shrU(predicate, c32(2)), c32(1)));
  return pure(op.v128_xor, base, pure(op.i32x4_splat, inverted));
}

function masks(): Row[] {
  return FORMATS.flatMap((format) => [
    row(`CMP${format.packed}`, `${format.packedPrefix} 0F C2 Vo,Wo,Ib`, (m) => {
      const b = m.let(m.readVector(1, true));
      const a = m.let(m.readVector(0));
      const predicate = keep(m, m.immediate(2, 8));
      const ordered = every(
        format,
        pure(op.v128_and, pure(packedOp(format, 'eq'), a, a), pure(packedOp(format, 'eq'), b, b)),
      );
      const helper = `sse.compare${format.packed.toLowerCase()}`;
      m.writeVector(
        0,
        guarded(
          m,
          compareOrdered(m, format, a, b, predicate),
          () => ordered,
          () => m.helper(helper, a, b, and(predicate, c32(7))),
        ),
      );
    }),
    row(`CMP${format.single}`, `${format.scalarPrefix} 0F C2 Vo,W${format.width},Ib`, (m) => {
      const b = m.let(readScalar(m, 1, format));
      const vector = m.let(m.readVector(0));
      const a = m.let(extract(format.lane, 0, vector));
      const predicate = keep(m, m.immediate(2, 8));
      const other = m.let(replace(format.lane, 0, vector, b));
      const ordered = and(pure(scalarOp(format, 'eq'), a, a), pure(scalarOp(format, 'eq'), b, b));
      const mask = guarded(
        m,
        compareOrdered(m, format, vector, other, predicate),
        () => ordered,
        () =>
          pure(
            op.i64x2_splat,
            m.helper(`sse.predicate${format.bits}`, bitsOf(format, a), bitsOf(format, b), and(predicate, c32(7))),
          ),
      );
      const lane = format.bits === 64 ? 'i64' : 'i32';
      m.writeVector(0, replace(lane, 0, vector, extract(lane, 0, mask)));
    }),
  ]);
}

/** COMISx and UCOMISx: ZF, PF, CF by the relation; OF, SF and AF clear. */
function relations(name: 'COMI' | 'UCOMI', opcode: string): Row[] {
  return FORMATS.map((format) => ({
    ...row(`${name}${format.single}`, `${format.packedPrefix} 0F ${opcode} V${format.width},W${format.width}`, (m) => {
      const b = m.let(readScalar(m, 1, format));
      const a = m.let(readScalar(m, 0, format));
      const less = m.let(pure(scalarOp(format, 'lt'), a, b));
      const equal = m.let(pure(scalarOp(format, 'eq'), a, b));
      const greater = pure(scalarOp(format, 'gt'), a, b);
      const bits = m.let(or(less, shl(equal, c32(6))));
      unless(m, or(or(less, equal), greater), () => {
        const relation = m.helper(
          `sse.compare${format.bits}`,
          bitsOf(format, a),
          bitsOf(format, b),
          c32(name === 'UCOMI' ? 1 : 0),
        );
        commit(m);
        m.set(
          bits,
          select(
            eq(relation, c32(Relation.unordered)),
            c32(0x45),
            or(
              ne(and(relation, c32(Relation.less)), c32(0)),
              shl(ne(and(relation, c32(Relation.equal)), c32(0)), c32(6)),
            ),
          ),
        );
      });
      m.setFlagsExplicit(bits);
    }),
    flags: { written: 'OSZAPC' },
  }));
}

export const compareRows: readonly Row[] = [...masks(), ...relations('UCOMI', '2E'), ...relations('COMI', '2F')];
