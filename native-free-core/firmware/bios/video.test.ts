// INT 10h on a real display adapter: what each function leaves on the screen, in registers and in the data area.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { font } from './fonts/fonts.ts';
import { BUFFER_SEGMENT, FRAME_BUFFER, TestVideo } from './video-testing.ts';

/** Lines of the screen's text that are not blank, with their row. */
function lines(video: TestVideo): string[] {
  return video.adapter
    .text()!
    .split('\n')
    .flatMap((line, row) => (line === '' ? [] : [`${row}:${line}`]));
}

const bright = (glyph: Uint8Array, row: number, column: number) => ((glyph[row] >> (7 - column)) & 1) !== 0;

/** Dots of characters, per dot of a glyph. */
const SIZES: Record<
  number,
  { width: number; height: number; dotX: number; dotY: number; cell: number; rows: 8 | 14 | 16 }
> = {
  0: { width: 720, height: 400, dotX: 2, dotY: 1, cell: 9, rows: 16 },
  3: { width: 720, height: 400, dotX: 1, dotY: 1, cell: 9, rows: 16 },
  4: { width: 640, height: 400, dotX: 2, dotY: 2, cell: 8, rows: 8 },
  6: { width: 640, height: 400, dotX: 1, dotY: 2, cell: 8, rows: 8 },
  7: { width: 720, height: 400, dotX: 1, dotY: 1, cell: 9, rows: 16 },
  13: { width: 640, height: 400, dotX: 2, dotY: 2, cell: 8, rows: 8 },
  14: { width: 640, height: 400, dotX: 1, dotY: 2, cell: 8, rows: 8 },
  15: { width: 640, height: 350, dotX: 1, dotY: 1, cell: 8, rows: 14 },
  16: { width: 640, height: 350, dotX: 1, dotY: 1, cell: 8, rows: 14 },
  17: { width: 640, height: 480, dotX: 1, dotY: 1, cell: 8, rows: 16 },
  18: { width: 640, height: 480, dotX: 1, dotY: 1, cell: 8, rows: 16 },
  19: { width: 640, height: 400, dotX: 2, dotY: 2, cell: 8, rows: 8 },
};

for (const [number, { width, height, dotX, dotY, cell, rows }] of Object.entries(SIZES)) {
  test(`mode ${Number(number).toString(16)}h shows a character where it was written`, () => {
    const video = new TestVideo();
    video.int10({ ax: Number(number) });
    assert.deepEqual([video.adapter.width, video.adapter.height], [width, height]);
    // At row 2, column 3, in the brightest colour of the mode.
    video.int10({ ax: 0x0200, dx: 0x0203 });
    video.int10({ ax: 0x0900 | 0x52, bx: 0x000f, cx: 1 });
    const glyph = font(rows).subarray(0x52 * rows, 0x53 * rows);
    video.int10({ ax: 0x0200, dx: 0 });
    const { pixels } = video.adapter.refresh();
    video.int10({ ax: 0x0200, dx: 0x0203 });
    for (let y = 0; y < rows * dotY; y++) {
      for (let x = 0; x < 8 * dotX; x++) {
        const at = ((2 * rows * dotY + y) * width + 3 * cell * dotX + x) * 4;
        const isLit = pixels[at] + pixels[at + 1] + pixels[at + 2] > 0;
        assert.equal(isLit, bright(glyph, Math.floor(y / dotY), Math.floor(x / dotX)), `dot ${x}, ${y}`);
      }
    }
    assert.equal(video.int10({ ax: 0x0800 }).al, 0x52);
    assert.equal(video.int10({ ax: 0x0f00 }).ax, (Math.round(width / dotX / cell) << 8) | Number(number));
  });
}

test('power-on leaves 80 by 25 characters and a data area that says so', () => {
  const video = new TestVideo();
  assert.deepEqual(video.adapter.textSize(), { columns: 80, rows: 25 });
  assert.deepEqual(video.adapter.cursor(), { column: 0, row: 0 });
  const view = new DataView(video.ram.buffer);
  assert.equal(video.ram[0x449], 3);
  assert.equal(view.getUint16(0x44a, true), 80);
  assert.equal(view.getUint16(0x463, true), 0x3d4);
  assert.equal(video.ram[0x484], 24);
  assert.equal(view.getUint16(0x485, true), 16);
  // The vector and the ROM that it leads to.
  assert.equal(view.getUint16(0x42, true), 0xc000);
  assert.deepEqual([...video.ram.subarray(0xc0000, 0xc0003)], [0x55, 0xaa, 0x40]);
  assert.equal(
    video.ram.subarray(0xc0000, 0xc8000).reduce((sum, byte) => (sum + byte) & 0xff, 0),
    0,
  );
});

