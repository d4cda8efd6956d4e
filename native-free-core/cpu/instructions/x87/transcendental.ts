// The x87's transcendental instructions: their rows, and the frequent halves of four of them on the register stack.
// Owns what decides between WebAssembly (float80/transcendental.ts) and TypeScript (system/x87-transcendental.ts).
// Never computes: both sides give the same bits.

import { ValueType } from '../../../wasm/opcodes.ts';
import { call } from '../../builder/function.ts';
import { and, c32, eqz, type Node } from '../../builder/nodes.ts';
import { ftop, type Local, signExponentAt, significandAt } from '../../float80/parts.ts';
import { S } from '../../state.ts';
import type { HelperFunction, Row } from '../row.ts';
import { checkWaiting } from './common.ts';
import { addressOf, holds, physical, pop } from './stack-access.ts';

const { i32 } = ValueType;

/** () -> 1 when done: ST(0) = f(ST(0)). */
const onTop = (operation: string): HelperFunction => ({
  name: `x87.${operation}`,
  parameters: [],
  result: i32,
  build(f, reach) {
    const top = f.let(ftop);
    f.if(eqz(holds(top)), () => f.return(c32(0)));
    const p = f.let(addressOf(top));
    f.returnCall(reach(`f80.${operation}`), significandAt(p), signExponentAt(p), p);
    f.unreachable();
  },
});

/** () -> 1 when done: ST(1) = f(ST(0), ST(1)), then pops. */
const onTwo = (operation: string): HelperFunction => ({
  name: `x87.${operation}`,
  parameters: [],
  result: i32,
  build(f, reach) {
    const top = f.let(ftop);
    const other = f.let(physical(top, c32(1)));
    f.if(eqz(and(holds(top), holds(other))), () => f.return(c32(0)));
    const p = f.let(addressOf(top));
    const q = f.let(addressOf(other));
    const operands = (at: Local): Node[] => [significandAt(at), signExponentAt(at)];
    f.if(eqz(call(reach(`f80.${operation}`), ...operands(p), ...operands(q), q)), () => f.return(c32(0)));
    pop(f);
    f.return(c32(1));
    f.unreachable();
  },
});

/** A row whose helper has the first word, and TypeScript the last. */
const withColdHalf = (name: string, byte: string, helper: string): Row => ({
  name,
  encodings: [`D9 ${byte}`],
  meaning(m) {
    checkWaiting(m);
    m.coldIf(eqz(m.helper(helper)));
    m.setState64(S.fip, m.instructionIp());
  },
});

export const transcendentalStackHelpers: readonly HelperFunction[] = [
  onTop('exponential'),
  onTwo('logarithm'),
  onTwo('logarithmOfSum'),
  onTwo('angle'),
];

export const transcendentalRows: readonly Row[] = [
  withColdHalf('F2XM1', 'F0', 'x87.exponential'),
  withColdHalf('FYL2X', 'F1', 'x87.logarithm'),
  { name: 'FPTAN', encodings: ['D9 F2'], meaning: 'cold' },
  withColdHalf('FPATAN', 'F3', 'x87.angle'),
  withColdHalf('FYL2XP1', 'F9', 'x87.logarithmOfSum'),
  { name: 'FSINCOS', encodings: ['D9 FB'], meaning: 'cold' },
  { name: 'FSIN', encodings: ['D9 FE'], meaning: 'cold' },
  { name: 'FCOS', encodings: ['D9 FF'], meaning: 'cold' },
];
