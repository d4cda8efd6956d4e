// Classic BPF as seccomp takes it: programs checked before they are taken, and interpreted over one call's data.
// Owns the instruction set (include/uapi/linux/filter.h), what Linux refuses of it, and the interpreter.
// Never knows what a result means.

import { errno } from '../errno.ts';

/** struct seccomp_data: number, architecture, address of the instruction, six arguments. */
export const DATA_BYTES = 64;
/** Most instructions of one program: BPF_MAXINSNS. */
export const INSTRUCTIONS_MAX = 4096;
export const INSTRUCTION_BYTES = 8;
const MEMORY_WORDS = 16;

const Class = { ld: 0, ldx: 1, st: 2, stx: 3, alu: 4, jmp: 5, ret: 6, misc: 7 } as const;
const Alu = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  div: 0x30,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  neg: 0x80,
  xor: 0xa0,
};
const Jump = { always: 0x00, eq: 0x10, gt: 0x20, ge: 0x30, set: 0x40 };
const LD_W_ABS = 0x20;
const LD_W_LEN = 0x80;
const LDX_W_LEN = 0x81;
const LD_IMM = 0x00;
const LDX_IMM = 0x01;
const LD_MEM = 0x60;
const LDX_MEM = 0x61;
const ST = 0x02;
const STX = 0x03;
const RET_K = 0x06;
const RET_A = 0x16;
const TAX = 0x07;
const TXA = 0x87;
const NEG = Class.alu | Alu.neg;
const X = 0x08;

const known = new Set([
  LD_W_ABS,
  LD_W_LEN,
  LDX_W_LEN,
  LD_IMM,
  LDX_IMM,
  LD_MEM,
  LDX_MEM,
  ST,
  STX,
  RET_K,
  RET_A,
  TAX,
  TXA,
  NEG,
]);
for (const operation of [Alu.add, Alu.sub, Alu.mul, Alu.div, Alu.or, Alu.and, Alu.lsh, Alu.rsh, Alu.xor])
  for (const source of [0, X]) known.add(Class.alu | operation | source);
known.add(Class.jmp | Jump.always);
for (const operation of [Jump.eq, Jump.gt, Jump.ge, Jump.set])
  for (const source of [0, X]) known.add(Class.jmp | operation | source);

interface Instruction {
  readonly code: number;
  /** How many instructions a jump skips. */
  readonly yes: number;
  readonly no: number;
  readonly k: number;
}

export class BpfProgram {
  private readonly instructions: readonly Instruction[];

  /** Throws EINVAL for what Linux would not take. */
  constructor(bytes: Uint8Array) {
    const count = bytes.length / INSTRUCTION_BYTES;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.instructions = Array.from({ length: count }, (_, index) => {
      const at = index * INSTRUCTION_BYTES;
      return {
        code: view.getUint16(at, true),
        yes: view.getUint8(at + 2),
        no: view.getUint8(at + 3),
        k: view.getUint32(at + 4, true),
      };
    });
    this.check();
  }

  get length(): number {
    return this.instructions.length;
  }

  /** bpf_check_classic and seccomp_check_filter. */
  private check(): void {
    const { instructions } = this;
    const bad = () => errno('EINVAL');
    const last = instructions[instructions.length - 1];
    if (!last || (last.code !== RET_K && last.code !== RET_A)) throw bad();
    instructions.forEach(({ code, yes, no, k }, at) => {
      if (!known.has(code)) throw bad();
      const left = instructions.length - at - 1;
      switch (code) {
        case LD_W_ABS:
          if (k >= DATA_BYTES || k % 4 !== 0) throw bad();
          return;
        case LD_MEM:
        case LDX_MEM:
        case ST:
        case STX:
          if (k >= MEMORY_WORDS) throw bad();
          return;
        case Class.alu | Alu.div:
          if (k === 0) throw bad();
          return;
        case Class.alu | Alu.lsh:
        case Class.alu | Alu.rsh:
          if (k >= 32) throw bad();
          return;
        case Class.jmp | Jump.always:
          if (k >= left) throw bad();
          return;
        default:
          if ((code & 7) === Class.jmp && (yes >= left || no >= left)) throw bad();
      }
    });
    this.checkMemory();
  }

  /** No word is read that was not written on every way there: jumps only go forward, so one pass tells. */
  private checkMemory(): void {
    const { instructions } = this;
    const all = (1 << MEMORY_WORDS) - 1;
    const known = new Array<number>(instructions.length).fill(all);
    let valid = 0;
    instructions.forEach(({ code, yes, no, k }, at) => {
      valid &= known[at];
      const reach = (target: number): void => {
        known[target] &= valid;
      };
      if (code === ST || code === STX) valid |= 1 << k;
      else if ((code === LD_MEM || code === LDX_MEM) && (valid & (1 << k)) === 0) throw errno('EINVAL');
      else if (code === (Class.jmp | Jump.always)) {
        reach(at + 1 + k);
        valid = all;
      } else if ((code & 7) === Class.jmp) {
        reach(at + 1 + yes);
        reach(at + 1 + no);
        valid = all;
      }
    });
  }

  /** The result over a call's data; `onRead` hears of every word that is looked at. */
  run(data: Uint32Array, onRead?: (word: number) => void): number {
    const memory = new Uint32Array(MEMORY_WORDS);
    let a = 0;
    let x = 0;
    for (let at = 0; ; at++) {
      const { code, yes, no, k } = this.instructions[at];
      switch (code) {
        case LD_W_ABS:
          onRead?.(k >>> 2);
          a = data[k >>> 2];
          break;
        case LD_W_LEN:
          a = DATA_BYTES;
          break;
        case LDX_W_LEN:
          x = DATA_BYTES;
          break;
        case LD_IMM:
          a = k;
          break;
        case LDX_IMM:
          x = k;
          break;
        case LD_MEM:
          a = memory[k];
          break;
        case LDX_MEM:
          x = memory[k];
          break;
        case ST:
          memory[k] = a;
          break;
        case STX:
          memory[k] = x;
          break;
        case TAX:
          x = a;
          break;
        case TXA:
          a = x;
          break;
        case RET_K:
          return k;
        case RET_A:
          return a;
        case NEG:
          a = -a >>> 0;
          break;
        default: {
          const operand = code & X ? x : k;
          if ((code & 7) === Class.alu) {
            // A division by an X of zero ends the program with 0.
            if ((code & 0xf0) === Alu.div && operand === 0) return 0;
            a = arithmetic(code & 0xf0, a, operand);
          } else if ((code & 0xf0) === Jump.always) at += k;
          else at += holds(code & 0xf0, a, operand) ? yes : no;
        }
      }
    }
  }
}

function arithmetic(operation: number, a: number, b: number): number {
  switch (operation) {
    case Alu.add:
      return (a + b) >>> 0;
    case Alu.sub:
      return (a - b) >>> 0;
    case Alu.mul:
      return Math.imul(a, b) >>> 0;
    case Alu.div:
      return Math.floor(a / b);
    case Alu.or:
      return (a | b) >>> 0;
    case Alu.and:
      return (a & b) >>> 0;
    case Alu.lsh:
      return (a << (b & 31)) >>> 0;
    case Alu.rsh:
      return a >>> (b & 31);
    default:
      return (a ^ b) >>> 0;
  }
}

function holds(operation: number, a: number, b: number): boolean {
  switch (operation) {
    case Jump.eq:
      return a === b;
    case Jump.gt:
      return a > b;
    case Jump.ge:
      return a >= b;
    default:
      return (a & b) !== 0;
  }
}
