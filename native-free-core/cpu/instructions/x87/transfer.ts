// x87 loads, stores, exchanges and conditional moves.
// Owns the rows that move values between memory and the register stack, or within the stack.
// Never moves the environment or packed decimals: see control.ts.

import { ValueType } from '../../../wasm/opcodes.ts';
import { add, c32, c64, type Node, wrap } from '../../builder/nodes.ts';
import { integerValue, widened } from '../../float80/conversion.ts';
import { clearC1, OPERAND_ADDRESS, put, signExponentAt, significandAt } from '../../float80/parts.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { NEXT } from '../../semantics/x87-stack.ts';
import { S } from '../../state.ts';
import type { MeaningFunction, Row } from '../row.ts';
import { integerOf, type OperandFormat, readBits } from './arithmetic.ts';
import { begin, noteOperand, onStack, positionOf, valueAt } from './common.ts';
import { pop } from './stack-access.ts';

/** Pushes a value that may go to its register as it is. */
function pushValue(m: Meaning, significand: Node, signExponent: Node): void {
  put(m, m.x87.address(NEXT), significand, signExponent);
  m.x87.push();
}

const loadInteger =
  (format: 'I16' | 'I32' | 'I64'): MeaningFunction =>
  (m) => {
    begin(m);
    m.x87.expect([], true);
    const integer = integerOf(m, format, readBits(m, format));
    onStack(
      m,
      [],
      () => {
        m.x87.clearC1();
        const { significand, signExponent } = integerValue(m, integer);
        pushValue(m, significand, signExponent);
      },
      () => {
        m.helperCall('f80.fromInteger', integer, c32(OPERAND_ADDRESS));
        m.helperCall('x87.pushOperand', c32(0));
      },
      true,
    );
  };

const loadFloat =
  (format: 'F32' | 'F64'): MeaningFunction =>
  (m) => {
    begin(m);
    m.x87.expect([], true);
    const bits = readBits(m, format);
    const toEntry = (): void => m.helperCall(`f80.from${format}`, bits);
    onStack(
      m,
      [],
      () => {
        const { normal, significand, signExponent } = widened(m, format, bits);
        m.x87.clearC1();
        m.if(
          normal,
          () => pushValue(m, significand, signExponent),
          () => {
            toEntry();
            m.if(m.helper('x87.operandLoads'), () => pushValue(m, ...valueAt(m.let(c32(OPERAND_ADDRESS)))));
          },
          true,
        );
      },
      () => {
        toEntry();
        m.helperCall('x87.pushOperand', c32(1));
      },
      true,
    );
  };

function loadExtended(m: Meaning): void {
  begin(m);
  m.x87.expect([], true);
  const low = m.address(0);
  const high = m.let(add(low, c64(8)));
  const significand = m.readMemory(low, 64);
  const se = m.readMemory(high, 16);
  noteOperand(m, low);
  onStack(
    m,
    [],
    () => {
      m.x87.clearC1();
      pushValue(m, significand, se);
    },
    () => {
      put(m, c32(OPERAND_ADDRESS), significand, se);
      m.helperCall('x87.pushOperand', c32(0));
    },
    true,
  );
}

/** Does `store` unless an unmasked exception withholds the result, then pops. */
function unlessWithheld(m: Meaning, pops: boolean, store: () => void): void {
  m.if(
    m.state32(S.fpuWithheld),
    () => m.setState32(S.fpuWithheld, c32(0)),
    () => {
      store();
      if (pops) m.x87.pop();
    },
    false,
  );
}

const ST0 = c32(0);

const store =
  (format: OperandFormat, pops: boolean, truncate = false): MeaningFunction =>
  (m) => {
    begin(m);
    m.x87.expect([ST0], false);
    const size = Number(format.slice(1)) as 16 | 32 | 64;
    // Probed first: the conversion sets exception flags, and a page fault must come before those.
    const linear = m.address(0);
    const { target } = m.beginWrite(linear, size);
    noteOperand(m, linear);
    const float = format.startsWith('F');
    const value = m.local(size === 64 ? ValueType.i64 : ValueType.i32);
    const keep = (result: Node): void => m.set(value, size === 64 ? result : wrap(result));
    const how = [c32(size), c32(truncate ? 1 : 0)];
    onStack(
      m,
      [ST0],
      () => {
        const source = valueAt(m.x87.address(ST0));
        if (float) keep(m.helper(`f80.to${format}`, ...source));
        else {
          m.x87.clearC1();
          keep(m.helper('f80.toInteger', ...source, ...how));
        }
      },
      () => keep(float ? m.helper(`x87.to${format}`) : m.helper('x87.toInteger', ...how)),
    );
    unlessWithheld(m, pops, () => m.finishWrite(target, value));
  };

function storeExtended(m: Meaning): void {
  begin(m);
  m.x87.expect([ST0], false);
  const low = m.address(0);
  const high = m.let(add(low, c64(8)));
  const { target: targetLow } = m.beginWrite(low, 64);
  const { target: targetHigh } = m.beginWrite(high, 16);
  noteOperand(m, low);
  const source = m.local(ValueType.i32);
  onStack(
    m,
    [ST0],
    () => {
      m.x87.clearC1();
      m.set(source, m.x87.address(ST0));
    },
    () => m.set(source, m.helper('x87.extendedSource')),
  );
  unlessWithheld(m, true, () => {
    m.finishWrite(targetLow, m.let(significandAt(source)));
    m.finishWrite(targetHigh, m.let(signExponentAt(source)));
  });
}

