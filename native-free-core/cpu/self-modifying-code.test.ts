import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BACK_OFF_LIMIT } from './interpreter/code-pages.ts';
import { Assembler } from './testing/assembler.ts';
import { CodeMachine, ENGINES, engines, FREE } from './testing/code-machine.ts';
import { LateTranslation } from './testing/late-translation.ts';

// What these assert is the architecture's: modified code executes at once on the vCPU that modified it, by whatever linear
// address it was written (SDM volume 3, 8.1.3, for one processor and code that jumps; and for the very next instruction all
// processors since the P6).

const EAX = 0;
const EBX = 3;
/** The first page of a test's code, and others with some space around. */
const CODE = FREE + 0x1000;
const OTHER = FREE + 0x10000;
const FAR = FREE + 0x40000;
/** Iterations that make any loop hot. */
const LOOPS = 5000;

const HLT = [0xf4];
const RET = [0xc3];
const XOR_EBX_EBX = [0x31, 0xdb];
const ADD_EBX_EAX = [0x01, 0xc3];
const DEC_ECX = [0xff, 0xc9];
const JNZ = [0x0f, 0x85];
const CALL = [0xe8];
const MOV_ECX = [0xb9];
const MOV_ESI = [0xbe];
const MOV_EDI = [0xbf];
const MOV_EAX_IMM = [0xb8];
const MOV_AT_EDI_CL = [0x88, 0x0f];
const INVLPG_EDI = [0x0f, 0x01, 0x3f];
const RELOAD_CR3 = [0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8];

/** The sum of the low bytes of `count`, `count` - 1, … 1. */
function sumOfLowBytes(count: number): number {
  let sum = 0;
  for (let i = count; i > 0; i--) sum += i & 0xff;
  return sum;
}

/** Entries until hot, and instructions of a burst, where translations come late: in time for loops to have changed. */
const LATE = { hotness: 20, burst: 300 };

/** A machine that executes in bursts, between which translations are installed that are no longer new. */
class LateMachine extends CodeMachine {
  constructor(bits: 32 | 64, devices?: Devices) {
    super(bits, LATE.hotness, devices, undefined, (memory) => new LateTranslation(memory));
  }

  override run(ip: number, instructions?: number): void {
    super.run(ip, instructions, LATE.burst);
  }
}
type Devices = ConstructorParameters<typeof CodeMachine>[2];

/** Runs a test with each engine, and with one that translates late, in 32-bit and in 64-bit code. */
function each(name: string, body: (make: (devices?: Devices) => CodeMachine) => void): void {
  for (const bits of [32, 64] as const) {
    for (const engine of engines)
      test(`${name} (${bits} bits, translation ${engine})`, () =>
        body((devices) => new CodeMachine(bits, ENGINES[engine], devices)));
    test(`${name} (${bits} bits, translation late)`, () => body((devices) => new LateMachine(bits, devices)));
  }
}

/** A loop that executes `body` with ECX counting down from `count`, and adds what EAX is then to EBX. */
function countedLoop(origin: number, count: number, body: (a: Assembler) => void): Assembler {
  const a = new Assembler(origin);
  a.bytes(...MOV_ECX)
    .dword(count)
    .bytes(...XOR_EBX_EBX)
    .label('loop');
  body(a);
  return a
    .bytes(...ADD_EBX_EAX, ...DEC_ECX)
    .jump(JNZ, 'loop')
    .bytes(...HLT);
}

/** A function that returns a constant: its byte at `origin` + 1 is the constant's lowest. */
function constantFunction(origin: number, value: number): Uint8Array {
  return new Assembler(origin)
    .bytes(...MOV_EAX_IMM)
    .dword(value)
    .bytes(...RET)
    .finish();
}

