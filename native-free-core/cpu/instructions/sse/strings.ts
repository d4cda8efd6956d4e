// SSE4.2's string comparisons (PCMPxSTRx) and CRC32.
// Owns the helper functions that compare two vectors of characters, and the CRC-32C polynomial.
// Never touches memory beyond the instruction's operand.

import { storeOp } from '../../../wasm/opcodes.ts';
import { call, type FunctionBuilder } from '../../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  clz,
  ctz,
  eq,
  eqz,
  extendU,
  gtS,
  load,
  loadOp,
  ltS,
  type Node,
  ne,
  not,
  op,
  or,
  pure,
  replace,
  select,
  shl,
  shrU,
  sub,
  wrap,
  xor,
} from '../../builder/nodes.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { S } from '../../state.ts';
import type { HelperFunction, Row } from '../row.ts';
import { i32, i64, keep, operation, row, v128, zero128 } from './common.ts';
import { helper } from './soft-numbers.ts';

// ---- PCMPxSTRx

/** The lower `count` bits set; count up to 16. */
const lowBits = (count: Node): Node => sub(shl(c32(1), count), c32(1));

/** One bit a character of the mask, for characters of 8 or 16 bits. */
const bitsOf = (wide: boolean, mask: Node): Node => pure(wide ? op.i16x8_bitmask : op.i8x16_bitmask, mask);

/**
 * IntRes1 for characters of one width (Intel SDM volume 1, 14.12.3 and volume 2, 4.1): the operands as in
 * sse.stringMask, which has put `a` into scratch memory.
 */
function compareCharacters(f: FunctionBuilder, wide: boolean): void {
  const a = f.parameter(0, v128);
  const b = f.parameter(1, v128);
  const la = f.parameter(2, i32);
  const lb = f.parameter(3, i32);
  const control = f.parameter(4, i32);
  const shape = wide ? 'i16x8' : 'i8x16';
  const all = wide ? 0xff : 0xffff;
  const validB = f.let(lowBits(lb));
  const how = f.let(and(shrU(control, c32(2)), c32(3)));
  const result = f.let(c32(0));
  const i = f.let(c32(0));
  /** Character `index` of a in every lane. */
  const repeated = (index: Node): Node =>
    wide
      ? pure(op.i16x8_splat, load(loadOp.i32_load16_u, shl(index, c32(1)), S.scratch))
      : pure(op.i8x16_splat, load(loadOp.i32_load8_u, index, S.scratch));
  const equal = (): Node => bitsOf(wide, pure(operation(`${shape}_eq`), b, repeated(i)));
  /** Repeats `body` for the characters of a, `step` at a time, as long as the last of them is valid. */
  const overA = (step: 1 | 2, body: () => void): void =>
    f.loop((again) => {
      f.if(ltS(add(i, c32(step - 1)), la), () => {
        body();
        f.set(i, add(i, c32(step)));
        f.br(again);
      });
    });
  // Equal any: some valid character of a equals that of b.
  f.if(eqz(how), () => {
    overA(1, () => f.set(result, or(result, equal())));
    f.return(and(result, validB));
  });
  // Ranges: some pair of valid characters of a encloses that of b.
  f.if(eq(how, c32(1)), () => {
    const between = (sign: 's' | 'u') => (): void => {
      const above = pure(operation(`${shape}_ge_${sign}`), b, repeated(i));
      const below = pure(operation(`${shape}_le_${sign}`), b, repeated(add(i, c32(1))));
      f.set(result, or(result, bitsOf(wide, pure(op.v128_and, above, below))));
    };
    f.if(
      and(control, c32(2)),
      () => overA(2, between('s')),
      () => overA(2, between('u')),
    );
    f.return(and(result, validB));
  });
  // Equal each: both valid and equal, or both invalid.
  f.if(eq(how, c32(2)), () => {
    const validA = f.let(lowBits(la));
    const same = bitsOf(wide, pure(operation(`${shape}_eq`), a, b));
    const neither = xor(or(validA, validB), c32(all));
    f.return(or(and(same, and(validA, validB)), neither));
  });
  // Equal ordered: a begins at that character of b, as far as b's 16 bytes go.
  f.set(result, c32(all));
  overA(1, () => {
    const matches = shrU(and(equal(), validB), i);
    f.set(result, and(result, or(matches, not(shrU(c32(all), i)))));
  });
  f.return(result);
}

