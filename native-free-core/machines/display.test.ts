// Programs of real mode that use the display of a whole PC: by INT 10h, by its registers, and by its memory at full speed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RomBuilder } from '../firmware/bios/rom-builder.ts';
import { BiosTestMachine, MemoryDisk } from '../firmware/bios/testing.ts';

const word = (value: number) => [value & 0xff, (value >> 8) & 0xff];
const dword = (value: number) => [...word(value & 0xffff), ...word(value >>> 16)];

/** A program as a list of instructions, each its bytes: the few that the tests below need. */
const op = {
  ax: (value: number) => [0xb8, ...word(value)],
  bx: (value: number) => [0xbb, ...word(value)],
  cx: (value: number) => [0xb9, ...word(value)],
  dx: (value: number) => [0xba, ...word(value)],
  di: (value: number) => [0xbf, ...word(value)],
  /** mov ax, value; mov es, ax */
  es: (value: number) => [0xb8, ...word(value), 0x8e, 0xc0],
  int10: [0xcd, 0x10],
  /** mov dx, port; mov ax, index | value << 8; out dx, ax */
  out: (port: number, index: number, value: number) => [0xba, ...word(port), 0xb8, index, value, 0xef],
  outWord: (port: number, value: number) => [0xba, ...word(port), 0xb8, ...word(value), 0xef],
  fillWords: [0xfc, 0xf3, 0xab], // cld; rep stosw
  fillBytes: [0xfc, 0xf3, 0xaa], // cld; rep stosb
  /** mov word es:[offset], value */
  store: (offset: number, value: number) => [0x26, 0xc7, 0x06, ...word(offset), ...word(value)],
};

/** Says that the program is over. */
const DONE = 0x600;
/** A descriptor table with a flat data segment, behind the program, and what LGDT loads of it. */
const TABLE = 0x7d80;
const DESCRIPTORS = [
  ...word(15),
  ...dword(TABLE + 8),
  0,
  0,
  ...dword(0),
  ...dword(0),
  ...dword(0xffff),
  ...dword(0x00cf9200),
];
/** Where firmware puts the frame buffer. */
const FRAME_BUFFER = 0xfd000000;

/** Runs a program as a boot sector until it is over. */
async function run(...program: readonly (readonly number[])[]): Promise<BiosTestMachine> {
  const code = new RomBuilder(0, 0x8000);
  code
    .at(0x7c00)
    .emit(0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, ...word(0x7c00), 0xfb)
    .emit(...program.flat())
    .emit(0x31, 0xc0, 0x8e, 0xd8, 0xc7, 0x06, ...word(DONE), ...word(0x600d)) // mov word [DONE], 600Dh
    .emit(0xf4, 0xeb, 0xfd) // hlt; jmp to it
    .at(TABLE)
    .emit(...DESCRIPTORS)
    .at(0x7dfe)
    .word(0xaa55)
    .finish();
  const machine = new BiosTestMachine({ floppies: [new MemoryDisk(1440 * 1024, code.bytes.slice(0x7c00, 0x7e00))] });
  await machine.until(() => machine.bytes(DONE, 2)[0] === 0x0d && machine.bytes(DONE, 2)[1] === 0x60, 'the end');
  return machine;
}

function colour(machine: BiosTestMachine, x: number, y: number): string {
  const { pixels, width } = machine.pc.screen!.refresh();
  const at = (y * width + x) * 4;
  return Buffer.from(pixels.subarray(at, at + 3)).toString('hex');
}

test('text that is stored to B8000h is on the screen', async () => {
  const machine = await run(op.ax(3), op.int10, op.es(0xb800), op.store(160, 0x1e48), op.store(162, 0x1e69));
  assert.equal(machine.pc.screen!.text()!.trim(), 'Hi');
  assert.equal(colour(machine, 8, 16), '0000aa');
});