each('code sees what the instruction before it wrote', (make) => {
  const m = make();
  const a = countedLoop(CODE, LOOPS, (a) =>
    a
      .address(MOV_EDI, 'constant')
      .bytes(...MOV_AT_EDI_CL, ...MOV_EAX_IMM)
      .label('constant')
      .dword(0),
  );
  m.write(CODE, a.finish());
  m.run(CODE);
  assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS));
});

each('a loop that changes an opcode behind it executes the new one the next time', (make) => {
  const m = make();
  const a = new Assembler(CODE)
    .bytes(...MOV_ECX)
    .dword(LOOPS)
    .bytes(...XOR_EBX_EBX)
    .address(MOV_EDI, 'modrm')
    .label('loop')
    .bytes(0xff) // inc ebx (C3), or dec ebx (CB)
    .label('modrm')
    .bytes(0xc3)
    .bytes(0xff, 0xc0) // inc eax
    .bytes(0xf6, 0xc1, 3) // test cl, 3
    .jump([0x0f, 0x85], 'keep')
    .bytes(0x80, 0x37, 0x08) // xor byte [edi], 8
    .label('keep')
    .bytes(...DEC_ECX)
    .jump(JNZ, 'loop')
    .bytes(...HLT);
  m.write(CODE, a.finish());
  m.run(CODE);
  let ebx = 0;
  let step = 1;
  for (let ecx = LOOPS; ecx > 0; ecx--) {
    ebx += step;
    if ((ecx & 3) === 0) step = -step;
  }
  assert.equal(m.reg(EBX) | 0, ebx);
});

each('a write through another linear address of the same page is seen', (make) => {
  const m = make();
  m.map(FAR, OTHER);
  m.write(OTHER, constantFunction(OTHER, 0));
  const a = countedLoop(CODE, LOOPS, (a) =>
    a
      .bytes(...MOV_EDI)
      .dword(FAR + 1)
      .bytes(...MOV_AT_EDI_CL)
      .jump(CALL, 'function'),
  );
  // The function is called by its own address, behind the loop's code.
  a.upTo(OTHER).label('function');
  m.write(CODE, a.finish().subarray(0, OTHER - CODE));
  m.run(CODE);
  assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS));
});

each('a function written through one linear address and called by another is the new one', (make) => {
  const m = make();
  m.map(FAR, OTHER);
  m.write(OTHER, constantFunction(OTHER, 0));
  const a = countedLoop(CODE, LOOPS, (a) =>
    a
      .bytes(...MOV_EDI)
      .dword(OTHER + 1)
      .bytes(...MOV_AT_EDI_CL)
      .jump(CALL, 'function'),
  );
  a.upTo(FAR).label('function');
  m.write(CODE, a.finish().subarray(0, OTHER - CODE));
  m.run(CODE);
  assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS));
});

each('code that a device writes by DMA is seen behind the port access that asked for it', (make) => {
  const dma = { writePort: (_port: number, _size: number, value: number) => m.write(OTHER + 1, [value & 0xff]) };
  const m: CodeMachine = make(dma);
  m.write(OTHER, constantFunction(OTHER, 0));
  const a = countedLoop(CODE, LOOPS, (a) =>
    a
      .bytes(0x88, 0xc8) // mov al, cl
      .bytes(0xe6, 0x80) // out 80h, al
      .jump(CALL, 'function'),
  );
  a.upTo(OTHER).label('function');
  m.write(CODE, a.finish().subarray(0, OTHER - CODE));
  m.run(CODE);
  assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS));
});

each('a loop whose own code a device writes goes on with the new code', (make) => {
  const constant = { at: 0 };
  const dma = { writeMmio: (_at: number, _size: number, value: number) => m.write(constant.at, [value & 0xff]) };
  const m: CodeMachine = make(dma);
  m.map(FAR, 0x70000000);
  // The constant comes before the access: the next iteration has to see it.
  const a = countedLoop(
    CODE,
    LOOPS,
    (a) =>
      a
        .bytes(...MOV_EDI)
        .dword(FAR)
        .bytes(...MOV_EAX_IMM)
        .label('constant')
        .dword(0)
        .bytes(0x89, 0x0f), // mov [edi], ecx
  );
  constant.at = a.addressOf('constant');
  m.write(CODE, a.finish());
  m.run(CODE);
  // What iteration n wrote, n - 1 adds; the first one adds what was there before.
  assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS) - 1);
});

