import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  changeMode,
  changeOwner,
  changeTimes,
  statusOf,
  truncateAt,
} from '../../native-free-core/containers/vfs/attributes.ts';
import { O_CREAT, O_RDWR, S_IFCHR, S_IFDIR } from '../../native-free-core/containers/vfs/constants.ts';
import { HostFolderFs } from '../../native-free-core/containers/vfs/host-folder.ts';
import { textToName } from '../../native-free-core/containers/vfs/names.ts';
import {
  mkdirAt,
  mknodAt,
  openAt,
  readDirectory,
  renameAt,
  symlinkAt,
  unlinkAt,
} from '../../native-free-core/containers/vfs/operations.ts';
import { OverlayFs } from '../../native-free-core/containers/vfs/overlay.ts';
import { contextOf } from '../../native-free-core/containers/vfs/testing/context.ts';
import { above, compare } from '../../native-free-core/containers/vfs/testing/host-judge.ts';
import { resolve } from '../../native-free-core/containers/vfs/walk.ts';
import { NodeHostTree } from './host-tree.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-host-tree-'));
after(() => rmSync(folder, { recursive: true }));

const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
const linux = process.platform === 'linux';

function share(name: string, readOnly = false, handles = linux) {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  return { path, fs: new HostFolderFs({ device: 5, tree: new NodeHostTree(path, handles), readOnly, self, now }) };
}

for (const handles of linux ? [true, false] : [false]) {
  const how = handles ? 'by handles' : 'by paths';
  /** What a link in the place of a directory gives: O_DIRECTORY tells first. */
  const code = handles ? 'ENOTDIR' : 'ELOOP';

  test(`a shared folder does what the folder itself does, ${how}`, (t) => {
    if (!linux) return t.skip('the judge is a Linux kernel');
    const umask = process.umask(0o22);
    try {
      for (let seed = 1; seed <= 8; seed++) {
        const judge = join(folder, `judge-${how}-${seed}`, above);
        mkdirSync(judge, { recursive: true });
        const { fs } = share(`judged-${how}-${seed}/${above}`.replace(`/${above}`, ''), false, handles);
        const context = contextOf(fs);
        for (const part of above.split('/').map((_, at, all) => all.slice(0, at + 1).join('/')))
          mkdirAt(context, null, part, 0o777);
        const { difference } = compare(judge, { ...context, cwd: resolve(context, null, above) }, seed, 250);
        assert.equal(difference, null);
      }
    } finally {
      process.umask(umask);
    }
  });

  test(`no link of the host's leads out, ${how}`, () => {
    const { path, fs } = share(`links-${how}`, false, handles);
    const outside = join(folder, `outside-${how}`);
    mkdirSync(outside);
    writeFileSync(join(outside, 'secret'), 'secret');
    symlinkSync(outside, join(path, 'out'));
    symlinkSync(join(outside, 'secret'), join(path, 'file'));
    symlinkSync(`../outside-${how}`, join(path, 'up'));
    const context = contextOf(fs);
    for (const name of ['/out/secret', '/file', '/up/secret', '/../secret']) {
      assert.throws(() => openAt(context, null, name, 0, 0), { code: 'ENOENT' }, name);
    }
    assert.throws(() => fs.tree.open('file', { write: false }), { code: 'ELOOP' });
    assert.throws(() => fs.tree.status('out/secret'), { code });
    for (const name of ['../x', 'a/../../x', '.', 'sub/']) {
      assert.throws(() => fs.tree.open(name, { write: true, create: 0o644 }), name);
    }
    assert.deepEqual(readdirSync(outside), ['secret']);
  });

  test(`a directory that becomes a link behind our back is not followed, ${how}`, () => {
    const { path, fs } = share(`swapped-${how}`, false, handles);
    const outside = join(folder, `target-${how}`);
    mkdirSync(outside);
    writeFileSync(join(outside, 'f'), 'secret');
    mkdirSync(join(path, 'd'));
    writeFileSync(join(path, 'd', 'f'), 'inside');
    const context = contextOf(fs);
    const directory = resolve(context, null, '/d').dentry.inode;
    const file = directory.lookup('f')!;
    renameSync(join(path, 'd'), join(path, 'e'));
    symlinkSync(outside, join(path, 'd'));
    assert.throws(() => directory.create('new', { mode: 0o100644, uid: 0, gid: 0 }), { code });
    assert.throws(() => directory.lookup('f'), { code });
    assert.throws(() => file.open(0), { code });
    assert.throws(() => directory.unlink('f'), { code });
    assert.throws(() => directory.rename('f', fs.root, 'g', 0), { code });
    assert.deepEqual(readdirSync(outside), ['f']);
    rmSync(join(path, 'd'));
    assert.throws(() => resolve(context, null, '/d'), { code: 'ENOENT' });
  });
}

test('a file that was replaced on the host is not what was looked up', () => {
  const { path, fs } = share('replaced');
  writeFileSync(join(path, 'f'), 'one');
  const { inode } = openAt(contextOf(fs), null, '/f', 0, 0);
  writeFileSync(join(path, 'g'), 'two');
  renameSync(join(path, 'g'), join(path, 'f'));
  assert.throws(() => inode.open(0), { code: 'ESTALE' });
  writeFileSync(join(path, 'f'), 'three!');
  assert.equal(statusOf(resolve(contextOf(fs), null, '/f').dentry.inode).size, 6, 'attributes are as they are now');
});

