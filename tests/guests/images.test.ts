import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { importImage } from '../../main/containers/images/import-image.ts';
import { LayerStore } from '../../main/containers/images/layer-store.ts';
import { isDirectory, isRegular, isSymlink } from '../../native-free-core/containers/vfs/constants.ts';
import { nameToText } from '../../native-free-core/containers/vfs/names.ts';
import { OverlayFs } from '../../native-free-core/containers/vfs/overlay.ts';
import type { Inode } from '../../native-free-core/containers/vfs/types.ts';
import { debianRoot, noDebianRoot } from './systems/debian-root.ts';
import { tool } from './systems/host-tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-images-'));
after(() => rmSync(folder, { recursive: true }));

const letters = 'rwxrwxrwx';

/** Type and permissions as tar lists them. */
function modeText(mode: number): string {
  const type = isDirectory(mode) ? 'd' : isSymlink(mode) ? 'l' : isRegular(mode) ? '-' : 'c';
  const bits = [...letters].map((letter, at) => (mode & (0o400 >> at) ? letter : '-'));
  if (mode & 0o4000) bits[2] = bits[2] === 'x' ? 's' : 'S';
  if (mode & 0o2000) bits[5] = bits[5] === 'x' ? 's' : 'S';
  if (mode & 0o1000) bits[8] = bits[8] === 'x' ? 't' : 'T';
  return type + bits.join('');
}

function contentOf(inode: Inode): Uint8Array {
  const bytes = new Uint8Array(inode.size);
  const open = inode.open(0);
  open.read(bytes, 0);
  open.release();
  return bytes;
}

test("Debian's root file system is imported as GNU tar sees it", { skip: noDebianRoot }, async () => {
  const archive = await debianRoot();
  const store = new LayerStore(join(folder, 'layers'));
  const { layers } = await importImage(store, { source: archive, ref: null }, () => {});
  const { fs, close } = store.open(layers[0].diffId, 1);
  try {
    const { root } = new OverlayFs({ device: 2, now: () => 0n, lowers: [fs.root] });
    const found = new Map<string, Inode>();
    const visit = (inode: Inode, path: string): void => {
      found.set(path, inode);
      if (!isDirectory(inode.mode)) return;
      inode.readdir(0, (name) => {
        visit(inode.lookup(name)!, `${path}/${name}`);
        return true;
      });
    };
    visit(root, '.');
    const listing = tool('tar', ['--numeric-owner', '--quoting-style=literal', '-tvzf', archive]).trimEnd().split('\n');
    assert.ok(listing.length > 5000, `${listing.length} members`);
    assert.equal(found.size, listing.length);
    for (const line of listing) {
      const [, mode, uid, gid, size, rest] = /^(\S+) (\d+)\/(\d+) +(\S+) \S+ \S+ (.*)$/.exec(line)!;
      const [name, target] = rest.split(/ -> | link to /);
      const inode = found.get(name.replace(/\/$/, ''));
      assert.ok(inode, line);
      assert.deepEqual([inode.uid, inode.gid], [Number(uid), Number(gid)], line);
      if (mode[0] === 'h') {
        assert.equal(inode, found.get(target), line);
        continue;
      }
      assert.equal(modeText(inode.mode), mode, line);
      if (isRegular(inode.mode)) assert.equal(inode.size, Number(size), line);
      if (isSymlink(inode.mode)) assert.equal(nameToText(inode.readlink()), target, line);
      if (mode[0] === 'c') assert.equal(`${inode.rdev >> 8},${inode.rdev & 0xff}`, size, line);
    }
    // dpkg recorded digests of what it unpacked.
    let checked = 0;
    for (const [path, inode] of found) {
      if (!/^\.\/var\/lib\/dpkg\/info\/(?:libc6|bash|python3|coreutils)[^/]*\.md5sums$/.test(path)) continue;
      for (const line of new TextDecoder().decode(contentOf(inode)).trimEnd().split('\n')) {
        const [digest, name] = line.split(/ +/);
        const file = found.get(`./${name}`) ?? found.get(`./usr/${name}`);
        if (!file) continue; // Through a link such as /lib.
        assert.equal(createHash('md5').update(contentOf(file)).digest('hex'), digest, name);
        checked++;
      }
    }
    assert.ok(checked > 300, `${checked} files checked`);
  } finally {
    close();
  }
});
