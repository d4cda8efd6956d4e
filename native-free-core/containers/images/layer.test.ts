import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { nameToText, textToName } from '../vfs/names.ts';
import { OPAQUE, OverlayFs } from '../vfs/overlay.ts';
import { hostTree, oursTree, randomNumbers } from '../vfs/testing/host-judge.ts';
import type { Inode } from '../vfs/types.ts';
import { ImageError } from './image-error.ts';
import { parseLayerIndex } from './layer-index.ts';
import { archiveOf, indexOf, layerOf, type Member } from './testing/archives.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-layer-'));
after(() => rmSync(folder, { recursive: true }));

const hasTar = (() => {
  try {
    return execFileSync('tar', ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).includes(
      'GNU tar',
    );
  } catch {
    return false;
  }
})();

function makeTree(): string {
  const root = join(folder, 'tree');
  mkdirSync(join(root, 'd/e'), { recursive: true });
  chmodSync(root, 0o755);
  chmodSync(join(root, 'd'), 0o1777);
  writeFileSync(join(root, 'empty'), '');
  writeFileSync(join(root, 'd/content'), 'text\n'.repeat(3000), { mode: 0o600 });
  writeFileSync(join(root, 'd/e/set-id'), 'x');
  chmodSync(join(root, 'd/e/set-id'), 0o4755);
  linkSync(join(root, 'd/content'), join(root, 'd/e/linked'));
  symlinkSync('../d/content', join(root, 'd/link'));
  symlinkSync('/absolute/anywhere', join(root, 'away'));
  writeFileSync(join(root, 'name with spaces and ümlauts'), 'u');
  writeFileSync(join(root, `long-${'n'.repeat(200)}`), 'long name');
  const deep = join(root, ...Array.from({ length: 12 }, () => 'fifteen-letters'));
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, 'f'), 'deep');
  symlinkSync('x'.repeat(180), join(root, 'long-link'));
  lutimesSync(join(root, 'empty'), 1_000_000_000.25, 1_000_000_000.25);
  return root;
}

test('a layer is what GNU tar has packed, in each of its formats, in pieces of any size', (t) => {
  if (!hasTar) return t.skip('GNU tar is not installed');
  const root = makeTree();
  const expected = hostTree(root, new Map(), '');
  assert.ok(expected.length > 20);
  const unpacked = (text: string[]): string[] => text.map((line) => nameToText(line)).sort();
  for (const format of ['gnu', 'pax', 'oldgnu']) {
    const path = join(folder, `${format}.tar`);
    execFileSync('tar', [`--format=${format}`, '-cf', path, '-C', root, '.']);
    const archive = readFileSync(path);
    for (const piece of [archive.length, 512, 777]) {
      const layer = layerOf(archive, 1, piece);
      assert.deepEqual(
        unpacked(oursTree(layer.root, new Map(), '')),
        [...expected].sort(),
        `${format} in pieces of ${piece}`,
      );
    }
    const { mtime } = layerOf(archive).root.lookup('empty')!;
    assert.equal(mtime, format === 'pax' ? 1_000_000_000_250_000_000n : 1_000_000_000_000_000_000n, format);
  }
});

test('GNU tar reads what is written here', (t) => {
  if (!hasTar) return t.skip('GNU tar is not installed');
  const path = join(folder, 'written.tar');
  const long = `d/${'n'.repeat(200)}`;
  writeFileSync(
    path,
    archiveOf([
      { name: 'd/', type: 'directory', mode: 0o750, uid: 5, gid: 3_000_000 },
      { name: long, content: 'content', mtime: 1_500_000_000_123_456_789n },
      { name: textToName('ü'), type: 'symlink', target: 'x'.repeat(150) },
      { name: 'hard', type: 'hardlink', target: long },
      { name: 'null', type: 'character', mode: 0o666, major: 1, minor: 3 },
    ]),
  );
  const listed = execFileSync('tar', ['--numeric-owner', '--full-time', '--quoting-style=literal', '-tvf', path], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC', LC_ALL: 'C' },
  });
  const lines = listed.trimEnd().split('\n');
  assert.match(lines[0], /^drwxr-x--- 5\/3000000 +0 1970-01-01 00:00:00 d\/$/);
  assert.match(lines[1], /^-rw-r--r-- 0\/0 +7 2017-07-14 02:40:00\.123456789 d\/n{200}$/);
  assert.match(lines[2], /^lrw-r--r-- 0\/0 +0 .* ü -> x{150}$/);
  assert.match(lines[3], /^hrw-r--r-- .* hard link to d\/n{200}$/);
  assert.match(lines[4], /^crw-rw-rw- 0\/0 +1,3 .* null$/);
});

