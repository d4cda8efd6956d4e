// Expressions: small trees of WebAssembly operations, folded where their operands are constants.
// Owns the node shapes and the width-generic arithmetic that instruction meanings are written in.
// Never emits: a node becomes bytes when a FunctionBuilder consumes it.

import { type LoadOperation, laneOp, loadOp, type Operation, op, ValueType } from '../../wasm/opcodes.ts';

const { i32, i64, f64, v128 } = ValueType;

/**
 * One expression. A node is evaluated each time it is emitted, in the place where it is emitted: a value that is used
 * twice, or after something it reads has changed, must go through `FunctionBuilder.let` first.
 */
export type Node =
  | { readonly kind: 'const'; readonly type: ValueType; readonly value: number | bigint }
  | { readonly kind: 'v128'; readonly type: ValueType; readonly bytes: Uint8Array }
  | { readonly kind: 'local'; readonly type: ValueType; readonly index: number }
  | { readonly kind: 'op'; readonly type: ValueType; readonly op: Operation; readonly args: readonly Node[] }
  | {
      readonly kind: 'lane';
      readonly type: ValueType;
      readonly op: Operation;
      readonly lane: number;
      readonly args: readonly Node[];
    }
  | {
      readonly kind: 'shuffle';
      readonly type: ValueType;
      readonly lanes: readonly number[];
      readonly args: readonly Node[];
    }
  | {
      readonly kind: 'load';
      readonly type: ValueType;
      readonly op: LoadOperation;
      readonly address: Node;
      readonly offset: number;
    }
  | { readonly kind: 'select'; readonly type: ValueType; readonly args: readonly [Node, Node, Node] }
  | { readonly kind: 'call'; readonly type: ValueType; readonly index: number; readonly args: readonly Node[] };

export const c32 = (value: number): Node => ({ kind: 'const', type: i32, value: value | 0 });
/** Constants that fit 32 bits are numbers whatever their type: most do, and arithmetic with bigints takes far longer. */
export const c64 = (value: bigint | number): Node => ({ kind: 'const', type: i64, value: canonical(value) });
function canonical(value: bigint | number): bigint | number {
  if (typeof value === 'number' && value === (value | 0)) return value;
  const whole = BigInt.asIntN(64, BigInt(value));
  return whole >= -0x80000000n && whole <= 0x7fffffffn ? Number(whole) : whole;
}
export const cf64 = (value: number): Node => ({ kind: 'const', type: f64, value });
/** A vector constant from its sixteen bytes, lowest first. */
export const cv128 = (bytes: Uint8Array): Node => ({ kind: 'v128', type: v128, bytes });
/** A vector constant from its two 64-bit halves. */
export const cv64x2 = (low: bigint, high: bigint): Node =>
  cv128(new Uint8Array(new BigUint64Array([BigInt.asUintN(64, low), BigInt.asUintN(64, high)]).buffer));

/** A constant of the type of `like`. */
export const constLike = (like: Node, value: number | bigint): Node =>
  like.type === i64 ? c64(value) : c32(Number(value));

/** Any operation, unfolded. */
export const pure = (operation: Operation, ...args: Node[]): Node => ({
  kind: 'op',
  type: operation.result,
  op: operation,
  args,
});
export const lane = (operation: Operation, index: number, ...args: Node[]): Node => ({
  kind: 'lane',
  type: operation.result,
  op: operation,
  lane: index,
  args,
});
/** i8x16.shuffle: lanes 0 to 15 are of `a`, 16 to 31 of `b`. */
export const shuffle = (a: Node, b: Node, lanes: readonly number[]): Node => ({
  kind: 'shuffle',
  type: v128,
  lanes,
  args: [a, b],
});
export const load = (operation: LoadOperation, address: Node, offset = 0): Node => ({
  kind: 'load',
  type: operation.result,
  op: operation,
  address,
  offset,
});
/** The value at a fixed address of the guest's memory, such as a field of the CPU state. */
export const field = (operation: LoadOperation, address: number): Node => load(operation, c32(0), address);
export const select = (condition: Node, yes: Node, no: Node): Node => {
  if (condition.kind === 'const') return condition.value !== 0 ? yes : no;
  return { kind: 'select', type: yes.type, args: [yes, no, condition] };
};

export const isConst = (node: Node): node is Node & { kind: 'const' } => node.kind === 'const';
const isValue = (node: Node, value: number): boolean => node.kind === 'const' && node.value === value;
const allOnes = (node: Node): boolean => isValue(node, -1);

type Fold32 = (a: number, b: number) => number;
type Fold64 = (a: bigint, b: bigint) => bigint;
const big = (node: Node & { kind: 'const' }): bigint => BigInt(node.value);