test('mode 13h filled by string instructions', async () => {
  const machine = await run(
    op.ax(0x13),
    op.int10,
    op.es(0xa000),
    op.di(320 * 100),
    op.ax(0x0402),
    op.cx(160),
    op.fillWords,
  );
  assert.deepEqual(
    [
      colour(machine, 0, 200),
      colour(machine, 2, 201),
      colour(machine, 638, 200),
      colour(machine, 0, 202),
      colour(machine, 0, 199),
    ],
    ['00aa00', 'aa0000', 'aa0000', '000000', '000000'],
  );
});

test('mode X: four planes, 320 by 240', async () => {
  const machine = await run(
    op.ax(0x13),
    op.int10,
    // Unchained, bytes, 480 lines doubled.
    op.out(0x3c4, 4, 6),
    op.out(0x3c4, 0, 1),
    [0xba, ...word(0x3c2), 0xb0, 0xe3, 0xee],
    op.out(0x3c4, 0, 3),
    ...[
      [0x11, 0x0c],
      [0x06, 0x0d],
      [0x07, 0x3e],
      [0x09, 0x41],
      [0x10, 0xea],
      [0x11, 0xac],
      [0x12, 0xdf],
      [0x14, 0x00],
      [0x15, 0xe7],
      [0x16, 0x06],
      [0x17, 0xe3],
    ].map(([index, value]) => op.out(0x3d4, index, value)),
    // All planes cleared: the fonts of text mode are in one of them. Then every fourth pixel of line 239.
    op.out(0x3c4, 2, 15),
    op.es(0xa000),
    op.di(0),
    op.ax(0),
    op.cx(0x8000),
    op.fillWords,
    op.out(0x3c4, 2, 2),
    op.es(0xa000),
    op.di(239 * 80),
    op.ax(0x0e0e),
    op.cx(80),
    op.fillBytes,
  );
  const { screen } = machine.pc;
  assert.deepEqual([screen!.width, screen!.height], [640, 480]);
  assert.deepEqual(
    [0, 2, 4, 10].map((x) => colour(machine, x, 479)),
    ['000000', 'ffff55', '000000', 'ffff55'],
  );
  assert.equal(colour(machine, 2, 477), '000000');
});

test('sixteen colours: write mode 2 through the bit mask', async () => {
  const machine = await run(
    op.ax(0x12),
    op.int10,
    op.out(0x3ce, 5, 2),
    op.out(0x3ce, 8, 0x18),
    op.es(0xa000),
    [0x26, 0xa0, ...word(80 * 5)], // mov al, es:[400]: fills the latches
    [0x26, 0xc6, 0x06, ...word(80 * 5), 0x0c],
  );
  assert.deepEqual(
    [2, 3, 4, 5].map((x) => colour(machine, x, 5)),
    ['000000', 'ff5555', 'ff5555', '000000'],
  );
});

test('VBE: a bank of a mode, then its linear frame buffer far beyond the first megabyte', async () => {
  const machine = await run(
    op.ax(0x4f02),
    op.bx(0x4105),
    op.int10,
    op.ax(0x4f05),
    op.bx(0),
    op.dx(7),
    op.int10,
    op.es(0xa000),
    op.di(0),
    op.ax(0x0404),
    op.cx(512),
    op.fillWords,
    // DS gets a limit of 4 GiB by a short stay in protected mode.
    [0xfa, 0x0f, 0x01, 0x16, ...word(TABLE)], // cli; lgdt
    [0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // PE on
    [0xbb, ...word(8), 0x8e, 0xdb], // mov ds, 8
    [0x24, 0xfe, 0x0f, 0x22, 0xc0, 0xfb], // PE off; sti
    [0x66, 0xbb, ...dword(FRAME_BUFFER + 1024 * 700)], // mov ebx, …
    [0x67, 0x66, 0xc7, 0x03, ...dword(0x02020202)], // mov dword [ebx], …
  );
  const { screen } = machine.pc;
  assert.deepEqual([screen!.width, screen!.height, screen!.text()], [1024, 768, undefined]);
  // Bank 7 begins with line 448.
  assert.deepEqual(
    [447, 448, 449].map((y) => colour(machine, 1023, y)),
    ['000000', 'aa0000', '000000'],
  );
  assert.deepEqual(
    [3, 4].map((x) => colour(machine, x, 700)),
    ['00aa00', '000000'],
  );
});