/** What is refused: the members, and what the sentence says. */
const refused: [string, Member[], RegExp][] = [
  ['an absolute name', [{ name: '/etc/passwd' }], /absolute name "\/etc\/passwd"/],
  ['a name that climbs', [{ name: '../x' }], /leads out of its folder: "\.\.\/x"/],
  ['a name that climbs in the middle', [{ name: 'a/../../x' }], /leads out/],
  [
    'a hard link that climbs',
    [{ name: 'h', type: 'hardlink', target: '../../etc/passwd' }],
    /hard link that leads out/,
  ],
  ['a hard link to an absolute name', [{ name: 'h', type: 'hardlink', target: '/etc/passwd' }], /absolute name/],
  ['a hard link to nothing', [{ name: 'h', type: 'hardlink', target: 'none' }], /does not have as a file before/],
  [
    'a hard link to a directory',
    [
      { name: 'd', type: 'directory' },
      { name: 'h', type: 'hardlink', target: 'd' },
    ],
    /as a file before/,
  ],
  [
    'a hard link through a link',
    [
      { name: 'l', type: 'symlink', target: '/etc' },
      { name: 'h', type: 'hardlink', target: 'l/passwd' },
    ],
    /as a file before/,
  ],
  [
    'a member through a symbolic link',
    [{ name: 'l', type: 'symlink', target: '/etc' }, { name: 'l/passwd' }],
    /goes through the symbolic link "l"/,
  ],
  ['a member through a file', [{ name: 'f' }, { name: 'f/g' }], /goes through/],
  ['a whiteout of the parent', [{ name: 'd/.wh...' }], /whiteout of nothing/],
  ['a name too long for Linux', [{ name: 'n'.repeat(256) }], /name of 256 bytes/],
  ['a path too long for Linux', [{ name: 'nn/'.repeat(1400) }], /name of 4200 bytes/],
  ['a device that is none', [{ name: 'c', type: 'character', major: 0, minor: 0 }], /device 0:0/],
  ['a link to nowhere', [{ name: 'l', type: 'symlink', target: '' }], /leads nowhere/],
];

for (const [name, members, message] of refused) {
  test(`refused with a sentence: ${name}`, () => {
    assert.throws(
      () => indexOf(archiveOf(members)),
      (error: Error) => error instanceof ImageError && message.test(error.message),
    );
  });
}

function names(inode: Inode): string[] {
  const found: string[] = [];
  inode.readdir(0, (name) => found.push(name) > 0);
  return found.sort();
}

test('whiteouts and opaque marks hide what lower layers have', () => {
  const lower = layerOf(
    archiveOf([
      { name: 'a/x', content: 'lower' },
      { name: 'a/y' },
      { name: 'b/x' },
      { name: 'c' },
      { name: '__proto__/constructor', content: 'odd' },
    ]),
    1,
  );
  const upper = layerOf(
    archiveOf([
      { name: 'a/.wh.x' },
      { name: 'b/.wh..wh..opq' },
      { name: 'b/z' },
      { name: '.wh.c' },
      { name: '.wh..wh.plnk/1' },
      {
        name: './a/w',
        content: 'upper',
        xattrs: new Map([
          ['user.k', 'v'],
          [OPAQUE, 'y'],
        ]),
      },
    ]),
    2,
  );
  const { root } = new OverlayFs({ device: 3, now: () => 1n, lowers: [upper.root, lower.root] });
  assert.deepEqual(names(root), ['__proto__', 'a', 'b']);
  assert.deepEqual([names(root.lookup('a')!), names(root.lookup('b')!), root.lookup('c')], [['w', 'y'], ['z'], null]);
  assert.deepEqual(root.lookup('a')!.lookup('w')!.listxattr(), ['user.k']);
  assert.equal(root.lookup('__proto__')!.lookup('constructor')!.size, 3);
});

test('directories that a layer only passes through keep the attributes of the layer below', () => {
  const lower = layerOf(
    archiveOf([
      { name: './', type: 'directory', mode: 0o711 },
      { name: 'd', type: 'directory', mode: 0o1777, uid: 7 },
      { name: 'd/x' },
    ]),
    1,
  );
  const upper = layerOf(archiveOf([{ name: 'd/y' }, { name: 'new/y' }]), 2);
  const { root } = new OverlayFs({ device: 3, now: () => 1n, lowers: [upper.root, lower.root] });
  const directory = root.lookup('d')!;
  assert.deepEqual(
    [directory.mode & 0o7777, directory.uid, names(directory), directory.listxattr()],
    [0o1777, 7, ['x', 'y'], []],
  );
  assert.deepEqual([root.mode & 0o7777, root.lookup('new')!.mode & 0o7777], [0o711, 0o755]);
});

