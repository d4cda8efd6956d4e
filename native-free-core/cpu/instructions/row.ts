// What a row of the instruction table says, and how its encoding text reads.
// Owns the types and the parser of the encoding text. The rows themselves are in the files beside this one.
// Never decodes a byte: see decoder/.
//
// Encoding text, after the opcode maps of the Intel SDM (volume 2, appendix A):
//
//   [NP|66|F3|F2] [VEX.NP|VEX.66|VEX.F3|VEX.F2] bytes[/digit|+r] [operands] [:attributes…]
//
// - A mandatory prefix is written with a trailing dot: `66.`, `F3.`, `F2.`, `NP.` (none of them). Without one, the
//   prefixes keep their general meaning (operand size, REP).
// - `/0` to `/7`: the reg field of ModRM selects the row. `+r`: the low three bits of the opcode are a register (Z).
//   A second byte C0 to FF after an x87 opcode or 0F 01 is an exact ModRM byte; `+i` lets its low three bits vary (ST(i)).
// - Operands: a letter for where and letters for the width, comma-separated:
//   E general register or memory (ModRM), G general register (reg field), Z general register (opcode), B register (VEX.vvvv),
//   R general register (rm field, register form only), M memory only, I immediate, J relative target, O absolute offset,
//   S segment register, C control register, D debug register,
//   V vector register (reg), W vector register or memory, U vector register (rm, register form only),
//   P MMX register (reg), Q MMX register or memory, N MMX register (rm, register form only), T x87 register ST(i).
//   Widths: b 8, w 16, d 32, q 64, t 80, o 128, v by operand size (16/32/64), z 16/32 (32 also for 64), y 32/64, none: no width.
//   For V and W the width is how much of the vector register or memory counts. `Ibs` is an 8-bit immediate sign-extended
//   to the operand size.
//   Registers the opcode fixes: AL CL AH AX DX EAX ECX EDX, rAX rCX rDX rBX rSP rBP rSI rDI (operand size), and the number 1.
// - Attributes: `lock` LOCK allowed with a memory destination; `no64`, `only64`: not in, or only in, 64-bit code;
//   `d64` operand size is 64 in 64-bit code unless 66 makes it 16; `f64` always 64 there;
//   `b` `w` `d` `q` `v` `y`: operand size where no operand says it; `rep`: REP prefixes have a meaning;
//   `anymod`: the mod bits of ModRM mean nothing, its rm field names a register (R);
//   `end`: ends a block (whatever may change where or how execution goes on); `if`: a jump that may also fall through.

import type { Meaning } from '../semantics/meaning.ts';

/** What an instruction does. `cold`: TypeScript in system/ carries it out, by the row's name. */
export type MeaningFunction = ((m: Meaning) => void) | 'cold';

export interface Row {
  readonly name: string;
  readonly encodings: readonly string[];
  readonly meaning: MeaningFunction;
  /**
   * Arithmetic flags by letter (O S Z A P C): read, written, and left undefined by the architecture. Written ones that
   * are undefined only under a condition (counts, zero operands) stand in `undefined` with the condition in a comment.
   */
  readonly flags?: {
    /** Flags that the result depends on. Those that are merely kept beside the written ones do not count. */
    readonly read?: string;
    readonly written?: string;
    readonly undefined?: string;
    /** A count of zero leaves all flags as they are. */
    readonly conditional?: true;
  };
  /** Most privileged ring number that may execute it; outside, #GP(0). Checked by the row's meaning. */
  readonly cpl?: 0;
  /** The implicit stack or string accesses of the meaning differ between flat and segmented memory. */
  readonly implicitMemory?: boolean;
  /** The meaning uses a register at the width of the address size (strings, LOOP, XLAT). */
  readonly usesAddressSize?: boolean;
  /** Its meaning reads or writes all XMM registers where they lie in the state. */
  readonly wholeVectorState?: boolean;
  /** It is no x87 instruction, has no MMX operand, and its meaning reads or writes the x87's TOP or tags in the state. */
  readonly wholeX87State?: boolean;
}

export type MandatoryPrefix = 'any' | 'np' | '66' | 'f3' | 'f2';

export interface OperandCode {
  /** Where it is: a letter of the list above, or `fixed`. */
  readonly where: string;
  /** Width letter, or the empty string. `bs` for a sign-extended byte. */
  readonly width: string;
  /** Register number for `fixed`. */
  readonly register?: number;
}