for (const [where, before] of [
  ['behind', 1],
  ['behind', 4],
  ['before', 4],
] as const) {
  each(`an instruction with ${before} bytes before a page border is changed ${where} the border`, (make) => {
    const m = make();
    const border = OTHER;
    const start = border - before;
    m.write(start, constantFunction(start, 0));
    const changed = where === 'before' ? 1 : Math.max(1, before);
    const a = countedLoop(
      CODE,
      LOOPS,
      (a) =>
        a
          .bytes(...MOV_EDI)
          .dword(start + changed)
          .bytes(...MOV_AT_EDI_CL)
          .jump(CALL, 'function')
          .bytes(0xc1, 0xe8, (changed - 1) * 8), // shr eax, to the byte that was changed
    );
    a.upTo(start).label('function');
    m.write(CODE, a.finish().subarray(0, start - CODE));
    m.run(CODE);
    assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS));
  });
}

each('a write that crosses into a page of code changes it', (make) => {
  const m = make();
  m.write(OTHER, constantFunction(OTHER, 0));
  // mov eax, imm32 is rewritten whole, with two bytes of the page before it.
  const a = countedLoop(CODE, LOOPS, (a) =>
    a
      .bytes(0x0f, 0xb6, 0xc1) // movzx eax, cl
      .bytes(0xc1, 0xe0, 24) // shl eax, 24
      .bytes(0x0d) // or eax, B80000h: opcode before the constant's lowest byte
      .dword(0xb80000)
      .bytes(...MOV_EDI)
      .dword(OTHER - 2)
      .bytes(0x89, 0x07) // mov [edi], eax
      .jump(CALL, 'function'),
  );
  a.upTo(OTHER).label('function');
  m.write(CODE, a.finish().subarray(0, OTHER - CODE));
  m.run(CODE);
  assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS));
});

