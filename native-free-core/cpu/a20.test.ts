import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S, Seg } from './state.ts';
import { Assembler } from './testing/assembler.ts';
import { CodeMachine, ENGINES, engines, FREE } from './testing/code-machine.ts';

// A processor whose A20M# is asserted puts every address out with bit 20 clear (SDM volume 3, 21.33.1 and 9.1.4: also that of
// page tables and of code fetches); what it has cached of addresses before is void.

const MIB = 0x100000;
const EBX = 3;
const CODE = FREE + 0x1000;
const LOOPS = 3000;

const HLT = [0xf4];
const XOR_EBX_EBX = [0x31, 0xdb];
const MOV_ECX = [0xb9];
const MOV_EAX_IMM = [0xb8];
const OUT_92_AL = [0xe6, 0x92];
const ADD_EBX_EAX = [0x01, 0xc3];
const DEC_ECX = [0xff, 0xc9];
const JNZ = [0x0f, 0x85];

function machine(bits: 16 | 32 | 64, hotness: number): CodeMachine {
  const writePort = (_port: number, _size: number, value: number) => made.cpu.system.physical.setA20((value & 2) !== 0);
  const made = new CodeMachine(bits, hotness, { writePort }, 8 * MIB);
  return made;
}

for (const bits of [32, 64] as const)
  for (const engine of engines) {
    test(`data and code above a closed gate are those below it (${bits} bits, ${engine})`, () => {
      const m = machine(bits, ENGINES[engine]);
      // Two functions that differ only in what they add, at the same place of an even and of an odd mebibyte, and data.
      const routine = (value: number) => [...MOV_EAX_IMM, value, 0, 0, 0, ...ADD_EBX_EAX, 0xc3];
      const [even, odd] = [2 * MIB, 3 * MIB];
      m.write(even, routine(1));
      m.write(odd, routine(100));
      m.put32(even + 0x800, 10_000);
      m.put32(odd + 0x800, 1_000_000);
      const code = new Assembler(CODE);
      code.bytes(...XOR_EBX_EBX, ...MOV_ECX).dword(LOOPS);
      code.label('loop');
      for (const open of [2, 0])
        code
          .bytes(...MOV_EAX_IMM)
          .dword(open)
          .bytes(...OUT_92_AL)
          // mov edi,odd; call edi; mov eax,[edi+800h]; add ebx,eax; inc dword [edi+804h]
          .bytes(0xbf)
          .dword(odd)
          .bytes(0xff, 0xd7, 0x8b, 0x87)
          .dword(0x800)
          .bytes(...ADD_EBX_EAX, 0xff, 0x87)
          .dword(0x804);
      code
        .bytes(...DEC_ECX)
        .jump(JNZ, 'loop')
        .bytes(...HLT);
      m.write(CODE, code.finish());
      m.run(CODE);
      assert.equal(m.reg(EBX), (LOOPS * (100 + 1_000_000 + 1 + 10_000)) >>> 0);
      assert.equal(m.get32(even + 0x804), LOOPS);
      assert.equal(m.get32(odd + 0x804), LOOPS);
      const { physical } = m.cpu.system;
      physical.setA20(false);
      assert.equal(physical.gated(5 * MIB + 7), 4 * MIB + 7);
      assert.equal(physical.gated(2 ** 40 + MIB), 2 ** 40);
      physical.setA20(true);
      assert.equal(physical.gated(5 * MIB), 5 * MIB);
    });

    test(`a page table that lies above a closed gate is the one below it (${bits} bits, ${engine})`, () => {
      const m = machine(bits, ENGINES[engine]);
      const top = m.cpu.system.get64(S.cr3);
      const { physical } = m.cpu.system;
      // The topmost tables again, 4 MiB up, and nothing one mebibyte further: a walk that went there would fault.
      for (let at = 0; at < 0x1000; at += 4) m.put32(4 * MIB + at, m.get32(Number(top) + at));
      m.write(CODE, [0xa1, ...(bits === 64 ? [0, 0x60, 0, 0, 0, 0, 0, 0] : [0, 0x60, 0, 0]), ...HLT]);
      physical.setA20(false);
      m.cpu.system.set64(S.cr3, BigInt(5 * MIB));
      m.cpu.system.controlChanged();
      m.run(CODE);
      physical.setA20(true);
      m.cpu.system.controlChanged();
      assert.throws(() => m.run(CODE), /shut down/);
    });
  }

for (const engine of engines)
  test(`real mode wraps at 1 MiB while the gate is closed (${engine})`, () => {
    const m = machine(16, ENGINES[engine]);
    const { system } = m.cpu;
    // At FFFF:0010, which is 0:0 or 1 MiB: mov ax,imm; add bx,ax; retf
    const routine = (value: number) => [0xb8, value, 0, 0x01, 0xc3, 0xcb];
    m.write(0, routine(1));
    m.write(MIB, routine(3));
    const target = [0x9a, 0x10, 0x00, 0xff, 0xff];
    const code = [
      ...[0x31, 0xdb, 0xb9, LOOPS & 0xff, LOOPS >> 8],
      // again: mov al,0; out 92h,al; call FFFF:0010; mov al,2; out 92h,al; call FFFF:0010; dec cx; jnz again
      ...[0xb0, 0x00, 0xe6, 0x92, ...target, 0xb0, 0x02, 0xe6, 0x92, ...target, 0x49, 0x75, -21 & 0xff],
      0xf4,
    ];
    m.write(0x8000, code);
    m.run(0x8000);
    assert.equal(m.reg(EBX) & 0xffff, LOOPS * 4);
    // Data: the same word seen through FFFF:0100 and 0:F0 while closed, and not while open.
    system.physical.setA20(false);
    system.setSegment(Seg.es, 0xffff, 0xffff0n, 0xffff, 0x93);
    m.write(0x9000, [0x26, 0xc7, 0x06, 0x10, 0x08, 0x34, 0x12, 0xf4]);
    m.run(0x9000);
    assert.equal(m.get32(0x800) & 0xffff, 0x1234);
    assert.equal(m.get32(MIB + 0x800), 0);
    system.physical.setA20(true);
    m.run(0x9000);
    assert.equal(m.get32(MIB + 0x800) & 0xffff, 0x1234);
  });
