import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AbsolutePointer } from '../devices/absolute-pointer.ts';
import { KeyboardController } from '../devices/legacy/keyboard-controller.ts';
import { Ps2Keyboard } from '../devices/legacy/ps2-keyboard.ts';
import { Ps2Mouse } from '../devices/legacy/ps2-mouse.ts';
import { TestLine, TestTime } from '../devices/testing.ts';
import { KeyboardAndPointer } from './keyboard-and-pointer.ts';

const MS = 1_000_000;

/** A keyboard and mouse on an 8042 whose bytes are read as a guest would, when `read` is called. */
function machine(absolute: AbsolutePointer[] = []) {
  const time = new TestTime();
  const [keyboard, mouse] = [new Ps2Keyboard(), new Ps2Mouse()];
  const { clock, timers } = time;
  const controller = new KeyboardController({
    clock,
    timers,
    keyboard,
    mouse,
    keyboardLine: new TestLine(),
    mouseLine: new TestLine(),
    onA20() {},
    onReset() {},
  });
  const typed = {
    key: (code: string, down: boolean) => keyboard.key(code, down),
    get isBehind() {
      return keyboard.ready;
    },
  };
  const input = new KeyboardAndPointer({ clock, timers, deterministic: false, keyboard: typed, mouse, absolute });
  const read = (): number | null => (controller.readPort(0x64, 1) & 1 ? controller.readPort(0x60, 1) : null);
  /** Lets time pass, reading whatever comes at once. */
  const readFor = (milliseconds: number): number[] => {
    const bytes: number[] = [];
    for (let step = 0; step < milliseconds * 10; step++) {
      time.advance(MS / 10);
      const byte = read();
      if (byte !== null) bytes.push(byte);
    }
    return bytes;
  };
  return { time, controller, input, mouse, read, readFor };
}

const stroke = (code: string) => [
  { code, pressed: true },
  { code, pressed: false },
];

test('typed strokes come in order, in scan code set 1, at most 100 a second', () => {
  const { input, readFor } = machine();
  assert.equal(input.type([...stroke('KeyA'), ...stroke('Enter')]), true);
  assert.deepEqual(readFor(5), [0x1e]);
  assert.deepEqual(readFor(10), [0x9e]);
  assert.deepEqual(readFor(30), [0x1c, 0x9c]);
  assert.equal(input.typing, 0);
});

test('a guest that does not read misses nothing, however much is typed', () => {
  const { input, time, readFor } = machine();
  const text = Array.from({ length: 400 }, () => stroke('KeyB')).flat();
  input.type(text);
  time.advance(5000 * MS);
  assert.ok(input.typing >= text.length - 2, 'the typist waits for the guest');
  assert.equal(readFor(9000).length, 800);
  assert.equal(input.typing, 0);
});

test('more than there is room for is refused whole, and a deaf guest makes the typist give up', () => {
  const { input, time } = machine();
  const long = Array.from({ length: 30_000 }, () => stroke('KeyC')).flat();
  assert.equal(input.type(long), true);
  assert.equal(input.type(long), false);
  assert.equal(input.typing, 60_000);
  time.advance(31_000 * MS);
  assert.equal(input.typing, 0);
});

test('a reset ends the typing', () => {
  const { input, readFor } = machine();
  input.type(stroke('KeyD'));
  input.reset();
  assert.deepEqual(readFor(50), []);
});

test('a relative movement goes down where the hand goes down', () => {
  const { input, controller, readFor } = machine();
  assert.equal(input.pointer, 'none');
  controller.writePort(0x64, 1, 0xd4);
  controller.writePort(0x60, 1, 0xf4);
  assert.deepEqual(readFor(5), [0xfa]);
  input.move(5, 3, 0);
  assert.deepEqual(readFor(5), [0x28, 5, 0xfd]);
  input.buttons(1);
  assert.deepEqual(readFor(5), [0x09, 0, 0]);
});

test('positions, buttons and the wheel go to the device that tells positions while the guest listens to it', () => {
  const reports: number[][] = [];
  const tablet = { active: false, report: (...values: number[]) => void reports.push(values) };
  const { input, controller, readFor } = machine([tablet as AbsolutePointer]);
  controller.writePort(0x64, 1, 0xd4);
  controller.writePort(0x60, 1, 0xf4);
  readFor(5);
  input.moveTo(1, 2);
  assert.equal(input.pointer, 'relative');
  assert.deepEqual(reports, []);
  tablet.active = true;
  assert.equal(input.pointer, 'absolute');
  input.moveTo(70_000, 100);
  input.buttons(2);
  input.move(9, 9, -1);
  assert.deepEqual(reports, [
    [65535, 100, 0, 0],
    [65535, 100, 2, 0],
    [65535, 100, 2, -1],
  ]);
  assert.deepEqual(readFor(5), []);
});