test('teletype goes on to the next line, back, and scrolls at the bottom', () => {
  const video = new TestVideo();
  video.print('one\r\ntwo\b\bx\r\n');
  assert.deepEqual(lines(video), ['0:one', '1:txo']);
  video.print(`${'-'.repeat(81)}\r\n`);
  assert.deepEqual(lines(video).slice(2), [`2:${'-'.repeat(80)}`, '3:-']);
  video.int10({ ax: 0x0200, dx: 0x1800 });
  video.print('last\r\nnew');
  assert.deepEqual(lines(video), ['0:txo', `1:${'-'.repeat(80)}`, '2:-', '23:last', '24:new']);
  assert.deepEqual(video.adapter.cursor(), { column: 3, row: 24 });
});

test('a window scrolls up, down, and is blanked, alone', () => {
  const video = new TestVideo();
  for (let row = 0; row < 25; row++) {
    video.int10({ ax: 0x0200, dx: row << 8 });
    video.int10({ ax: 0x0900 | (0x41 + row), bx: 7, cx: 80 });
  }
  video.int10({ ax: 0x0602, bx: 0x1700, cx: 0x0502, dx: 0x0904 });
  const row = (index: number) => video.adapter.text()!.split('\n')[index].slice(0, 7);
  assert.deepEqual([4, 5, 7, 8, 9, 10].map(row), ['EEEEEEE', 'FFHHHFF', 'HHJJJHH', 'II   II', 'JJ   JJ', 'KKKKKKK']);
  assert.equal(video.pixel(2 * 9 + 1, 8 * 16), '0000aa');
  video.int10({ ax: 0x0701, bx: 0x0700, cx: 0x0000, dx: 0x184f });
  assert.deepEqual([0, 1, 6].map(row), ['', 'AAAAAAA', 'FFHHHFF']);
  video.int10({ ax: 0x0600, bx: 0x0700, cx: 0x0000, dx: 0xffff });
  assert.deepEqual(lines(video), []);
});

test('graphics modes scroll as text does', () => {
  for (const mode of [4, 6, 0x0d, 0x12, 0x13]) {
    const video = new TestVideo();
    video.int10({ ax: mode });
    video.print('abc\r\ndef', 3);
    video.int10({ ax: 0x0601, bx: 0x0000, cx: 0x0000, dx: 0x184f });
    video.int10({ ax: 0x0200, dx: 0x0001 });
    assert.equal(video.int10({ ax: 0x0800 }).al, 'e'.charCodeAt(0), `mode ${mode}`);
    video.int10({ ax: 0x0701, bx: 0x0000, cx: 0x0000, dx: 0x184f });
    video.int10({ ax: 0x0200, dx: 0x0102 });
    assert.equal(video.int10({ ax: 0x0800 }).al, 'f'.charCodeAt(0), `mode ${mode}`);
  }
});

test('a string of characters and attributes, with the cursor left behind it or not', () => {
  const video = new TestVideo();
  video.ram.set([0x48, 0x1e, 0x69, 0x2f], BUFFER_SEGMENT * 16);
  video.int10({ ax: 0x1303, cx: 2, dx: 0x0305 });
  assert.deepEqual(lines(video), ['3:     Hi']);
  assert.deepEqual(video.adapter.cursor(), { column: 7, row: 3 });
  assert.equal(video.int10({ ax: 0x0200, dx: 0x0306 }) && video.int10({ ax: 0x0800 }).ah, 0x2f);
  video.int10({ ax: 0x1300, bx: 0x0007, cx: 1, dx: 0x0500 });
  assert.deepEqual(video.adapter.cursor(), { column: 6, row: 3 });
});

test('pages are shown one at a time, each with its cursor', () => {
  const video = new TestVideo();
  video.int10({ ax: 0x0200, bx: 0x0100, dx: 0x0402 });
  video.int10({ ax: 0x0900 | 0x50, bx: 0x0107, cx: 3 });
  assert.deepEqual(lines(video), []);
  video.int10({ ax: 0x0501 });
  assert.deepEqual(lines(video), ['4:  PPP']);
  assert.deepEqual(video.adapter.cursor(), { column: 2, row: 4 });
  assert.equal(video.int10({ ax: 0x0f00 }).bh, 1);
});