test('what a guest writes is on the host, and nothing that is dangerous there', () => {
  const { path, fs } = share('written');
  const context = contextOf(fs);
  const name = textToName('grüße');
  const { inode } = openAt(context, null, `/${name}`, O_CREAT | O_RDWR, 0o755);
  const open = inode.open(O_RDWR);
  open.write(new TextEncoder().encode('hello'), 0);
  assert.equal(readFileSync(join(path, 'grüße'), 'utf8'), 'hello');
  const page = new Uint8Array(4096).fill(9);
  inode.pages()!.readPage(0, page);
  assert.equal(new TextDecoder().decode(page.subarray(0, 6)), 'hello\0');
  inode.pages()!.writePage(0, new TextEncoder().encode('HELLO, and more'));
  assert.equal(readFileSync(join(path, 'grüße'), 'utf8'), 'HELLO', 'pages never extend a file');
  unlinkAt(context, null, `/${name}`, 0);
  assert.equal(open.read(page, 0), 5, 'an open file outlives its name');
  open.release();
  openAt(context, null, '/p', O_CREAT | O_RDWR, 0o755);
  changeMode(context, resolve(context, null, '/p'), 0o6755);
  assert.equal(statSync(join(path, 'p')).mode & 0o7777, 0o755, 'no set-ID programs');
  assert.throws(() => mknodAt(context, null, '/dev', S_IFCHR | 0o666, 0x103), { code: 'EPERM' });
  assert.throws(() => changeOwner(context, resolve(context, null, '/p'), 12345, -1), { code: 'EPERM' });
  changeOwner(context, resolve(context, null, '/p'), 0, 0);
  changeTimes(context, resolve(context, null, '/p'), { atime: 1_000_000_000n, mtime: 2_500_000_000n, now: false });
  assert.equal(statSync(join(path, 'p')).mtimeMs, 2500);
  truncateAt(context, resolve(context, null, '/p'), 10);
  assert.equal(statSync(join(path, 'p')).size, 10);
});

test('hard links are one file, also under names that the host made', () => {
  const { path, fs } = share('hard');
  writeFileSync(join(path, 'a'), 'x');
  linkSync(join(path, 'a'), join(path, 'b'));
  const context = contextOf(fs);
  assert.equal(resolve(context, null, '/a').dentry.inode, resolve(context, null, '/b').dentry.inode);
  rmSync(join(path, 'b'));
  assert.equal(openAt(context, null, '/a', 0, 0).inode.open(0).read(new Uint8Array(5), 0), 1);
});

test('a listing goes on where it was, whatever the host does meanwhile', () => {
  const { path, fs } = share('listing');
  for (let at = 0; at < 10; at++) writeFileSync(join(path, `f${at}`), '');
  const context = contextOf(fs);
  const found: string[] = [];
  let cursor = 0;
  const take = (most: number): void =>
    readDirectory(context.root, context.root, cursor, (name, _ino, _mode, next) => {
      if (most-- === 0) return false;
      found.push(name);
      cursor = next;
      return true;
    });
  take(6);
  const [gone] = found.slice(2);
  rmSync(join(path, gone));
  writeFileSync(join(path, 'new'), '');
  take(100);
  assert.deepEqual(found.sort(), ['.', '..', 'f0', 'f1', 'f2', 'f3', 'f4', 'f5', 'f6', 'f7', 'f8', 'f9', 'new']);
});

test('a read-only share and an overlay leave the folder as it is', () => {
  const { path, fs } = share('lower', true);
  mkdirSync(join(path, 'd'));
  writeFileSync(join(path, 'd', 'f'), 'from the host');
  chmodSync(join(path, 'd', 'f'), 0o4755);
  assert.throws(() => mkdirAt(contextOf(fs), null, '/x', 0o755), { code: 'EROFS' });
  const context = contextOf(new OverlayFs({ device: 6, now, lowers: [fs.root] }));
  const { inode } = openAt(context, null, '/d/f', O_RDWR, 0);
  const open = inode.open(O_RDWR);
  open.write(new TextEncoder().encode('FROM'), 0);
  const into = new Uint8Array(13);
  assert.equal(open.read(into, 0), 13);
  assert.equal(new TextDecoder().decode(into), 'FROM the host');
  assert.equal(inode.mode & 0o7777, 0o4755);
  renameAt(context, null, '/d', null, '/e', 0);
  symlinkAt(context, 'e/f', null, '/l');
  assert.equal(openAt(context, null, '/l', 0, 0).inode, inode);
  assert.equal(readFileSync(join(path, 'd', 'f'), 'utf8'), 'from the host');
  assert.ok(!existsSync(join(path, 'e')) && fs.root.lookup('d')!.mode >>> 12 === S_IFDIR >>> 12);
});

test("the host's own root can be served", (t) => {
  if (!linux) return t.skip('other hosts have several');
  for (const handles of [true, false]) {
    const fs = new HostFolderFs({ device: 5, tree: new NodeHostTree('/', handles), readOnly: true, self, now });
    const { ino } = statSync(folder);
    assert.equal(resolve(contextOf(fs), null, folder).dentry.inode.ino, ino);
    assert.equal(fs.tree.status('proc')!.mode >>> 12, 4);
    assert.ok(fs.tree.list('').includes('proc') && fs.statistics().blockSize > 0);
  }
});
