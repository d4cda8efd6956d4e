import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestLine, TestTime } from '../testing.ts';
import { KeyboardController } from './keyboard-controller.ts';
import { Ps2Keyboard } from './ps2-keyboard.ts';
import { Ps2Mouse } from './ps2-mouse.ts';
import { keys, scanCodesSet2, toSet1, translateToSet1 } from './ps2-scancodes.ts';
import { A20Gate, SystemPorts } from './system-ports.ts';

function machine() {
  const time = new TestTime();
  const [keyboard, mouse] = [new Ps2Keyboard(), new Ps2Mouse()];
  const [keyboardLine, mouseLine] = [new TestLine(), new TestLine()];
  const events: string[] = [];
  const controller = new KeyboardController({
    ...time,
    clock: time.clock,
    keyboard,
    mouse,
    keyboardLine,
    mouseLine,
    onA20: (enabled) => events.push(`a20 ${enabled}`),
    onReset: () => events.push('reset'),
  });
  events.length = 0;
  const command = (value: number, ...data: number[]) => {
    controller.writePort(0x64, 1, value);
    for (const byte of data) controller.writePort(0x60, 1, byte);
  };
  const status = () => controller.readPort(0x64, 1);
  /** Everything that comes out of port 60h. */
  const drain = () => {
    const bytes: number[] = [];
    for (let quiet = 0; quiet < 3; ) {
      time.advance(100_000);
      if ((status() & 1) === 0) quiet++;
      else bytes.push(controller.readPort(0x60, 1));
    }
    return bytes;
  };
  return { time, keyboard, mouse, keyboardLine, mouseLine, controller, command, status, drain, events };
}

test('self-test, interface tests and the command byte', () => {
  const { command, drain, status } = machine();
  command(0xaa);
  assert.deepEqual(drain(), [0x55]);
  assert.equal(status() & 0x04, 0x04);
  command(0xab);
  command(0xa9);
  assert.deepEqual(drain(), [0, 0]);
  command(0x60, 0x47);
  command(0x20);
  assert.deepEqual(drain(), [0x47]);
  command(0x77, 0x99);
  command(0x37);
  assert.deepEqual(drain(), [0x99]);
});

test('keys arrive translated, one interrupt each, and may be read twice', () => {
  const { time, keyboard, keyboardLine, controller, drain } = machine();
  keyboard.key('KeyA', true);
  keyboard.key('KeyA', false);
  time.advance(0);
  assert.equal(keyboardLine.level, true);
  assert.equal(controller.readPort(0x60, 1), 0x1e);
  assert.equal(controller.readPort(0x60, 1), 0x1e);
  assert.equal(keyboardLine.level, false);
  assert.deepEqual(drain(), [0x9e]);
  assert.equal(keyboardLine.edges, 2);
  keyboard.key('ArrowUp', true);
  keyboard.key('ArrowUp', false);
  assert.deepEqual(drain(), [0xe0, 0x48, 0xe0, 0xc8]);
  keyboard.key('Pause', true);
  assert.deepEqual(drain(), [0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5]);
  assert.equal(keyboard.key('NoSuchKey', true), false);
});

test('keyboard commands', () => {
  const { controller, drain, keyboard, command } = machine();
  const send = (...bytes: number[]) => {
    for (const byte of bytes) controller.writePort(0x60, 1, byte);
    return drain();
  };
  command(0x60, 0x04); // no translation
  assert.deepEqual(send(0xff), [0xfa, 0xaa]);
  assert.deepEqual(send(0xf2), [0xfa, 0xab, 0x83]);
  assert.deepEqual(send(0xed, 0x05), [0xfa, 0xfa]);
  assert.equal(keyboard.leds, 5);
  assert.deepEqual(send(0xf0, 0), [0xfa, 0xfa, 2]);
  assert.deepEqual(send(0xee), [0xee]);
  assert.deepEqual(send(0xf5), [0xfa]);
  assert.equal(keyboard.key('KeyA', true), false);
  assert.deepEqual(send(0xf4), [0xfa]);
  keyboard.key('KeyA', false);
  assert.deepEqual(drain(), [0xf0, 0x1c]);
  assert.deepEqual(send(0xf0, 1), [0xfa, 0xfa]);
  keyboard.key('KeyA', false);
  assert.deepEqual(drain(), [0x9e]);
});

