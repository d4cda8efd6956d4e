import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtioKeyboard, VirtioTablet } from './input.ts';
import { TestDriver, TestMemory } from './testing.ts';

function driverOf(memory: TestMemory, device: VirtioKeyboard | VirtioTablet) {
  const driver = new TestDriver(memory, device, 'split', 0n, 16);
  const [queue] = driver.queues;
  for (let i = 0; i < 8; i++) queue.add([{ room: 8 }]);
  device.notify(0);
  /** Type, code and value of the events that came. */
  const events = () => {
    const views = queue.take().map(({ id }) => new DataView(queue.room(id).slice().buffer));
    return views.map((view) => [view.getUint16(0, true), view.getUint16(2, true), view.getInt32(4, true)]);
  };
  const told = (select: number, subselect: number): Uint8Array => {
    device.writeConfig(0, 1, select);
    device.writeConfig(1, 1, subselect);
    return device.config.slice(8, 8 + device.readConfig(2, 1));
  };
  return { driver, events, told, queue };
}

test('a keyboard tells its name and keys, and strokes as evdev has them', () => {
  const memory = new TestMemory(1 << 20);
  const keyboard = new VirtioKeyboard({ memory });
  assert.equal(keyboard.key('KeyA', true), false, 'nobody listens');
  const { events, told, queue } = driverOf(memory, keyboard);
  assert.equal(new TextDecoder().decode(told(1, 0)), 'Trivisor virtio keyboard');
  const keys = told(0x11, 1);
  // KEY_ESC 1, KEY_A 30, KEY_COMPOSE 127; no 84 and no buttons.
  const has = (number: number) => ((keys[number >> 3] ?? 0) >> (number & 7)) & 1;
  assert.deepEqual([1, 30, 127, 84, 0, 0x110].map(has), [1, 1, 1, 0, 0, 0]);
  assert.deepEqual([told(0x11, 2).length, told(0x11, 3).length, told(0x55, 9).length], [0, 0, 0]);
  assert.equal(keyboard.key('KeyA', true), true);
  assert.equal(keyboard.key('NoKey', true), false);
  keyboard.key('KeyA', false);
  keyboard.key('ContextMenu', true);
  assert.deepEqual(events(), [
    [1, 30, 1],
    [0, 0, 0],
    [1, 30, 0],
    [0, 0, 0],
    [1, 127, 1],
    [0, 0, 0],
  ]);
  // Two buffers are left, for three strokes.
  for (const code of ['KeyB', 'KeyC', 'KeyD']) keyboard.key(code, true);
  assert.equal(keyboard.isBehind, true);
  for (let i = 0; i < 8; i++) queue.add([{ room: 8 }]);
  keyboard.notify(0);
  assert.equal(keyboard.isBehind, false);
  assert.equal(events().length, 6);
});

test('a tablet tells positions, buttons that have changed, and the wheel as Linux counts it', () => {
  const memory = new TestMemory(1 << 20);
  const tablet = new VirtioTablet({ memory });
  assert.equal(tablet.active, false);
  const { events, told } = driverOf(memory, tablet);
  assert.equal(tablet.active, true);
  assert.deepEqual([...new Int32Array(told(0x12, 1).buffer)], [0, 65535, 0, 0, 0]);
  tablet.report(5, 70, 1, 2);
  tablet.report(6, 70, 1, 0);
  assert.deepEqual(events(), [
    [3, 0, 5],
    [3, 1, 70],
    [1, 0x110, 1],
    [2, 8, -2],
    [0, 0, 0],
    [3, 0, 6],
    [3, 1, 70],
    [0, 0, 0],
  ]);
});
