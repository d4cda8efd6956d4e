// The decoder's look-up tables, compiled once from the instruction table's encoding texts.
// Owns the choice of encoding by map, mandatory prefix, opcode and ModRM.
// Never reads instruction bytes.

import type { Encoding, OperandCode } from '../instructions/row.ts';

/** How the operand size of an encoding is found. */
export type SizeRule = 8 | 16 | 32 | 64 | 'v' | 'y';

/** An encoding with everything the decoder asks of it worked out. */
export interface DecodeEntry {
  readonly encoding: Encoding;
  readonly needsModrm: boolean;
  readonly sizeRule: SizeRule;
  /** Operand size defaults to 64 in 64-bit code (d64), or is always 64 there (f64). */
  readonly default64: boolean;
  readonly force64: boolean;
  /** Widths of the immediates in the order they stand: b, bs, w, z, v; J targets are jb and jz; O is o. */
  readonly immediates: readonly string[];
  readonly lockable: boolean;
  readonly usesVvvv: boolean;
  /** ModRM's reg field is a segment register: REX.R does not count. */
  readonly segmentRegister: boolean;
}

/** Either one entry for every ModRM, or 8 memory entries by reg and 64 register entries by reg << 3 | rm. */
export type Slot =
  | { readonly entry: DecodeEntry }
  | { readonly memory: readonly (DecodeEntry | undefined)[]; readonly register: readonly (DecodeEntry | undefined)[] };

/** Index into a map's slots: prefix class (np, 66, f3, f2) << 8 | opcode. */
export type OpcodeMap = (Slot | undefined)[];

export interface DecodeTables {
  /** By map 0 to 3, then VEX maps 1 to 3 as 5 to 7. */
  readonly legacy: readonly OpcodeMap[];
  readonly long: readonly OpcodeMap[];
}

export const PREFIX_CLASSES = ['np', '66', 'f3', 'f2'] as const;

const MODRM_OPERANDS = new Set(['E', 'G', 'R', 'M', 'S', 'C', 'D', 'V', 'W', 'U', 'P', 'Q', 'N']);
const MEMORY_OR_REGISTER = new Set(['E', 'W', 'Q']);
const REGISTER_ONLY = new Set(['R', 'U', 'N', 'C', 'D']);
const VECTORS = new Set(['V', 'W', 'U', 'P', 'Q', 'N', 'T', 'S', 'C', 'D', 'J']);

function sizeRuleOf(encoding: Encoding): SizeRule {
  for (const letter of ['b', 'w', 'd', 'q', 'v', 'y']) {
    if (encoding.attributes.has(letter)) return ruleOfWidth(letter);
  }
  const carrier = encoding.operands.find(
    (operand) => !VECTORS.has(operand.where) && operand.width !== '' && operand.width !== 't' && operand.width !== 'o',
  );
  return carrier ? ruleOfWidth(carrier.width) : 32;
}

function ruleOfWidth(width: string): SizeRule {
  switch (width) {
    case 'b':
    case 'h':
      return 8;
    case 'w':
      return 16;
    case 'd':
      return 32;
    case 'q':
      return 64;
    case 'y':
      return 'y';
    default:
      return 'v';
  }
}

function immediateCode(operand: OperandCode): string[] {
  if (operand.where === 'I') return [operand.width];
  if (operand.where === 'J') return [`j${operand.width}`];
  if (operand.where === 'O') return ['o'];
  return [];
}

export function decodeEntry(encoding: Encoding): DecodeEntry {
  const has = (letters: ReadonlySet<string>): boolean =>
    encoding.operands.some((operand) => letters.has(operand.where));
  return {
    encoding,
    needsModrm: encoding.digit >= 0 || encoding.exact >= 0 || has(MODRM_OPERANDS),
    sizeRule: sizeRuleOf(encoding),
    default64: encoding.attributes.has('d64'),
    force64: encoding.attributes.has('f64'),
    immediates: encoding.operands.flatMap(immediateCode),
    lockable: encoding.attributes.has('lock'),
    usesVvvv: has(new Set(['B'])),
    segmentRegister: has(new Set(['S'])),
  };
}