/**
 * sse.stringMask: (a, b, la, lb, control) -> IntRes1 before polarity, one bit a character of b (the second operand).
 * `a` is the first operand (set, ranges, or the string to look for); lengths count valid characters.
 */
const stringMask = helper('sse.stringMask', [v128, v128, i32, i32, i32], i32, (f) => {
  f.storeField(storeOp.v128_store, S.scratch, f.parameter(0, v128));
  f.if(and(f.parameter(4, i32), c32(1)), () => compareCharacters(f, true));
  compareCharacters(f, false);
  f.unreachable();
});

/** sse.implicitLength: (vector, control) -> number of characters before the first null. */
const implicitLength = helper('sse.implicitLength', [v128, i32], i32, (f) => {
  const vector = f.parameter(0, v128);
  f.if(and(f.parameter(1, i32), c32(1)), () => {
    const nulls = pure(op.i16x8_bitmask, pure(op.i16x8_eq, vector, zero128()));
    f.return(ctz(or(nulls, c32(1 << 8))));
  });
  f.return(ctz(or(pure(op.i8x16_bitmask, pure(op.i8x16_eq, vector, zero128())), c32(1 << 16))));
  f.unreachable();
});

/** sse.explicitLength: (register i64, control) -> its absolute value, at most the number of characters. */
const explicitLength = helper('sse.explicitLength', [i64, i32], i32, (f) => {
  const value = f.parameter(0, i64);
  const limit = f.let(shrU(c32(16), and(f.parameter(1, i32), c32(1))));
  f.if(ltS(value, c64(0)), () => f.set(value, sub(c64(0), value)));
  // The most negative number stays negative: it is as large as can be.
  f.if(or(ltS(value, c64(0)), gtS(value, extendU(limit))), () => f.return(limit));
  f.return(wrap(value));
  f.unreachable();
});

/** sse.stringCompare: (a, b, la, lb, control) -> IntRes2; sets nothing. */
const stringCompare = helper('sse.stringCompare', [v128, v128, i32, i32, i32], i32, (f, reference) => {
  const [a, b] = [f.parameter(0, v128), f.parameter(1, v128)];
  const [la, lb, control] = [f.parameter(2, i32), f.parameter(3, i32), f.parameter(4, i32)];
  const mask = f.let(call(reference('sse.stringMask'), a, b, la, lb, control));
  const all = sub(shl(c32(1), shrU(c32(16), and(control, c32(1)))), c32(1));
  // Polarity: bit 4 negates, bit 5 restricts that to valid characters of b.
  f.if(and(control, c32(0x10)), () =>
    f.if(
      and(control, c32(0x20)),
      () => f.set(mask, xor(mask, sub(shl(c32(1), lb), c32(1)))),
      () => f.set(mask, xor(mask, all)),
    ),
  );
  f.return(mask);
  f.unreachable();
});

function stringRow(name: string, opcode: string, explicit: boolean, index: boolean): Row {
  return {
    ...row(name, `66. 0F 3A ${opcode} Vo,Wo,Ib${explicit ? ' :y' : ''}`, (m) => {
      // The one packed memory operand of SSE that need not be aligned.
      const b = m.let(m.readVector(1));
      const a = m.let(m.readVector(0));
      const control = keep(m, and(m.immediate(2, 8), c32(0xff)));
      const length = (register: 0 | 2, vector: Node): Node => {
        if (!explicit) return m.helper('sse.implicitLength', vector, control);
        const value = m.size === 64 ? m.getReg(register, 64) : pure(op.i64_extend_i32_s, m.getReg(register, 32));
        return m.helper('sse.explicitLength', value, control);
      };
      const la = length(0, a);
      const lb = length(2, b);
      const mask = m.helper('sse.stringCompare', a, b, la, lb, control);
      const count = m.let(shrU(c32(16), and(control, c32(1))));
      if (index) {
        const first = ctz(mask);
        const last = sub(c32(31), clz(mask));
        m.setReg(1, 32, select(mask, select(and(control, c32(0x40)), last, first), count));
      } else {
        m.setXmm(0, stringMaskVector(m, mask, control));
      }
      // CF: some bit set; ZF, SF: the second or first operand has a null or ends early; OF: bit 0; AF and PF clear.
      const bits = or(
        or(ne(mask, c32(0)), shl(ltS(lb, count), c32(6))),
        or(shl(ltS(la, count), c32(7)), shl(and(mask, c32(1)), c32(11))),
      );
      m.setFlagsExplicit(bits);
    }),
    flags: { written: 'OSZAPC' },
  };
}

