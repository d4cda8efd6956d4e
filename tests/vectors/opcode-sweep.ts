// Cases of every opcode there could be, in the table or not: what is undefined must be undefined here too.
// Owns the walk over maps, opcodes, mandatory prefixes and ModRM, and the list of what the recording processor has beyond ours.
// Never knows what an instruction is: INT3 bytes follow the opcode, so an immediate is made of them.
import { DATA_REGIONS, LAYOUT, MODES } from './environments.ts';
import { fieldIndex, GPR_NAMES } from './processor-state.ts';
import { Random } from './random.ts';
import { backgroundState, PORTABLE, type VectorInput } from './vector.ts';

/** One opcode of one map: `name` is its group's in the vector file. */
export interface SweepOpcode {
  readonly name: string;
  readonly bytes: readonly number[];
}

const INT3 = 0xcc;

const MAPS: readonly (readonly [string, readonly number[]])[] = [
  ['', []],
  ['0F ', [0x0f]],
  ['0F 38 ', [0x0f, 0x38]],
  ['0F 3A ', [0x0f, 0x3a]],
];

const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
/** Escapes, calls into the recording kernel, and what answers by machine: left out as a whole. */
const LEFT_OUT: Record<string, ReadonlySet<number>> = {
  '': new Set([0x0f, 0x62, 0x8e, 0x8f, 0xc4, 0xc5, 0xcc, 0xcd, 0xf1, ...PREFIXES]),
  // SYSCALL, SYSRET, 3DNow!, prefetches, moves to and from system registers (which ignore ModRM's mod), RDTSC, SYSENTER,
  // the 38 and 3A maps, SSE4a, approximations, RDPMC, CPUID, RSM, XSAVE and its kin.
  '0F ': new Set([
    0x01, 0x05, 0x07, 0x0d, 0x0e, 0x0f, 0x18, 0x1a, 0x1b, 0x20, 0x21, 0x22, 0x23, 0x2b, 0x31, 0x33, 0x34, 0x38, 0x3a,
    0x52, 0x53, 0x78, 0x79, 0xa2, 0xaa, 0xae, 0xc7,
  ]),
  // INVPCID, shadow stacks, SHA, GFNI, direct stores.
  '0F 38 ': new Set([0x82, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xcf, 0xf5, 0xf6, 0xf8, 0xf9]),
  '0F 3A ': new Set([0xcc, 0xce, 0xcf, 0xf0]),
};

/** Every opcode of the sweep. */
export function sweptOpcodes(): SweepOpcode[] {
  return MAPS.flatMap(([map, leading]) =>
    Array.from({ length: 256 }, (_, opcode) => opcode)
      .filter((opcode) => !LEFT_OUT[map].has(opcode))
      .map((opcode) => ({
        name: `${map}${opcode.toString(16).toUpperCase().padStart(2, '0')}`,
        bytes: [...leading, opcode],
      })),
  );
}

/** One-byte opcodes that ModRM follows; behind the others, it would be an instruction of its own. */
function takesModrm(opcode: number): boolean {
  if (opcode < 0x40) return (opcode & 7) < 4;
  if (opcode >= 0x80 && opcode < 0x90) return true;
  if (opcode >= 0xd8 && opcode < 0xe0) return true;
  return [0x63, 0x69, 0x6b, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7, 0xfe, 0xff].includes(opcode);
}

/** The ModRM bytes tried: every reg field, with a register and with memory at a register. */
function modrms(long: boolean, sixteen: boolean): number[] {
  const memory = sixteen ? 0x07 : 0x03;
  const out: number[] = [];
  for (let reg = 0; reg < 8; reg++) out.push(0xc0 | (reg << 3) | 1);
  for (const reg of [0, 3, 6]) out.push(memory | (reg << 3));
  return long ? out : out.filter((_, index) => index % 4 === 0);
}

/**
 * 66 with near branches in 64-bit code differs between makers; F1 behind a short opcode would be INT1, a debugger's; a branch beyond a 16-bit segment's limit faults too late here, at its target.
 */
function isLeftOut(bytes: readonly number[], prefix: readonly number[], modrm: number, long: boolean): boolean {
  const opcode = bytes[bytes.length - 1];
  if (modrm === 0xf1 && bytes.length < 3) return true;
  // REX prefixes.
  if (long && bytes.length === 1 && (opcode & 0xf0) === 0x40) return true;
  if (prefix[0] !== 0x66) return false;
  if (bytes.length === 2) return opcode >= 0x80 && opcode <= 0x8f;
  if (!long) return opcode === 0xe8 || opcode === 0xe9;
  const branches = [0xc2, 0xc3, 0xe0, 0xe1, 0xe2, 0xe3, 0xe8, 0xe9, 0xeb, 0xff];
  return bytes.length === 1 && ((opcode >= 0x70 && opcode <= 0x7f) || branches.includes(opcode));
}

/** The cases of one opcode in one mode. */
export function sweepCases({ name, bytes }: SweepOpcode, modeNumber: number): VectorInput[] {
  const mode = MODES[modeNumber];
  const long = mode.bits === 64;
  // In the one-byte map, prefixes other than operand size only say what other files do.
  const mandatory = bytes.length === 1 ? [[], [0x66]] : [[], [0x66], [0xf3], [0xf2]];
  const plain = bytes.length === 1 && !takesModrm(bytes[0]);
  const inputs: VectorInput[] = [];
  const first = [...name].reduce(
    (sum, letter) => Math.imul(sum ^ letter.charCodeAt(0), 0x01000193),
    0x811c9dc5 ^ modeNumber,
  );
  for (const prefix of mandatory) {
    for (const modrm of plain ? [INT3] : modrms(long, mode.bits === 16)) {
      if (isLeftOut(bytes, prefix, modrm, long)) continue;
      const seed = (first + inputs.length) >>> 0;
      const code = Uint8Array.from([...prefix, ...bytes, modrm, ...new Array(12).fill(INT3)]);
      inputs.push({ ...surroundings(modeNumber, seed), code });
    }
  }
  return inputs;
}

/** Registers that lead to data, an x87 in its first state, and nothing that only sometimes matters. */
function surroundings(modeNumber: number, seed: number): Omit<VectorInput, 'code'> {
  const mode = MODES[modeNumber];
  const random = new Random(seed);
  const overrides = new Map<number, bigint>();
  const base = mode.bits === 16 ? 0x28000 : 0;
  for (let register = 0; register < (mode.bits === 64 ? 16 : 8); register++) {
    if (GPR_NAMES[register] === 'rsp') continue;
    const at = DATA_REGIONS.integer + 16 * random.below(0x100);
    overrides.set(register, BigInt(at - base));
  }
  // A count in RCX that ends soon, a divisor's high half that fits.
  overrides.set(fieldIndex('rcx'), BigInt(1 + random.below(4)));
  overrides.set(fieldIndex('rdx'), 0n);
  overrides.set(fieldIndex('fsw'), backgroundState(modeNumber, seed).get('fsw') & 0x7f7fn);
  return {
    mode: modeNumber,
    seed,
    overrides,
    patches: [{ at: LAYOUT.stack, bytes: new Uint8Array(8) }],
    undefinedFlags: 0x8d5,
    ignoredFields: [],
    ignoredMemory: [],
    portable: PORTABLE.nowhere,
  };
}
