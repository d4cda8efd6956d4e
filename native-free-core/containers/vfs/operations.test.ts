import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { accessAt, changeMode, changeOwner, setAttribute, statusOf } from './attributes.ts';
import {
  AT_REMOVEDIR,
  MS_NODEV,
  MS_RDONLY,
  O_CREAT,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDWR,
  O_TMPFILE,
  O_TRUNC,
  O_WRONLY,
  R_OK,
  S_IFCHR,
  S_IFSOCK,
  W_OK,
  X_OK,
} from './constants.ts';
import { linkAt, mkdirAt, mknodAt, openAt, readDirectory, renameAt, symlinkAt, unlinkAt } from './operations.ts';
import { contextOf, somebody, testFs } from './testing/context.ts';
import { above, compare } from './testing/host-judge.ts';
import { isDetached, pathOf, resolve } from './walk.ts';

const setup = (uid = 0) => contextOf(testFs(), somebody(uid));

test('random calls end as on Linux, and leave the same tree', (t) => {
  if (process.platform !== 'linux') return t.skip('the judge is a Linux kernel');
  const umask = process.umask(0o22);
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-judge-'));
  try {
    let succeeded = 0;
    const count = 400;
    const rounds = 60;
    for (let seed = 1; seed <= rounds; seed++) {
      const base = join(folder, String(seed), above);
      mkdirSync(base, { recursive: true });
      const context = setup();
      for (const part of above.split('/').map((_, at, all) => all.slice(0, at + 1).join('/')))
        mkdirAt(context, null, part, 0o777);
      const result = compare(base, { ...context, cwd: resolve(context, null, above) }, seed, count);
      assert.equal(result.difference, null);
      succeeded += result.succeeded;
    }
    assert.ok(succeeded > (count * rounds) / 10, `${succeeded} calls of ${count * rounds} succeeded`);
  } finally {
    process.umask(umask);
    rmSync(folder, { recursive: true });
  }
});

test('nothing leads above a root', () => {
  const outer = setup();
  mkdirAt(outer, null, '/jail', 0o755);
  mkdirAt(outer, null, '/jail/in', 0o755);
  mkdirAt(outer, null, '/secret', 0o755);
  const jail = { ...outer, root: resolve(outer, null, '/jail'), cwd: resolve(outer, null, '/jail/in') };
  symlinkAt(jail, '/../../secret', null, '/absolute');
  symlinkAt(jail, '../../../../secret', null, '/in/climbing');
  for (const path of ['/../secret', '../../secret', '/absolute', 'climbing', '/in/../../secret']) {
    assert.throws(() => resolve(jail, null, path), { code: 'ENOENT' }, path);
  }
  assert.equal(resolve(jail, null, '/../../..').dentry, jail.root.dentry);
  assert.equal(pathOf(jail.cwd, jail.root), '/in');
  assert.equal(pathOf(resolve(outer, null, '/secret'), jail.root), null);
});

test('mounts are crossed both ways, stack, and are not removed or renamed', () => {
  const context = setup();
  const { mounts } = context;
  mkdirAt(context, null, '/m', 0o755);
  mkdirAt(context, null, '/m/under', 0o755);
  const at = resolve(context, null, '/m');
  mounts.mount(at, testFs(2));
  assert.throws(() => resolve(context, null, '/m/under'), { code: 'ENOENT' });
  mkdirAt(context, null, '/m/over', 0o755);
  assert.equal(statusOf(resolve(context, null, '/m/over/..').dentry.inode).device, 2);
  assert.equal(statusOf(resolve(context, null, '/m/over/../..').dentry.inode).device, 1);
  assert.equal(pathOf(resolve(context, null, '/m/over'), context.root), '/m/over');
  assert.throws(() => unlinkAt(context, null, '/m', AT_REMOVEDIR), { code: 'EBUSY' });
  assert.throws(() => renameAt(context, null, '/m', null, '/n', 0), { code: 'EBUSY' });
  assert.throws(() => renameAt(context, null, '/m/over', null, '/over', 0), { code: 'EXDEV' });
  mounts.mount(resolve(context, null, '/m'), testFs(3), MS_RDONLY | MS_NODEV);
  assert.equal(statusOf(resolve(context, null, '/m').dentry.inode).device, 3);
  assert.throws(() => mkdirAt(context, null, '/m/x', 0o755), { code: 'EROFS' });
  assert.throws(() => openAt(context, null, '/m/x', O_CREAT | O_WRONLY, 0o644), { code: 'EROFS' });
  mounts.unmount(resolve(context, null, '/m'), false);
  assert.equal(statusOf(resolve(context, null, '/m').dentry.inode).device, 2);
  mkdirAt(context, null, '/b', 0o755);
  mounts.bind(resolve(context, null, '/b'), context.root, true);
  assert.equal(statusOf(resolve(context, null, '/b/m').dentry.inode).device, 2, 'recursive binds bring mounts along');
  const { namespace, translate } = mounts.clone();
  const copy = { ...context, root: namespace.rootLocation, cwd: translate(resolve(context, null, '/m/over')) };
  mounts.unmount(resolve(context, null, '/m'), true);
  assert.equal(pathOf(copy.cwd, copy.root), '/m/over', 'a copy keeps what the other unmounts');
  assert.equal(resolve(copy, null, '.').dentry, resolve(copy, null, '/m/over').dentry);
});