for (const [how, forget] of [
  ['INVLPG', INVLPG_EDI],
  ['a write to CR3', RELOAD_CR3],
] as const) {
  /** Changes the page table entry of a page between two values that EDX and EBP hold, and tells the TLB. */
  const remap = (a: Assembler, m: CodeMachine, linear: number): Assembler =>
    a
      .bytes(...MOV_ESI)
      .dword(m.entryOf(linear))
      .bytes(...MOV_EDI)
      .dword(linear)
      .bytes(0x89, 0x16) // mov [esi], edx
      .bytes(0x87, 0xd5) // xchg edx, ebp
      .bytes(...forget);
  const values = (a: Assembler, m: CodeMachine, first: number, second: number): Assembler =>
    a.bytes(0xba).dword(m.entryFor(second)).bytes(0xbd).dword(m.entryFor(first)).jump([0xe9], 'start');

  each(`a function whose page is remapped is the new page's after ${how}`, (make) => {
    const m = make();
    const [first, second] = [OTHER, OTHER + 0x1000];
    m.write(first, constantFunction(FAR, 1));
    m.write(second, constantFunction(FAR, 1000));
    m.map(FAR, first);
    const a = values(new Assembler(CODE), m, first, second);
    const b = countedLoop(CODE + 0x100, LOOPS, (b) => remap(b, m, FAR).jump(CALL, 'function'));
    b.upTo(FAR).label('function');
    a.upTo(CODE + 0x100).label('start');
    m.write(CODE, a.finish());
    m.write(CODE + 0x100, b.finish().subarray(0, 0x200));
    m.run(CODE);
    assert.equal(m.reg(EBX), (LOOPS / 2) * 1001);
  });

  each(`code that remaps its own page goes on in the new page after ${how}`, (make) => {
    const m = make();
    const [first, second] = [OTHER, OTHER + 0x1000];
    const a = values(new Assembler(CODE), m, first, second);
    a.upTo(FAR).label('start');
    for (const [at, value] of [
      [first, 1],
      [second, 1000],
    ] as const) {
      const b = countedLoop(FAR, LOOPS, (b) =>
        remap(b, m, FAR)
          .bytes(...MOV_EAX_IMM)
          .dword(value),
      );
      m.write(at, b.finish());
    }
    m.map(FAR, first);
    m.write(CODE, a.finish().subarray(0, 0x100));
    m.run(CODE);
    assert.equal(m.reg(EBX), (LOOPS / 2) * 1001);
  });

  each(`an instruction across a border has its new second half after ${how}`, (make) => {
    const m = make();
    const [first, second] = [OTHER, OTHER + 0x1000];
    const start = FAR - 2; // opcode and the constant's lowest byte; the border; the rest
    m.write(start, constantFunction(start, 0).subarray(0, 2));
    m.write(first, [1, 0, 0, ...RET]);
    m.write(second, [2, 0, 0, ...RET]);
    m.map(FAR, first);
    const a = values(new Assembler(CODE), m, first, second);
    const b = countedLoop(CODE + 0x100, LOOPS, (b) => remap(b, m, FAR).jump(CALL, 'function'));
    b.upTo(start).label('function');
    a.upTo(CODE + 0x100).label('start');
    m.write(CODE, a.finish());
    m.write(CODE + 0x100, b.finish().subarray(0, 0x200));
    const { invalidated } = m.cpu.blocks;
    m.run(CODE);
    assert.equal(m.reg(EBX), (LOOPS / 2) * (0x100 + 0x200));
    // Nothing was written there: only the function itself is decoded anew.
    assert.ok(m.cpu.blocks.invalidated - invalidated <= LOOPS);
  });
}

each('a push and a call change code as any write does', (make) => {
  const m = make();
  const width = m.bits / 8;
  // The pushed ECX becomes the constant of the next instruction; then a call pushes its return address over its target.
  const a = countedLoop(CODE, LOOPS, (a) =>
    a
      .address([0xbc], 'behind') // mov esp, behind
      .bytes(0x51) // push ecx
      .bytes(...(m.bits === 64 ? [0x48, 0xb8] : [0xb8])) // mov (r)ax, constant
      .bytes(...new Array(width).fill(0))
      .label('behind'),
  );
  m.write(CODE, a.finish());
  m.run(CODE);
  assert.equal(m.reg(EBX), (LOOPS * (LOOPS + 1)) / 2);
});

each('REP MOVS and REP STOS replace the code behind them', (make) => {
  const m = make();
  // What is copied there: inc eax, four times; then it is filled with NOPs again.
  const increments = OTHER;
  m.write(increments, [0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0]);
  const a = countedLoop(CODE, LOOPS, (a) => {
    a.bytes(0x89, 0xcd); // mov ebp, ecx
    for (const [label, fill] of [
      ['copied', false],
      ['filled', true],
    ] as const) {
      a.bytes(...MOV_ESI)
        .dword(increments)
        .address(MOV_EDI, label)
        .bytes(...MOV_ECX)
        .dword(8);
      if (fill)
        a.bytes(0xb0, 0x90, 0xf3, 0xaa); // mov al, 90h; rep stosb
      else a.bytes(0xf3, 0xa4); // rep movsb
      a.bytes(0x31, 0xc0).label(label); // xor eax, eax
      a.bytes(...new Array(8).fill(fill ? 0xf4 : 0x90));
      if (!fill) a.bytes(0x01, 0xc3); // add ebx, eax
    }
    a.bytes(0x89, 0xe9); // mov ecx, ebp
  });
  m.write(CODE, a.finish());
  m.run(CODE);
  assert.equal(m.reg(EBX), LOOPS * 4);
});