test('pixels are written, combined and read, in every graphics mode', () => {
  const colours: Record<number, number> = { 4: 2, 5: 2, 6: 1, 13: 9, 14: 9, 16: 9, 18: 9, 19: 9 };
  for (const [mode, colour] of Object.entries(colours)) {
    const video = new TestVideo();
    video.int10({ ax: Number(mode) });
    video.int10({ ax: 0x0c00 | colour, cx: 101, dx: 151 });
    assert.equal(video.int10({ ax: 0x0d00, cx: 101, dx: 151 }).al, colour, `mode ${mode}`);
    assert.equal(video.int10({ ax: 0x0d00, cx: 102, dx: 151 }).al, 0);
    if (Number(mode) !== 0x13) {
      video.int10({ ax: 0x0c80 | colour, cx: 101, dx: 151 });
      assert.equal(video.int10({ ax: 0x0d00, cx: 101, dx: 151 }).al, 0);
    }
    // Outside of the picture nothing happens.
    video.int10({ ax: 0x0c01, cx: 0xffff, dx: 0xffff });
  }
});

test('palette registers, single colours, blocks of them, and greys', () => {
  const video = new TestVideo();
  video.int10({ ax: 0x0920, bx: 0x0010, cx: 1 });
  assert.equal(video.pixel(0, 0), '0000aa');
  video.int10({ ax: 0x1000, bx: 0x0401 });
  assert.equal(video.pixel(0, 0), 'aa0000');
  assert.equal(video.int10({ ax: 0x1007, bx: 0x0001 }).bh, 4);
  video.int10({ ax: 0x1010, bx: 4, cx: 0x0a3f, dx: 0x1500 });
  assert.equal(video.pixel(0, 0), '5528ff');
  const read = video.int10({ ax: 0x1015, bx: 4 });
  assert.deepEqual([read.dh, read.ch, read.cl], [0x15, 0x0a, 0x3f]);
  video.int10({ ax: 0x101b, bx: 4, cx: 1 });
  const grey = video.int10({ ax: 0x1015, bx: 4 });
  assert.ok(grey.dh === grey.ch && grey.ch === grey.cl && grey.dh === 19, `${grey.dh}`);
  video.int10({ ax: 0x1017, bx: 0, cx: 8, dx: 0x100 });
  assert.deepEqual([...video.ram.subarray(BUFFER_SEGMENT * 16 + 0x103, BUFFER_SEGMENT * 16 + 0x106)], [0, 0, 0x2a]);
});

test('attribute bit 7 blinks, or is a bright background', () => {
  const video = new TestVideo();
  video.int10({ ax: 0x09db, bx: 0x009f, cx: 1 });
  assert.equal(video.pixel(0, 0), 'ffffff');
  video.nanoseconds = 400e6;
  assert.equal(video.pixel(0, 0), '0000aa');
  video.int10({ ax: 0x1003, bx: 0 });
  assert.equal(video.pixel(0, 0), 'ffffff');
  video.int10({ ax: 0x0920, bx: 0x0090, cx: 1 });
  assert.equal(video.pixel(0, 0), '5555ff');
});

test('eight-line characters give 50 rows, and fonts of the program are shown', () => {
  const video = new TestVideo();
  video.int10({ ax: 0x1112, bx: 0 });
  assert.deepEqual(video.adapter.textSize(), { columns: 80, rows: 50 });
  assert.equal(video.ram[0x484], 49);
  video.int10({ ax: 0x1114, bx: 0 });
  assert.deepEqual(video.adapter.textSize(), { columns: 80, rows: 25 });
  video.ram.fill(0xaa, BUFFER_SEGMENT * 16, BUFFER_SEGMENT * 16 + 16);
  video.int10({ ax: 0x1100, bx: 0x1000, cx: 1, dx: 0x41 });
  video.int10({ ax: 0x0941, bx: 0x000f, cx: 1 });
  assert.deepEqual(
    [0, 1, 2, 3].map((x) => video.pixel(x, 5)),
    ['ffffff', '000000', 'ffffff', '000000'],
  );
  const { es, bp, cx, dl } = video.int10({ ax: 0x1130, bx: 0x0600 });
  assert.deepEqual([cx, dl], [16, 24]);
  const glyph = video.ram.subarray(es * 16 + bp + 0x42 * 16, es * 16 + bp + 0x43 * 16);
  assert.deepEqual([...glyph], [...font(16).subarray(0x42 * 16, 0x43 * 16)]);
});

