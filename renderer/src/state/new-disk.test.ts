import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diskPath } from './new-disk.ts';

const host = { home: '/srv/trivisor', platform: 'linux' };

test('a new disk is named after its guest, in the home’s folder', () => {
  assert.equal(diskPath(host, ' My  guest ', 'qcow2', new Set()), '/srv/trivisor/disks/My-guest.qcow2');
  assert.equal(diskPath(host, '', 'raw', new Set()), '/srv/trivisor/disks/disk.img');
  assert.equal(diskPath({ home: 'C:\\t', platform: 'win32' }, 'a', 'vhd', new Set()), 'C:\\t\\disks\\a.vhd');
});

test('two disks of one guest have two names', () => {
  const taken = new Set([diskPath(host, 'a', 'vdi', new Set())]);
  assert.equal(diskPath(host, 'a', 'vdi', taken), '/srv/trivisor/disks/a-2.vdi');
});
