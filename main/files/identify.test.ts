import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createDisk } from '../disks/disks.ts';
import { identifyFile } from './identify.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-identify-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(name: string, bytes: number, fill: (image: Buffer) => void = () => {}): string {
  const image = Buffer.alloc(bytes);
  fill(image);
  const path = join(folder, name);
  writeFileSync(path, image);
  return path;
}

const use = async (path: string) => (await identifyFile(path)).use;
const partitioned = (image: Buffer): void => {
  image.writeUInt16LE(0xaa55, 510);
  image[446] = 0x80;
  image[450] = 0x83;
  image.writeUInt32LE(2048, 454);
  image.writeUInt32LE(4096, 458);
};

test('discs, disks, floppies, kernels and archives are told by what is in them', async () => {
  const iso = fileOf('disc.bin', 40 * 2048, (image) => {
    // As isohybrid makes them: a disc that is a disk with partitions, too.
    partitioned(image);
    image.write('\x01CD001\x01', 16 * 2048, 'latin1');
  });
  assert.equal(await use(iso), 'cd');
  const qcow2 = join(folder, 'disk.of.some.name');
  await createDisk(qcow2, { format: 'qcow2', size: 4 << 20 });
  assert.equal(await use(qcow2), 'disk');
  assert.match((await identifyFile(qcow2)).description, /qcow2, 4 MiB/);
  assert.equal(await use(fileOf('mbr', 8 << 20, partitioned)), 'disk');
  assert.equal(await use(fileOf('fs', 1 << 20, (image) => image.writeUInt16LE(0xef53, 1080))), 'disk');
  assert.equal(await use(fileOf('empty.img', 1 << 20)), 'disk');
  assert.equal(await use(fileOf('dos.img', 1440 * 1024)), 'floppy');
  assert.equal(
    await use(
      fileOf('vmlinuz', 65536, (image) => {
        image.writeUInt16LE(0xaa55, 0x1fe);
        image.write('HdrS', 0x202);
        image.writeUInt16LE(0x20f, 0x206);
        image.writeUInt32LE(16, 0x1f4);
      }),
    ),
    'kernel',
  );
  const tar = (first: string) => (image: Buffer) => {
    image.write(first, 0);
    image.write('ustar', 257);
  };
  assert.equal(await use(fileOf('root.tar', 10240, tar('./bin/'))), 'image');
  assert.equal(await use(fileOf('machine.ova', 10240, tar('machine.ovf'))), 'appliance');
  const packed = join(folder, 'root.tar.gz');
  writeFileSync(packed, gzipSync(Buffer.alloc(100)));
  assert.equal(await use(packed), 'image');
});

test('folders are root file systems or images, and nothing else', async () => {
  for (const name of ['root/bin', 'root/etc', 'layout', 'pictures']) mkdirSync(join(folder, name), { recursive: true });
  for (const name of ['oci-layout', 'index.json']) writeFileSync(join(folder, 'layout', name), '{}');
  assert.equal(await use(join(folder, 'root')), 'image');
  assert.equal(await use(join(folder, 'layout')), 'image');
  assert.deepEqual(await identifyFile(join(folder, 'pictures')), {
    path: join(folder, 'pictures'),
    use: null,
    description: 'The folder pictures holds neither a root file system nor an OCI image.',
  });
});

test('what is nothing is told in one sentence', async () => {
  for (const [path, told] of [
    [fileOf('nothing', 0), /is empty/],
    [fileOf('letter.txt', 600), /nothing that a guest is made from/],
    [fileOf('initrd', 1024, (image) => image.write('070701')), /beside a kernel/],
  ] as const) {
    const found = await identifyFile(path);
    assert.equal(found.use, null);
    assert.match(found.description, told);
  }
  const packed = join(folder, 'data.gz');
  writeFileSync(packed, gzipSync(Buffer.alloc(100)));
  assert.match((await identifyFile(packed)).description, /unpack it first/);
  await assert.rejects(identifyFile(join(folder, 'gone')), /there is no such file/);
});
