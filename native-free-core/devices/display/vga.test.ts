// The VGA by its registers: ports, memory through planes, and what the CRT controller makes of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { DisplayAdapter, VIDEO_MEMORY_EXTRA } from './display-adapter.ts';
import { PlainVideoMemory } from './video-memory.ts';

class Vga {
  nanoseconds = 0;
  readonly bus = new IoBus();
  readonly adapter: DisplayAdapter;

  constructor() {
    const memory = new PlainVideoMemory((1 << 20) + VIDEO_MEMORY_EXTRA);
    this.adapter = new DisplayAdapter({ clock: { now: () => this.nanoseconds }, memory });
    this.adapter.attach(this.bus);
    this.out(0x3c2, 0x67);
  }

  out(port: number, value: number): void {
    this.bus.writePort(port, 1, value);
  }

  in(port: number): number {
    return this.bus.readPort(port, 1);
  }

  set(port: number, index: number, value: number): void {
    this.bus.writePort(port, 2, index | (value << 8));
  }

  get(port: number, index: number): number {
    this.out(port, index);
    return this.in(port + 1);
  }

  attribute(index: number, value: number): void {
    this.in(0x3da);
    this.out(0x3c0, index);
    this.out(0x3c0, value);
  }

  show(): void {
    this.in(0x3da);
    this.out(0x3c0, 0x20);
  }

  write(address: number, ...bytes: readonly number[]): void {
    bytes.forEach((byte, index) => {
      this.bus.writeMmio(address + index, 1, byte);
    });
  }

  read(address: number): number {
    return this.bus.readMmio(address, 1);
  }

  /** A byte of one plane, in read mode 0. */
  plane(address: number, plane: number): number {
    this.set(0x3ce, 4, plane);
    return this.read(address);
  }

  palette(first: number, ...components: readonly number[]): void {
    this.out(0x3c8, first);
    for (const component of components) this.out(0x3c9, component);
  }

  /** Red components of the first `count` pixels of a line, in units of the DAC. */
  line(y: number, count: number, from = 0): number[] {
    const { pixels, width } = this.adapter.refresh();
    return Array.from({ length: count }, (_, x) => pixels[(y * width + from + x) * 4] >> 2);
  }

  /** Planes of 64 by 64 dots (8 characters), where colour n has red n. */
  planar(): void {
    for (const [index, value] of [0x5f, 7, 8, 0x82, 9, 0x80].entries()) this.set(0x3d4, index, value);
    this.set(0x3d4, 6, 0xbf);
    this.set(0x3d4, 7, 0x10);
    this.set(0x3d4, 0x12, 63);
    this.set(0x3d4, 0x13, 4);
    this.set(0x3d4, 0x17, 0xe3);
    this.set(0x3d4, 0x18, 0xff);
    this.set(0x3d4, 9, 0x40);
    this.set(0x3c4, 1, 1);
    this.set(0x3c4, 2, 15);
    this.set(0x3c4, 4, 6);
    this.set(0x3ce, 5, 0);
    this.set(0x3ce, 6, 5);
    this.set(0x3ce, 7, 15);
    this.set(0x3ce, 8, 0xff);
    for (let index = 0; index < 16; index++) {
      this.attribute(index, index);
      this.palette(index, index, 0, 0);
    }
    this.attribute(0x10, 1);
    this.attribute(0x12, 15);
    this.show();
  }
}

test('indexed registers keep the bits that there are', () => {
  const vga = new Vga();
  const cases = [
    [0x3c4, 1, 0x3d],
    [0x3c4, 2, 0x0f],
    [0x3c4, 3, 0x3f],
    [0x3c4, 4, 0x0e],
    [0x3ce, 0, 0x0f],
    [0x3ce, 3, 0x1f],
    [0x3ce, 5, 0x7b],
    [0x3ce, 8, 0xff],
    [0x3d4, 0x0c, 0xff],
    [0x3d4, 0x18, 0xff],
  ];
  for (const [port, index, mask] of cases) {
    vga.set(port, index, 0xff);
    assert.equal(vga.get(port, index), mask, `${port.toString(16)} index ${index}`);
  }
  assert.equal(vga.get(0x3d4, 0x30), 0);
});

test('CRTC registers 0 to 7 are protected by bit 7 of the eleventh, but the line compare bit', () => {
  const vga = new Vga();
  vga.set(0x3d4, 0, 0x12);
  vga.set(0x3d4, 7, 0x00);
  vga.set(0x3d4, 0x11, 0x80);
  vga.set(0x3d4, 0, 0x34);
  vga.set(0x3d4, 7, 0xff);
  assert.deepEqual([vga.get(0x3d4, 0), vga.get(0x3d4, 7)], [0x12, 0x10]);
  vga.set(0x3d4, 0x11, 0);
  vga.set(0x3d4, 0, 0x34);
  assert.equal(vga.get(0x3d4, 0), 0x34);
});

