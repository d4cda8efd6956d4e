import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type DisplayInput,
  decodeDisplayInput,
  decodeDisplayMessage,
  encodeDisplayInput,
  encodeFrameEnd,
  encodePointer,
  encodeSize,
  encodeText,
  encodeTiles,
} from './display-frames.ts';

test('what the server says is read as it was said', () => {
  assert.deepEqual(decodeDisplayMessage(encodeSize(720, 400)), { type: 'size', width: 720, height: 400 });
  assert.deepEqual(decodeDisplayMessage(encodePointer('absolute')), { type: 'pointer', pointer: 'absolute' });
  assert.deepEqual(decodeDisplayMessage(encodeFrameEnd(2 ** 32 - 1)), { type: 'frame', sequence: 2 ** 32 - 1 });
  const text = { columns: 80, rows: 25, text: 'C:\\>▒é' };
  assert.deepEqual(decodeDisplayMessage(encodeText(text)), { type: 'text', text });
  assert.deepEqual(decodeDisplayMessage(encodeText(null)), { type: 'text', text: null });
});

test('tiles come out of the picture as they are in it; one of a single colour costs four bytes', () => {
  const width = 5;
  const picture = Uint8ClampedArray.from({ length: width * 4 * 4 }, (_, index) => (index < 40 ? 7 : index));
  const whole = [
    { x: 1, y: 0, width: 3, height: 2 },
    { x: 3, y: 2, width: 2, height: 2 },
  ];
  const bytes = encodeTiles(picture, width, whole);
  assert.equal(bytes.length, 1 + 9 + 4 + 9 + 16);
  const message = decodeDisplayMessage(bytes);
  assert.ok(message?.type === 'tiles');
  assert.deepEqual(
    message.tiles.map(({ x, y, pixels }) => [x, y, ...pixels]),
    [
      [1, 0, ...Array(24).fill(7)],
      [3, 2, ...picture.slice(52, 60), ...picture.slice(72, 80)],
    ],
  );
});

test('what a person does is read as it was done, within bounds', () => {
  const inputs: DisplayInput[] = [
    { type: 'taken', sequence: 9 },
    { type: 'key', code: 'NumpadMultiply', pressed: true },
    { type: 'move', dx: -3, dy: 400, wheel: -1 },
    { type: 'moveTo', x: 65535, y: 0 },
    { type: 'buttons', held: 5 },
  ];
  for (const input of inputs) assert.deepEqual(decodeDisplayInput(encodeDisplayInput(input)), input);
  assert.deepEqual(decodeDisplayInput(encodeDisplayInput({ type: 'move', dx: 1e9, dy: -1e9, wheel: 0 })), {
    type: 'move',
    dx: 32767,
    dy: -32768,
    wheel: 0,
  });
});

test('bytes that are no message are refused, however they are cut', () => {
  const picture = new Uint8ClampedArray(64 * 4);
  picture[5] = 1;
  const good = [
    encodeSize(1, 1),
    encodeTiles(picture, 8, [{ x: 0, y: 0, width: 8, height: 8 }]),
    encodeFrameEnd(1),
    encodeDisplayInput({ type: 'move', dx: 1, dy: 1, wheel: 1 }),
  ];
  for (const bytes of good.slice(0, 3))
    for (let length = 2; length < bytes.length; length++)
      assert.equal(decodeDisplayMessage(bytes.subarray(0, length)), null, `${bytes[0]} of ${length} bytes`);
  assert.equal(decodeDisplayMessage(new Uint8Array(0)), null);
  const huge = encodeTiles(picture, 8, [{ x: 0, y: 0, width: 8, height: 8 }]);
  new DataView(huge.buffer).setUint16(5, 0xffff, true);
  assert.equal(decodeDisplayMessage(huge), null);
  for (const bytes of [[], [1, 2], [2, 1], [2, 1, 65], [3, 0], [4, 1, 2], [5, 8], [5], [99, 1]])
    assert.equal(decodeDisplayInput(Uint8Array.from(bytes)), null, String(bytes));
});
