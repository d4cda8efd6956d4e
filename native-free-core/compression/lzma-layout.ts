// Where the LZMA decoder keeps what it knows in its WebAssembly memory, and the model's tables.
// Owns addresses and sizes; both sides, the module and who calls it, take them from here.
// Never holds a meaning: lzma-module.ts decodes.

/** Fields of the decoder's state, 32 bits each. */
export const Field = {
  range: 0,
  code: 4,
  /** Of the last twelve kinds of packets (LZMA specification, "State"). */
  state: 8,
  rep0: 12,
  rep1: 16,
  rep2: 20,
  rep3: 24,
  /** Address of the next byte of input, and of the first behind it. */
  input: 28,
  inputEnd: 32,
  /** Address of the next byte of output, of the first byte that a distance may reach, and of the first behind the chunk. */
  output: 36,
  dictionary: 40,
  outputEnd: 44,
  /** Masks and shifts of the literal coder and of positions. */
  literalContextBits: 48,
  literalPositionMask: 52,
  positionMask: 56,
} as const;

/** What {@link Field.state} and the probabilities begin as. */
export const INITIAL_PROBABILITY = 1024;

/** Probabilities of 11 bits in 16, in the order of their groups; indexes, not addresses. */
const LENGTH_CODER = 2 + 16 * 8 + 16 * 8 + 256;
const groups = {
  isMatch: 12 * 16,
  isRep: 12,
  isRepG0: 12,
  isRepG1: 12,
  isRepG2: 12,
  isRep0Long: 12 * 16,
  distanceSlot: 4 * 64,
  distanceSpecial: 128,
  distanceAlign: 16,
  matchLength: LENGTH_CODER,
  repeatLength: LENGTH_CODER,
} as const;
type Group = keyof typeof groups | 'literal';

function addresses(from: number): { readonly [name in Group]: number } {
  let at = from;
  const result: Partial<Record<Group, number>> = {};
  for (const [name, count] of Object.entries(groups) as [keyof typeof groups, number][]) {
    result[name] = at;
    at += 2 * count;
  }
  result.literal = at;
  return result as Record<Group, number>;
}

const PROBABILITIES = 64;
/** Addresses of the groups of probabilities. */
export const Probability = addresses(PROBABILITIES);
export const PROBABILITIES_BASE = PROBABILITIES;
/** Within a length coder, in bytes: the two choices, then three trees. */
export const Length = { choice: 0, choice2: 2, low: 4, middle: 4 + 256, high: 4 + 512 } as const;

/** Bytes of one literal context. */
export const LITERAL_BYTES = 0x300 * 2;
/** Literal context and position bits together (xz has no more either). */
export const LITERAL_BITS_MAX = 4;
/** Eight tables of the CRC-32, for eight bytes at a time. */
export const CRC_TABLES = Math.ceil((Probability.literal + (LITERAL_BYTES << LITERAL_BITS_MAX)) / 64) * 64;
/** Where input begins; output is behind it. */
export const INPUT_BASE = CRC_TABLES + 8 * 1024;
/** Bytes that one packet may read beyond the input's end before that is noticed. */
export const INPUT_SLACK = 64;