test('the CRT controller is at 3Dx or at 3Bx', () => {
  const vga = new Vga();
  vga.set(0x3d4, 0x0e, 0x12);
  assert.equal(vga.get(0x3b4, 0x0e), 0xff);
  vga.out(0x3c2, 0x66);
  assert.equal(vga.in(0x3cc), 0x66);
  assert.equal(vga.get(0x3d4, 0x0e), 0xff);
  assert.equal(vga.get(0x3b4, 0x0e), 0x12);
});

test('the attribute controller takes index and data by turns, and reading the status begins with an index', () => {
  const vga = new Vga();
  vga.in(0x3da);
  vga.out(0x3c0, 0x03);
  vga.out(0x3c0, 0x2a);
  vga.out(0x3c0, 0x03);
  assert.equal(vga.in(0x3c1), 0x2a);
  assert.equal(vga.get(0x3d4, 0x24) & 0x80, 0x80);
  vga.in(0x3da);
  assert.equal(vga.get(0x3d4, 0x24) & 0x80, 0);
  vga.out(0x3c0, 0x24);
  assert.equal(vga.in(0x3c0), 0x24);
});

test('the DAC counts components and colours, and tells what it was last asked for', () => {
  const vga = new Vga();
  vga.palette(0xff, 1, 2, 3, 4, 5, 6);
  assert.deepEqual([vga.in(0x3c7), vga.in(0x3c8)], [0, 1]);
  vga.out(0x3c7, 0xff);
  assert.equal(vga.in(0x3c7), 3);
  assert.deepEqual(
    Array.from({ length: 6 }, () => vga.in(0x3c9)),
    [1, 2, 3, 4, 5, 6],
  );
  // A colour is taken as a whole.
  vga.out(0x3c8, 7);
  vga.out(0x3c9, 9);
  vga.out(0x3c7, 7);
  assert.equal(vga.in(0x3c9), 0);
});

test('retraces come and go with the clock', () => {
  const vga = new Vga();
  const seen = new Set<number>();
  let frames = 0;
  let was = false;
  for (vga.nanoseconds = 0; vga.nanoseconds < 1e9; vga.nanoseconds += 10_000) {
    const status = vga.in(0x3da);
    seen.add(status & 9);
    const isRetrace = (status & 8) !== 0;
    if (isRetrace && !was) frames++;
    was = isRetrace;
  }
  assert.ok(frames >= 45 && frames <= 90, `${frames} retraces in a second`);
  assert.ok(seen.has(1) && seen.has(9));
});

test('write mode 0: rotation, set/reset, functions and bit mask', () => {
  const vga = new Vga();
  vga.planar();
  const at = 0xa0000;
  const planes = () => [0, 1, 2, 3].map((plane) => vga.plane(at, plane));
  vga.write(at, 0xf0);
  assert.deepEqual(planes(), [0xf0, 0xf0, 0xf0, 0xf0]);
  vga.set(0x3c4, 2, 0x05);
  vga.write(at, 0x0f);
  assert.deepEqual(planes(), [0x0f, 0xf0, 0x0f, 0xf0]);
  vga.set(0x3c4, 2, 0x0f);
  vga.set(0x3ce, 3, 0x04);
  vga.write(at, 0x12);
  assert.deepEqual(planes(), [0x21, 0x21, 0x21, 0x21]);
  vga.set(0x3ce, 3, 0x00);
  vga.set(0x3ce, 0, 0x0a);
  vga.set(0x3ce, 1, 0x03);
  vga.write(at, 0x55);
  assert.deepEqual(planes(), [0x00, 0xff, 0x55, 0x55]);
  vga.set(0x3ce, 1, 0x00);
  for (const [select, expected] of [
    [0x08, [0x00, 0x0f, 0x05, 0x05]],
    [0x10, [0x0f, 0xff, 0x5f, 0x5f]],
    [0x18, [0x0f, 0xf0, 0x5a, 0x5a]],
  ] as const) {
    vga.set(0x3ce, 3, 0);
    for (const [plane, value] of [0x00, 0xff, 0x55, 0x55].entries()) {
      vga.set(0x3c4, 2, 1 << plane);
      vga.write(at, value);
    }
    vga.set(0x3c4, 2, 15);
    vga.set(0x3ce, 3, select);
    vga.read(at);
    vga.write(at, 0x0f);
    assert.deepEqual(planes(), expected, `function ${select}`);
  }
  vga.set(0x3ce, 3, 0);
  vga.write(at, 0);
  vga.read(at);
  vga.set(0x3ce, 8, 0x3c);
  vga.write(at, 0xff);
  assert.deepEqual(planes(), [0x3c, 0x3c, 0x3c, 0x3c]);
});

