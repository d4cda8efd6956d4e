import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { S_IFDIR, S_IFREG } from '../vfs/constants.ts';
import { linkAt, mkdirAt, renameAt, unlinkAt } from '../vfs/operations.ts';
import { OverlayFs } from '../vfs/overlay.ts';
import { contextOf, testFs } from '../vfs/testing/context.ts';
import { above, compare, oursTree } from '../vfs/testing/host-judge.ts';
import type { Inode } from '../vfs/types.ts';
import { resolve } from '../vfs/walk.ts';
import { type Changes, changesOf } from './changes.ts';
import { LayerFs } from './layer-fs.ts';
import { parseLayerIndex } from './layer-index.ts';

let time = 1n;

/** Changes as a layer, its tree stored and read again on the way. */
function layerOf({ index, files, size }: Changes): LayerFs {
  const contents = new Uint8Array(size);
  let at = 0;
  for (const { content, size } of files) at += content.read(contents.subarray(at, at + size), 0);
  assert.equal(at, size);
  return new LayerFs(8, parseLayerIndex(JSON.stringify(index), size), {
    read: (into, offset) => {
      const part = contents.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  });
}

/** A guest's root over an image and what was kept of it. */
function rootOver(image: Inode, kept: Inode | null): OverlayFs {
  const root = new OverlayFs({ device: 9, now: () => ++time, lowers: [...(kept ? [kept] : []), image] });
  if (kept) root.takeIn(kept);
  return root;
}

/** As the guest's next start finds it. */
function again(root: OverlayFs, image: Inode): OverlayFs {
  const changes = changesOf(root, [image]);
  return rootOver(image, changes && layerOf(changes).root);
}

test('what is kept of a root is that root again, whatever was done to it', (t) => {
  if (process.platform !== 'linux') return t.skip('the judge is a Linux kernel');
  const umask = process.umask(0o22);
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-changes-'));
  try {
    for (let seed = 1; seed <= 8; seed++) {
      const base = join(folder, String(seed), above);
      mkdirSync(base, { recursive: true });
      const image = testFs();
      const first = contextOf(image);
      for (const part of above.split('/').map((_, at, all) => all.slice(0, at + 1).join('/')))
        mkdirAt(first, null, part, 0o777);
      assert.equal(compare(base, { ...first, cwd: resolve(first, null, above) }, seed, 150).difference, null);
      const before = oursTree(image.root, new Map(), '');
      let root = rootOver(image.root, null);
      for (let round = 1; round <= 5; round++) {
        const context = contextOf(root);
        const { difference } = compare(
          base,
          { ...context, cwd: resolve(context, null, above) },
          seed * 100 + round,
          40,
        );
        assert.equal(difference, null);
        const next = again(root, image.root);
        assert.deepEqual(oursTree(next.root, new Map(), ''), oursTree(root.root, new Map(), ''));
        root = next;
      }
      assert.deepEqual(oursTree(image.root, new Map(), ''), before);
    }
  } finally {
    process.umask(umask);
    rmSync(folder, { recursive: true });
  }
});

const directory = { mode: S_IFDIR | 0o755, uid: 0, gid: 0 };
const regular = { mode: S_IFREG | 0o644, uid: 3, gid: 4 };

test('only what differs is kept', () => {
  const image = testFs(1);
  const etc = image.root.create('etc', directory);
  for (const name of ['passwd', 'group', 'hosts']) etc.create(name, regular);
  const root = rootOver(image.root, null);
  const context = contextOf(root);
  // Looking, and what the kernel itself writes at a start, changes nothing.
  oursTree(root.root, new Map(), '');
  resolve(context, null, '/etc/hosts').dentry.inode.setattr({ size: 10 });
  mkdirAt(context, null, '/proc', 0o755);
  assert.equal(changesOf(root, [image.root]), null);
  linkAt(context, resolve(context, null, '/etc/passwd'), null, '/etc/passwd-');
  resolve(context, null, '/etc/group').dentry.inode.setxattr('user.a', Uint8Array.of(255), 0);
  const changes = changesOf(root, [image.root])!;
  const [{ entries }] = changes.index.nodes;
  assert.deepEqual(Object.keys(entries!), ['etc']);
  assert.deepEqual(Object.keys(changes.index.nodes[entries!.etc].entries!).sort(), ['group', 'passwd', 'passwd-']);
  const next = again(root, image.root);
  assert.deepEqual(next.root.lookup('etc')!.lookup('group')!.getxattr('user.a'), Uint8Array.of(255));
  // What is as it was in the image again is not kept any more.
  const later = contextOf(next);
  unlinkAt(later, null, '/etc/passwd-', 0);
  resolve(later, null, '/etc/group').dentry.inode.removexattr('user.a');
  renameAt(later, null, '/etc', null, '/moved', 0);
  const third = again(next, image.root);
  assert.equal(third.root.lookup('etc'), null);
  assert.equal(third.root.lookup('moved')!.lookup('passwd')!.uid, 3);
});
