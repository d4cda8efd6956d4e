import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFDIR, S_IFLNK, S_IFREG, XATTR_CREATE } from './constants.ts';
import { TmpFs, type TmpFsOptions } from './tmpfs.ts';
import type { Inode } from './types.ts';

let time = 0n;
const fs = (options: Partial<TmpFsOptions> = {}): TmpFs => new TmpFs({ device: 1, now: () => ++time, ...options });
const file = { mode: S_IFREG | 0o644, uid: 1, gid: 2 };
const directory = { mode: S_IFDIR | 0o755, uid: 1, gid: 2 };

function names(inode: Inode, cursor = 0, most = Number.POSITIVE_INFINITY): { found: string[]; cursor: number } {
  const found: string[] = [];
  let last = cursor;
  inode.readdir(cursor, (name, _ino, _mode, next) => {
    if (found.length === most) return false;
    found.push(name);
    last = next;
    return true;
  });
  return { found, cursor: last };
}

test('content is what was written, with zeros between, whatever the chunks', () => {
  const { root } = fs();
  const inode = root.create('f', file);
  const open = inode.open(2);
  const model = new Uint8Array(300000);
  let size = 0;
  let random = 12345;
  const next = (below: number): number => (random = (Math.imul(random, 1103515245) + 12345) >>> 0) % below;
  for (let round = 0; round < 400; round++) {
    const offset = next(200000);
    if (next(6) === 0) {
      inode.setattr({ size: offset });
      model.fill(0, offset);
      size = offset;
    } else {
      const bytes = new Uint8Array(next(90000)).fill(next(255) + 1);
      assert.equal(open.write(bytes, offset), bytes.length);
      model.set(bytes, offset);
      if (bytes.length > 0) size = Math.max(size, offset + bytes.length);
    }
    assert.equal(inode.size, size);
    const from = next(200000);
    const into = new Uint8Array(next(100000)).fill(0xee);
    const count = open.read(into, from);
    assert.equal(count, Math.max(0, Math.min(into.length, size - from)));
    assert.deepEqual(into.subarray(0, count), model.subarray(from, from + count));
  }
  const page = new Uint8Array(4096).fill(0xee);
  const last = Math.floor(size / 4096);
  inode.pages()!.readPage(last, page);
  assert.deepEqual(page, model.slice(last * 4096, last * 4096 + 4096));
});

test('room is charged once, given back, and refused when it is used up', () => {
  const tmp = fs({ size: 100 * 4096, inodes: 4 });
  const before = tmp.statistics().blocksFree;
  const inode = tmp.root.create('f', file);
  const open = inode.open(2);
  assert.equal(open.write(new Uint8Array(500000), 0) < 500000, true, 'a short write where room ends');
  assert.throws(() => open.write(new Uint8Array(70000), 10_000_000), { code: 'ENOSPC' });
  tmp.root.unlink('f');
  assert.ok(tmp.statistics().blocksFree < before, 'still open');
  open.release();
  assert.equal(tmp.statistics().blocksFree, before);
  for (const name of ['a', 'b', 'c']) tmp.root.create(name, file);
  assert.throws(() => tmp.root.create('d', file), { code: 'ENOSPC' });
  tmp.root.unlink('a');
  tmp.root.create('d', file);
  assert.throws(() => open.write(new Uint8Array(1), 2 ** 45), { code: 'EFBIG' });
});

test('link counts follow names and directories', () => {
  const { root } = fs();
  assert.equal(root.nlink, 2);
  const sub = root.create('sub', directory);
  assert.deepEqual([root.nlink, sub.nlink], [3, 2]);
  const inode = sub.create('f', file);
  root.link('g', inode);
  assert.equal(inode.nlink, 2);
  assert.throws(() => root.link('h', sub), { code: 'EPERM' });
  assert.throws(() => root.rmdir('sub'), { code: 'ENOTEMPTY' });
  assert.throws(() => root.unlink('sub'), { code: 'EISDIR' });
  assert.throws(() => root.rmdir('g'), { code: 'ENOTDIR' });
  sub.unlink('f');
  root.rmdir('sub');
  assert.deepEqual([root.nlink, sub.nlink, inode.nlink], [2, 0, 1]);
  assert.throws(() => sub.create('x', file), { code: 'ENOENT' });
});

test('rename replaces what it may, and nothing else', () => {
  const { root } = fs();
  const a = root.create('a', file);
  const d = root.create('d', directory);
  const e = root.create('e', directory);
  root.link('a2', a);
  root.rename('a', root, 'a2', 0);
  assert.equal(root.lookup('a'), a, 'two names of one file stay');
  assert.throws(() => root.rename('a', root, 'd', 0), { code: 'EISDIR' });
  assert.throws(() => root.rename('d', root, 'a', 0), { code: 'ENOTDIR' });
  assert.throws(() => root.rename('a', root, 'a2', RENAME_NOREPLACE), { code: 'EEXIST' });
  assert.throws(() => root.rename('none', root, 'x', 0), { code: 'ENOENT' });
  root.rename('a', e, 'b', 0);
  assert.throws(() => root.rename('d', root, 'e', 0), { code: 'ENOTEMPTY' });
  root.rename('e', root, 'd', RENAME_EXCHANGE);
  assert.deepEqual([root.lookup('d'), root.lookup('e')], [e, d]);
  root.rename('d', d, 'moved', 0);
  assert.deepEqual([root.nlink, d.nlink, e.nlink, d.lookup('moved')], [3, 3, 2, e]);
});

test('a listing under way sees each remaining name once, whatever changes meanwhile', () => {
  const { root } = fs();
  for (let at = 0; at < 10; at++) root.create(`f${at}`, file);
  const first = names(root, 0, 4);
  root.unlink('f1');
  root.unlink('f7');
  root.create('new', file);
  assert.deepEqual(
    [...first.found, ...names(root, first.cursor).found],
    ['f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6', 'f8', 'f9', 'new'],
  );
});

test('symbolic links, extended attributes, and names that cannot be', () => {
  const { root } = fs();
  assert.equal(root.create('l', { mode: S_IFLNK | 0o777, uid: 0, gid: 0, target: 'there' }).readlink(), 'there');
  root.setxattr('user.a', Uint8Array.of(1, 2), 0);
  assert.throws(() => root.setxattr('user.a', Uint8Array.of(1), XATTR_CREATE), { code: 'EEXIST' });
  assert.deepEqual([root.listxattr(), [...root.getxattr('user.a')]], [['user.a'], [1, 2]]);
  root.removexattr('user.a');
  assert.throws(() => root.getxattr('user.a'), { code: 'ENODATA' });
  assert.throws(() => root.create('x'.repeat(256), file), { code: 'ENAMETOOLONG' });
  for (const name of ['', '.', '..', 'a/b', 'a\0b']) assert.throws(() => root.create(name, file), { code: 'EINVAL' });
});
