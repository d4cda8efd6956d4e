import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Assembler } from '../testing/assembler.ts';
import { CodeMachine, ENGINES, engines, FREE } from '../testing/code-machine.ts';

// A region finds the memory behind a pointer once for several accesses: they must be what accesses found one by one are, also
// where a page ends between them, where they may not all be made, and where a device changes what is mapped meanwhile.

const CODE = FREE + 0x1000;
const DATA = FREE + 0x20000;
const OTHER = FREE + 0x30000;
/** A linear page at which a device answers, and its physical address, far above RAM. */
const DEVICE = FREE + 0x40000;
const DEVICE_PHYSICAL = 0x1000_0000;
/** Iterations that make any loop hot. */
const LOOPS = 5000;
const MOV_EBX = 0xbb;
const MOV_ESI = 0xbe;
const MOV_ECX = 0xb9;
const MOV_ESP = 0xbc;
const JNZ = [0x0f, 0x85];
const HLT = 0xf4;

interface Setting {
  /** Before the code runs. */
  prepare?(machine: CodeMachine): void;
  /** What the device does when it is read. */
  read?(machine: CodeMachine, reads: number): number;
  expected?: { eax: number };
}

/** A loop around `body`, with eax and edi cleared before it. */
function compare(name: string, pointers: Record<number, number>, body: readonly number[], setting: Setting = {}): void {
  for (const bits of [32, 64] as const) {
    for (const engine of engines) {
      for (const burst of [97, 100_000]) {
        test(`${name}: ${bits} bits, ${engine}, bursts of ${burst}`, () => {
          const run = (hotness: number): CodeMachine => {
            let reads = 0;
            const machine: CodeMachine = new CodeMachine(bits, hotness, {
              readMmio: () => setting.read?.(machine, reads++) ?? 0,
            });
            machine.map(DEVICE, DEVICE_PHYSICAL);
            for (let at = DATA; at < DATA + 0x3000; at += 4) machine.put32(at, (at * 0x9e3779b1) >>> 0);
            for (let at = OTHER; at < OTHER + 0x1000; at += 4) machine.put32(at, at);
            setting.prepare?.(machine);
            const code = new Assembler(CODE).bytes(0x31, 0xc0, 0x31, 0xff);
            for (const [opcode, address] of Object.entries(pointers)) code.bytes(Number(opcode)).dword(address);
            code.bytes(MOV_ECX).dword(LOOPS).label('again');
            code
              .bytes(...body)
              .bytes(0xff, 0xc9)
              .jump(JNZ, 'again')
              .bytes(HLT);
            machine.write(CODE, code.finish());
            machine.run(CODE, undefined, burst);
            return machine;
          };
          const [interpreted, tried] = [run(ENGINES.off), run(ENGINES[engine])];
          const all = (m: CodeMachine): number[] => [
            ...Array.from({ length: 8 }, (_, register) => m.reg(register)),
            ...Array.from({ length: 0x3000 >> 2 }, (_, word) => m.get32(DATA + word * 4)),
          ];
          assert.deepEqual(all(tried), all(interpreted));
          assert.equal(tried.cpu.instructions, interpreted.cpu.instructions);
          if (engine !== 'off') assert.ok(tried.cpu.translator.regions > 0, 'nothing was translated');
          if (setting.expected) assert.equal(tried.reg(0), setting.expected.eax);
        });
      }
    }
  }
}

/** ADD eax with [ebx], [ebx + 8] and [ebx - 8]; ADD of eax to [ebx + 4]; XOR [ebx + 8], eax; MOV edi, [ebx + 4]. */
const STRUCTURE = [0x03, 0x03, 0x03, 0x43, 8, 0x03, 0x43, 0xf8, 0x01, 0x43, 4, 0x31, 0x43, 8, 0x8b, 0x7b, 4];

compare('a structure', { [MOV_EBX]: DATA + 0x100 }, STRUCTURE);
for (const before of [2, 4, 6, 9])
  compare(`a structure whose page ends behind byte ${before}`, { [MOV_EBX]: DATA + 0x1000 - before }, STRUCTURE);
compare('a structure over two pages that lie apart', { [MOV_EBX]: DATA + 0xffd }, STRUCTURE, {
  prepare: (machine) => machine.map(DATA + 0x1000, DATA + 0x2000),
});
// ADD ebx, 2 in the midst, and SUB at the end: what was found by the old pointer is of no use.
compare('a pointer that changes between accesses', { [MOV_EBX]: DATA + 0xff7 }, [
  ...STRUCTURE,
  0x83,
  0xc3,
  2,
  ...STRUCTURE,
  0x83,
  0xeb,
  2,
]);
// TEST cl, 1; JZ over a read: what is found on one way alone is not known behind it.
compare(
  'a structure that is read on one way alone',
  { [MOV_EBX]: DATA + 0x200 },
  [
    0xf6, 0xc1, 1, 0x74, 2, 0x03, 0x03, 0x03, 0x43, 8, 0xf6, 0xc1, 2, 0x74, 6, 0x83, 0xc3, 4, 0x83, 0xeb, 4, 0x01, 0x43,
    4,
  ],
);

// ADD eax, [ebx]; ADD eax, [esi]; ADD eax, [ebx + 4]: the device at esi maps another page behind ebx, and goes back.
compare(
  'a device that changes what is mapped',
  { [MOV_EBX]: DATA + 0x300, [MOV_ESI]: DEVICE },
  [0x8b, 0x03, 0x03, 0x06, 0x8b, 0x43, 4],
  {
    read(machine, reads) {
      machine.map(DATA, reads % 3 === 2 ? DATA : OTHER);
      machine.cpu.system.mmu.flushAll();
      return reads;
    },
    // The last of 5,000 reads leaves the other page there.
    expected: { eax: OTHER + 0x304 },
  },
);

// PUSH and POP in their order, [esp + 4] between them, SUB and ADD esp over most of a page; in 64-bit code of 8 bytes each.
const STACK = [
  0x50, 0x53, 0x51, 0x8b, 0x7c, 0x24, 4, 0x81, 0xec, 0x00, 0x0f, 0, 0, 0x50, 0x5f, 0x81, 0xc4, 0x00, 0x0f, 0, 0,
];
for (const [what, top] of [
  ['in the midst of a page', DATA + 0x2800],
  ['at the beginning of a page', DATA + 0x2008],
  ['over a page’s beginning', DATA + 0x2006],
] as const)
  compare(`a stack ${what}`, { [MOV_ESP]: top, [MOV_EBX]: 0x1234_5678 }, [...STACK, 0x59, 0x5b, 0x58, 0x01, 0xf8]);
