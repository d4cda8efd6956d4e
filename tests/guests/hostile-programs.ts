// Guests that are out to break the engine: machine code made to meet each of its bounds.
// Owns the programs, made by code from a fixed seed.
// Never runs them: see hostile-run.ts.

import { Assembler } from '../../native-free-core/cpu/testing/assembler.ts';
import { type CodeMachine, FREE } from '../../native-free-core/cpu/testing/code-machine.ts';

const MIB = 1 << 20;
/** RAM of a hostile guest, in MiB. */
export const HOSTILE_RAM = 64;
/** Where programs begin, and where the code that they go through does. */
const ENTRY = FREE + 0x1000;
const HANDLER = FREE + 0x2000;
const VARIABLE = FREE + 0x3000;
const DATA = FREE + 0x10000;
const AREA = 8 * MIB;
const END = HOSTILE_RAM * MIB;

export interface HostileProgram {
  readonly bits: 32 | 64;
  /** Puts the program into a machine that has just been powered on; gives the address to begin at. */
  load(machine: CodeMachine): number;
  /** The program may find a way to go round in a small circle: it is put back at its beginning from time to time. */
  readonly nudged?: boolean;
}

const MOV_ECX = [0xb9];
const MOV_ESP = [0xbc];
const MOV_ESI = [0xbe];
const MOV_EDI = [0xbf];
const CMP_EDI = [0x81, 0xff];
const ADD_EDI = [0x81, 0xc7];
const DEC_ECX = [0xff, 0xc9];
const ADD_EBX_EAX = [0x01, 0xc3];
const CALL_EDI = [0xff, 0xd7];
const JMP = [0xe9];
const JB = [0x0f, 0x82];
const JZ = [0x0f, 0x84];
const JNZ = [0x0f, 0x85];
const jcc = (condition: number): number[] => [0x0f, 0x80 | condition];

/** Numbers below `n` that are the same in every run. */
function numbers(): (n: number) => number {
  let state = 1;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % n;
  };
}

/** An exception handler that goes on at a pseudo-random multiple of `step` in the area. */
function scatter(machine: CodeMachine, bytes: number, step: number): number {
  const a = new Assembler(HANDLER)
    .bytes(...MOV_ESP)
    .dword(FREE)
    .bytes(0xfc) // cld
    .bytes(...MOV_ESI)
    .dword(VARIABLE)
    .bytes(0x69, 0x3e) // imul edi, [esi], 1664525
    .dword(1664525)
    .bytes(...ADD_EDI)
    .dword(1013904223)
    .bytes(0x89, 0x3e) // mov [esi], edi
    .bytes(0xc1, 0xef, 8) // shr edi, 8
    .bytes(0x81, 0xe7) // and edi, …
    .dword((bytes - 1) & -step)
    .bytes(...ADD_EDI)
    .dword(AREA)
    .bytes(...MOV_ESI)
    .dword(DATA)
    .bytes(0xff, 0xe7); // jmp edi
  machine.write(HANDLER, a.finish());
  machine.handleExceptions(HANDLER);
  return HANDLER;
}

/** Every second instruction is a conditional jump, to anywhere in a megabyte. */
const allBranches = (bits: 32 | 64): HostileProgram => ({
  bits,
  nudged: true,
  load(machine) {
    const random = numbers();
    const a = new Assembler(AREA);
    const slots = MIB / 8;
    for (let slot = 0; slot < slots; slot++) {
      const from = a.here + 8;
      // inc ebx, or rol ebx, 3 and its like: the flags are never the same for long
      a.bytes(...(random(4) === 0 ? [0xd1, 0xc3] : [0xff, 0xc3]), ...jcc(random(16)));
      a.dword(AREA + random(slots) * 8 - from);
    }
    machine.write(AREA, a.jump(JMP, 'back').label('back').finish());
    machine.write(
      a.here - 5,
      new Assembler(a.here - 5)
        .bytes(...JMP)
        .dword(AREA - a.here)
        .finish(),
    );
    return AREA;
  },
});

/** A million instructions without a jump. */
const oneBlock: HostileProgram = {
  bits: 64,
  load(machine) {
    const code = new Uint8Array(3_000_000);
    for (let at = 0; at < code.length; at += 3) code.set([0x83, 0xc0 | (at % 8 === 4 ? 0 : at % 8), at & 0x7f], at);
    const end = AREA + code.length;
    machine.write(AREA, code);
    machine.write(
      end,
      new Assembler(end)
        .bytes(...JMP)
        .dword(AREA - (end + 5))
        .finish(),
    );
    return AREA;
  },
};

