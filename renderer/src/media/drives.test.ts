import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestSettings } from '../contract.ts';
import { drivesOf, fileName, mediumChange } from './drives.ts';

const settingsOf = (settings: object) => GuestSettings.parse({ name: 'a', ...settings });
const floppy = (file: string) => ({ file, readOnly: false, snapshot: false });

test('a PC has a CD drive and a floppy drive A, and a B where its settings name one', () => {
  const told = (settings: object, ejectedDisc: string | null = null) =>
    drivesOf({ settings: settingsOf(settings), ejectedDisc }).map(({ name, file, ejected }) => [name, file, ejected]);
  assert.deepEqual(told({}), [
    ['CD drive', null, null],
    ['Floppy drive A', null, null],
  ]);
  assert.deepEqual(told({ cdrom: '/a.iso', floppies: [null, floppy('/b.img')] }, '/old.iso'), [
    ['CD drive', '/a.iso', null],
    ['Floppy drive A', null, null],
    ['Floppy drive B', '/b.img', null],
  ]);
  assert.deepEqual(told({}, '/old.iso')[0], ['CD drive', null, '/old.iso']);
  assert.deepEqual(told({ kind: 'para' }), []);
});

test('a change names its drive alone and leaves the other as it is', () => {
  const two = settingsOf({ floppies: [{ file: '/a', readOnly: true }, floppy('/b')] });
  assert.deepEqual(mediumChange(two, 'cdrom', '/c.iso'), { cdrom: '/c.iso' });
  assert.deepEqual(mediumChange(two, 'cdrom', null), { cdrom: null });
  assert.deepEqual(mediumChange(two, 'floppy1', null), { floppies: [{ ...floppy('/a'), readOnly: true }, null] });
  assert.deepEqual(mediumChange(two, 'floppy0', '/c'), { floppies: [floppy('/c'), floppy('/b')] });
  assert.deepEqual(mediumChange(settingsOf({}), 'floppy0', '/c'), { floppies: [floppy('/c')] });
  assert.deepEqual(mediumChange(settingsOf({ floppies: [floppy('/c')] }), 'floppy0', null), { floppies: [] });
});

test('a file is told by its last part', () => {
  assert.deepEqual(['/a/b.iso', 'C:\\images\\b.iso', 'b.iso', '/'].map(fileName), ['b.iso', 'b.iso', 'b.iso', '/']);
});
