// Where an operand's register number stands in an instruction's bytes.
// Owns that table, for micro-ops and translations alike.
// Never says what the register is for.

import type { DecodedInstruction } from './instruction.ts';

export type Place = 'rm' | 'reg' | 'vvvv' | 'stack';

const PLACES: Readonly<Record<string, Place>> = {
  ...Object.fromEntries([...'ERZWUQN'].map((letter) => [letter, 'rm'])),
  ...Object.fromEntries([...'GVPSCD'].map((letter) => [letter, 'reg'])),
  B: 'vvvv',
  T: 'stack',
};

/** By the letter of an operand code (see instructions/row.ts); undefined where it names no register. */
export const placeOf = (letter: string): Place | undefined => PLACES[letter];

/** The register number at a place. */
export function numberAt(instruction: DecodedInstruction, place: Place): number {
  switch (place) {
    case 'rm':
      return instruction.rm;
    case 'reg':
      return instruction.reg;
    case 'vvvv':
      return instruction.vvvv;
    case 'stack':
      return instruction.modrm & 7;
  }
}
