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
  /** ModRM's mod field means nothing: its rm field names a register. */
  readonly anyMod: boolean;
}

/** A map's slots: prefix class (np, 66, f3, f2) << 8 | opcode. */
export const MAP_SLOTS = 1024;
/** Maps 0 to 3, then VEX maps 1 to 3 as 5 to 7. */
const MAPS = 8;
/** What ModRM can choose: 8 memory entries by reg, then 64 register entries by reg << 3 | rm. */
export const FORMS = 72;
/** Place of the entry of an opcode without ModRM, behind the forms while tables are compiled. */
const PLAIN = FORMS;
const PLACES = FORMS + 1;

/** Plain data, which survives structured cloning. Entries are an encoding's place in the instruction table + 1; 0 is none. */
export interface DecodeTable {
  /** By map * {@link MAP_SLOTS} + slot: an entry for every ModRM, or, negative, -1 - the row of `forms`. */
  readonly slots: Int16Array;
  /** Rows of {@link FORMS} entries. */
  readonly forms: Int16Array;
}

export interface DecodeTables {
  readonly legacy: DecodeTable;
  readonly long: DecodeTable;
}

export const PREFIX_CLASSES = ['np', '66', 'f3', 'f2'] as const;

const MODRM_OPERANDS = new Set(['E', 'G', 'R', 'M', 'S', 'C', 'D', 'V', 'W', 'U', 'P', 'Q', 'N']);
const MEMORY_OR_REGISTER = new Set(['E', 'W', 'Q']);
const VVVV_OPERANDS = new Set(['B']);
const SEGMENT_OPERANDS = new Set(['S']);
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

const hasOperand = (encoding: Encoding, letters: ReadonlySet<string>): boolean =>
  encoding.operands.some((operand) => letters.has(operand.where));

const needsModrm = (encoding: Encoding): boolean =>
  encoding.digit >= 0 || encoding.exact >= 0 || hasOperand(encoding, MODRM_OPERANDS);

export function decodeEntry(encoding: Encoding): DecodeEntry {
  return {
    encoding,
    needsModrm: needsModrm(encoding),
    sizeRule: sizeRuleOf(encoding),
    default64: encoding.attributes.has('d64'),
    force64: encoding.attributes.has('f64'),
    immediates: encoding.operands.flatMap(immediateCode),
    lockable: encoding.attributes.has('lock'),
    usesVvvv: hasOperand(encoding, VVVV_OPERANDS),
    segmentRegister: hasOperand(encoding, SEGMENT_OPERANDS),
    anyMod: encoding.attributes.has('anymod'),
  };
}

/**
 * More specific encodings win: exact ModRM over reg digit over any; one opcode over eight; a named prefix over none. At
 * least 1.
 */
function rankOf(encoding: Encoding): number {
  const { prefix, plusRegister, exact, plusStack, digit } = encoding;
  const modrm = exact >= 0 && !plusStack ? 3 : exact >= 0 ? 2 : digit >= 0 ? 1 : 0;
  return 1 + (prefix === 'any' ? 0 : 8) + (plusRegister ? 0 : 4) + modrm;
}

/** Throws an Error that names both encodings when two of the same rank claim the same bytes. */
export function compileTables(encodings: readonly Encoding[]): DecodeTables {
  return { legacy: compileFor(encodings, 'only64'), long: compileFor(encodings, 'no64') };
}

function compileFor(encodings: readonly Encoding[], excluded: string): DecodeTable {
  const cells = new Int16Array(MAPS * MAP_SLOTS * PLACES);
  const ranks = new Uint8Array(cells.length);
  const touched = new Set<number>();
  encodings.forEach((encoding, index) => {
    if (encoding.attributes.has(excluded)) return;
    const map = encoding.map + (encoding.vex ? 4 : 0);
    const classes = encoding.prefix === 'any' ? [0, 1, 2, 3] : [PREFIX_CLASSES.indexOf(encoding.prefix)];
    const rank = rankOf(encoding);
    const where = places(encoding, needsModrm(encoding));
    for (const prefix of classes) {
      for (let low = 0; low < (encoding.plusRegister ? 8 : 1); low++) {
        const slot = map * MAP_SLOTS + ((prefix << 8) | (encoding.opcode + low));
        touched.add(slot);
        for (const place of where) {
          const cell = slot * PLACES + place;
          if (ranks[cell] === rank)
            throw new Error(`'${encoding.text}' and '${encodings[cells[cell] - 1].text}' claim the same bytes.`);
          if (ranks[cell] > rank) continue;
          ranks[cell] = rank;
          cells[cell] = index + 1;
        }
      }
    }
  });
  const slots = new Int16Array(MAPS * MAP_SLOTS);
  const rows: Int16Array[] = [];
  for (const slot of touched) {
    const plain = cells[slot * PLACES + PLAIN];
    const row = cells.slice(slot * PLACES, slot * PLACES + FORMS).map((entry) => entry || plain);
    slots[slot] = row[0] !== 0 && row.every((entry) => entry === row[0]) ? row[0] : -rows.push(row);
  }
  const forms = new Int16Array(rows.length * FORMS);
  rows.forEach((row, index) => {
    forms.set(row, index * FORMS);
  });
  return { slots, forms };
}

function places(encoding: Encoding, hasModrm: boolean): number[] {
  if (!hasModrm || encoding.attributes.has('anymod')) return [PLAIN];
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