/** ST(0) to ST(i), then pops. `empty` builds what is done where ST(0) is empty. */
function storeTo(m: Meaning, pops: boolean, empty: (position: Node) => void): void {
  begin(m);
  const position = positionOf(m, 0);
  onStack(
    m,
    [ST0],
    () => {
      m.x87.clearC1();
      const itself = position.kind === 'const' && position.value === 0;
      if (!itself) {
        put(m, m.x87.address(position), ...valueAt(m.x87.address(ST0)));
        m.x87.fill(position);
      }
      if (pops) m.x87.pop();
    },
    () => empty(position),
  );
}

const storeRegister =
  (pops: boolean): MeaningFunction =>
  (m) =>
    storeTo(m, pops, (position) => m.helperCall('x87.storeRegister', position, c32(pops ? 1 : 0)));

const exchange: MeaningFunction = (m) => {
  begin(m);
  const position = positionOf(m, 0);
  onStack(
    m,
    [ST0, position],
    () => {
      m.x87.clearC1();
      const p = m.x87.address(ST0);
      const q = m.x87.address(position);
      const significand = m.let(significandAt(p));
      const se = m.let(signExponentAt(p));
      put(m, p, ...valueAt(q));
      put(m, q, significand, se);
    },
    () => m.helperCall('x87.exchange', position),
  );
};

/** Name, opcode, first ModRM byte, condition number of Jcc, flags read. */
const conditionalMoves: readonly (readonly [string, string, number, string])[] = [
  ['FCMOVB', 'DA C0', 2, 'C'],
  ['FCMOVE', 'DA C8', 4, 'Z'],
  ['FCMOVBE', 'DA D0', 6, 'CZ'],
  ['FCMOVU', 'DA D8', 10, 'P'],
  ['FCMOVNB', 'DB C0', 3, 'C'],
  ['FCMOVNE', 'DB C8', 5, 'Z'],
  ['FCMOVNBE', 'DB D0', 7, 'CZ'],
  ['FCMOVNU', 'DB D8', 11, 'P'],
];

export const transferRows: readonly Row[] = [
  { name: 'FLD m32', encodings: ['D9/0 Md'], meaning: loadFloat('F32') },
  { name: 'FLD m64', encodings: ['DD/0 Mq'], meaning: loadFloat('F64') },
  { name: 'FLD m80', encodings: ['DB/5 Mt'], meaning: loadExtended },
  {
    name: 'FLD STi',
    encodings: ['D9 C0+i T'],
    meaning(m) {
      begin(m);
      const position = positionOf(m, 0);
      onStack(
        m,
        [position],
        () => {
          m.x87.clearC1();
          pushValue(m, ...valueAt(m.x87.address(position)));
        },
        () => m.helperCall('x87.pushRegister', position),
        true,
      );
    },
  },
  { name: 'FILD m16', encodings: ['DF/0 Mw'], meaning: loadInteger('I16') },
  { name: 'FILD m32', encodings: ['DB/0 Md'], meaning: loadInteger('I32') },
  { name: 'FILD m64', encodings: ['DF/5 Mq'], meaning: loadInteger('I64') },
  { name: 'FST m32', encodings: ['D9/2 Md'], meaning: store('F32', false) },
  { name: 'FST m64', encodings: ['DD/2 Mq'], meaning: store('F64', false) },
  { name: 'FSTP m32', encodings: ['D9/3 Md'], meaning: store('F32', true) },
  { name: 'FSTP m64', encodings: ['DD/3 Mq'], meaning: store('F64', true) },
  { name: 'FSTP m80', encodings: ['DB/7 Mt'], meaning: storeExtended },
  { name: 'FIST m16', encodings: ['DF/2 Mw'], meaning: store('I16', false) },
  { name: 'FIST m32', encodings: ['DB/2 Md'], meaning: store('I32', false) },
  { name: 'FISTP m16', encodings: ['DF/3 Mw'], meaning: store('I16', true) },
  { name: 'FISTP m32', encodings: ['DB/3 Md'], meaning: store('I32', true) },
  { name: 'FISTP m64', encodings: ['DF/7 Mq'], meaning: store('I64', true) },
  { name: 'FISTTP m16', encodings: ['DF/1 Mw'], meaning: store('I16', true, true) },
  { name: 'FISTTP m32', encodings: ['DB/1 Md'], meaning: store('I32', true, true) },
  { name: 'FISTTP m64', encodings: ['DD/1 Mq'], meaning: store('I64', true, true) },
  { name: 'FST STi', encodings: ['DD D0+i T'], meaning: storeRegister(false) },
  // DF D0 and DF D8 are the 8087's aliases; D9 D8 is another one, which takes no offence at an empty ST(0).
  {
    name: 'FSTPNCE',
    encodings: ['D9 D8+i T'],
    meaning: (m) =>
      storeTo(m, true, () => {
        clearC1(m);
        pop(m);
      }),
  },
  {
    name: 'FSTP STi',
    encodings: ['DD D8+i T', 'DF D0+i T', 'DF D8+i T'],
    meaning: storeRegister(true),
  },
  { name: 'FXCH', encodings: ['D9 C8+i T', 'DD C8+i T', 'DF C8+i T'], meaning: exchange },
  ...conditionalMoves.map(
    ([name, bytes, condition, read]): Row => ({
      name,
      encodings: [`${bytes}+i T`],
      flags: { read },
      meaning(m) {
        begin(m);
        const position = positionOf(m, 0);
        const holds = m.let(m.condition(condition));
        onStack(
          m,
          [ST0, position],
          () => m.if(holds, () => put(m, m.x87.address(ST0), ...valueAt(m.x87.address(position)))),
          () => m.helperCall('x87.moveIf', position, holds),
        );
      },
    }),
  ),
];
