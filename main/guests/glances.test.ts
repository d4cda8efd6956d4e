import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lastLines, scaled } from './glances.ts';
import { GuestDisplay } from './guest-display.ts';
import type { ScreenWish } from './worker-messages.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('a console’s last lines are what is read of them, without colours and titles', () => {
  const output = '\x1b]0;title\x07one\r\n\x1b[1;32mtwo\x1b[0m three\r\n\x1b(Bfour\r\n\r\n$ \r\n';
  assert.deepEqual(lastLines(bytes(output), 8, 40), ['one', 'two three', 'four', '', '$']);
  assert.deepEqual(lastLines(bytes(output), 2, 40), ['', '$']);
  assert.deepEqual(lastLines(bytes('123456789'), 2, 4), ['1234']);
});

test('what was written over is gone, and so is what was cleared', () => {
  assert.deepEqual(lastLines(bytes(' 10 %\r100 %\r\nab\b\bXY\r\n'), 8, 40), ['100 %', 'XY']);
  assert.deepEqual(lastLines(bytes('old\r\n\x1b[H\x1b[2Jnew'), 8, 40), ['new']);
  assert.deepEqual(lastLines(bytes('\x1b[2J'), 8, 40), []);
  // A sequence that is cut short by the end, and bytes that are no text.
  assert.deepEqual(lastLines(Uint8Array.of(0x61, 0xff, 0x1b, 0x5b), 8, 40).length, 1);
});

test('a picture is scaled to the mean of what is there, and never up', () => {
  const pixels = new Uint8ClampedArray(300 * 150 * 4).fill(255);
  for (let y = 0; y < 150; y++) pixels.fill(0, y * 300 * 4, (y * 300 + 150) * 4);
  const small = scaled({ width: 300, height: 150, pixels }, 30);
  assert.deepEqual([small.width, small.height], [30, 15]);
  assert.deepEqual([...small.pixels.slice(0, 4)], [0, 0, 0, 255]);
  assert.deepEqual([...small.pixels.slice(29 * 4, 30 * 4)], [255, 255, 255, 255]);
  const one = { width: 2, height: 1, pixels: pixels.slice(0, 8) };
  assert.equal(scaled(one, 30), one);
});

test('a display that is only looked at now and then draws when it is looked at, and not after', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const wishes: ScreenWish[] = [];
  const display = new GuestDisplay();
  display.begin({ wishScreen: (wish) => wishes.push(wish), control() {} });
  assert.deepEqual(display.glance(), null);
  assert.deepEqual(wishes, ['everything']);
  const draw = (value: number): void =>
    display.change({
      width: 2,
      height: 1,
      tiles: [{ x: 0, y: 0, width: 2, height: 1 }],
      pixels: new Uint8ClampedArray(8).fill(value),
      text: null,
      pointer: 'none',
    });
  draw(1);
  const first = display.glance()!;
  assert.equal(first.picture.pixels[0], 1);
  assert.deepEqual(wishes, ['everything', 'changes']);
  draw(2);
  // Not until it is looked at again is the guest asked once more.
  assert.deepEqual(wishes, ['everything', 'changes']);
  const second = display.glance()!;
  assert.notEqual(second.drawn, first.drawn);
  assert.equal(display.glance()!.drawn, second.drawn);
  t.mock.timers.tick(60_000);
  assert.equal(wishes.at(-1), 'none');
});