test('write modes 1, 2 and 3, and read mode 1', () => {
  const vga = new Vga();
  vga.planar();
  const at = 0xa0010;
  const planes = (address: number) => {
    vga.set(0x3ce, 5, 0);
    return [0, 1, 2, 3].map((plane) => vga.plane(address, plane));
  };
  vga.set(0x3ce, 5, 2);
  vga.set(0x3ce, 8, 0xf0);
  vga.read(at);
  vga.write(at, 0x09);
  assert.deepEqual(planes(at), [0xf0, 0, 0, 0xf0]);
  vga.set(0x3ce, 5, 1);
  vga.read(at);
  vga.write(at + 1, 0x77);
  assert.deepEqual(planes(at + 1), [0xf0, 0, 0, 0xf0]);
  vga.set(0x3ce, 5, 3);
  vga.set(0x3ce, 0, 0x06);
  vga.set(0x3ce, 8, 0x3f);
  vga.read(at);
  vga.write(at, 0x81);
  assert.deepEqual(planes(at), [0xf0, 0x01, 0x01, 0xf0]);
  vga.set(0x3ce, 5, 8);
  vga.set(0x3ce, 2, 0x09);
  vga.set(0x3ce, 7, 0x0f);
  assert.equal(vga.read(at), 0xf0);
  vga.set(0x3ce, 7, 0x08);
  vga.set(0x3ce, 2, 0x00);
  assert.equal(vga.read(at), 0x0f);
});

test('unchained bytes (mode X) and chained ones are pixels of the same planes', () => {
  const vga = new Vga();
  vga.planar();
  vga.set(0x3ce, 5, 0x40);
  vga.attribute(0x10, 0x41);
  vga.show();
  for (let colour = 0; colour < 8; colour++) vga.palette(colour, colour, 0, 0);
  for (let plane = 0; plane < 4; plane++) {
    vga.set(0x3c4, 2, 1 << plane);
    vga.write(0xa0000, plane + 1, plane + 4);
  }
  // Byte addressing: characters are next to each other, and pixels are two dots wide.
  assert.deepEqual(vga.line(0, 16), [1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6, 7, 7]);
  vga.set(0x3c4, 2, 15);
  vga.set(0x3c4, 4, 0x0e);
  vga.set(0x3d4, 0x14, 0x40);
  vga.write(0xa0000, 7, 6, 5, 4, 3, 2, 1, 0);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 6, 7].map((index) => vga.read(0xa0000 + index)),
    [7, 6, 5, 4, 3, 2, 1, 0],
  );
  assert.deepEqual(vga.line(0, 16), [7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0]);
  // Unchained again, the pixels are where chaining put them: in every fourth byte of a plane.
  vga.set(0x3c4, 4, 6);
  vga.set(0x3ce, 4, 1);
  assert.deepEqual([vga.read(0xa0000), vga.read(0xa0004)], [6, 2]);
});

test('start address, panning, split screen, preset row and doubled lines', () => {
  const vga = new Vga();
  vga.planar();
  // A line of 8 bytes holds its number in its first dots.
  for (let y = 0; y < 80; y++) {
    vga.set(0x3ce, 5, 2);
    vga.set(0x3ce, 8, 0xff);
    vga.read(0xa0000 + 8 * y);
    vga.write(0xa0000 + 8 * y, y & 15);
    vga.write(0xa0000 + 8 * y + 1, (y + 1) & 15);
  }
  vga.set(0x3ce, 5, 0);
  assert.deepEqual([vga.line(5, 1), vga.line(63, 1)], [[5], [15]]);
  vga.set(0x3d4, 0x0d, 16);
  assert.deepEqual(vga.line(5, 9), [7, 7, 7, 7, 7, 7, 7, 7, 8]);
  vga.attribute(0x13, 3);
  vga.show();
  assert.deepEqual(vga.line(5, 7), [7, 7, 7, 7, 7, 8, 8]);
  // Above the split everything as before; below it from address 0, with the panning that is not reset.
  vga.set(0x3d4, 7, 0);
  vga.set(0x3d4, 9, 0);
  vga.set(0x3d4, 0x18, 31);
  assert.deepEqual([vga.line(31, 6), vga.line(32, 6), vga.line(40, 1)], [[1, 1, 1, 1, 1, 2], [0, 0, 0, 0, 0, 1], [8]]);
  vga.attribute(0x10, 0x21);
  vga.show();
  assert.deepEqual(vga.line(32, 6), [0, 0, 0, 0, 0, 0]);
  vga.set(0x3d4, 0x18, 0xff);
  vga.set(0x3d4, 7, 0x10);
  vga.set(0x3d4, 9, 0xc0);
  vga.set(0x3d4, 0x0d, 0);
  assert.deepEqual(
    [0, 1, 2, 3].map((y) => vga.line(y, 1)[0]),
    [0, 0, 1, 1],
  );
  vga.set(0x3d4, 9, 0x41);
  vga.set(0x3d4, 8, 1);
  assert.deepEqual(
    [0, 1, 2, 3].map((y) => vga.line(y, 1)[0]),
    [0, 1, 1, 2],
  );
});