test('the mouse answers, moves, and grows a wheel when knocked', () => {
  const { mouse, mouseLine, command, drain, status, time } = machine();
  command(0x60, 0x47);
  command(0xa8);
  const send = (...bytes: number[]) => {
    for (const byte of bytes) command(0xd4, byte);
    return drain();
  };
  assert.deepEqual(send(0xff), [0xfa, 0xaa, 0x00]);
  assert.deepEqual(send(0xf2), [0xfa, 0x00]);
  mouse.move(5, 5);
  assert.deepEqual(drain(), [], 'no reports before it is enabled');
  assert.deepEqual(send(0xf4), [0xfa]);
  mouse.setButtons(1);
  mouse.move(3, -2);
  time.advance(0);
  assert.equal(status() & 0x21, 0x21);
  assert.equal(mouseLine.level, true);
  assert.deepEqual(drain(), [0x09, 0, 0, 0x29, 3, 0xfe]);
  mouse.move(600, 0);
  assert.deepEqual(drain(), [0x09, 255, 0, 0x09, 255, 0, 0x09, 90, 0]);
  assert.deepEqual(send(0xe9), [0xfa, 0x24, 2, 100]);
  send(0xf3, 200, 0xf3, 100, 0xf3, 80);
  assert.deepEqual(send(0xf2), [0xfa, 3]);
  mouse.setButtons(0);
  mouse.move(0, 0, -1);
  assert.deepEqual(drain(), [0x08, 0, 0, 0, 0x08, 0, 0, 0xff]);
});

test('A20 and reset through the output port, the pulse command and port 92h', () => {
  const { command, drain, events } = machine();
  command(0xd1, 0xdd);
  command(0xdf);
  command(0xd0);
  assert.equal(drain()[0] & 3, 3);
  command(0xfe);
  assert.deepEqual(events, ['a20 false', 'a20 true', 'reset']);

  const levels: boolean[] = [];
  const gate = new A20Gate((enabled) => levels.push(enabled));
  const first = gate.source();
  let resets = 0;
  const ports = new SystemPorts({ onA20: gate.source(), onReset: () => resets++ });
  ports.writePort(0x92, 1, 2);
  first(true);
  ports.writePort(0x92, 1, 0);
  first(false);
  assert.deepEqual(levels, [true, false]);
  ports.writePort(0x92, 1, 1);
  ports.writePort(0x92, 1, 1);
  assert.equal(resets, 1);
});

test('every key has its own codes, and set 1 codes are those of an AT', () => {
  const seen = new Set([...keys.keys()].map((code) => String(scanCodesSet2(code, true))));
  assert.equal(seen.size, keys.size);
  const set1 = (code: string) => toSet1(scanCodesSet2(code, true)!);
  assert.deepEqual(set1('Escape'), [0x01]);
  assert.deepEqual(set1('F7'), [0x41]);
  assert.deepEqual(set1('F12'), [0x58]);
  assert.deepEqual(set1('Space'), [0x39]);
  assert.deepEqual(set1('NumpadEnter'), [0xe0, 0x1c]);
  assert.equal(translateToSet1(0xfa), 0xfa, 'answers pass the translator unchanged');
  assert.equal(translateToSet1(0xaa), 0xaa);
});

test('a guest that asks without reading, and typing faster than it reads', () => {
  const { command, keyboard, mouse, drain, controller } = machine();
  for (let i = 0; i < 10_000; i++) command(0x20);
  for (let i = 0; i < 10_000; i++) {
    controller.writePort(0x60, 1, 0xee);
    mouse.write(0xf2);
  }
  let taken = 0;
  while (keyboard.key('KeyB', true)) taken++;
  assert.ok(taken < 2000);
  assert.ok(drain().length < 3000);
});

test('state survives saving', () => {
  const { controller, keyboard, mouse, command } = machine();
  command(0x60, 0x03);
  keyboard.key('KeyC', true);
  const other = machine();
  other.keyboard.restore(structuredClone(keyboard.save()));
  other.mouse.restore(structuredClone(mouse.save()));
  other.controller.restore(structuredClone(controller.save()));
  assert.deepEqual(other.drain(), [0x21]);
  assert.throws(() => other.keyboard.restore({ version: 1, queue: 5 }), /no valid queue/);
});
