import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestKeyboard } from './keyboard.ts';

function keyboard(isMac = false) {
  const told: string[] = [];
  const keys = new GuestKeyboard(
    'ControlRight',
    {
      key: (code, pressed) => told.push(`${pressed ? '+' : '-'}${code}`),
      host: () => told.push('host'),
      hostWith: (code) => told.push(`host ${code}`),
    },
    isMac,
  );
  return { keys, told };
}

test('keys go to the guest as they are pressed, repeated and released', () => {
  const { keys, told } = keyboard();
  for (const act of [() => keys.down('KeyA', false), () => keys.down('KeyA', true), () => keys.up('KeyA')])
    assert.equal(act(), true);
  assert.deepEqual(told, ['+KeyA', '+KeyA', '-KeyA']);
});

test('the host key never reaches the guest, and no key pressed with it does', () => {
  const { keys, told } = keyboard();
  keys.down('ControlRight', false);
  keys.down('ControlRight', true);
  keys.up('ControlRight');
  keys.down('ControlRight', false);
  keys.down('KeyF', false);
  keys.up('KeyF');
  keys.up('ControlRight');
  assert.deepEqual(told, ['host', 'host KeyF']);
});

test('keys the guest has none of are the page’s', () => {
  const { keys, told } = keyboard();
  assert.equal(keys.down('AudioVolumeUp', false), false);
  assert.equal(keys.down('', false), false);
  assert.equal(keys.up('AudioVolumeUp'), false);
  assert.deepEqual(told, []);
});

test('nothing stays down, the last pressed being released first', () => {
  const { keys, told } = keyboard();
  keys.down('AltLeft', false);
  keys.down('Tab', false);
  keys.releaseAll();
  keys.up('Tab');
  assert.deepEqual(told, ['+AltLeft', '+Tab', '-Tab', '-AltLeft']);
});

test('on a Mac, releasing Command releases all, and Caps Lock is pressed and released at each of its turns', () => {
  const { keys, told } = keyboard(true);
  keys.down('MetaLeft', false);
  keys.down('KeyC', false);
  keys.up('MetaLeft');
  keys.down('CapsLock', false);
  keys.up('CapsLock');
  assert.deepEqual(told, [
    '+MetaLeft',
    '+KeyC',
    '-MetaLeft',
    '-KeyC',
    '+CapsLock',
    '-CapsLock',
    '+CapsLock',
    '-CapsLock',
  ]);
});
