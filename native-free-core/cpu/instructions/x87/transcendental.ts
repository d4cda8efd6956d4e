// The x87's transcendental instructions: their rows, and the frequent halves of four of them on the register stack.
// Owns what decides between WebAssembly (float80/transcendental.ts) and TypeScript (system/x87-transcendental.ts).
// Never computes: both sides give the same bits.

import { c32, eqz } from '../../builder/nodes.ts';
import type { Row } from '../row.ts';
import { checkWaiting, valueAt } from './common.ts';

/** A row whose ordinary case is a function of float80/; it refuses the others, which are TypeScript's. */
const withColdHalf = (name: string, byte: string, operation: string, operands: 1 | 2): Row => ({
  name,
  encodings: [`D9 ${byte}`],
  meaning(m) {
    checkWaiting(m);
    const positions = operands === 1 ? [c32(0)] : [c32(0), c32(1)];
    const done = m.let(c32(0));
    m.if(m.x87.ready(positions), () => {
      const registers = positions.map((position) => m.x87.address(position));
      // The result replaces the last operand.
      m.set(done, m.helper(operation, ...registers.flatMap(valueAt), registers[operands - 1]));
    });
    m.coldIf(eqz(done));
    if (operands === 2) m.x87.pop();
    m.x87.note(m.instructionIp());
  },
});

export const transcendentalRows: readonly Row[] = [
  withColdHalf('F2XM1', 'F0', 'f80.exponential', 1),
  withColdHalf('FYL2X', 'F1', 'f80.logarithm', 2),
  { name: 'FPTAN', encodings: ['D9 F2'], meaning: 'cold' },
  withColdHalf('FPATAN', 'F3', 'f80.angle', 2),
  withColdHalf('FYL2XP1', 'F9', 'f80.logarithmOfSum', 2),
  { name: 'FSINCOS', encodings: ['D9 FB'], meaning: 'cold' },
  { name: 'FSIN', encodings: ['D9 FE'], meaning: 'cold' },
  { name: 'FCOS', encodings: ['D9 FF'], meaning: 'cold' },
];