/** An encoding text, parsed. */
export interface Encoding {
  readonly text: string;
  readonly row: Row;
  readonly prefix: MandatoryPrefix;
  readonly vex: boolean;
  /** 0: one-byte, 1: 0F, 2: 0F 38, 3: 0F 3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly opcode: number;
  /** The opcode's low three bits are a register. */
  readonly plusRegister: boolean;
  /** reg field of ModRM, or -1. */
  readonly digit: number;
  /** Exact ModRM byte, or -1; with `plusStack` its low three bits vary. */
  readonly exact: number;
  readonly plusStack: boolean;
  readonly operands: readonly OperandCode[];
  readonly attributes: ReadonlySet<string>;
}

const FIXED: Record<string, readonly [number, string]> = {
  AL: [0, 'b'],
  CL: [1, 'b'],
  AH: [4, 'h'],
  AX: [0, 'w'],
  DX: [2, 'w'],
  EAX: [0, 'd'],
  ECX: [1, 'd'],
  EDX: [2, 'd'],
  rAX: [0, 'v'],
  rCX: [1, 'v'],
  rDX: [2, 'v'],
  rBX: [3, 'v'],
  rSP: [4, 'v'],
  rBP: [5, 'v'],
  rSI: [6, 'v'],
  rDI: [7, 'v'],
};

function parseOperand(text: string, encoding: string): OperandCode {
  const fixed = FIXED[text];
  if (fixed) return { where: 'fixed', register: fixed[0], width: fixed[1] };
  if (text === '1') return { where: '1', width: 'b' };
  const match = /^([EGZBRMIJOSCDVWUPQNT])(bs|[bwdqtovzy])?$/.exec(text);
  if (!match) throw new Error(`'${text}' is no operand code, in the encoding '${encoding}'.`);
  return { where: match[1], width: match[2] ?? '' };
}

/** Parses one encoding text. Throws an Error that names the text when it does not follow the grammar above. */
export function parseEncoding(text: string, row: Row): Encoding {
  let prefix: MandatoryPrefix = 'any';
  let vex = false;
  const bytes: number[] = [];
  let digit = -1;
  let plusRegister = false;
  let plusStack = false;
  let operands: OperandCode[] = [];
  const attributes = new Set<string>();
  for (const token of text.split(/\s+/)) {
    const head = /^(VEX\.)?(NP|66|F3|F2)\.$/.exec(token);
    if (head) {
      vex = head[1] !== undefined;
      prefix = head[2].toLowerCase() as MandatoryPrefix;
      continue;
    }
    const byte = /^([0-9A-F]{2})(?:\/([0-7])|\+(r|i))?$/.exec(token);
    if (byte && operands.length === 0) {
      bytes.push(Number.parseInt(byte[1], 16));
      if (byte[2] !== undefined) digit = Number(byte[2]);
      plusRegister = byte[3] === 'r';
      plusStack = byte[3] === 'i';
      continue;
    }
    if (token.startsWith(':')) attributes.add(token.slice(1));
    else operands = token.split(',').map((operand) => parseOperand(operand, text));
  }
  const longer = bytes.length > 2;
  const map: Encoding['map'] =
    bytes[0] !== 0x0f ? 0 : bytes[1] === 0x38 && longer ? 2 : bytes[1] === 0x3a && longer ? 3 : 1;
  bytes.splice(0, map === 0 ? 0 : map === 1 ? 1 : 2);
  const [opcode, exact = -1, ...rest] = bytes;
  if (opcode === undefined || rest.length > 0)
    throw new Error(`The encoding '${text}' has no opcode, or too many bytes.`);
  return { text, row, prefix, vex, map, opcode, plusRegister, digit, exact, plusStack, operands, attributes };
}

/** A function in WebAssembly that meanings of a family share; they call it by name with `m.helper`. */
export interface HelperFunction {
  readonly name: string;
  readonly parameters: readonly import('../../wasm/opcodes.ts').ValueType[];
  readonly result: import('../../wasm/opcodes.ts').ValueType | undefined;
  /** Builds the body. `call` reaches other helpers, whatever their order. */
  build(
    f: import('../builder/function.ts').FunctionBuilder,
    call: (name: string) => import('../../wasm/module.ts').FunctionReference,
  ): void;
}

/** What an instruction family's file exports. */
export interface InstructionFamily {
  readonly rows: readonly Row[];
  readonly helpers?: readonly HelperFunction[];
}
