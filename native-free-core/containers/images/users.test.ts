import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contextOf } from '../vfs/testing/context.ts';
import { ImageError } from './image-error.ts';
import { archiveOf, layerOf } from './testing/archives.ts';
import { findUser } from './users.ts';

const passwd =
  'root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:www:/var/www:/bin/false\n7:x:70:71::/seven:\nbad:x:-1:x::\nshort\n';
const group = 'root:x:0:\nweb:x:34:www\nlog:x:40:root,www\nbad:x:none:www\n';
const image = contextOf(
  layerOf(
    archiveOf([
      { name: 'etc/passwd', content: passwd },
      { name: 'etc/group', content: group },
    ]),
  ),
);

const found: [string, { uid: number; gid: number; groups: number[]; home: string }][] = [
  ['', { uid: 0, gid: 0, groups: [40], home: '/root' }],
  ['www', { uid: 33, gid: 34, groups: [40], home: '/var/www' }],
  ['33', { uid: 33, gid: 34, groups: [40], home: '/var/www' }],
  ['www:log', { uid: 33, gid: 40, groups: [], home: '/var/www' }],
  ['1000', { uid: 1000, gid: 0, groups: [], home: '/' }],
  ['1000:1001', { uid: 1000, gid: 1001, groups: [], home: '/' }],
  ['7', { uid: 70, gid: 71, groups: [], home: '/seven' }],
];

for (const [user, identity] of found) {
  test(`user ${JSON.stringify(user)}`, () => assert.deepEqual(findUser(image, user), identity));
}

test('users that are none are told', () => {
  for (const user of ['nobody', 'www:none', 'bad', '99999999999', 'a:b:c', '../x']) {
    assert.throws(() => findUser(image, user), ImageError, user);
  }
});

test('an image without those files has root and numbers', () => {
  const empty = contextOf(layerOf(archiveOf([{ name: 'etc/passwd', type: 'symlink', target: '/etc/passwd' }])));
  assert.deepEqual(findUser(empty, ''), { uid: 0, gid: 0, groups: [], home: '/' });
  assert.deepEqual(findUser(empty, '5:6'), { uid: 5, gid: 6, groups: [], home: '/' });
});
