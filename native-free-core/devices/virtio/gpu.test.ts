import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtioGpu } from './gpu.ts';
import { TestDriver, TestMemory } from './testing.ts';

const BACKING = 0x8_0000;
const Command = { info: 0x100, create: 0x101, unref: 0x102, scanout: 0x103, flush: 0x104, transfer: 0x105 } as const;
const ATTACH = 0x106;
const EDID = 0x10a;
const CURSOR = 0x300;
const Answer = { ok: 0x1100, info: 0x1101, edid: 0x1104, noScanout: 0x1202, noResource: 0x1203, bad: 0x1205 } as const;

function made() {
  const memory = new TestMemory(1 << 20);
  const device = new VirtioGpu({
    memory,
    edid: Uint8Array.from({ length: 128 }, (_, index) => index),
    preferred: { width: 640, height: 480 },
    largest: { width: 800, height: 600 },
  });
  const driver = new TestDriver(memory, device, 'split', device.features & 0xffffffn, 16);
  /** Words behind the header; answers the answer. */
  const command = (kind: number, words: readonly number[], fence = 0n): DataView => {
    const bytes = new Uint8Array(24 + 4 * words.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, kind, true);
    if (fence !== 0n) view.setUint32(4, 1, true);
    view.setBigUint64(8, fence, true);
    for (const [index, word] of words.entries()) view.setUint32(24 + 4 * index, word, true);
    const index = kind >= CURSOR ? 1 : 0;
    const queue = driver.queues[index];
    queue.add([{ bytes }, { room: 2048 }]);
    device.notify(index);
    const [{ id, written }] = queue.take();
    return new DataView(queue.room(id).slice(0, written).buffer);
  };
  const kindOf = (kind: number, ...words: number[]) => command(kind, words).getUint32(0, true);
  /** A resource of 4 × 2 pixels of BGRX that memory backs, shown whole. */
  const picture = () => {
    assert.equal(kindOf(Command.create, 1, 2, 4, 2), Answer.ok);
    assert.equal(kindOf(ATTACH, 1, 2, BACKING, 0, 16, 0, BACKING + 0x1000, 0, 16, 0), Answer.ok);
    assert.equal(kindOf(Command.scanout, 0, 0, 4, 2, 0, 1), Answer.ok);
  };
  return { memory, device, driver, command, kindOf, picture };
}

test('a driver is told of one display, its monitor and when a command is done', () => {
  const { command } = made();
  const info = command(Command.info, [], 77n);
  assert.deepEqual(
    [info.getUint32(0, true), info.getUint32(4, true), info.getBigUint64(8, true)],
    [Answer.info, 1, 77n],
  );
  assert.deepEqual(
    [0, 4, 8, 12, 16, 40].map((at) => info.getUint32(24 + at, true)),
    [0, 0, 640, 480, 1, 0],
  );
  const edid = command(EDID, [0, 0]);
  assert.deepEqual(
    [edid.getUint32(0, true), edid.getUint32(24, true), edid.getUint8(32 + 127)],
    [Answer.edid, 128, 127],
  );
});

test('what the guest transfers and flushes is the picture, out of scattered memory', () => {
  const { memory, device, kindOf, picture } = made();
  const size = () => device.size && { width: device.size.width, height: device.size.height };
  assert.equal(size(), null);
  picture();
  assert.deepEqual(size(), { width: 4, height: 2 });
  device.takeChangedRows();
  // Blue, green, red, nothing: one red pixel at the end of the second row, in the second piece.
  memory.bytes.set([0, 0, 0xff, 0], BACKING + 0x1000 + 12);
  assert.equal(kindOf(Command.transfer, 3, 1, 1, 1, 16 + 12, 0, 1, 0), Answer.ok);
  assert.deepEqual(device.takeChangedRows(), { from: 0, to: 0 });
  assert.equal(kindOf(Command.flush, 0, 1, 4, 1, 1, 0), Answer.ok);
  assert.deepEqual(device.takeChangedRows(), { from: 1, to: 2 });
  const line = new Uint32Array(4);
  device.readRow(1, line);
  assert.deepEqual([...line], [0xff000000, 0xff000000, 0xff000000, 0xff0000ff]);
});

test('a cursor lies over the picture, and moves', () => {
  const { memory, device, kindOf, picture } = made();
  picture();
  // A cursor of one white pixel, half transparent, whose colours are multiplied by that.
  assert.equal(kindOf(Command.create, 2, 1, 1, 1), Answer.ok);
  assert.equal(kindOf(ATTACH, 2, 1, BACKING + 0x2000, 0, 4, 0), Answer.ok);
  memory.bytes.set([0x80, 0x80, 0x80, 0x80], BACKING + 0x2000);
  assert.equal(kindOf(Command.transfer, 0, 0, 1, 1, 0, 0, 2, 0), Answer.ok);
  device.takeChangedRows();
  kindOf(CURSOR, 0, 2, 1, 0, 2, 0, 0, 0);
  assert.deepEqual(device.takeChangedRows(), { from: 1, to: 2 });
  const line = new Uint32Array(4);
  device.readRow(1, line);
  assert.deepEqual([...line], [0xff000000, 0xff000000, 0xff808080, 0xff000000]);
  kindOf(CURSOR + 1, 0, 0, 0, 0, 2, 0, 0, 0);
  assert.deepEqual(device.takeChangedRows(), { from: 0, to: 2 });
});

test('what there is not, or is too large, is refused, and nothing breaks', () => {
  const { device, driver, kindOf, picture } = made();
  picture();
  const wrongs: [number, number[], number][] = [
    [Command.create, [1, 2, 4, 2], Answer.noResource],
    [Command.create, [3, 99, 4, 2], Answer.bad],
    [Command.create, [3, 2, 0, 2], Answer.bad],
    [Command.create, [3, 2, 0xffffffff, 0xffffffff], Answer.bad],
    [Command.scanout, [0, 0, 5, 2, 0, 1], Answer.bad],
    [Command.scanout, [0xffffffff, 0, 4, 2, 0, 1], Answer.bad],
    [Command.scanout, [0, 0, 4, 2, 1, 1], Answer.noScanout],
    [Command.scanout, [0, 0, 4, 2, 0, 9], Answer.noResource],
    [Command.transfer, [0, 0, 4, 2, 16, 0, 1, 0], Answer.bad],
    [Command.transfer, [0, 0, 4, 2, 0xffffffff, 0xffffffff, 1, 0], Answer.bad],
    [Command.flush, [0, 0, 4, 3, 1, 0], Answer.bad],
    [ATTACH, [1, 1, 0, 0, 16, 0], Answer.bad],
    [ATTACH, [9, 1, 0, 0, 16, 0], Answer.noResource],
    [Command.unref, [9, 0], Answer.noResource],
    [Command.flush, [], Answer.bad],
    [0x1ff, [], 0x1200],
  ];
  for (const [kind, words, answer] of wrongs)
    assert.equal(kindOf(kind, ...words), answer, `${kind.toString(16)} ${words}`);
  // More bytes than a guest may have pictures of.
  let count = 0;
  for (let id = 10; kindOf(Command.create, id, 2, 2048, 2048) === Answer.ok; id++) count++;
  assert.equal(count, 7);
  assert.equal(kindOf(Command.unref, 10, 0), Answer.ok);
  assert.equal(kindOf(Command.create, 10, 2, 2048, 2048), Answer.ok);
  // The picture's own resource goes, and the picture with it.
  assert.equal(kindOf(Command.unref, 1, 0), Answer.ok);
  assert.equal(device.size, null);
  assert.equal(driver.needsReset, false);
});