/** Jumps into the middle of instructions: ADD EAX, imm32 whose constant is INC EBX and a JMP, in all its readings. */
const middle: HostileProgram = {
  bits: 64,
  nudged: true,
  load(machine) {
    const random = numbers();
    const length = 7;
    const count = Math.floor((MIB / length) | 0);
    const code = new Uint8Array(count * length);
    // A jump of 8 bits from the end of its bytes to one of the readings of a slot near by.
    const towards = (slot: number, from: number): number => {
      const near = Math.min(count - 1, Math.max(0, slot + random(31) - 15));
      const to = near * length + [0, 1, 3][random(3)];
      return Math.min(127, Math.max(-128, to - from)) & 0xff;
    };
    for (let slot = 0; slot < count; slot++) {
      const at = slot * length;
      code.set([0x05, 0xff, 0xc3, 0xeb, towards(slot, at + 5), 0x70 | random(16), towards(slot, at + 7)], at);
    }
    machine.write(AREA, code);
    scatter(machine, MIB, 1);
    return HANDLER;
  },
};

/** Bytes as they come, from anywhere on. */
const noise: HostileProgram = {
  bits: 64,
  nudged: true,
  load(machine) {
    const random = numbers();
    machine.write(
      AREA,
      Uint8Array.from({ length: MIB }, () => random(256)),
    );
    scatter(machine, MIB, 1);
    return HANDLER;
  },
};

/** Whole pages of code are replaced, called into, and replaced again. */
const rewritten: HostileProgram = {
  bits: 64,
  load(machine) {
    const versions = [AREA, AREA + 0x1000];
    for (const [index, version] of versions.entries()) {
      const a = new Assembler(version);
      // inc ebx or dec ebx; ret
      for (let i = 0; i < 1024; i++) a.bytes(0xff, index === 0 ? 0xc3 : 0xcb, 0xc3, 0x90);
      machine.write(version, a.finish());
    }
    const target = AREA + 0x10000;
    const a = new Assembler(ENTRY);
    a.bytes(0x31, 0xed).label('again'); // xor ebp, ebp
    for (const version of versions) {
      a.bytes(...MOV_ESI)
        .dword(version)
        .bytes(...MOV_EDI)
        .dword(target)
        .bytes(...MOV_ECX)
        .dword(0x1000);
      a.bytes(0xf3, 0xa4); // rep movsb
      for (let i = 0; i < 20; i++)
        a.bytes(...MOV_EDI)
          .dword(target + i * 196)
          .bytes(...CALL_EDI);
    }
    machine.write(ENTRY, a.jump(JMP, 'again').finish());
    return ENTRY;
  },
};

/** A million functions of two instructions, called in turn. */
const tinyFunctions: HostileProgram = {
  bits: 32,
  load(machine) {
    const count = 1_000_000;
    const code = new Uint8Array(count * 4);
    for (let at = 0; at < code.length; at += 4) code.set([0xff, 0xc0, 0xc3, 0x90], at); // inc eax; ret
    machine.write(AREA, code);
    const a = new Assembler(ENTRY)
      .label('again')
      .bytes(...MOV_EDI)
      .dword(AREA)
      .label('next')
      .bytes(...CALL_EDI, ...ADD_EDI)
      .dword(4)
      .bytes(...CMP_EDI)
      .dword(AREA + code.length)
      .jump(JB, 'next')
      .jump(JMP, 'again');
    machine.write(ENTRY, a.finish());
    return ENTRY;
  },
};

/** String instructions that would go on for centuries; a page fault at the end of RAM starts the next one. */
const hugeRepeat: HostileProgram = {
  bits: 64,
  load(machine) {
    const a = new Assembler(HANDLER);
    const begin = (): Assembler =>
      a
        .bytes(...MOV_ESP)
        .dword(FREE)
        .bytes(0x48, 0xc7, 0xc1) // mov rcx, -1
        .dword(-1)
        .bytes(0x31, 0xc0); // xor eax, eax
    const kinds: readonly (readonly number[])[] = [
      [0xf3, 0xaa], // rep stosb
      [0xf3, 0x48, 0xa5], // rep movsq
      [0xf3, 0x66, 0xad], // rep lodsw, with DF set
      [0xf3, 0xae], // repe scasb
      [0xf3, 0xac], // rep lodsb
    ];
    a.bytes(...MOV_ESI)
      .dword(VARIABLE)
      .bytes(0xff, 0x06, 0x8b, 0x06); // inc dword [esi]; mov eax, [esi]
    a.bytes(0x31, 0xd2)
      .bytes(...MOV_ECX)
      .dword(kinds.length)
      .bytes(0xf7, 0xf1); // xor edx, edx; div ecx
    for (const index of kinds.keys()) a.bytes(0x83, 0xfa, index).jump(JZ, `kind ${index}`); // cmp edx, index
    for (const [index, kind] of kinds.entries()) {
      a.label(`kind ${index}`);
      const down = index === 2; // reads alone: the way down leads past everything
      begin()
        .bytes(down ? 0xfd : 0xfc) // std or cld
        .bytes(...MOV_EDI)
        .dword(AREA + MIB)
        .bytes(...MOV_ESI)
        .dword(AREA)
        .bytes(...kind)
        .bytes(0x0f, 0x0b); // ud2
    }
    machine.write(HANDLER, a.finish());
    machine.handleExceptions(HANDLER);
    return HANDLER;
  },
};

