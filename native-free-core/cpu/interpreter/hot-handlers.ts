// Which handlers are part of the interpreter's dispatch loop.
// Owns the choice, by what compilers emit most.
// Never changes what a handler does: the same meaning is built at another place.

import type { HandlerShape } from './interpreter-meaning.ts';

/** Rows that make up most of what compiled 32- and 64-bit code executes. */
const HOT_ROWS: ReadonlySet<string> = new Set([
  'MOV',
  'MOVZX',
  'LEA',
  'ADD',
  'SUB',
  'AND',
  'OR',
  'XOR',
  'CMP',
  'TEST',
  'INC',
  'DEC',
  'SHL',
  'SHR',
  'PUSH',
  'POP',
  'CALL',
  'RET',
  'JMP',
  'JB',
  'JNB',
  'JZ',
  'JNZ',
  'JBE',
  'JNBE',
  'JL',
  'JNL',
  'JLE',
  'JNLE',
  'JS',
  'JNS',
]);

/**
 * Whether a handler is worth a place in the loop. Each costs code that V8 optimizes as one function, so 8-bit moves and
 * tests are in, 16-bit and segmented forms are not.
 */
export function isHot(row: string, shape: HandlerShape): boolean {
  if (!HOT_ROWS.has(row) || !shape.flat || shape.rep !== 0 || shape.size === 16) return false;
  if (shape.operands.some((operand) => operand.fixed !== undefined)) return false;
  if (shape.size === 8) return row === 'MOV' || row === 'CMP' || row === 'TEST';
  return true;
}
