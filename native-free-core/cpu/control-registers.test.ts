import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S } from './state.ts';
import { CodeMachine, ENGINES, engines, FREE } from './testing/code-machine.ts';

const CODE = FREE + 0x1000;
const [EAX, ECX, EDX, EBX] = [0, 1, 2, 3];
const HLT = 0xf4;

// "The 2 bits in the mod field are ignored" (SDM volume 2, MOV—Move to/from Control Registers, and Debug Registers alike).
for (const bits of [32, 64] as const)
  for (const engine of engines)
    test(`MOV of control and debug registers, whatever ModRM's mod bits say (${bits} bits, translation ${engine})`, () => {
      const m = new CodeMachine(bits, ENGINES[engine]);
      const { system } = m.cpu;
      m.write(CODE, [
        ...[0xb8, 0x00, 0x50, 0x00, 0x00], // mov eax,5000h
        ...[0x0f, 0x22, 0x10], // mov cr2,eax with the mod bits of [eax]
        ...[0x0f, 0x20, 0x51], // mov ecx,cr2 with those of [ecx+disp8]: no displacement follows
        ...[0x0f, 0x23, 0x84], // mov dr0,esp with those of [sib+disp32]: neither SIB nor displacement follows
        ...[0x0f, 0x21, 0x05], // mov ebp,dr0 with those of [disp32]
        ...[0x0f, 0x20, 0xc2], // mov edx,cr0, as assemblers write it
        ...[0x0f, 0x20, 0x03, HLT], // mov ebx,cr0
      ]);
      m.run(CODE);
      assert.equal(m.reg(EAX), 0x5000);
      assert.equal(m.reg(ECX), 0x5000);
      assert.equal(system.get32(S.cr2), 0x5000);
      assert.equal(m.reg(5), m.reg(4));
      assert.equal(system.get32(S.debug), m.reg(4));
      assert.equal(m.reg(EBX), m.reg(EDX));
      assert.equal(m.reg(EBX), system.get32(S.cr0));
    });