test('a directory that moved out of a bind mount has nothing above it there', () => {
  const context = setup();
  for (const path of ['/jail', '/jail/sub', '/jail/sub/deep', '/elsewhere']) mkdirAt(context, null, path, 0o755);
  mkdirAt(context, null, '/view', 0o755);
  context.mounts.bind(resolve(context, null, '/view'), resolve(context, null, '/jail'), false);
  const inside = { ...context, root: resolve(context, null, '/view'), cwd: resolve(context, null, '/view/sub/deep') };
  renameAt(context, null, '/jail/sub/deep', null, '/elsewhere/deep', 0);
  assert.throws(() => resolve(inside, null, '..'), { code: 'ENOENT' });
  assert.equal(pathOf(inside.cwd, inside.root), null);
});

test('pivot_root makes a mount the root and keeps the old one below', () => {
  const context = setup();
  mkdirAt(context, null, '/new', 0o755);
  context.mounts.mount(resolve(context, null, '/new'), testFs(2));
  mkdirAt(context, null, '/new/old', 0o755);
  context.mounts.pivot(resolve(context, null, '/new'), resolve(context, null, '/new/old'));
  const after = { ...context, root: context.mounts.rootLocation, cwd: context.mounts.rootLocation };
  assert.equal(statusOf(after.root.dentry.inode).device, 2);
  assert.equal(pathOf(resolve(after, null, '/old/new'), after.root), '/old/new');
  context.mounts.unmount(resolve(after, null, '/old'), true);
  assert.throws(() => resolve(after, null, '/old/new'), { code: 'ENOENT' });
});

test('permissions: bits, groups, sticky directories, links of others', () => {
  const root = setup();
  const as = (uid: number, groups: number[] = []) => ({ ...root, credentials: somebody(uid, groups) });
  openAt(root, null, '/f', O_CREAT | O_WRONLY, 0o640);
  changeOwner(root, resolve(root, null, '/f'), 5, 7);
  assert.doesNotThrow(() => openAt(as(5), null, '/f', O_RDWR, 0));
  assert.doesNotThrow(() => openAt(as(6, [7]), null, '/f', 0, 0));
  assert.throws(() => openAt(as(6, [7]), null, '/f', O_WRONLY, 0), { code: 'EACCES' });
  assert.throws(() => openAt(as(6, [7]), null, '/f', O_TRUNC, 0), { code: 'EACCES' });
  assert.throws(() => openAt(as(6), null, '/f', 0, 0), { code: 'EACCES' });
  assert.throws(() => accessAt(root, resolve(root, null, '/f'), X_OK), { code: 'EACCES' }, 'root needs an x bit');
  accessAt(root, resolve(root, null, '/f'), R_OK | W_OK);
  assert.throws(() => changeMode(as(6), resolve(root, null, '/f'), 0o777), { code: 'EPERM' });
  assert.throws(() => mkdirAt(as(6), null, '/d', 0o755), { code: 'EACCES' });
  mkdirAt(root, null, '/tmp', 0o777);
  changeMode(root, resolve(root, null, '/tmp'), 0o1777);
  openAt(as(5), null, '/tmp/f', O_CREAT | O_WRONLY, 0o666);
  assert.throws(() => unlinkAt(as(6), null, '/tmp/f', 0), { code: 'EPERM' });
  assert.throws(() => renameAt(as(6), null, '/tmp/f', null, '/tmp/g', 0), { code: 'EPERM' });
  symlinkAt(as(6), '/f', null, '/tmp/trap');
  assert.throws(() => openAt(as(5), null, '/tmp/trap', 0, 0), { code: 'EACCES' });
  assert.throws(() => linkAt(as(6), resolve(root, null, '/f'), null, '/tmp/hard'), { code: 'EPERM' });
  unlinkAt(as(5), null, '/tmp/f', 0);
  mkdirAt(root, null, '/closed', 0o700);
  assert.throws(() => resolve(as(5), null, '/closed/..'), { code: 'EACCES' });
  mkdirAt(root, null, '/shared', 0o777);
  changeOwner(root, resolve(root, null, '/shared'), 0, 9);
  changeMode(root, resolve(root, null, '/shared'), 0o2777);
  mkdirAt(as(5), null, '/shared/sub', 0o755);
  const { gid, mode } = resolve(root, null, '/shared/sub').dentry.inode;
  assert.deepEqual([gid, mode & 0o7777], [9, 0o2755], 'a set-group-ID directory passes its group on');
  assert.throws(() => setAttribute(as(5), resolve(root, null, '/shared/sub'), 'trusted.x', new Uint8Array(1), 0), {
    code: 'EPERM',
  });
  assert.throws(() => setAttribute(root, resolve(root, null, '/shared/sub'), 'odd.x', new Uint8Array(1), 0), {
    code: 'EOPNOTSUPP',
  });
});

