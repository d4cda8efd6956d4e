import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine } from '../../firmware/bios/testing.ts';
import { multibootHeader } from '../../firmware/boot/test-images.ts';

const BASE = 0x200000;

/** A multiboot kernel that asks the backdoor for its version, sends AL, BL and CL by COM1, and powers off. */
function asking(): Uint8Array {
  const image = new Uint8Array(0x200).fill(0x90);
  image.set(multibootHeader(0x10003, [BASE, BASE, 0, 0, BASE + 0x80]));
  // biome-ignore format: one instruction a line
  image.set([
    0xb8, 0x68, 0x58, 0x4d, 0x56, // mov eax, 564d5868h
    0x31, 0xdb, // xor ebx, ebx
    0xb9, 0x0a, 0x00, 0x00, 0x00, // mov ecx, 10
    0xba, 0x58, 0x56, 0x00, 0x00, // mov edx, 5658h
    0xed, // in eax, dx
    0xba, 0xf8, 0x03, 0x00, 0x00, // mov edx, 3f8h
    0xee, // out dx, al
    0x88, 0xd8, 0xee, // mov al, bl; out dx, al
    0x88, 0xc8, 0xee, // mov al, cl; out dx, al
    0xba, 0x04, 0x06, 0x00, 0x00, // mov edx, 604h
    0xb8, 0x00, 0x34, 0x00, 0x00, // mov eax, SLP_EN and S5
    0x66, 0xef, // out dx, ax
    0xf4, // hlt
  ], 0x80);
  return image;
}

for (const translation of ['off', 'eager'] as const) {
  test(`a program finds the answers of the backdoor in its registers, translated: ${translation}`, async () => {
    const machine = new BiosTestMachine({ boot: { kernel: asking(), append: '' }, translation });
    await machine.until(() => machine.end !== undefined, 'the end');
    assert.equal(machine.end?.reason, 'powerOff');
    assert.deepEqual(machine.serial, [6, 0x68, 4]);
  });
}