test('a whiteout beside what it names hides only what lower layers have there', () => {
  const lower = layerOf(archiveOf([{ name: 'd/old' }, { name: 'e/old' }, { name: 'f/old' }, { name: 'g/old' }]), 1);
  const upper = layerOf(
    archiveOf([
      ...[{ name: 'd/new' }, { name: '.wh.d' }],
      ...[{ name: '.wh.e' }, { name: 'e', type: 'directory' as const }, { name: 'e/new' }],
      ...[{ name: '.wh.f' }, { name: 'f/new' }],
      ...[{ name: 'g', content: 'a file now' }, { name: 'g/.wh.old' }],
    ]),
    2,
  );
  const { root } = new OverlayFs({ device: 3, now: () => 1n, lowers: [upper.root, lower.root] });
  assert.deepEqual(
    ['d', 'e', 'f'].map((name) => names(root.lookup(name)!)),
    [['new'], ['new'], ['new']],
  );
  assert.equal(root.lookup('g')!.size, 10);
});

test('a later member replaces an earlier one, as when it is unpacked', () => {
  const { root } = layerOf(
    archiveOf([
      { name: 'f', content: 'one' },
      { name: 'g', type: 'hardlink', target: 'f' },
      { name: 'f', content: 'second' },
      { name: 'd/x' },
      { name: 'd', type: 'directory', mode: 0o700 },
      { name: 'e/x' },
      { name: 'e', content: 'now a file' },
    ]),
  );
  assert.deepEqual(
    [root.lookup('f')!.size, root.lookup('f')!.nlink, root.lookup('g')!.size, root.lookup('g')!.nlink],
    [6, 1, 3, 1],
  );
  assert.deepEqual(
    [root.lookup('d')!.mode & 0o777, names(root.lookup('d')!), root.lookup('e')!.size],
    [0o700, ['x'], 10],
  );
});

test('damaged archives give a sentence, never anything else', () => {
  const sound = archiveOf([
    { name: 'd/', type: 'directory' },
    { name: 'd/f', content: 'content'.repeat(100) },
    { name: `d/${'n'.repeat(150)}`, content: 'x', uid: 5_000_000 },
    { name: 'l', type: 'symlink', target: 'd/f' },
    { name: 'h', type: 'hardlink', target: 'd/f' },
  ]);
  const seed = Date.now() >>> 0;
  const next = randomNumbers(seed);
  let refusals = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = sound.slice(0, next(4) === 0 ? next(sound.length) : sound.length);
    for (let count = 1 + next(4); count > 0 && bytes.length > 0; count--) bytes[next(bytes.length)] = next(256);
    // With right checksums the fields behind them are reached.
    if (next(2) === 0) {
      for (let at = 0; at + 512 <= bytes.length; at += 512) {
        if (bytes[at + 257] !== 0x75) continue;
        bytes.fill(32, at + 148, at + 156);
        const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
        bytes.set(Buffer.from(`${sum.toString(8).padStart(6, '0')}\0 `), at + 148);
      }
    }
    try {
      oursTree(layerOf(bytes).root, new Map(), '');
    } catch (error) {
      if (!(error instanceof ImageError)) {
        // Content that a cut archive does not have is an error of reading, as on a damaged disk.
        assert.ok(
          ['EIO'].includes((error as { code?: string }).code ?? ''),
          `seed ${seed}, round ${round}: ${(error as Error).stack}`,
        );
      }
      refusals++;
    }
  }
  assert.ok(refusals > 300, `${refusals} of 3000 were refused (seed ${seed})`);
});

test('a damaged index is found before it is used', () => {
  const archive = archiveOf([{ name: 'f', content: 'x' }]);
  const sound = JSON.stringify(indexOf(archive));
  assert.equal(parseLayerIndex(sound, archive.length).nodes.length, 2);
  const broken: [string, string][] = [
    ['cut', sound.slice(0, -5)],
    ['another version', sound.replace('"version":1', '"version":2')],
    ['content behind the end', sound.replace('"size":1', '"size":999999')],
    ['a node that is not there', sound.replace('"f":1', '"f":7')],
    ['the root as a child', sound.replace('"f":1', '"f":0')],
    ['a number that is none', sound.replace('"uid":0', '"uid":"0"')],
  ];
  for (const [what, text] of broken) {
    assert.notEqual(text, sound, what);
    assert.throws(() => parseLayerIndex(text, archive.length), ImageError, what);
  }
});
