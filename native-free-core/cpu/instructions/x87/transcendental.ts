// The x87's transcendental instructions: their rows, and their ordinary halves on the register stack.
// Owns what decides between WebAssembly (float80/transcendental.ts, trigonometry.ts) and TypeScript (system/).
// Never computes: both sides give the same bits.

import { c32, c64, eqz } from '../../builder/nodes.ts';
import { EXPONENT_BIAS, INTEGER_BIT, put } from '../../float80/parts.ts';
import { NEXT } from '../../semantics/x87-stack.ts';
import type { Row } from '../row.ts';
import { checkWaiting, valueAt } from './common.ts';

interface Work {
  /** Function of float80/ that does the ordinary case and gives 1, or refuses with 0. */
  readonly operation: string;
  /** One or two operands, from ST(0) on; the result replaces the last, which becomes the top. */
  readonly operands: 1 | 2;
  /** What is pushed then: a second result of the function, or 1. */
  readonly pushes?: 'result' | 'one';
}

const ST0 = c32(0);
const ST1 = c32(1);

/** A row whose ordinary case is WebAssembly's; the others are TypeScript's. */
const withColdHalf = (name: string, byte: string, { operation, operands, pushes }: Work): Row => ({
  name,
  encodings: [`D9 ${byte}`],
  meaning(m) {
    checkWaiting(m);
    const positions = operands === 1 ? [ST0] : [ST0, ST1];
    const done = m.let(c32(0));
    m.if(m.x87.ready(positions, pushes !== undefined), () => {
      const registers = positions.map((position) => m.x87.address(position));
      const destinations = [registers[operands - 1]];
      if (pushes === 'result') destinations.push(m.x87.address(NEXT));
      m.set(done, m.helper(operation, ...registers.flatMap(valueAt), ...destinations));
    });
    m.coldIf(eqz(done));
    if (operands === 2) m.x87.pop();
    if (pushes === 'one') put(m, m.x87.address(NEXT), c64(INTEGER_BIT), c32(EXPONENT_BIAS));
    if (pushes !== undefined) m.x87.push();
    m.x87.note(m.instructionIp());
  },
});

export const transcendentalRows: readonly Row[] = [
  withColdHalf('F2XM1', 'F0', { operation: 'f80.exponential', operands: 1 }),
  withColdHalf('FYL2X', 'F1', { operation: 'f80.logarithm', operands: 2 }),
  withColdHalf('FPTAN', 'F2', { operation: 'f80.tangent', operands: 1, pushes: 'one' }),
  withColdHalf('FPATAN', 'F3', { operation: 'f80.angle', operands: 2 }),
  withColdHalf('FYL2XP1', 'F9', { operation: 'f80.logarithmOfSum', operands: 2 }),
  withColdHalf('FSINCOS', 'FB', { operation: 'f80.sineAndCosine', operands: 1, pushes: 'result' }),
  withColdHalf('FSIN', 'FE', { operation: 'f80.sine', operands: 1 }),
  withColdHalf('FCOS', 'FF', { operation: 'f80.cosine', operands: 1 }),
];
