// What functions on 80-bit numbers begin with: their parameters, NaNs and encodings without a value, denormal operands.
// Owns the order of the parameters of functions with one and with two operands.
// Never answers for a NaN itself: f80.nan does (rounding.ts).

import { ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import { c32, c64, type Node, or } from '../builder/nodes.ts';
import { Exception, isDenormal, isNan, isUnsupported, type Local, type Reach, raise } from './parts.ts';

const { i32, i64 } = ValueType;

/** Types of the parameters of a function with one operand: significand, sign and exponent, destination. */
export const ONE_OPERAND = [i64, i32, i32] as const;
/** The same of two operands: a's significand, sign and exponent, b's, destination. */
export const TWO_OPERANDS = [i64, i32, i64, i32, i32] as const;

export interface OneOperand {
  readonly a: Local;
  readonly aSe: Local;
  readonly destination: Local;
}

export interface TwoOperands extends OneOperand {
  readonly b: Local;
  readonly bSe: Local;
}

export const oneOperand = (f: FunctionBuilder): OneOperand => ({
  a: f.parameter(0, i64),
  aSe: f.parameter(1, i32),
  destination: f.parameter(2, i32),
});

export const twoOperands = (f: FunctionBuilder): TwoOperands => ({
  a: f.parameter(0, i64),
  aSe: f.parameter(1, i32),
  b: f.parameter(2, i64),
  bSe: f.parameter(3, i32),
  destination: f.parameter(4, i32),
});

/** 1 for what has no place in the order of numbers. */
const isNone = (significand: Node, se: Node): Node => or(isNan(significand, se), isUnsupported(significand, se));

/** Ends the function as it ends where the operand is a NaN or unsupported. */
export function answerNan(f: FunctionBuilder, reach: Reach, { a, aSe, destination }: OneOperand): void {
  f.if(isNone(a, aSe), () => f.returnCall(reach('f80.nan'), a, aSe, c64(0), c32(0), destination));
}

/** The same where one of two operands is. */
export function answerNans(f: FunctionBuilder, reach: Reach, { a, aSe, b, bSe, destination }: TwoOperands): void {
  f.if(or(isNone(a, aSe), isNone(b, bSe)), () => f.returnCall(reach('f80.nan'), a, aSe, b, bSe, destination));
}

/** Raises the denormal exception where an operand is one; an unmasked one ends the function with 0. */
export function raiseDenormal(f: FunctionBuilder, reach: Reach, operands: OneOperand | TwoOperands): void {
  const { a, aSe } = operands;
  const either = 'b' in operands ? or(isDenormal(a, aSe), isDenormal(operands.b, operands.bSe)) : isDenormal(a, aSe);
  f.if(either, () => f.if(raise(f, reach, c32(Exception.denormal)), () => f.return(c32(0))));
}