test('text in 350 and 200 lines', () => {
  const video = new TestVideo();
  video.int10({ ax: 0x1201, bx: 0x0030 });
  video.int10({ ax: 0x0003 });
  assert.deepEqual([video.adapter.width, video.adapter.height], [640, 350]);
  assert.deepEqual(video.adapter.textSize(), { columns: 80, rows: 25 });
  video.int10({ ax: 0x1200, bx: 0x0030 });
  video.int10({ ax: 0x0003 });
  assert.deepEqual([video.adapter.height, video.adapter.textSize()], [400, { columns: 80, rows: 25 }]);
  video.print('EGA');
  assert.deepEqual(lines(video), ['0:EGA']);
});

test('what there is, is told: combination, functionality, adapter', () => {
  const video = new TestVideo();
  const combination = video.int10({ ax: 0x1a00 });
  assert.deepEqual([combination.al, combination.bx], [0x1a, 0x0008]);
  assert.equal(video.int10({ ax: 0x1b00 }).al, 0x1b);
  assert.deepEqual([video.buffer.getUint8(4), video.buffer.getUint8(0x22), video.buffer.getUint8(0x2a)], [3, 25, 2]);
  const table = video.buffer.getUint16(2, true) * 16 + video.buffer.getUint16(0, true);
  assert.deepEqual([...video.ram.subarray(table, table + 3)], [0xff, 0xe0, 0x0f]);
  assert.equal(video.int10({ ax: 0x1200, bx: 0x0010 }).bx, 0x0003);
});

test('state is saved and restored', () => {
  const video = new TestVideo();
  const blocks = video.int10({ ax: 0x1c00, cx: 7 }).bx;
  assert.ok(blocks * 64 >= 62 + 30 + 769, `${blocks} blocks`);
  video.print('kept');
  video.int10({ ax: 0x1c01, bx: 0x800, cx: 7 });
  video.int10({ ax: 0x0093 });
  video.int10({ ax: 0x1010, bx: 7, cx: 0, dx: 0 });
  assert.equal(video.adapter.text(), undefined);
  video.int10({ ax: 0x1c02, bx: 0x800, cx: 7 });
  assert.deepEqual(lines(video), ['0:kept']);
  assert.equal(video.int10({ ax: 0x0f00 }).al, 3);
  assert.equal(video.int10({ ax: 0x1015, bx: 7 }).dh, 0x2a);
});

test('VBE tells of its modes, and sets one with a linear frame buffer', () => {
  const video = new TestVideo();
  video.ram.set(new TextEncoder().encode('VBE2'), BUFFER_SEGMENT * 16);
  assert.equal(video.int10({ ax: 0x4f00 }).ax, 0x004f);
  const { buffer } = video;
  assert.equal(new TextDecoder().decode(new Uint8Array(buffer.buffer, buffer.byteOffset, 4)), 'VESA');
  assert.equal(buffer.getUint16(4, true), 0x0300);
  assert.equal(buffer.getUint16(18, true), 256);
  const list = buffer.getUint16(16, true) * 16 + buffer.getUint16(14, true) - BUFFER_SEGMENT * 16;
  const modes: number[] = [];
  for (let at = list; buffer.getUint16(at, true) !== 0xffff; at += 2) modes.push(buffer.getUint16(at, true));
  for (const mode of [0x100, 0x101, 0x102, 0x107, 0x112, 0x115, 0x118, 0x11b, 0x144, 0x189, 0x192])
    assert.ok(modes.includes(mode), `mode ${mode.toString(16)}`);
  const sizes = modes.map((mode) => {
    assert.equal(video.int10({ ax: 0x4f01, cx: mode }).ax, 0x004f);
    const [width, height, bits] = [buffer.getUint16(18, true), buffer.getUint16(20, true), buffer.getUint8(25)];
    assert.ok((buffer.getUint16(0, true) & 0x99) === (bits === 4 ? 0x19 : 0x99), `attributes of ${mode.toString(16)}`);
    if (bits !== 4) assert.equal(buffer.getUint32(40, true), FRAME_BUFFER);
    return `${width}x${height}x${bits}`;
  });
  assert.ok(sizes.includes('1920x1200x32') && sizes.includes('1024x768x16'));
  assert.equal(video.int10({ ax: 0x4f01, cx: 0x1ff }).ax, 0x014f);
  for (const [mode, index] of modes.map((mode, index) => [mode, index])) {
    const isPlanar = sizes[index].endsWith('x4');
    assert.equal(video.int10({ ax: 0x4f02, bx: isPlanar ? mode : mode | 0x4000 }).ax, 0x004f, sizes[index]);
    assert.equal(`${video.adapter.width}x${video.adapter.height}`, sizes[index].split('x').slice(0, 2).join('x'));
    assert.equal(video.int10({ ax: 0x4f03 }).bx & 0x1ff, mode);
  }
  video.int10({ ax: 0x4f02, bx: 0x4118 });
  // A pixel of 24 bits in the third line, by the frame buffer's handler.
  video.bus.writeMmio(FRAME_BUFFER + 3072 * 2 + 3 * 5, 2, 0x2211);
  video.bus.writeMmio(FRAME_BUFFER + 3072 * 2 + 3 * 5 + 2, 1, 0x33);
  assert.equal(video.pixel(5, 2), '332211');
  video.int10({ ax: 0x0003 });
  assert.deepEqual(video.adapter.textSize(), { columns: 80, rows: 25 });
});

