// The instruction table: every family's rows and helper functions together.
// Owns the list of families; a new one is added here.
// Never describes an instruction itself.

import { privilegedHelpers } from '../privileged/index.ts';
import { arithmetic } from './arithmetic.ts';
import { bits } from './bits.ts';
import { control } from './control.ts';
import { mmx } from './mmx.ts';
import { moves } from './moves.ts';
import { type Encoding, type HelperFunction, type InstructionFamily, parseEncoding } from './row.ts';
import { sse } from './sse/index.ts';
import { stateSave } from './state-save.ts';
import { strings } from './strings.ts';
import { system } from './system.ts';
import { x87 } from './x87/x87.ts';

const families: readonly InstructionFamily[] = [
  arithmetic,
  moves,
  bits,
  control,
  strings,
  x87,
  mmx,
  sse,
  system,
  stateSave,
];

/** Every encoding of every row. */
export const encodings: readonly Encoding[] = families.flatMap((family) =>
  family.rows.flatMap((row) => row.encodings.map((text) => parseEncoding(text, row))),
);

/** Helper functions of all families; their names are distinct. */
export const helperFunctions: readonly HelperFunction[] = [
  ...families.flatMap((family) => family.helpers ?? []),
  ...privilegedHelpers,
];
