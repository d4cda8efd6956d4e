import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NESTED_CALLS } from '../interpreter/module.ts';
import { Assembler } from '../testing/assembler.ts';
import { CodeMachine, ENGINES, engines, FREE } from '../testing/code-machine.ts';

// Translations call each other as functions; whatever a guest does with its stack, its code and its pages in between, it ends
// as an interpreted one does.

const EBX = 3;
const ESP = 4;
const CODE = FREE + 0x1000;
const OTHER = FREE + 0x10000;
/** Iterations that make any loop hot. */
const LOOPS = 5000;
/** The same of a loop whose functions are hot by themselves. */
const FEW_LOOPS = 100;

const HLT = [0xf4];
const RET = [0xc3];
const CALL = [0xe8];
const JNZ = [0x0f, 0x85];
const JZ = [0x0f, 0x84];
const MOV_ECX = [0xb9];
const MOV_EDX = [0xba];
const MOV_EAX = [0xb8];
const MOV_EDI = [0xbf];
const XOR_EBX_EBX = [0x31, 0xdb];
const ADD_EBX_EAX = [0x01, 0xc3];
const ADD_EBX_EDX = [0x01, 0xd3];
const DEC_ECX = [0xff, 0xc9];
const DEC_EDX = [0xff, 0xca];
const TEST_EDX_EDX = [0x85, 0xd2];
const CALL_EAX = [0xff, 0xd0];

type Code = (a: Assembler, bits: 32 | 64) => Assembler;

/** Runs code with each engine in each width, in bursts of some lengths, and compares what it leaves behind. */
function compare(name: string, code: Code, expected?: { ebx: number }): void {
  for (const bits of [32, 64] as const) {
    for (const engine of engines) {
      for (const burst of [97, 100_000]) {
        test(`${name}: ${bits} bits, ${engine}, bursts of ${burst}`, () => {
          const run = (hotness: number): CodeMachine => {
            const machine = new CodeMachine(bits, hotness);
            machine.enableFloating();
            machine.write(CODE, code(new Assembler(CODE), bits).finish());
            machine.run(CODE, undefined, burst);
            return machine;
          };
          const [interpreted, tried] = [run(ENGINES.off), run(ENGINES[engine])];
          const registers = (m: CodeMachine): number[] => Array.from({ length: 8 }, (_, r) => m.reg(r));
          assert.deepEqual(registers(tried), registers(interpreted));
          assert.equal(tried.cpu.instructions, interpreted.cpu.instructions);
          if (expected) assert.equal(tried.reg(EBX), expected.ebx);
          assert.equal(tried.reg(ESP), FREE);
        });
      }
    }
  }
}

/** Calls `body` LOOPS times, then halts; `functions` follow. */
const loop =
  (body: Code, functions: Code, times = LOOPS): Code =>
  (a, bits) => {
    a.bytes(...XOR_EBX_EBX, ...MOV_ECX)
      .dword(times)
      .label('again');
    body(a, bits)
      .bytes(...DEC_ECX)
      .jump(JNZ, 'again')
      .bytes(...HLT);
    return functions(a, bits);
  };

/** f: adds edx to ebx, and calls itself with edx - 1 while that is not 0. */
const recursive: Code = (a) =>
  a
    .label('f')
    .bytes(...ADD_EBX_EDX, ...DEC_EDX, ...TEST_EDX_EDX)
    .jump(JZ, 'out')
    .jump(CALL, 'f')
    .bytes(0x83, 0xc3, 0x01) // add ebx, 1
    .label('out')
    .bytes(...RET);

for (const depth of [3, NESTED_CALLS, 3 * NESTED_CALLS]) {
  compare(
    `recursion ${depth} deep`,
    loop(
      (a) =>
        a
          .bytes(...MOV_EDX)
          .dword(depth)
          .jump(CALL, 'f'),
      recursive,
    ),
    { ebx: (LOOPS * ((depth * (depth + 1)) / 2 + depth - 1)) >>> 0 },
  );
}

/** The same with nearly as many instructions as a region may have, over all XMM registers: as large a frame as there is. */
const largeFrames: Code = (a) => {
  a.label('f')
    .bytes(...ADD_EBX_EDX, ...DEC_EDX, ...TEST_EDX_EDX)
    .jump(JZ, 'out')
    .jump(CALL, 'f');
  // paddd xmm, xmm: each register and its neighbour.
  for (let index = 0; index < 360; index++) a.bytes(0x66, 0x0f, 0xfe, 0xc0 | ((index & 7) << 3) | ((index + 1) & 7));
  return a.label('out').bytes(...RET);
};

compare(
  'recursion of large functions',
  loop(
    (a) =>
      a
        .bytes(...MOV_EDX)
        .dword(2 * NESTED_CALLS)
        .jump(CALL, 'f'),
    largeFrames,
    FEW_LOOPS,
  ),
  { ebx: (FEW_LOOPS * NESTED_CALLS * (2 * NESTED_CALLS + 1)) >>> 0 },
);

