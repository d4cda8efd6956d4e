import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { cpioArchive } from './cpio.ts';
import { busyboxInitramfs } from './initramfs.ts';

const decoder = new TextDecoder();

/** Reads a newc archive back: path to mode, device and bytes. */
function readArchive(archive: Uint8Array) {
  const entries = new Map<string, { mode: number; major: number; minor: number; data: Uint8Array }>();
  let offset = 0;
  for (;;) {
    assert.equal(decoder.decode(archive.subarray(offset, offset + 6)), '070701');
    const field = (index: number): number =>
      Number.parseInt(decoder.decode(archive.subarray(offset + 6 + index * 8, offset + 14 + index * 8)), 16);
    const [mode, size, major, minor, nameSize] = [1, 6, 9, 10, 11].map(field) as [
      number,
      number,
      number,
      number,
      number,
    ];
    const name = decoder.decode(archive.subarray(offset + 110, offset + 110 + nameSize - 1));
    const start = (offset + 110 + nameSize + 3) & ~3;
    if (name === 'TRAILER!!!') return entries;
    entries.set(name, { mode, major, minor, data: archive.slice(start, start + size) });
    offset = (start + size + 3) & ~3;
  }
}

test('entries come back as they went in, with the folders above them first', () => {
  const archive = cpioArchive([
    { path: 'a/b/c', type: 'file', data: 'hello', mode: 0o755 },
    { path: 'a/link', type: 'symlink', target: 'b/c' },
    { path: 'dev/console', type: 'character', major: 5, minor: 1 },
  ]);
  const entries = readArchive(archive);
  assert.deepEqual([...entries.keys()], ['a', 'a/b', 'a/b/c', 'a/link', 'dev', 'dev/console']);
  assert.equal(entries.get('a')?.mode, 0o040755);
  assert.equal(entries.get('a/b/c')?.mode, 0o100755);
  assert.equal(decoder.decode(entries.get('a/b/c')?.data), 'hello');
  assert.equal(decoder.decode(entries.get('a/link')?.data), 'b/c');
  assert.deepEqual(entries.get('dev/console'), { mode: 0o020600, major: 5, minor: 1, data: new Uint8Array(0) });
});

test('a path that is absolute, climbs or is doubled is refused', () => {
  for (const path of ['/etc', 'a/../b', '', 'a//b'])
    assert.throws(() => cpioArchive([{ path, type: 'folder' }]), /not a path inside an archive/);
  const file = { path: 'x', type: 'file', data: '' } as const;
  assert.throws(() => cpioArchive([file, file]), /twice/);
});

test('the busybox system has its console, its init and valid shell scripts', (context) => {
  const module = { name: 'button.ko', data: Uint8Array.of(1, 2, 3) };
  const entries = readArchive(busyboxInitramfs({ busybox: Uint8Array.of(0x7f), modules: [module] }));
  assert.equal(entries.get('dev/console')?.mode, 0o020600);
  assert.equal(entries.get('init')?.mode, 0o100755);
  assert.deepEqual(entries.get('lib/modules/button.ko')?.data, module.data);
  assert.match(decoder.decode(entries.get('etc/inittab')?.data), /^ttyS0::respawn:-\/bin\/sh$/m);
  if (process.platform === 'win32') return context.skip('no sh to check the scripts with');
  for (const path of ['init', 'etc/init.d/rcS', 'etc/profile', 'etc/acpi/PWRF/00000080']) {
    const { status, stderr } = spawnSync('sh', ['-n'], { input: entries.get(path)?.data });
    assert.equal(status, 0, `${path}: ${stderr}`);
  }
});
