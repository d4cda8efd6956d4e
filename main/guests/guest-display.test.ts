import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeDisplayMessage, encodeDisplayInput, TILES_BYTES_MAX } from '../display/display-frames.ts';
import { type DisplaySource, GuestDisplay } from './guest-display.ts';
import type { ScreenChange } from './worker-messages.ts';

/** A run that notes what it is asked for. */
function source(): DisplaySource & { wishes: string[]; actions: object[] } {
  const wishes: string[] = [];
  const actions: object[] = [];
  return { wishes, actions, wishScreen: (wish) => wishes.push(wish), control: (action) => actions.push(action) };
}

/** A window that draws what it gets. */
function window(display: GuestDisplay) {
  const shown = { width: 0, height: 0, pixels: new Uint32Array(0), text: '', frames: 0, bytes: 0, largest: 0 };
  let awaited = 0;
  const { receive, detach } = display.attach(
    (bytes) => {
      shown.bytes += bytes.length;
      shown.largest = Math.max(shown.largest, bytes.length);
      const message = decodeDisplayMessage(bytes);
      assert.ok(message);
      if (message.type === 'size') {
        Object.assign(shown, { width: message.width, height: message.height });
        shown.pixels = new Uint32Array(message.width * message.height);
      } else if (message.type === 'tiles')
        for (const { x, y, width, height, pixels } of message.tiles)
          for (let row = 0; row < height; row++)
            shown.pixels.set(new Uint32Array(pixels.buffer, row * width * 4, width), (y + row) * shown.width + x);
      else if (message.type === 'text') shown.text = message.text?.text ?? '';
      else if (message.type === 'frame') {
        shown.frames++;
        awaited = message.sequence;
      }
    },
    () => {},
  );
  const take = (): void => receive(encodeDisplayInput({ type: 'taken', sequence: awaited }));
  return { shown, take, receive, detach };
}

/** A change that fills one rectangle with a colour. */
function fill(
  [width, height]: [number, number],
  tile: { x: number; y: number; width: number; height: number },
  colour: number,
  more: Partial<ScreenChange> = {},
): ScreenChange {
  const pixels = new Uint8ClampedArray(tile.width * tile.height * 4);
  new Uint32Array(pixels.buffer).fill(colour);
  return { width, height, tiles: [tile], pixels, text: undefined, pointer: 'none', ...more };
}

const whole = (width: number, height: number, colour: number): ScreenChange =>
  fill([width, height], { x: 0, y: 0, width, height }, colour);

test('nobody watches, nothing is asked for', () => {
  const display = new GuestDisplay();
  const run = source();
  display.begin(run);
  assert.deepEqual(run.wishes, []);
  const { detach } = window(display);
  assert.deepEqual(run.wishes, ['everything']);
  detach();
  assert.deepEqual(run.wishes, ['everything', 'none']);
});

test('a window gets the whole picture first and what changes after it, exactly', () => {
  const display = new GuestDisplay();
  const run = source();
  display.begin(run);
  const { shown, take } = window(display);
  display.change({ ...whole(100, 70, 0xff11_2233), text: { columns: 1, rows: 1, text: 'hi' } });
  assert.deepEqual([shown.width, shown.height, shown.text, shown.frames], [100, 70, 'hi', 1]);
  assert.ok(shown.pixels.every((pixel) => pixel === 0xff11_2233));
  take();
  const before = shown.bytes;
  display.change(fill([100, 70], { x: 90, y: 60, width: 10, height: 10 }, 0xffff_ffff));
  assert.ok(shown.bytes - before < 7000, 'only the squares around the change travel');
  shown.pixels.forEach((pixel, at) => {
    const isChanged = at % 100 >= 90 && at >= 6000;
    assert.equal(pixel, isChanged ? 0xffff_ffff : 0xff11_2233);
  });
  assert.deepEqual(run.wishes, ['everything', 'changes']);
});