for (const [where, distance] of [
  ['in the same line', 0],
  ['in the same page', 0x400],
] as const) {
  each(`data beside code, ${where}, is written a million times and nothing is decoded again`, (make) => {
    const m = make();
    const count = 1_000_000;
    const a = new Assembler(CODE)
      .bytes(...MOV_ECX)
      .dword(count)
      .address(MOV_EDI, 'data')
      .label('loop')
      .bytes(0x83, 0x07, 0x03) // add dword [edi], 3
      .bytes(...DEC_ECX)
      .jump(JNZ, 'loop')
      .bytes(...HLT);
    a.upTo(a.here + distance).label('data');
    assert.equal(a.here - CODE < 64, distance === 0);
    m.write(CODE, a.dword(0).finish());
    m.run(CODE);
    assert.equal(m.get32(a.addressOf('data')), count * 3);
    assert.equal(m.cpu.blocks.invalidated, 0);
    assert.ok(m.cpu.blocks.decoded < 10, `${m.cpu.blocks.decoded} blocks were decoded`);
    assert.ok(m.cpu.translator.regions < 10, `${m.cpu.translator.regions} regions were translated`);
  });
}

each('code that changes all the time is left to the interpreter, ever longer', (make) => {
  const m = make();
  const count = 100_000;
  const a = countedLoop(CODE, count, (a) =>
    a
      .address(MOV_EDI, 'constant')
      .bytes(...MOV_AT_EDI_CL, ...MOV_EAX_IMM)
      .label('constant')
      .dword(0),
  );
  m.write(CODE, a.finish());
  m.run(CODE);
  assert.equal(m.reg(EBX), sumOfLowBytes(count) >>> 0);
  assert.ok(m.cpu.translator.regions <= 4 * BACK_OFF_LIMIT, `${m.cpu.translator.regions} regions were translated`);
});

each('a function that changes leaves the others of its page alone', (make) => {
  const m = make();
  const a = countedLoop(CODE, LOOPS, (a) =>
    a
      .jump(CALL, 'steady')
      .address(MOV_EDI, 'changing')
      .bytes(0xff, 0xc7) // inc edi
      .bytes(...MOV_AT_EDI_CL)
      .jump(CALL, 'changing'),
  );
  a.label('changing')
    .bytes(...MOV_EAX_IMM)
    .dword(0)
    .bytes(...RET);
  a.label('steady').bytes(...RET);
  m.write(CODE, a.finish());
  m.run(CODE);
  assert.equal(m.reg(EBX), sumOfLowBytes(LOOPS));
  // The one block of the function that changes, each time; at first also its caller, which had taken it in.
  assert.ok(m.cpu.blocks.invalidated <= LOOPS + 10, `${m.cpu.blocks.invalidated} blocks were dropped`);
});

for (const engine of engines) {
  test(`the same bytes mean what the code segment says (translation ${engine})`, () => {
    const m = new CodeMachine(64, ENGINES[engine]);
    // mov (e)ax, constant; 16 bits: inc ax. Then inc eax, or its REX prefix: dec eax, inc eax.
    m.write(CODE, [0xb8, 0, 0, 0xff, 0xc0, 0x48, 0xff, 0xc0, ...HLT]);
    const results = { 16: 1, 32: 0xc0ff0000, 64: 0xc0ff0001 };
    for (let round = 0; round < 3; round++) {
      for (const bits of [16, 32, 64] as const) {
        m.codeSegment(bits);
        const times = round === 1 ? ENGINES.hot + 10 : 1;
        for (let i = 0; i < times; i++) {
          m.cpu.system.setReg(EAX, 0n);
          m.run(CODE);
          assert.equal(m.reg(EAX), results[bits], `as ${bits}-bit code`);
        }
      }
    }
  });
}
