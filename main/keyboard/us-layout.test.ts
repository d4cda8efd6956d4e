import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys, scanCodesSet2 } from '../../native-free-core/devices/legacy/ps2-scancodes.ts';
import { keyCode, keyCodes } from './key-codes.ts';
import { pieceStrokes, pieceText, readEscapes, textStrokes } from './us-layout.ts';

/** `+KeyA -KeyA` for a press and a release. */
const told = (strokes: ReturnType<typeof textStrokes>): string =>
  strokes.map(({ code, pressed }) => `${pressed ? '+' : '-'}${code}`).join(' ');

test('the keys that can be named are the keys that the keyboard has', () => {
  assert.deepEqual([...keyCodes].sort(), [...keys.keys(), 'PrintScreen', 'Pause'].sort());
});

test('every printable ASCII character can be typed, and by a key that there is', () => {
  for (let code = 0x20; code < 0x7f; code++) {
    const strokes = textStrokes(String.fromCharCode(code));
    assert.ok(strokes.length === 2 || strokes.length === 4);
    for (const stroke of strokes) assert.ok(scanCodesSet2(stroke.code, stroke.pressed), stroke.code);
  }
});

test('capitals and signs hold Shift, line ends are Enter', () => {
  assert.equal(told(textStrokes('aA')), '+KeyA -KeyA +ShiftLeft +KeyA -KeyA -ShiftLeft');
  assert.equal(told(textStrokes('|')), '+ShiftLeft +Backslash -Backslash -ShiftLeft');
  assert.equal(told(textStrokes('\n\r\n\t\x1b')), '+Enter -Enter +Enter -Enter +Tab -Tab +Escape -Escape');
});

test('a character without a key is told in one sentence', () => {
  assert.throws(
    () => textStrokes('grün'),
    /^Failure: U\+00FC \(ü\) cannot be typed: a US keyboard has no key for it\.$/,
  );
  assert.throws(() => textStrokes('\x01'), /^Failure: U\+0001 cannot be typed/);
});

test('escapes are read, and what is none stays', () => {
  assert.deepEqual(readEscapes(String.raw`dir\n\x41\\n{x}\q`), [{ text: 'dir\rA\\n{x}\\q' }]);
  assert.deepEqual(readEscapes(String.raw`a\{Ctrl-Alt-Del}b\{F2}`), [
    { text: 'a' },
    { keys: ['ControlLeft', 'AltLeft', 'Delete'] },
    { text: 'b' },
    { keys: ['F2'] },
  ]);
  assert.throws(() => readEscapes(String.raw`\{Hyper-x}`), /there is no key “Hyper”/);
});

test('keys pressed together are released in reverse, and have no serial text', () => {
  const pieces = readEscapes(String.raw`\{Ctrl+c}`);
  assert.equal(told(pieceStrokes(pieces)), '+ControlLeft +KeyC -KeyC -ControlLeft');
  assert.equal(pieceText(pieces), null);
  assert.equal(pieceText(readEscapes('ls\\n')), 'ls\r');
});

test('keys are known by everyday names and by their codes, in any case', () => {
  for (const [name, code] of [
    ['DEL', 'Delete'],
    ['pgup', 'PageUp'],
    ['x', 'KeyX'],
    ['9', 'Digit9'],
    ['f12', 'F12'],
    ['numpadenter', 'NumpadEnter'],
  ] as const)
    assert.equal(keyCode(name), code);
  assert.equal(keyCode('toString'), undefined);
});