test('a slow window costs no memory: it gets one picture of all it missed', () => {
  const display = new GuestDisplay();
  display.begin(source());
  const [slow, fast] = [window(display), window(display)];
  for (let round = 0; round < 50; round++) {
    display.change(whole(64, 64, 0xff00_0000 + round));
    fast.take();
  }
  assert.equal(slow.shown.frames, 1);
  assert.equal(fast.shown.frames, 50);
  assert.equal(slow.shown.pixels[0], 0xff00_0000);
  slow.take();
  assert.equal(slow.shown.frames, 2);
  assert.ok(slow.shown.pixels.every((pixel) => pixel === 0xff00_0000 + 49));
});

test('the run is asked again only when a window is ready', () => {
  const display = new GuestDisplay();
  const run = source();
  display.begin(run);
  const { take } = window(display);
  display.change(whole(8, 8, 1));
  assert.deepEqual(run.wishes, ['everything']);
  take();
  take();
  assert.deepEqual(run.wishes, ['everything', 'changes']);
});

test('another mode begins with a black picture of its size; a second window begins with what there is', () => {
  const display = new GuestDisplay();
  display.begin(source());
  const first = window(display);
  display.change(whole(40, 40, 0xff00_00ff));
  const second = window(display);
  assert.ok(second.shown.pixels.every((pixel) => pixel === 0xff00_00ff));
  first.take();
  second.take();
  display.change(fill([50, 20], { x: 0, y: 0, width: 1, height: 1 }, 0xffff_ffff));
  assert.deepEqual([first.shown.width, first.shown.height], [50, 20]);
  assert.deepEqual([...first.shown.pixels.slice(0, 2)], [0xffff_ffff, 0xff00_0000]);
});

test('the largest display travels in messages that fit', () => {
  const display = new GuestDisplay();
  display.begin(source());
  const { shown } = window(display);
  const [width, height] = [2560, 1600];
  const change = whole(width, height, 0);
  const words = new Uint32Array(change.pixels.buffer);
  for (let at = 0; at < words.length; at++) words[at] = 0xff00_0000 + at;
  display.change(change);
  assert.ok(shown.largest < TILES_BYTES_MAX * 1.1, `${shown.largest}`);
  assert.ok(shown.pixels.every((pixel, at) => pixel === 0xff00_0000 + at));
});

test('a window that goes releases what it held; input without a run goes nowhere', () => {
  const display = new GuestDisplay();
  const run = source();
  const { receive, detach } = window(display);
  receive(encodeDisplayInput({ type: 'key', code: 'KeyZ', pressed: true }));
  display.begin(run);
  for (const code of ['ControlLeft', 'KeyA', 'KeyB']) receive(encodeDisplayInput({ type: 'key', code, pressed: true }));
  receive(encodeDisplayInput({ type: 'key', code: 'KeyA', pressed: false }));
  receive(encodeDisplayInput({ type: 'buttons', held: 1 }));
  receive(Uint8Array.of(2, 1, 65));
  run.actions.length = 0;
  detach();
  assert.deepEqual(run.actions, [
    { type: 'key', code: 'ControlLeft', pressed: false },
    { type: 'key', code: 'KeyB', pressed: false },
    { type: 'buttons', held: 0 },
  ]);
  receive(encodeDisplayInput({ type: 'key', code: 'KeyB', pressed: true }));
  assert.equal(run.actions.length, 3);
});

test('the next run shows its own picture, also to a window that has yet to take the last', () => {
  const display = new GuestDisplay();
  display.begin(source());
  const { shown, take } = window(display);
  display.change(whole(16, 16, 1));
  display.end();
  const next = source();
  display.begin(next);
  assert.deepEqual(next.wishes, []);
  take();
  assert.deepEqual(next.wishes, ['everything']);
  display.change(whole(16, 16, 2));
  assert.ok(shown.pixels.every((pixel) => pixel === 2));
});
