// Registers of the x87 stack as WebAssembly helpers find them: position to physical register, tags, TOP.
// Owns the few lines that every stack helper shares.
// Never raises anything.

import { storeOp } from '../../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../../builder/function.ts';
import { add, and, c32, eq, type Node, not, or, select, shl, shrU } from '../../builder/nodes.ts';
import { Exception, ftop, ftw, Status } from '../../float80/parts.ts';
import { S } from '../../state.ts';

/** Stack position that stands for the memory operand: the entry behind the registers, never empty. */
export const OPERAND = 8;
export const CONDITIONS = Status.c0 | Status.c2 | Status.c3;
export const STACK_FAULT = Exception.invalid | Status.stackFault;

export const setTop = (f: FunctionBuilder, value: Node): void => f.storeField(storeOp.i32_store, S.ftop, value);
export const setTags = (f: FunctionBuilder, value: Node): void => f.storeField(storeOp.i32_store, S.ftw, value);

/** Physical number of ST(position); the operand entry is number 8. */
export const physical = (top: Node, position: Node): Node =>
  position.kind === 'const'
    ? position.value === OPERAND
      ? position
      : and(add(top, position), c32(7))
    : select(and(position, c32(OPERAND)), c32(OPERAND), and(add(top, position), c32(7)));
export const addressOf = (number: Node): Node => add(c32(S.fpu), shl(number, c32(4)));
/** 1 unless the register is empty. */
export const holds = (number: Node): Node => and(shrU(or(ftw, c32(1 << OPERAND)), number), c32(1));
export const fill = (f: FunctionBuilder, number: Node): void => setTags(f, or(ftw, shl(c32(1), number)));

/** Pops the stack: marks ST(0) empty and moves TOP. */
export function pop(f: FunctionBuilder): void {
  setTags(f, and(ftw, not(shl(c32(1), ftop))));
  setTop(f, and(add(ftop, c32(1)), c32(7)));
}
export const popTimes = (f: FunctionBuilder, times: Node): void => {
  f.if(times, () => {
    pop(f);
    f.if(eq(times, c32(2)), () => pop(f));
  });
};