compare(
  'a call by address, of two functions by turns',
  loop(
    (a) =>
      a
        .address(MOV_EAX, 'f')
        .bytes(0xf6, 0xc1, 0x01) // test cl, 1
        .jump(JZ, 'even')
        .address(MOV_EAX, 'g')
        .label('even')
        .bytes(...CALL_EAX, ...ADD_EBX_EAX),
    (a) =>
      a
        .label('f')
        .bytes(0xb8)
        .dword(3)
        .bytes(...RET)
        .label('g')
        .bytes(0xb8)
        .dword(5)
        .bytes(...RET),
  ),
  { ebx: LOOPS * 4 },
);

compare(
  'a function that returns to its caller’s caller',
  loop(
    (a) =>
      a
        .bytes(...MOV_EDX)
        .dword(9)
        .jump(CALL, 'outer')
        .bytes(...ADD_EBX_EDX),
    (a, bits) =>
      a
        .label('outer')
        .address(MOV_EAX, 'inner')
        .bytes(...CALL_EAX)
        .bytes(0x83, 0xc3, 0x64) // add ebx, 100: skipped every second time
        .bytes(...RET)
        .label('inner')
        .bytes(0xf6, 0xc1, 0x01)
        .jump(JZ, 'plain')
        .bytes(...(bits === 64 ? [0x48, 0x83, 0xc4, 0x08] : [0x83, 0xc4, 0x04])) // add esp
        .label('plain')
        .bytes(...RET),
  ),
  { ebx: LOOPS * 9 + (LOOPS / 2) * 100 },
);

compare(
  'a function that leaves its return address to a jump',
  loop(
    (a) =>
      a
        .address(MOV_EAX, 'f')
        .bytes(...CALL_EAX)
        .bytes(0x83, 0xc3, 0x01),
    (a) => a.label('f').bytes(0x5a).bytes(0xff, 0xe2), // pop rdx; jmp rdx
  ),
  { ebx: LOOPS },
);

compare(
  'a function that patches the code behind its call',
  loop(
    (a) =>
      a
        .address(MOV_EAX, 'f')
        .bytes(...CALL_EAX)
        .bytes(0x83, 0xc3)
        .label('byte')
        .bytes(0x01),
    (a) =>
      a
        .label('f')
        .address(MOV_EDI, 'byte')
        .bytes(0x81, 0xf9)
        .dword(LOOPS / 2) // cmp ecx, half
        .jump(JNZ, 'keep')
        .bytes(0xc6, 0x07, 0x05) // mov byte [rdi], 5
        .label('keep')
        .bytes(...RET),
  ),
  { ebx: LOOPS / 2 + (LOOPS / 2) * 5 },
);

compare(
  'a function that maps other code behind its call',
  (a, bits) => {
    // The loop's body is in a page of its own, of which there is another with an ADD of 7.
    const body = (value: number): number[] => [0xff, 0xd0, 0x83, 0xc3, value, ...RET]; // call rax; add ebx; ret
    a.bytes(...XOR_EBX_EBX, ...MOV_ECX)
      .dword(LOOPS)
      .label('again')
      .address(MOV_EAX, 'f')
      .bytes(0xba)
      .dword(OTHER)
      .bytes(0xff, 0xd2) // call rdx
      .bytes(...DEC_ECX)
      .jump(JNZ, 'again')
      .bytes(...HLT)
      .label('f')
      .bytes(0x81, 0xf9)
      .dword(LOOPS / 2)
      .jump(JNZ, 'keep')
      .bytes(...MOV_EDI)
      .dword(new CodeMachine(bits, 0).entryOf(OTHER))
      .bytes(0xc7, 0x07)
      .dword(new CodeMachine(bits, 0).entryFor(OTHER + 0x1000))
      .bytes(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8) // mov rax, cr3; mov cr3, rax
      .label('keep')
      .bytes(...RET);
    while (a.here < OTHER) a.bytes(0x90);
    a.bytes(...body(1));
    while (a.here < OTHER + 0x1000) a.bytes(0x90);
    return a.bytes(...body(7));
  },
  { ebx: LOOPS / 2 + (LOOPS / 2) * 7 },
);

compare(
  'a function that never comes back to where it was called from',
  loop(
    (a) =>
      a
        .address(MOV_EAX, 'f')
        .bytes(...CALL_EAX)
        .bytes(0x0f, 0x0b),
    (a, bits) =>
      a
        .label('f')
        .bytes(...(bits === 64 ? [0x48, 0x83, 0xc4, 0x08] : [0x83, 0xc4, 0x04]))
        .bytes(0x83, 0xc3, 0x02, ...DEC_ECX)
        .jump(JNZ, 'again')
        .bytes(...HLT),
  ),
  { ebx: LOOPS * 2 },
);