test('a blank display shows the border', () => {
  const vga = new Vga();
  vga.planar();
  vga.palette(5, 0x3f, 0, 0);
  vga.attribute(0x11, 5);
  vga.show();
  assert.deepEqual(vga.line(0, 2), [0, 0]);
  vga.set(0x3c4, 1, 0x21);
  assert.deepEqual(vga.line(0, 2), [0x3f, 0x3f]);
  vga.set(0x3c4, 1, 0x01);
  assert.deepEqual(vga.line(0, 2), [0, 0]);
  vga.in(0x3da);
  vga.out(0x3c0, 0x00);
  assert.deepEqual(vga.line(0, 2), [0x3f, 0x3f]);
});

test('colour select, plane enable and PEL mask', () => {
  const vga = new Vga();
  vga.planar();
  vga.set(0x3ce, 5, 2);
  vga.write(0xa0000, 0x0b);
  assert.deepEqual(vga.line(0, 1), [11]);
  vga.attribute(0x12, 3);
  vga.show();
  assert.deepEqual(vga.line(0, 1), [3]);
  vga.out(0x3c6, 0x02);
  assert.deepEqual(vga.line(0, 1), [2]);
  vga.out(0x3c6, 0xff);
  vga.palette(0xd3, 0x2b, 0, 0);
  vga.attribute(0x10, 0x81);
  vga.attribute(0x14, 0x0d);
  vga.show();
  assert.deepEqual(vga.line(0, 1), [0x2b]);
});

test('512 characters, underline, and the ninth column of boxes', () => {
  const vga = new Vga();
  vga.planar();
  vga.set(0x3c4, 1, 0);
  vga.set(0x3d4, 9, 0x4f);
  vga.set(0x3d4, 0x17, 0xa3);
  vga.set(0x3d4, 0x14, 0x1f);
  vga.set(0x3d4, 0x0a, 0x20);
  // Fonts in plane 2: block 0 and block 1.
  vga.set(0x3c4, 2, 4);
  vga.write(0xa0000 + 0x41 * 32, 0x80);
  vga.write(0xa4000 + 0x41 * 32, 0x40);
  vga.write(0xa0000 + 0xc4 * 32, 0x01);
  vga.write(0xa0000 + 0xb3 * 32, 0x01);
  // Odd/even at B8000h.
  vga.set(0x3c4, 2, 3);
  vga.set(0x3c4, 4, 2);
  vga.set(0x3ce, 5, 0x10);
  vga.set(0x3ce, 6, 0x0e);
  vga.write(0xb8000, 0x41, 0x07, 0x41, 0x0f, 0xc4, 0x07, 0xb3, 0x07, 0x20, 0x01);
  vga.attribute(0x10, 0x04);
  // With nine columns, 8 is no panning.
  vga.attribute(0x13, 0x08);
  vga.show();
  assert.equal(vga.adapter.text()?.split('\n')[0], 'AA─│');
  assert.deepEqual(vga.line(0, 18), [7, ...new Array(8).fill(0), 15, ...new Array(8).fill(0)]);
  assert.deepEqual(vga.line(0, 9, 18), [0, 0, 0, 0, 0, 0, 0, 7, 7]);
  assert.deepEqual(vga.line(0, 9, 27), [0, 0, 0, 0, 0, 0, 0, 7, 0]);
  vga.set(0x3c4, 3, 0x04);
  assert.deepEqual(vga.line(0, 2, 9), [0, 15]);
  vga.set(0x3d4, 0x14, 0x0d);
  assert.deepEqual([vga.line(13, 9, 36), vga.line(12, 9, 36)], [new Array(9).fill(1), new Array(9).fill(0)]);
  assert.deepEqual([vga.read(0xb8000), vga.read(0xb8003)], [0x41, 0x0f]);
});