interface Cell {
  entry: DecodeEntry;
  /** More specific encodings win: exact ModRM over reg digit over any; one opcode over eight; a named prefix over none. */
  rank: number;
}

/** Throws an Error that names both encodings when two of the same rank claim the same bytes. */
export function compileTables(encodings: readonly Encoding[]): DecodeTables {
  return { legacy: compileFor(encodings, 'only64'), long: compileFor(encodings, 'no64') };
}

function compileFor(encodings: readonly Encoding[], excluded: string): OpcodeMap[] {
  // Cells by map, prefix << 8 | opcode, then ModRM: 0 to 7 memory by reg, 8 to 71 register forms, or 72 without ModRM.
  const cells = new Map<number, Map<number, (Cell | undefined)[]>>();
  for (const encoding of encodings) {
    if (encoding.attributes.has(excluded)) continue;
    const entry = decodeEntry(encoding);
    const map = encoding.map + (encoding.vex ? 4 : 0);
    const bySlot = cells.get(map) ?? new Map<number, (Cell | undefined)[]>();
    cells.set(map, bySlot);
    const classes = encoding.prefix === 'any' ? [0, 1, 2, 3] : [PREFIX_CLASSES.indexOf(encoding.prefix)];
    const rank =
      (encoding.prefix === 'any' ? 0 : 8) +
      (encoding.plusRegister ? 0 : 4) +
      (encoding.exact >= 0 && !encoding.plusStack ? 3 : encoding.exact >= 0 ? 2 : encoding.digit >= 0 ? 1 : 0);
    for (const prefix of classes) {
      for (let low = 0; low < (encoding.plusRegister ? 8 : 1); low++) {
        const key = (prefix << 8) | (encoding.opcode + low);
        const row = bySlot.get(key) ?? [];
        bySlot.set(key, row);
        for (const place of places(encoding, entry.needsModrm)) {
          const standing = row[place];
          if (standing && standing.rank === rank) {
            throw new Error(`'${encoding.text}' and '${standing.entry.encoding.text}' claim the same bytes.`);
          }
          if (!standing || standing.rank < rank) row[place] = { entry, rank };
        }
      }
    }
  }
  return Array.from({ length: 8 }, (_, map) => {
    const slots: OpcodeMap = new Array(1024);
    for (const [key, row] of cells.get(map) ?? []) {
      const plain = row[72];
      const forms = row.slice(0, 72).some((cell) => cell !== undefined);
      if (plain && !forms) slots[key] = { entry: plain.entry };
      else {
        const at = (place: number): DecodeEntry | undefined => row[place]?.entry ?? plain?.entry;
        const memory = Array.from({ length: 8 }, (_, reg) => at(reg));
        const register = Array.from({ length: 64 }, (_, rest) => at(8 + rest));
        const first = memory[0];
        const uniform = first !== undefined && [...memory, ...register].every((entry) => entry === first);
        slots[key] = uniform ? { entry: first } : { memory, register };
      }
    }
    return slots;
  });
}

function places(encoding: Encoding, needsModrm: boolean): number[] {
  if (!needsModrm) return [72];
  if (encoding.exact >= 0) {
    const first = encoding.exact - 0xc0;
    return encoding.plusStack ? Array.from({ length: 8 }, (_, i) => 8 + first + i) : [8 + first];
  }
  const wheres = encoding.operands.map((operand) => operand.where);
  const registerOnly = wheres.some((where) => REGISTER_ONLY.has(where));
  const memoryOnly = wheres.includes('M');
  const either = wheres.some((where) => MEMORY_OR_REGISTER.has(where)) || (!registerOnly && !memoryOnly);
  const digits = encoding.digit >= 0 ? [encoding.digit] : [0, 1, 2, 3, 4, 5, 6, 7];
  const memory = memoryOnly || either ? digits : [];
  const register =
    registerOnly || either ? digits.flatMap((reg) => Array.from({ length: 8 }, (_, rm) => 8 + reg * 8 + rm)) : [];
  return [...memory, ...register];
}
