// Short instruction sequences that fuzz programs are interspersed with, as bytes for each code size.
// Owns their encodings.
// Never decides when they come: generator.ts does.
import { LAYOUT, type Mode, SYSTEM_BASE } from '../vectors/environments.ts';
import type { Random } from '../vectors/random.ts';

type Instruction = readonly number[];

/** Ports that programs write to, and what the machine does then. */
export const PORT = {
  /** Nothing: the state is compared. */
  compare: 0xe0,
  /** Asserts an interrupt. */
  interrupt: 0xe1,
  /** Asserts an NMI. */
  nmi: 0xe2,
  /** A device writes the byte to where code may be. */
  directMemory: 0xe3,
} as const;

function little(value: bigint | number, bytes: number): number[] {
  const whole = BigInt.asUintN(bytes * 8, BigInt(value));
  return Array.from({ length: bytes }, (_, i) => Number((whole >> BigInt(i * 8)) & 255n));
}

/** MOV of a constant into a general register, 64 or 32 bits wide. */
export function loadRegister(mode: Mode, register: number, value: bigint | number): number[] {
  if (mode.bits === 64) return [0x48 | (register >> 3), 0xb8 | (register & 7), ...little(value, 8)];
  const bytes = [0xb8 | (register & 7), ...little(value, 4)];
  return mode.bits === 16 ? [0x66, ...bytes] : bytes;
}

/** A byte to a linear address that flat segments reach. */
export function storeByte(mode: Mode, at: number, value: number): Instruction[] {
  if (mode.bits === 64) return [[0xc6, 0x04, 0x25, ...little(at, 4), value]];
  return [[0xc6, 0x05, ...little(at, 4), value]];
}

/** PUSH and POP in their forms, and frames. */
export function stack(random: Random, mode: Mode): Instruction[] {
  const register = (): number => {
    const drawn = random.below(8);
    return drawn === 4 ? 0 : drawn;
  };
  const wide = mode.bits === 16 ? 2 : 4;
  const out: Instruction[] = [];
  for (let i = random.below(4); i >= 0; i--) {
    const kind = random.below(8);
    if (kind < 3) out.push([0x50 | register()]);
    else if (kind < 5) out.push([0x58 | register()]);
    else if (kind === 5) out.push([0x68, ...little(random.u32(), wide)]);
    else if (kind === 6) out.push([0x9c], [0x58]);
    else out.push([0xc8, 8 * random.below(8), 0, random.below(3)], [0xc9]);
  }
  return out;
}

/** Flags, written and read as a whole or one by one. */
export function flags(random: Random, mode: Mode): Instruction[] {
  const drawn = random.below(9);
  if (drawn < 5) return [[[0xf5], [0xf8], [0xf9], [0xfc], [0xfd]][drawn]];
  if (drawn === 5) return [[0x9f]];
  if (drawn === 6) return [[0x9e]];
  // What is popped has TF now and then, which makes a trap of every instruction behind.
  if (drawn === 7) {
    const value = 0x202 | (random.u32() & (random.chance(15) ? 0x40fd5 : 0x40ed5));
    return [[0x68, ...little(value, mode.bits === 16 ? 2 : 4)], [0x9d]];
  }
  return [[0x0f, 0x90 | random.below(16), 0xc0 | random.below(4)]];
}

/** Port I/O, interrupts asked for, and the interrupt flag. */
export function device(random: Random, mode: Mode, exact: boolean): Instruction[] {
  if (random.chance(15)) return [[0x0f, 0x31]];
  const draw = random.below(12);
  const port = draw < 4 ? PORT.compare : draw < 7 ? PORT.interrupt : draw === 7 ? PORT.nmi : PORT.directMemory;
  // Where interrupts come anywhere, nobody may ever see the HLT.
  if (draw === 8) return [[0xfb], ...(mode.cpl === 0 && exact ? [[0xf4]] : [[0x90]])];
  if (draw === 9) return [[0xfa]];
  if (draw === 10) return [[0xe4, random.below(256)]];
  if (draw === 11 && mode.bits !== 16) {
    // A string from or to a port.
    const repeat = random.chance(60) ? [0xf3] : [];
    const direction = random.pick([0x6c, 0x6d, 0x6e, 0x6f]);
    return [loadRegister(mode, 2, PORT.compare), loadRegister(mode, 1, random.below(9)), [...repeat, direction]];
  }
  if (!exact && port !== PORT.compare) return [[0xe6, PORT.compare]];
  return [[0xe6, port]];
}

/** New rounding modes, precisions and exception masks, by way of the data. */
export function floatingControl(random: Random, mode: Mode): Instruction[] {
  const at = LAYOUT.data + 0x40;
  const reach = (opcode: Instruction, digit: number): number[] => {
    const modrm = digit << 3;
    if (mode.bits === 64) return [...opcode, modrm | 4, 0x25, ...little(at, 4)];
    if (mode.bits === 32) return [...opcode, modrm | 5, ...little(at, 4)];
    return [...opcode, modrm | 6, ...little(at - LAYOUT.data, 2)];
  };
  const immediate = (value: number): number[] => {
    const prefix = mode.bits === 16 ? [0x66] : [];
    return [...prefix, ...reach([0xc7], 0), ...little(value, 4)];
  };
  if (random.chance(50)) {
    const masks = random.chance(50) ? 0x1f80 : random.u32() & 0x1f80;
    return [immediate((random.u32() & 0xe07f) | masks), reach([0x0f, 0xae], 2)];
  }
  if (random.chance(30))
    return [random.pick([[0xdb, 0xe3], [0xdb, 0xe2], [0x0f, 0x77], [0x9b], [0xd9, 0xf7], [0xd9, 0xf6]])];
  return [immediate(0x40 | (random.u32() & 0xf3f)), reach([0xd9], 5)];
}

/** Writes the low byte of the page-table entry at `entry` in RAM, and INVLPG of its page. Ring 0, 32- or 64-bit code. */
export function changePage(mode: Mode, entry: number, linear: number, low: number): Instruction[] {
  return [
    loadRegister(mode, 0, SYSTEM_BASE + entry),
    [0xc6, 0x00, low],
    loadRegister(mode, 1, linear),
    [0x0f, 0x01, 0x39],
  ];
}