function binary(on32: Operation, on64: Operation, fold32: Fold32, fold64: Fold64) {
  return (a: Node, b: Node): Node => {
    if (a.type !== b.type) throw new Error(`${on32.name}: operands of types ${a.type} and ${b.type}`);
    if (isConst(a) && isConst(b)) {
      return a.type === i64 ? c64(fold64(big(a), big(b))) : c32(fold32(Number(a.value), Number(b.value)));
    }
    return pure(a.type === i64 ? on64 : on32, a, b);
  };
}

const rawAdd = binary(
  op.i32_add,
  op.i64_add,
  (a, b) => a + b,
  (a, b) => a + b,
);
const rawSub = binary(
  op.i32_sub,
  op.i64_sub,
  (a, b) => a - b,
  (a, b) => a - b,
);
const rawAnd = binary(
  op.i32_and,
  op.i64_and,
  (a, b) => a & b,
  (a, b) => a & b,
);
const rawOr = binary(
  op.i32_or,
  op.i64_or,
  (a, b) => a | b,
  (a, b) => a | b,
);
const rawXor = binary(
  op.i32_xor,
  op.i64_xor,
  (a, b) => a ^ b,
  (a, b) => a ^ b,
);
const rawShl = binary(
  op.i32_shl,
  op.i64_shl,
  (a, b) => a << b,
  (a, b) => a << (b & 63n),
);
const rawShrU = binary(
  op.i32_shr_u,
  op.i64_shr_u,
  (a, b) => a >>> b,
  (a, b) => BigInt.asUintN(64, a) >> (b & 63n),
);
const rawShrS = binary(
  op.i32_shr_s,
  op.i64_shr_s,
  (a, b) => a >> b,
  (a, b) => a >> (b & 63n),
);

export const add = (a: Node, b: Node): Node => (isValue(b, 0) ? a : isValue(a, 0) ? b : rawAdd(a, b));
export const sub = (a: Node, b: Node): Node => (isValue(b, 0) ? a : rawSub(a, b));
export const mul = binary(op.i32_mul, op.i64_mul, Math.imul, (a, b) => a * b);
export const and = (a: Node, b: Node): Node => (allOnes(b) ? a : allOnes(a) ? b : rawAnd(a, b));
export const or = (a: Node, b: Node): Node => (isValue(b, 0) ? a : isValue(a, 0) ? b : rawOr(a, b));
export const xor = (a: Node, b: Node): Node => (isValue(b, 0) ? a : isValue(a, 0) ? b : rawXor(a, b));
/** Shift counts are taken modulo the width, as WebAssembly does. Both operands have the same type. */
export const shl = (a: Node, b: Node): Node => (isValue(b, 0) ? a : rawShl(a, b));
export const shrU = (a: Node, b: Node): Node => (isValue(b, 0) ? a : rawShrU(a, b));
export const shrS = (a: Node, b: Node): Node => (isValue(b, 0) ? a : rawShrS(a, b));
export const rotl = (a: Node, b: Node): Node => pure(a.type === i64 ? op.i64_rotl : op.i32_rotl, a, b);
export const rotr = (a: Node, b: Node): Node => pure(a.type === i64 ? op.i64_rotr : op.i32_rotr, a, b);
/** Division traps on zero and on overflow: guard first. */
export const divU = (a: Node, b: Node): Node => pure(a.type === i64 ? op.i64_div_u : op.i32_div_u, a, b);
export const divS = (a: Node, b: Node): Node => pure(a.type === i64 ? op.i64_div_s : op.i32_div_s, a, b);
export const remU = (a: Node, b: Node): Node => pure(a.type === i64 ? op.i64_rem_u : op.i32_rem_u, a, b);
export const remS = (a: Node, b: Node): Node => pure(a.type === i64 ? op.i64_rem_s : op.i32_rem_s, a, b);

function compare(on32: Operation, on64: Operation, fold: (a: bigint, b: bigint) => boolean) {
  return (a: Node, b: Node): Node => {
    if (a.type !== b.type) throw new Error(`${on32.name}: operands of types ${a.type} and ${b.type}`);
    if (isConst(a) && isConst(b)) return c32(fold(big(a), big(b)) ? 1 : 0);
    return pure(a.type === i64 ? on64 : on32, a, b);
  };
}
const u = (value: bigint): bigint => BigInt.asUintN(64, value);