test('set-ID bits go when a program is changed by somebody', () => {
  const root = setup();
  openAt(root, null, '/p', O_CREAT | O_WRONLY, 0o777);
  changeMode(root, resolve(root, null, '/p'), 0o6777);
  changeOwner(root, resolve(root, null, '/p'), 5, 5);
  assert.equal(resolve(root, null, '/p').dentry.inode.mode & 0o7777, 0o777);
  changeMode(root, resolve(root, null, '/p'), 0o6777);
  openAt({ ...root, credentials: somebody(6) }, null, '/p', O_WRONLY | O_TRUNC, 0);
  assert.equal(resolve(root, null, '/p').dentry.inode.mode & 0o7777, 0o777);
});

test('open: what O_DIRECTORY, O_NOFOLLOW, O_PATH, O_TMPFILE and a running program mean', () => {
  const context = setup();
  openAt(context, null, '/f', O_CREAT | O_WRONLY, 0o755);
  symlinkAt(context, 'f', null, '/l');
  symlinkAt(context, 'loop', null, '/loop');
  assert.throws(() => openAt(context, null, '/l', O_NOFOLLOW, 0), { code: 'ELOOP' });
  assert.throws(() => openAt(context, null, '/loop', 0, 0), { code: 'ELOOP' });
  assert.throws(() => openAt(context, null, '/f', O_DIRECTORY, 0), { code: 'ENOTDIR' });
  assert.throws(() => openAt(context, null, '/', O_RDWR, 0), { code: 'EISDIR' });
  assert.equal(openAt(context, null, '/l', O_PATH | O_NOFOLLOW, 0).inode.mode >>> 12, 0o12);
  const { inode } = openAt(context, null, '/f', 0, 0);
  inode.executions++;
  assert.throws(() => openAt(context, null, '/f', O_WRONLY, 0), { code: 'ETXTBSY' });
  const unnamed = openAt(context, null, '/', O_TMPFILE | O_RDWR, 0o600);
  assert.equal(unnamed.inode.nlink, 0);
  linkAt(context, unnamed.location, null, '/named');
  assert.equal(resolve(context, null, '/named').dentry.inode, unnamed.inode);
  const socket = mknodAt(context, null, '/s', S_IFSOCK | 0o777, 0);
  assert.equal(pathOf(socket.location, context.root), '/s');
  assert.throws(() => mknodAt({ ...context, credentials: somebody(0), umask: 0 }, null, '/s', S_IFCHR, 1), {
    code: 'EEXIST',
  });
});

test('forty links lead on, forty-one are a loop, and long names are refused', () => {
  const context = setup();
  mkdirAt(context, null, '/d', 0o755);
  for (let at = 0; at <= 41; at++) symlinkAt(context, at === 0 ? 'd' : `l${at - 1}`, null, `/l${at}`);
  assert.ok(resolve(context, null, '/l39'));
  assert.throws(() => resolve(context, null, '/l40'), { code: 'ELOOP' });
  assert.throws(() => resolve(context, null, `/${'x'.repeat(256)}`), { code: 'ENAMETOOLONG' });
  assert.throws(() => resolve(context, null, '/d'.repeat(2048)), { code: 'ENAMETOOLONG' });
});

test('a listing has . and .., goes on from a cursor, and ends in a removed directory', () => {
  const context = setup();
  mkdirAt(context, null, '/d', 0o755);
  for (const name of ['x', 'y', 'z']) mkdirAt(context, null, `/d/${name}`, 0o755);
  const place = resolve(context, null, '/d');
  const list = (cursor: number, most: number): [string[], number] => {
    const found: string[] = [];
    let last = cursor;
    readDirectory(place, context.root, cursor, (name, _ino, _mode, next) => {
      if (found.length === most) return false;
      found.push(name);
      last = next;
      return true;
    });
    return [found, last];
  };
  const [first, cursor] = list(0, 3);
  assert.deepEqual(
    [first, list(cursor, 9)[0]],
    [
      ['.', '..', 'x'],
      ['y', 'z'],
    ],
  );
  for (const name of ['x', 'y', 'z']) unlinkAt(context, null, `/d/${name}`, AT_REMOVEDIR);
  unlinkAt(context, null, '/d', AT_REMOVEDIR);
  assert.deepEqual(list(0, 9)[0], []);
  assert.ok(isDetached(place));
  assert.throws(() => mkdirAt({ ...context, cwd: place }, null, 'new', 0o755), { code: 'ENOENT' });
});
