// The SSE family: SSE, SSE2, SSE3, SSSE3, SSE4.1, SSE4.2, AES-NI, PCLMULQDQ, and what they added to MMX.
// Owns the list of its rows and helper functions.
// Never describes an instruction itself.

import type { InstructionFamily } from '../row.ts';
import { arithmeticRows } from './arithmetic.ts';
import { compareRows } from './compares.ts';
import { controlRows } from './control.ts';
import { conversionRows } from './conversions.ts';
import { cryptographyHelpers, cryptographyRows } from './cryptography.ts';
import { integerRows } from './integer.ts';
import { moveRows } from './moves.ts';
import { mxcsrHelpers } from './mxcsr.ts';
import { packedHelpers } from './packed-helpers.ts';
import { shuffleRows } from './shuffles.ts';
import { arithmeticHelpers } from './soft-arithmetic.ts';
import { comparisonHelpers } from './soft-comparison.ts';
import { conversionHelpers } from './soft-conversion.ts';
import { numberHelpers } from './soft-numbers.ts';
import { stringHelpers, stringRows } from './strings.ts';

export const sse: InstructionFamily = {
  rows: [
    ...moveRows,
    ...arithmeticRows,
    ...compareRows,
    ...conversionRows,
    ...integerRows,
    ...shuffleRows,
    ...stringRows,
    ...cryptographyRows,
    ...controlRows,
  ],
  helpers: [
    ...mxcsrHelpers,
    ...numberHelpers,
    ...arithmeticHelpers,
    ...comparisonHelpers,
    ...conversionHelpers,
    ...packedHelpers,
    ...stringHelpers,
    ...cryptographyHelpers,
  ],
};
