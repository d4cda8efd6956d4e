import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { O_CREAT, O_RDWR, O_WRONLY, S_IFCHR, S_IFDIR, S_IFREG } from './constants.ts';
import { linkAt, mkdirAt, openAt, renameAt, unlinkAt } from './operations.ts';
import { OPAQUE, OverlayFs } from './overlay.ts';
import { contextOf, testFs } from './testing/context.ts';
import { above, compare, oursTree } from './testing/host-judge.ts';
import type { Inode } from './types.ts';
import { resolve } from './walk.ts';

let time = 1n;
const overlay = (...lowers: Inode[]): OverlayFs => new OverlayFs({ device: 9, now: () => ++time, lowers });

test('overlays over overlays do as one file system of Linux, and leave what is below as it was', (t) => {
  if (process.platform !== 'linux') return t.skip('the judge is a Linux kernel');
  const umask = process.umask(0o22);
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-judge-'));
  try {
    for (let seed = 1; seed <= 12; seed++) {
      const base = join(folder, String(seed), above);
      mkdirSync(base, { recursive: true });
      let fs: { root: Inode } & ReturnType<typeof testFs> = testFs();
      const first = contextOf(fs);
      for (const part of above.split('/').map((_, at, all) => all.slice(0, at + 1).join('/')))
        mkdirAt(first, null, part, 0o777);
      for (let round = 0; round < 6; round++) {
        const before = round > 0 ? oursTree(fs.root, new Map(), '') : [];
        const top = overlay(fs.root);
        const context = contextOf(top);
        const { difference } = compare(
          base,
          { ...context, cwd: resolve(context, null, above) },
          seed * 100 + round,
          150,
        );
        assert.equal(difference, null);
        if (round > 0) assert.deepEqual(oursTree(fs.root, new Map(), ''), before);
        fs = top;
      }
    }
  } finally {
    process.umask(umask);
    rmSync(folder, { recursive: true });
  }
});

const directory = { mode: S_IFDIR | 0o755, uid: 0, gid: 0 };
const regular = { mode: S_IFREG | 0o644, uid: 3, gid: 4 };

function write(inode: Inode, text: string): Inode {
  const open = inode.open(O_WRONLY);
  open.write(new TextEncoder().encode(text), 0);
  open.release();
  return inode;
}

function read(inode: Inode): string {
  const open = inode.open(0);
  const bytes = new Uint8Array(inode.size);
  open.read(bytes, 0);
  open.release();
  return new TextDecoder().decode(bytes);
}

test('layers merge: whiteouts hide, opaque directories hide, files hide directories', () => {
  const bottom = testFs(1).root;
  const middle = testFs(2).root;
  const top = testFs(3).root;
  for (const name of ['merged', 'opaque', 'covered', 'gone']) {
    bottom.create(name, directory).create('old', regular);
  }
  write(bottom.lookup('merged')!.create('both', regular), 'bottom');
  middle.create('merged', directory).create('middle', regular);
  write(middle.lookup('merged')!.create('both', regular), 'middle');
  middle.create('covered', regular);
  middle.create('gone', { mode: S_IFCHR, uid: 0, gid: 0, rdev: 0 });
  top.create('covered', directory).create('new', regular);
  top.create('opaque', directory).create('new', regular);
  top.lookup('opaque')!.setxattr(OPAQUE, Uint8Array.of(0x79), 0);
  top.create('merged', { ...directory, uid: 8 });
  const { root } = overlay(top, middle, bottom);
  const names = (inode: Inode): string[] => {
    const found: string[] = [];
    inode.readdir(0, (name) => found.push(name) > 0);
    return found.sort();
  };
  for (const lookedUpBefore of [true, false]) {
    const view = lookedUpBefore ? root : overlay(top, middle, bottom).root;
    if (lookedUpBefore) assert.equal(view.lookup('gone'), null);
    assert.deepEqual(names(view), ['covered', 'merged', 'opaque']);
    assert.deepEqual(names(view.lookup('merged')!), ['both', 'middle', 'old']);
    assert.deepEqual(names(view.lookup('opaque')!), ['new']);
    assert.deepEqual(names(view.lookup('covered')!), ['new']);
    assert.equal(read(view.lookup('merged')!.lookup('both')!), 'middle');
    assert.deepEqual([view.lookup('merged')!.uid, view.lookup('merged')!.lookup('both')!.uid, view.nlink], [8, 3, 5]);
  }
});

test('a change keeps number and hard links, copies only what it touches, and never reaches the layer', () => {
  const layer = testFs(1).root;
  const big = layer.create('big', regular);
  const content = new Uint8Array(1_000_000).map((_, at) => at % 251);
  big.open(O_RDWR).write(content, 0);
  layer.link('same', big);
  const view = overlay(layer);
  const context = contextOf(view);
  const inode = resolve(context, null, '/big').dentry.inode;
  const other = overlay(layer).root.lookup('big')!;
  const shared = inode.pages();
  assert.equal(shared, other.pages(), 'guests share the pages of a layer');
  const { ino } = inode;
  const open = inode.open(O_RDWR);
  open.write(Uint8Array.of(1, 2, 3), 500_000);
  content.set([1, 2, 3], 500_000);
  assert.notEqual(inode.pages(), shared);
  assert.equal(resolve(context, null, '/same').dentry.inode, inode);
  assert.deepEqual([inode.ino, inode.nlink], [ino, 2]);
  const into = new Uint8Array(1_000_000);
  open.read(into, 0);
  assert.deepEqual(into, content);
  const page = new Uint8Array(4096);
  inode.pages()!.readPage(122, page);
  assert.deepEqual(page, content.slice(122 * 4096, 123 * 4096));
  assert.ok((inode.pages() as { allocated?: number }).allocated! <= 65536, 'one chunk was copied');
  inode.setattr({ size: 100 });
  inode.setattr({ size: 200 });
  open.read(into.subarray(0, 200), 0);
  assert.deepEqual(into.subarray(0, 200), Uint8Array.from([...content.subarray(0, 100), ...new Uint8Array(100)]));
  assert.deepEqual([big.size, other.size], [1_000_000, 1_000_000]);
  open.release();
});

test('directories of a layer are renamed with what is in them', () => {
  const layer = testFs(1).root;
  write(layer.create('d', directory).create('f', regular), 'text');
  const context = contextOf(overlay(layer));
  renameAt(context, null, '/d', null, '/moved', 0);
  assert.equal(read(resolve(context, null, '/moved/f').dentry.inode), 'text');
  mkdirAt(context, null, '/d', 0o755);
  assert.throws(
    () => resolve(context, null, '/d/f'),
    { code: 'ENOENT' },
    'a new directory shows nothing of the old one',
  );
  linkAt(context, resolve(context, null, '/moved/f'), null, '/d/g');
  unlinkAt(context, null, '/moved/f', 0);
  assert.equal(read(openAt(context, null, '/d/g', O_CREAT | O_RDWR, 0o644).inode), 'text');
});
