import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkBootFile, inspectKernel } from './boot-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-boot-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, bytes: Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** A bzImage in header alone: one sector of set-up, `paragraphs` of 16 bytes of kernel. */
function bzImage(paragraphs: number, length = 1024 + paragraphs * 16): Buffer {
  const image = Buffer.alloc(length);
  image[0x1f1] = 1;
  image.writeUInt32LE(paragraphs, 0x1f4);
  image.writeUInt16LE(0xaa55, 0x1fe);
  image.write('HdrS', 0x202);
  image.writeUInt16LE(0x20f, 0x206);
  image.writeUInt16LE(1, 0x236);
  return image;
}

test('kernels are told apart by their headers', () => {
  assert.deepEqual(inspectKernel(file('bz', bzImage(64))), {
    format: 'bzImage',
    description: 'Linux bzImage, 64-bit, boot protocol 2.15',
    problem: null,
  });
  const elf = Buffer.alloc(64);
  elf.write('\x7fELF', 'latin1');
  elf.writeUInt16LE(62, 18);
  assert.equal(inspectKernel(file('elf', elf)).format, 'elf');
  const multiboot = Buffer.alloc(64);
  multiboot.writeUInt32LE(0x1badb002, 8);
  multiboot.writeUInt32LE((0x1_0000_0000 - 0x1badb002) >>> 0, 16);
  assert.equal(inspectKernel(file('mb', multiboot)).format, 'multiboot');
});

test('what is not a kernel is refused with one sentence', () => {
  const problem = (name: string, bytes: Buffer) => inspectKernel(file(name, bytes)).problem;
  assert.match(problem('text', Buffer.from('hello'))!, /^\S+text is not a kernel: .*\.$/);
  assert.match(problem('empty', Buffer.alloc(0))!, /is not a kernel/);
  assert.match(problem('cut', bzImage(64, 1200))!, /is cut short: 1200 bytes of at least 2032\.$/);
  const arm = Buffer.alloc(64);
  arm.write('\x7fELF', 'latin1');
  arm.writeUInt16LE(183, 18);
  assert.match(problem('arm', arm)!, /not for x86/);
  assert.match(inspectKernel(folder).problem!, /it is not a file/);
  assert.match(inspectKernel(join(folder, 'none')).problem!, /no such file/);
});

test('a file larger than the guest is refused before it is read', () => {
  const path = file('large', Buffer.alloc(3 << 20));
  checkBootFile(path, 'initrd', 3);
  assert.throws(() => checkBootFile(path, 'initrd', 2), /larger than the guest's memory of 2 MiB/);
});
