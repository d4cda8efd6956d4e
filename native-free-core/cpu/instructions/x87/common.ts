// What every x87 and MMX meaning begins with: whether it may run, and the instruction pointer it leaves behind.
// Owns the checks of CR0.EM, CR0.TS and pending exceptions.
// Never touches x87 registers.

import { and, c32, eq, field, loadOp, type Node } from '../../builder/nodes.ts';
import { type Local, signExponentAt, significandAt } from '../../float80/parts.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { S, Vector } from '../../state.ts';

const trap = field(loadOp.i32_load, S.fpuTrap);
const EM_OR_TS = 0xc;
const MP_AND_TS = 0xa;

/** Any x87 instruction that is not a wait: #NM where the unit is switched off. For FNSTSW and its like alone. */
export function checkAvailable(m: Meaning): void {
  m.beginsWith('x87Available');
  m.raiseIf(and(trap, c32(EM_OR_TS)), Vector.deviceNotAvailable);
}

/**
 * A waiting x87 instruction: #NM, or #MF for an exception that an earlier one left pending. Whether #MF is an exception
 * or a request on FERR# (CR0.NE clear) is decided where it is delivered.
 */
export function checkWaiting(m: Meaning): void {
  m.beginsWith('x87Waiting');
  m.x87.check(trap, () => {
    checkAvailable(m);
    m.raise(Vector.x87);
  });
}

/**
 * What an x87 instruction that is no control instruction begins with: the check, and its address for FNSTENV. With a memory
 * operand that waits for {@link noteOperand}: the access may fault, and then nothing has happened yet.
 */
export function begin(m: Meaning): void {
  checkWaiting(m);
  if (!m.operands.some(({ kind }) => kind === 'mem')) m.x87.note(m.instructionIp());
}

/**
 * Does `fast` where these stack positions hold values and, if `pushes`, there is room for one more; else what `helper`
 * builds, a call of the helper function that does everything, faults of the stack included.
 */
export function onStack(m: Meaning, full: readonly Node[], fast: () => void, helper: () => void, pushes = false): void {
  if (m.x87.require(full, pushes)) fast();
  else m.if(m.x87.ready(full, pushes), fast, helper, true);
}

/** Operand i's stack position, as a node that may be emitted again. */
export function positionOf(m: Meaning, operand: number): Node {
  const position = m.registerNumber(operand);
  return position.kind === 'const' ? position : m.let(position);
}

/** Significand, sign and exponent of the register at an address, as arguments of a function. */
export const valueAt = (address: Local): [Node, Node] => [significandAt(address), signExponentAt(address)];

/** Notes the instruction's address and its memory operand's (linear) for FNSTENV. Behind the access, which may fault. */
export function noteOperand(m: Meaning, linear: Node): void {
  m.x87.note(m.instructionIp());
  m.setState64(S.fdp, linear);
}

/** FWAIT: #NM only where CR0.MP and CR0.TS are both set. */
export function checkWait(m: Meaning): void {
  m.if(trap, () => {
    m.raiseIf(eq(and(m.state32(S.cr0), c32(MP_AND_TS)), c32(MP_AND_TS)), Vector.deviceNotAvailable);
    m.raiseIf(and(trap, c32(0x80)), Vector.x87);
  });
}

/** An MMX instruction: #UD with CR0.EM, #NM with CR0.TS, then what a waiting x87 instruction checks. */
export function checkMmx(m: Meaning): void {
  m.beginsWith('mmx');
  m.if(trap, () => {
    m.raiseIf(and(trap, c32(4)), Vector.invalidOpcode);
    m.raiseIf(and(trap, c32(8)), Vector.deviceNotAvailable);
    m.raise(Vector.x87);
  });
}
