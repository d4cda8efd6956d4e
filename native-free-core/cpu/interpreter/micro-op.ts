// The record that the interpreter executes: one instruction, decoded, in 32 bytes of the guest's memory.
// Owns its layout.
// Never decides what is in it: see blocks.ts; nor what it does: see handlers.ts.

/** Bytes of one micro-op. */
export const MICRO_OP_BYTES = 32;

/** Offsets of a micro-op's fields. */
export const U = {
  /** u16: index of its handler. */
  handler: 0,
  /** u16: offset of the instruction's first byte in its page. */
  offset: 2,
  /** u8: bytes of the instruction. */
  length: 4,
  /** u8: instructions of the block up to and including this one. */
  ordinal: 5,
  /** u8 each: registers of operands 0 to 2. General ones as byte offsets into the register file, others as numbers. */
  registers: 6,
  /** u8: base of the memory operand, as a byte offset into the register file. */
  base: 9,
  /** u8: index of the memory operand, likewise. */
  index: 10,
  /** u8: shift of the index. */
  scale: 11,
  /** i32: displacement of the memory operand. */
  displacement: 12,
  /** i64: immediate, sign-extended; in address micro-ops the displacement. */
  immediate: 16,
  /** i32: of a relative jump, the micro-op at its target, or 0 while unknown. Shares the immediate's place. */
  link: 16,
  /** i32: of a relative jump, its target relative to the page's start; of others the second immediate. */
  target: 24,
  /** u16: offset of the next instruction's first byte, up to 4096 + 14. */
  next: 28,
  /** u8: segment register of the memory operand or of a string's source. */
  segment: 30,
} as const;

/** Handlers that are not instructions. */
export const SpecialHandler = {
  /** The block has been invalidated; leaves so that its ip is looked up anew. Must be 0. */
  stale: 0,
  /** The block ends here without a jump: goes on at the next instruction. */
  next: 1,
  /** #UD */
  undefined: 2,
  /** #GP(0): an instruction of more than 15 bytes. */
  tooLong: 3,
  /** TypeScript carries the instruction out. */
  cold: 4,
  /** Leaves after the instructions before it: the block was decoded for a single step. */
  stop: 5,
  /** Checks that the next page is still the one that this page-crossing instruction was decoded from. */
  checkNextPage: 6,
  /** Stands before a block and counts how often it is entered: the immediate counts down to its translation. */
  profile: 7,
  /** In the place of a profile: executes the translated region in the function table's entry `immediate`. */
  translated: 8,
  /** In the place of a profile whose region cannot be translated: nothing. */
  pass: 9,
  /** Before the address of a segmented operand is computed: whether the instruction's unit may be used. */
  x87Available: 10,
  x87Waiting: 11,
  mmx: 12,
  sse: 13,
} as const;
