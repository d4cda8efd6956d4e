// The x87 instruction family: its rows and the WebAssembly helpers that they call.
// Owns the list only.
// Never says what an instruction does: see the files beside this one and float80/.

import { arithmeticHelpers } from '../../float80/arithmetic.ts';
import { comparisonHelpers } from '../../float80/comparison.ts';
import { conversionHelpers } from '../../float80/conversion.ts';
import { roundingHelpers } from '../../float80/rounding.ts';
import { transcendentalHelpers } from '../../float80/transcendental.ts';
import { trigonometryHelpers } from '../../float80/trigonometry.ts';
import type { InstructionFamily } from '../row.ts';
import { arithmeticRows } from './arithmetic.ts';
import { controlRows } from './control.ts';
import { stackHelpers } from './stack.ts';
import { transferHelpers } from './stack-transfer.ts';
import { transcendentalRows } from './transcendental.ts';
import { transferRows } from './transfer.ts';

export const x87: InstructionFamily = {
  rows: [...arithmeticRows, ...transferRows, ...controlRows, ...transcendentalRows],
  helpers: [
    ...roundingHelpers,
    ...arithmeticHelpers,
    ...conversionHelpers,
    ...comparisonHelpers,
    ...transcendentalHelpers,
    ...trigonometryHelpers,
    ...stackHelpers,
    ...transferHelpers,
  ],
};