export const eq = compare(op.i32_eq, op.i64_eq, (a, b) => a === b);
export const ne = compare(op.i32_ne, op.i64_ne, (a, b) => a !== b);
export const ltS = compare(op.i32_lt_s, op.i64_lt_s, (a, b) => a < b);
export const gtS = compare(op.i32_gt_s, op.i64_gt_s, (a, b) => a > b);
export const leS = compare(op.i32_le_s, op.i64_le_s, (a, b) => a <= b);
export const geS = compare(op.i32_ge_s, op.i64_ge_s, (a, b) => a >= b);
// Sign-extending a 32-bit constant keeps unsigned order, so one fold serves both widths.
export const ltU = compare(op.i32_lt_u, op.i64_lt_u, (a, b) => u(a) < u(b));
export const gtU = compare(op.i32_gt_u, op.i64_gt_u, (a, b) => u(a) > u(b));
export const leU = compare(op.i32_le_u, op.i64_le_u, (a, b) => u(a) <= u(b));
export const geU = compare(op.i32_ge_u, op.i64_ge_u, (a, b) => u(a) >= u(b));

export const eqz = (a: Node): Node => {
  if (isConst(a)) return c32(big(a) === 0n ? 1 : 0);
  return pure(a.type === i64 ? op.i64_eqz : op.i32_eqz, a);
};
export const not = (a: Node): Node => xor(a, constLike(a, -1));
export const neg = (a: Node): Node => sub(constLike(a, 0), a);
export const clz = (a: Node): Node => pure(a.type === i64 ? op.i64_clz : op.i32_clz, a);
export const ctz = (a: Node): Node => pure(a.type === i64 ? op.i64_ctz : op.i32_ctz, a);
export const popcnt = (a: Node): Node => pure(a.type === i64 ? op.i64_popcnt : op.i32_popcnt, a);

export const extendU = (a: Node): Node => {
  if (a.type === i64) return a;
  return isConst(a) ? c64(BigInt(Number(a.value) >>> 0)) : pure(op.i64_extend_i32_u, a);
};
export const extendS = (a: Node): Node => {
  if (a.type === i64) return a;
  return isConst(a) ? c64(big(a)) : pure(op.i64_extend_i32_s, a);
};
export const wrap = (a: Node): Node => {
  if (a.type === i32) return a;
  if (isConst(a)) return c32(Number(BigInt.asIntN(32, big(a))));
  if (a.kind === 'op' && (a.op === op.i64_extend_i32_u || a.op === op.i64_extend_i32_s)) return a.args[0];
  return pure(op.i32_wrap_i64, a);
};

/** Operand sizes in bits. Values of up to 32 bits live in an i32, those of 64 in an i64. */
export type Size = 8 | 16 | 32 | 64;

export const typeOf = (size: Size): ValueType => (size === 64 ? i64 : i32);
/** A constant of an operand size's type. */
export const cSize = (size: Size, value: number | bigint): Node =>
  size === 64 ? c64(value) : c32(Number(BigInt.asIntN(32, BigInt(value))));
/** Clears what an i32 holds above the operand size. */
export const zeroExtend = (size: Size, a: Node): Node =>
  size === 8 ? and(a, c32(0xff)) : size === 16 ? and(a, c32(0xffff)) : a;
/** Copies the operand size's sign bit through the rest of its i32. */
export const signExtend = (size: Size, a: Node): Node => {
  if (size !== 8 && size !== 16) return a;
  if (isConst(a)) return c32((Number(a.value) << (32 - size)) >> (32 - size));
  return pure(size === 8 ? op.i32_extend8_s : op.i32_extend16_s, a);
};
/** The value as an i64, sign-extended from the operand size. */
export const signExtendTo64 = (size: Size, a: Node): Node => extendS(signExtend(size, a));
/** A value of any width as the i32 or i64 that an operand size lives in; upper bits are not cleaned. */
export const asSize = (size: Size, a: Node): Node => (size === 64 ? extendU(a) : wrap(a));
/** 1 when the sign bit of the operand size is set. */
export const signBit = (size: Size, a: Node): Node =>
  size === 64 ? wrap(shrU(a, c64(63))) : and(shrU(a, c32(size - 1)), c32(1));

const extractLanes = {
  i32: laneOp.i32x4_extract_lane,
  i64: laneOp.i64x2_extract_lane,
  f32: laneOp.f32x4_extract_lane,
  f64: laneOp.f64x2_extract_lane,
} as const;
/** One lane of a vector. */
export const extract = (of: keyof typeof extractLanes, index: number, vector: Node): Node =>
  lane(extractLanes[of], index, vector);
const replaceLanes = {
  i32: laneOp.i32x4_replace_lane,
  i64: laneOp.i64x2_replace_lane,
  f32: laneOp.f32x4_replace_lane,
  f64: laneOp.f64x2_replace_lane,
} as const;
/** The vector with one lane exchanged. */
export const replace = (of: keyof typeof replaceLanes, index: number, vector: Node, value: Node): Node =>
  lane(replaceLanes[of], index, vector, value);

export { laneOp, loadOp, op };
