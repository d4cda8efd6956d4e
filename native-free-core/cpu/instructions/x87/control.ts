// x87 control: control and status words, stack pointer, environment, packed decimals, FWAIT.
// Owns the rows of those instructions.
// Never carries out the cold ones: system/ does, by their names.

import { add, and, c32, c64, type Node, not, or, shl } from '../../builder/nodes.ts';
import { fsw, ftop, ftw, Status, setStatus } from '../../float80/parts.ts';
import type { Meaning } from '../../semantics/meaning.ts';
import { S } from '../../state.ts';
import type { MeaningFunction, Row } from '../row.ts';
import { checkAvailable, checkWait, checkWaiting } from './common.ts';
import { pop } from './stack-access.ts';

/** Bits of the control word that keep what is loaded; bit 6 always reads as 1. */
export const CONTROL_MASK = 0x1f3f;
export const CONTROL_ONES = 0x40;

const fullStatus = (m: Meaning): Node => or(fsw, shl(m.x87.top(), c32(11)));

function loadControl(m: Meaning): void {
  checkWaiting(m);
  const value = m.readMemory(m.address(0), 16);
  m.setState32(S.fcw, or(and(value, c32(CONTROL_MASK)), c32(CONTROL_ONES)));
  m.helperCall('x87.summarize');
}

function clearExceptions(m: Meaning): void {
  checkAvailable(m);
  setStatus(m, and(fsw, c32(~(Status.busy | Status.summary | Status.stackFault | 0x3f))));
  m.helperCall('x87.summarize');
}

function initialize(m: Meaning): void {
  checkAvailable(m);
  m.setState32(S.fcw, c32(0x37f));
  setStatus(m, c32(0));
  m.x87.inMemory(() => {
    m.setState32(S.ftop, c32(0));
    m.setState32(S.ftw, c32(0));
  });
  m.setState32(S.fop, c32(0));
  m.setState64(S.fip, c64(0));
  m.x87.forgetPlace();
  m.setState64(S.fdp, c64(0));
  m.helperCall('x87.summarize');
}

const moveTop =
  (step: number): MeaningFunction =>
  (m) => {
    checkWaiting(m);
    setStatus(m, and(fsw, c32(~Status.c1)));
    m.x87.inMemory(() => m.setState32(S.ftop, and(add(ftop, c32(step)), c32(7))));
  };

const free =
  (pops: boolean): MeaningFunction =>
  (m) => {
    checkWaiting(m);
    setStatus(m, and(fsw, c32(~Status.c1)));
    m.x87.inMemory(() => {
      const number = and(add(ftop, m.registerNumber(0)), c32(7));
      m.setState32(S.ftw, and(ftw, not(shl(c32(1), number))));
      if (pops) pop(m);
    });
  };

export const controlRows: readonly Row[] = [
  { name: 'FLDCW', encodings: ['D9/5 Mw'], meaning: loadControl },
  {
    name: 'FNSTCW',
    encodings: ['D9/7 Mw'],
    meaning(m) {
      checkAvailable(m);
      m.write(0, m.state32(S.fcw));
    },
  },
  {
    name: 'FNSTSW',
    encodings: ['DD/7 Mw'],
    meaning(m) {
      checkAvailable(m);
      m.write(0, fullStatus(m));
    },
  },
  {
    name: 'FNSTSW AX',
    encodings: ['DF E0 AX'],
    meaning(m) {
      checkAvailable(m);
      m.write(0, fullStatus(m));
    },
  },
  { name: 'FNCLEX', encodings: ['DB E2'], meaning: clearExceptions },
  { name: 'FNINIT', encodings: ['DB E3'], meaning: initialize },
  // The 8087's interrupt switches and the 80287's mode switch do nothing any more.
  { name: 'FNENI', encodings: ['DB E0', 'DB E1', 'DB E4'], meaning: checkAvailable },
  { name: 'FNOP', encodings: ['D9 D0'], meaning: checkWaiting },
  { name: 'FDECSTP', encodings: ['D9 F6'], meaning: moveTop(7) },
  { name: 'FINCSTP', encodings: ['D9 F7'], meaning: moveTop(1) },
  { name: 'FFREE', encodings: ['DD C0+i T'], meaning: free(false) },
  { name: 'FFREEP', encodings: ['DF C0+i T'], meaning: free(true) },
  { name: 'FWAIT', encodings: ['9B'], meaning: checkWait },
  { name: 'FLDENV', encodings: ['D9/4 M :v'], meaning: 'cold' },
  { name: 'FNSTENV', encodings: ['D9/6 M :v'], meaning: 'cold' },
  { name: 'FRSTOR', encodings: ['DD/4 M :v'], meaning: 'cold' },
  { name: 'FNSAVE', encodings: ['DD/6 M :v'], meaning: 'cold' },
  { name: 'FBLD', encodings: ['DF/4 Mt'], meaning: 'cold' },
  { name: 'FBSTP', encodings: ['DF/6 Mt'], meaning: 'cold' },
];