/** An exception whose handler returns to it. */
const exceptionLoop = (bits: 32 | 64): HostileProgram => ({
  bits,
  load(machine) {
    machine.write(HANDLER, bits === 64 ? [0x48, 0xcf] : [0xcf]); // iret
    machine.handleExceptions(HANDLER);
    machine.write(ENTRY, [0x0f, 0x0b]); // ud2
    return ENTRY;
  },
});

/** An exception whose handler raises it again, until no stack is left. */
const nestedExceptions: HostileProgram = {
  bits: 64,
  load(machine) {
    machine.write(HANDLER, [0x0f, 0x0b]);
    machine.handleExceptions(HANDLER);
    return HANDLER;
  },
};

/** What makes the most code, and keeps the most alive: every register, the flags, memory read and written. */
const heavy: readonly ((random: (n: number) => number) => readonly number[])[] = [
  (random) => [0x48 | (random(2) << 2), 0x11, 0x46 | (random(8) << 3), random(16) * 8], // adc [rsi+d], r
  (random) => [0x48 | (random(2) << 2), 0x0f, 0xa5, 0x46 | (random(8) << 3), random(16) * 8], // shld [rsi+d], r, cl
  (random) => [0x48, 0xd3, 0x56, random(16) * 8], // rcl qword [rsi+d], cl
  (random) => [0x48 | (random(2) << 2), 0x0f, 0xb1, 0x46 | (random(8) << 3), random(16) * 8], // cmpxchg [rsi+d], r
  (random) => [0xdb, 0x7e, random(8) * 16], // fstp m80
  (random) => [0x0f, 0x2c, 0x46 | (random(8) << 3), random(16) * 8], // cvttps2pi
  (random) => [0x66, 0x0f, 0x59, 0x46 | (random(8) << 3), random(8) * 16], // mulpd
  (random) => [0x66, 0x0f, 0x3a, 0x40, 0x46 | (random(8) << 3), random(8) * 16, 0xff], // dpps
  (random) => [0x66, 0x0f, 0x3a, 0x42, 0x46 | (random(8) << 3), random(8) * 16, 5], // mpsadbw
  (random) => [0x48, 0xf7, 0x7e, random(8) * 8], // idiv qword [rsi+d]
  () => [0xf3, 0xa4], // rep movsb
];

/** Page after page of regions as large as they get. */
const largestRegions: HostileProgram = {
  bits: 64,
  nudged: true,
  load(machine) {
    const random = numbers();
    const pages = 256;
    for (let page = 0; page < pages; page++) {
      const a = new Assembler(AREA + page * 0x1000);
      const kind = page % (heavy.length + 1);
      for (let block = 0; block < 40; block++) {
        a.label(`block ${block}`);
        for (let i = 0; i < 9; i++) a.bytes(...heavy[kind < heavy.length ? kind : random(heavy.length)](random));
        a.jump(jcc(random(16)), `block ${random(40)}`);
      }
      a.bytes(0x0f, 0x0b); // ud2
      machine.write(a.origin, a.finish());
    }
    // SSE and x87 on, memory operands at DATA.
    machine.enableFloating();
    return scatter(machine, pages * 0x1000, 0x1000);
  },
};

/** A compiler that never runs out of new code: a function is written, called, and the next one written behind it. */
const jit: HostileProgram = {
  bits: 64,
  load(machine) {
    const a = new Assembler(ENTRY)
      .label('again')
      .bytes(...MOV_EDI)
      .dword(AREA)
      .label('next')
      .bytes(0xff, 0xc5) // inc ebp
      .bytes(0xc6, 0x07, 0xb8, 0x89, 0x6f, 0x01, 0xc6, 0x47, 0x05, 0xc3) // at edi: mov eax, ebp's value; ret
      .bytes(...MOV_ECX)
      .dword(3)
      .label('call')
      .bytes(...CALL_EDI, ...ADD_EBX_EAX, ...DEC_ECX)
      .jump(JNZ, 'call')
      .bytes(...ADD_EDI)
      .dword(0x40)
      .bytes(...CMP_EDI)
      .dword(END)
      .jump(JB, 'next')
      .jump(JMP, 'again');
    machine.write(ENTRY, a.finish());
    return ENTRY;
  },
};

export const hostilePrograms: Readonly<Record<string, HostileProgram>> = {
  'all branches, 32 bits': allBranches(32),
  'all branches, 64 bits': allBranches(64),
  'a block of a million instructions': oneBlock,
  'jumps into the middle of instructions': middle,
  'random bytes': noise,
  'code pages rewritten in a loop': rewritten,
  'a million tiny functions': tinyFunctions,
  'huge repetitions': hugeRepeat,
  'an endless exception, 32 bits': exceptionLoop(32),
  'an endless exception, 64 bits': exceptionLoop(64),
  'exceptions in exceptions': nestedExceptions,
  'the largest regions': largestRegions,
  'new code for ever': jit,
};
