import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RomBuilder } from './rom-builder.ts';
import { BiosTestMachine, MemoryDisk } from './testing.ts';

const TABLE = 0x7d00;
const at = (offset: number) => [offset & 0xff, offset >> 8];

/** A descriptor of 16 bits: base, limit FFFFh, access byte. */
const descriptor = (base: number, access: number, limit = 0xffff) => [
  ...[limit & 0xff, limit >> 8, base & 0xff, (base >> 8) & 0xff, (base >> 16) & 0xff, access, 0, 0],
];

/** A boot sector that goes into protected mode, and writes down from there where it is. */
function sector(): Uint8Array {
  const code = new RomBuilder(0, 0x8000);
  code
    .at(0x7c00)
    .emit(0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x7c, 0xfb) // segments and stack at 0; sti
    .offset([0xc7, 0x06, ...at(0x1000 + 0x30 * 8)], 'tick') // an interrupt gate of 16 bits
    .emit(0xc7, 0x06, ...at(0x1002 + 0x30 * 8), 0x30, 0, 0xc7, 0x06, ...at(0x1004 + 0x30 * 8), 0, 0x86)
    .emit(0xbe, ...at(TABLE), 0xbb, 0x28, 0x30) // mov si, table; mov bx, 3028h
    .emit(0xb8, 0x00, 0x89, 0xf9, 0xcd, 0x15) // mov ax, 8900h; stc; int 15h
    .emit(0x9c, 0x26, 0x8f, 0x06, ...at(0x600)) // pushf; pop es:[600h]
    .emit(0x26, 0xa3, ...at(0x602)) // mov es:[602h], ax
    .emit(0x0f, 0x01, 0xe0, 0x26, 0xa3, ...at(0x604)) // smsw ax; mov es:[604h], ax
    .emit(0x26, 0x8c, 0x0e, ...at(0x606), 0x26, 0x8c, 0x1e, ...at(0x608)) // CS and DS
    .emit(0x26, 0x8c, 0x06, ...at(0x60a), 0x26, 0x8c, 0x16, ...at(0x60c)) // ES and SS
    .emit(0x26, 0x89, 0x26, ...at(0x60e)) // SP
    .emit(0xe4, 0x21, 0x26, 0xa2, ...at(0x610), 0xe4, 0xa1, 0x26, 0xa2, ...at(0x611)) // masks of the 8259s
    .emit(0xc7, 0x06, 0, 0, 0xef, 0xbe) // mov word [0], beefh
    .emit(0xb0, 0xfe, 0xe6, 0x21, 0xfb, 0xf4, 0xfa) // lets the tick through; sti; hlt; cli
    .emit(0x26, 0xc6, 0x06, ...at(0x612), 1, 0xf4, 0xeb, 0xfd) // done; hlt
    .label('tick')
    .emit(0x26, 0xff, 0x06, ...at(0x614), 0xb0, 0x20, 0xe6, 0x20, 0xcf) // inc word es:[614h]; end of interrupt; iret
    .at(TABLE)
    .emit(...new Array<number>(8).fill(0))
    .emit(...descriptor(TABLE, 0x93, 0x3f), ...descriptor(0x1000, 0x93, 0x7ff))
    .emit(...descriptor(0x100000, 0x93), ...descriptor(0, 0x93), ...descriptor(0, 0x93), ...descriptor(0, 0x9b))
    .emit(...new Array<number>(8).fill(0))
    .at(0x7dfe)
    .word(0xaa55)
    .finish();
  return code.bytes.slice(0x7c00, 0x7e00);
}

test('AH=89h comes back in protected mode, with the caller’s segments and its vectors in the 8259s', async () => {
  const machine = new BiosTestMachine({ floppies: [new MemoryDisk(1440 * 1024, sector())], bootOrder: 'a' });
  await machine.until(() => machine.bytes(0x612, 1)[0] === 1, 'protected mode');
  assert.equal(machine.u16(0x600) & 0x201, 0, 'neither carry nor interrupts');
  assert.equal(machine.u16(0x602) >> 8, 0);
  assert.equal(machine.u16(0x604) & 1, 1);
  const selectors = [0x606, 0x608, 0x60a, 0x60c].map((field) => machine.u16(field));
  assert.deepEqual(selectors, [0x30, 0x18, 0x20, 0x28]);
  assert.equal(machine.u16(0x60e), 0x7c00, 'the stack is as before the call');
  assert.deepEqual([...machine.bytes(0x610, 2)], [0xff, 0xff]);
  assert.equal(machine.u16(0x100000), 0xbeef, 'above 1 MiB, by DS');
  assert.ok(machine.u16(0x614) > 0, 'the tick came by vector 30h');
});
