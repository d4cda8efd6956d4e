// x87 loads, stores, exchanges and conditional moves.
// Owns the rows that move values between memory and the register stack, or within the stack.
// Never moves the environment or packed decimals: see control.ts.

import { storeOp } from '../../../wasm/opcodes.ts';
import { add, and, c32, c64, type Node, shrU, wrap } from '../../builder/nodes.ts';
import { clearC1, ftop, ftw, OPERAND_ADDRESS, signExponentAt, significandAt } from '../../float80/parts.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { S } from '../../state.ts';
import type { MeaningFunction, Row } from '../row.ts';
import { type OperandFormat, readOperand } from './arithmetic.ts';
import { begin, noteOperand } from './common.ts';
import { pop } from './stack-access.ts';

const loadInteger =
  (format: 'I16' | 'I32' | 'I64'): MeaningFunction =>
  (m) => {
    begin(m);
    readOperand(m, format);
    m.helperCall('x87.pushOperand', c32(0));
  };

const loadFloat =
  (size: 32 | 64): MeaningFunction =>
  (m) => {
    begin(m);
    const linear = m.address(0);
    const value = m.readMemory(linear, size);
    noteOperand(m, linear);
    m.helperCall(`x87.loadF${size}`, value);
  };

function loadExtended(m: Meaning): void {
  begin(m);
  const low = m.address(0);
  const high = m.let(add(low, c64(8)));
  const significand = m.readMemory(low, 64);
  const se = m.readMemory(high, 16);
  noteOperand(m, low);
  m.storeField(storeOp.i64_store, OPERAND_ADDRESS, significand);
  m.storeField(storeOp.i32_store, OPERAND_ADDRESS + 8, se);
  m.helperCall('x87.pushOperand', c32(0));
}

/** Does `store` unless an unmasked exception withholds the result, then pops. */
function unlessWithheld(m: Meaning, pops: boolean, store: () => void): void {
  m.if(
    m.state32(S.fpuWithheld),
    () => m.setState32(S.fpuWithheld, c32(0)),
    () => {
      store();
      if (pops) pop(m);
    },
  );
}

const store =
  (format: OperandFormat, pops: boolean, truncate = false): MeaningFunction =>
  (m) => {
    begin(m);
    const size = Number(format.slice(1)) as 16 | 32 | 64;
    // Probed first: the conversion sets exception flags, and a page fault must come before those.
    const linear = m.address(0);
    const { target } = m.beginWrite(linear, size);
    noteOperand(m, linear);
    let value: Node;
    if (format.startsWith('F')) value = m.helper(`x87.to${format}`);
    else {
      const integer = m.helper('x87.toInteger', c32(size), c32(truncate ? 1 : 0));
      value = size === 64 ? integer : m.let(wrap(integer));
    }
    unlessWithheld(m, pops, () => m.finishWrite(target, value));
  };

function storeExtended(m: Meaning): void {
  begin(m);
  const low = m.address(0);
  const high = m.let(add(low, c64(8)));
  const { target: targetLow } = m.beginWrite(low, 64);
  const { target: targetHigh } = m.beginWrite(high, 16);
  noteOperand(m, low);
  const source = m.helper('x87.extendedSource');
  unlessWithheld(m, true, () => {
    m.finishWrite(targetLow, m.let(significandAt(source)));
    m.finishWrite(targetHigh, m.let(signExponentAt(source)));
  });
}

const storeRegister =
  (pops: boolean): MeaningFunction =>
  (m) => {
    begin(m);
    m.helperCall('x87.storeRegister', m.registerNumber(0), c32(pops ? 1 : 0));
  };

const exchange: MeaningFunction = (m) => {
  begin(m);
  m.helperCall('x87.exchange', m.registerNumber(0));
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
  { name: 'FLD m32', encodings: ['D9/0 Md'], meaning: loadFloat(32) },
  { name: 'FLD m64', encodings: ['DD/0 Mq'], meaning: loadFloat(64) },
  { name: 'FLD m80', encodings: ['DB/5 Mt'], meaning: loadExtended },
  {
    name: 'FLD STi',
    encodings: ['D9 C0+i T'],
    meaning(m) {
      begin(m);
      m.helperCall('x87.pushRegister', m.registerNumber(0));
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
    meaning(m) {
      begin(m);
      m.if(
        and(shrU(ftw, ftop), c32(1)),
        () => m.helperCall('x87.storeRegister', m.registerNumber(0), c32(1)),
        () => {
          clearC1(m);
          pop(m);
        },
      );
    },
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
        m.helperCall('x87.moveIf', m.registerNumber(0), m.condition(condition));
      },
    }),
  ),
];