test('VBE banks, panning, long lines and colours of eight bits', () => {
  const video = new TestVideo();
  assert.equal(video.int10({ ax: 0x4f02, bx: 0x0103 }).ax, 0x004f);
  assert.equal(video.int10({ ax: 0x4f05, bx: 0, dx: 3 }).ax, 0x004f);
  assert.equal(video.int10({ ax: 0x4f05, bx: 0x0100 }).dx, 3);
  assert.equal(video.int10({ ax: 0x4f05, bx: 0, dx: 256 }).ax, 0x014f);
  video.bus.writeMmio(0xa0000 + 10, 1, 4);
  const [x, y] = [(3 * 65536 + 10) % 800, Math.floor((3 * 65536 + 10) / 800)];
  assert.equal(video.pixel(x, y), 'aa0000');
  video.int10({ ax: 0x4f07, bx: 0, cx: 0, dx: y });
  assert.equal(video.pixel(x, 0), 'aa0000');
  const length = video.int10({ ax: 0x4f06, bx: 0, cx: 1000 });
  assert.deepEqual([length.ax, length.bx, length.cx, length.dx], [0x004f, 1000, 1000, 16777]);
  assert.equal(video.int10({ ax: 0x4f07, bx: 0, cx: 201, dx: 0 }).ax, 0x014f);
  assert.equal(video.int10({ ax: 0x4f07, bx: 0, cx: 200, dx: 100 }).ax, 0x004f);
  const start = video.int10({ ax: 0x4f07, bx: 1 });
  assert.deepEqual([start.cx, start.dx], [200, 100]);
  assert.equal(video.int10({ ax: 0x4f08, bx: 0x0800 }).bh, 8);
  video.ram.set([0x10, 0x80, 0xf1, 0], BUFFER_SEGMENT * 16);
  assert.equal(video.int10({ ax: 0x4f09, bx: 0, cx: 1, dx: 0 }).ax, 0x004f);
  assert.equal(video.pixel(0, 0), 'f18010');
  assert.equal(video.int10({ ax: 0x4f0a }).ah, 1);
});

test('the monitor tells its sizes', () => {
  const video = new TestVideo();
  assert.equal(video.int10({ ax: 0x4f15, bx: 1 }).ax, 0x004f);
  const edid = video.ram.subarray(BUFFER_SEGMENT * 16, BUFFER_SEGMENT * 16 + 128);
  assert.equal(
    edid.reduce((sum, byte) => (sum + byte) & 0xff, 0),
    0,
  );
  assert.equal(edid[54 + 2] | ((edid[54 + 4] >> 4) << 8), 1024);
  assert.equal(edid[54 + 5] | ((edid[54 + 7] >> 4) << 8), 768);
  assert.equal(video.int10({ ax: 0x4f15, bx: 1, dx: 1 }).ax, 0x014f);
});

test('whatever is asked, an answer comes', () => {
  const video = new TestVideo(1 << 20);
  let seed = 0x1234567;
  const random = (below: number) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % below;
  };
  const functions = [
    0, 1, 2, 3, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x10, 0x11, 0x12, 0x13, 0x1a, 0x1b, 0x1c, 0x4f,
  ];
  for (let step = 0; step < 1500; step++) {
    const value = () => [random(0x10000), random(0x20), random(4) << 8, 0xffff][random(4)];
    const ah = functions[random(functions.length)];
    const al = ah === 0x4f ? random(0x16) : random(2) === 0 ? random(0x40) : random(0x100);
    // Strings and repeated characters are long enough as they are.
    const cx = ah === 0x13 ? random(200) : value();
    video.int10({ ax: (ah << 8) | al, bx: value(), cx, dx: value(), di: value() & 0xfff, bp: value() & 0xfff });
    // Programs may also scribble over the data area.
    if (random(10) === 0) video.ram[0x449 + random(30)] = random(256);
  }
  video.int10({ ax: 0x0003 });
  video.print('still here');
  assert.match(video.adapter.text()!, /still here/);
});
