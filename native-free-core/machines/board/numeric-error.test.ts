// The PC/AT's way of x87 exceptions on the whole machine: IRQ 13, port F0h, and IGNNE# until the exception is cleared.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine, BUFFER } from '../../firmware/bios/testing.ts';

const HANDLER = 0x100;
const CONTROL = 0x200;
const COUNT = 0x202;
const STORED = 0x204;
const at = (offset: number) => [offset & 0xff, offset >> 8];

// biome-ignore format: one instruction a line
const program = [
  0xe4, 0xa1, 0x24, 0xdf, 0xe6, 0xa1, // in al, a1h; and al, dfh; out a1h, al: IRQ 13
  0xe4, 0x21, 0x24, 0xfb, 0xe6, 0x21, // in al, 21h; and al, fbh; out 21h, al: the second controller
  0xfb, // sti
  0xdb, 0xe3, // fninit
  0x2e, 0xd9, 0x2e, ...at(CONTROL), // fldcw
  0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, // fld1; fldz; fdivp
  0xd9, 0xe8, // fld1, which waits
  0xd9, 0xee, 0xde, 0xf9, // fldz; fdivp
  0x9b, // fwait
  0xcf, // iret
];
// biome-ignore format: one instruction a line
const handler = [
  0x50, 0xb0, 0x00, 0xe6, 0xf0, // push ax; mov al, 0; out f0h, al
  0xd9, 0xeb, // fldpi, although the exception is pending
  0x2e, 0xdf, 0x1e, ...at(STORED), // fistp
  0x2e, 0xff, 0x06, ...at(COUNT), // inc
  0xdb, 0xe2, // fnclex
  0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, // mov al, 20h; out a0h, al; out 20h, al
  0x58, 0xcf, // pop ax; iret
];

for (const translation of ['off', 'eager'] as const) {
  test(`a handler of IRQ 13 uses the x87 once it has written port F0h, translated: ${translation}`, async () => {
    const machine = await new BiosTestMachine({ translation }).boot();
    machine.fill(BUFFER, Uint8Array.from(program));
    machine.fill(BUFFER + HANDLER, Uint8Array.from(handler));
    // Division by zero is unmasked.
    machine.fill(BUFFER + CONTROL, Uint8Array.from([...at(0x37b), 0, 0, 0, 0]));
    const segment = at(BUFFER >> 4);
    machine.fill(0x60 * 4, Uint8Array.from([0, 0, ...segment]));
    machine.fill(0x75 * 4, Uint8Array.from([...at(HANDLER), ...segment]));
    machine.begin(0x60);
    await machine.finished();
    const [count, , stored] = machine.bytes(BUFFER + COUNT, 3);
    assert.equal(stored, 3, 'π as an integer');
    assert.equal(count, 2, 'IGNNE# has gone with the first exception');
  });
}
