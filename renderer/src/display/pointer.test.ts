import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestPointer } from './pointer.ts';

function pointer() {
  const sent: object[] = [];
  return { sent, pointer: new GuestPointer((input) => sent.push(input)) };
}

test('movements are gathered, and fractions are not lost', () => {
  const { sent, pointer: mouse } = pointer();
  mouse.move(1.5, -0.25);
  mouse.move(0.75, -0.25);
  mouse.flush();
  mouse.move(0.75, -0.5);
  mouse.flush();
  mouse.flush();
  assert.deepEqual(sent, [
    { type: 'move', dx: 2, dy: 0, wheel: 0 },
    { type: 'move', dx: 1, dy: -1, wheel: 0 },
  ]);
});

test('a button comes after the movement before it, and only when it changes', () => {
  const { sent, pointer: mouse } = pointer();
  mouse.moveTo(0.5, 2);
  mouse.buttons(1);
  mouse.buttons(1);
  mouse.buttons(0x18);
  assert.deepEqual(sent, [
    { type: 'moveTo', x: 32768, y: 65535 },
    { type: 'buttons', held: 1 },
    { type: 'buttons', held: 0 },
  ]);
});

test('the wheel turns by steps, whatever it counts in', () => {
  const { sent, pointer: mouse } = pointer();
  for (let turn = 0; turn < 4; turn++) mouse.turn(50, 0);
  mouse.turn(-3, 1);
  mouse.turn(-1, 2);
  mouse.turn(-1, 2);
  mouse.flush();
  assert.deepEqual(sent, [{ type: 'move', dx: 0, dy: 0, wheel: -1 }]);
});

test('letting go releases the buttons and moves nothing', () => {
  const { sent, pointer: mouse } = pointer();
  mouse.buttons(5);
  mouse.move(100, 100);
  mouse.releaseAll();
  mouse.flush();
  assert.deepEqual(sent, [
    { type: 'buttons', held: 5 },
    { type: 'buttons', held: 0 },
  ]);
});