/** The mask as PCMPxSTRM leaves it in XMM0: bits, or with bit 6 of the control, characters of all ones. */
function stringMaskVector(m: Meaning, mask: Node, control: Node): Node {
  const result = m.let(replace('i32', 0, zero128(), mask));
  m.if(and(control, c32(0x40)), () => {
    m.if(
      and(control, c32(1)),
      () => m.set(result, spread(pure(op.i16x8_splat, mask), 8)),
      () => {
        const doubled = pure(op.i8x16_swizzle, result, halvesOfBytes());
        m.set(result, spread(doubled, 16));
      },
    );
  });
  return result;
}

const vectorOf = (values: number[]): Node => ({ kind: 'v128', type: v128, bytes: Uint8Array.from(values) });
/** Byte 0 eight times, then byte 1 eight times. */
const halvesOfBytes = (): Node => vectorOf(Array.from({ length: 16 }, (_, byte) => byte >> 3));

/** Lanes whose bit is set in a vector that repeats the bits: all ones. */
function spread(bits: Node, lanes: 8 | 16): Node {
  const selected =
    lanes === 8
      ? vectorOf(Array.from({ length: 16 }, (_, byte) => (byte & 1 ? 0 : 1 << (byte >> 1))))
      : vectorOf(Array.from({ length: 16 }, (_, byte) => 1 << (byte & 7)));
  return pure(lanes === 8 ? op.i16x8_eq : op.i8x16_eq, pure(op.v128_and, bits, selected), selected);
}

// ---- CRC32

/** The Castagnoli polynomial, bits reflected. */
const CRC32C = 0x82f63b78;

/** sse.crc32: (crc i32, value i64, bits i32) -> crc. */
const crc32 = helper('sse.crc32', [i32, i64, i32], i32, (f) => {
  const crc = f.parameter(0, i32);
  const value = f.parameter(1, i64);
  const bits = f.parameter(2, i32);
  const entry = (index: Node): Node => load(loadOp.i32_load, shl(index, c32(2)), S.crcTable);
  // The table's middle entry is the polynomial; in a new memory it is zero.
  f.if(eqz(entry(c32(128))), () => {
    const index = f.let(c32(255));
    f.loop((again) => {
      const rest = f.let(index);
      for (let bit = 0; bit < 8; bit++)
        f.set(rest, xor(shrU(rest, c32(1)), and(sub(c32(0), and(rest, c32(1))), c32(CRC32C))));
      f.store(storeOp.i32_store, shl(index, c32(2)), rest, S.crcTable);
      f.set(index, sub(index, c32(1)));
      f.brIf(again, index);
    });
  });
  f.loop((again) => {
    f.set(crc, xor(entry(and(xor(crc, wrap(value)), c32(0xff))), shrU(crc, c32(8))));
    f.set(value, shrU(value, c64(8)));
    f.set(bits, sub(bits, c32(8)));
    f.brIf(again, bits);
  });
  f.return(crc);
  f.unreachable();
});

const crcRow: Row = {
  name: 'CRC32',
  encodings: ['F2. 0F 38 F0 Gy,Eb', 'F2. 0F 38 F1 Gy,Ev :v'],
  meaning: (m) => {
    const { size } = m.operands[1];
    const value = m.let(m.read(1));
    const wide = size === 64 ? value : pure(op.i64_extend_i32_u, value);
    const crc = m.helper('sse.crc32', m.read(0, 32), wide, c32(size));
    // A 64-bit destination is zero-extended too.
    m.write(0, crc, 32);
  },
};

export const stringHelpers: readonly HelperFunction[] = [
  stringMask,
  implicitLength,
  explicitLength,
  stringCompare,
  crc32,
];
export const stringRows: readonly Row[] = [
  stringRow('PCMPESTRM', '60', true, false),
  stringRow('PCMPESTRI', '61', true, true),
  stringRow('PCMPISTRM', '62', false, false),
  stringRow('PCMPISTRI', '63', false, true),
  crcRow,
];
