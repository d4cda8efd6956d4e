// Acts that an image does before it returns, mixed with those that take their time: whichever way, it is the same disk.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockDevice, DiskHost } from './block.ts';
import { partOf } from './block.ts';
import { type CreateOptions, checkImage, createImage, openImage } from './images.ts';
import { SnapshotDisk } from './snapshot.ts';
import { loneHost, MemoryFile, seeded } from './testing/memory-file.ts';

const SIZE = 3 << 20;
const STEPS = 400;

type Made = { device: BlockDevice; file: MemoryFile; shadow: Uint8Array };

async function made(options: Omit<CreateOptions, 'random' | 'size'>, host = loneHost): Promise<Made> {
  const file = new MemoryFile();
  await createImage(file, { ...options, size: SIZE, random: new Uint8Array(32).fill(3) });
  const { device } = await openImage(file, host, options.format);
  return { device, file, shadow: new Uint8Array(SIZE) };
}

/** A qcow2 image over a raw one of other bytes, which is shorter. */
async function overRaw(): Promise<Made> {
  const below = new MemoryFile('below');
  const bytes = Uint8Array.from({ length: SIZE / 2 }, (_, index) => index >> 9);
  await below.write(0, bytes);
  const host: DiskHost = { ...loneHost, openBacking: async () => below };
  const image = await made({ format: 'qcow2', clusterBits: 12, backing: { name: 'below', format: 'raw' } }, host);
  image.shadow.set(bytes);
  return image;
}

async function overSnapshot(): Promise<Made> {
  const image = await made({ format: 'raw' });
  return { ...image, device: new SnapshotDisk(image.device) };
}

const kinds: Record<string, () => Promise<Made>> = {
  raw: () => made({ format: 'raw' }),
  qcow2: () => made({ format: 'qcow2' }),
  'qcow2 with small clusters': () => made({ format: 'qcow2', clusterBits: 9 }),
  'qcow2 over a raw image': overRaw,
  vdi: () => made({ format: 'vdi' }),
  vmdk: () => made({ format: 'vmdk' }),
  vhd: () => made({ format: 'vhd' }),
  'a snapshot': overSnapshot,
};

/** Bytes cut into buffers at random places. */
function cut(bytes: Uint8Array, random: () => number): Uint8Array[] {
  const buffers: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(bytes.length - at, 1 + Math.floor(random() * 9000));
    buffers.push(bytes.subarray(at, at + length));
    at += length;
  }
  return buffers;
}

for (const [name, make] of Object.entries(kinds))
  test(`${name}: at once or by and by, it is the same disk`, async () => {
    const { device, file, shadow } = await make();
    const random = seeded(name.length * 71);
    const done = { read: 0, written: 0 };
    for (let step = 0; step < STEPS; step++) {
      file.isPrompt = random() < 0.9;
      const length = 512 * Math.ceil(random() * (random() < 0.2 ? 600 : 16));
      const offset = 512 * Math.floor(random() * ((SIZE - length) / 512));
      const bytes = new Uint8Array(length);
      if (random() < 0.5) {
        const isDone = device.readNow!(offset, cut(bytes, random));
        if (isDone) done.read++;
        else await device.read(offset, bytes);
        assert.deepEqual(bytes, shadow.subarray(offset, offset + length), `step ${step}`);
        continue;
      }
      bytes.fill(step).fill(step >> 8, 100, 300);
      shadow.set(bytes, offset);
      if (device.writeNow!(offset, cut(bytes, random))) done.written++;
      else await device.write(offset, bytes);
      if (random() < 0.05) await device.flush();
    }
    const whole = new Uint8Array(SIZE);
    await device.read(0, whole);
    assert.deepEqual(whole, shadow);
    assert.ok(done.read > 20, `${done.read} reads at once`);
    // A VHD's bitmap is looked at before each write, and blocks of a VDI or VMDK are large.
    if (name !== 'vhd') assert.ok(done.written > 20, `${done.written} writes at once`);
    await device.close();
    if (name === 'a snapshot' || name === 'raw') return;
    file.isPrompt = true;
    const { damages, corruptions } = await checkImage(file, loneHost, false);
    assert.deepEqual({ damages, corruptions }, { damages: 0, corruptions: 0 });
  });

test('nothing is done at once beyond the disk, while another act is under way, or to what is open for reading', async () => {
  const { device, file } = await made({ format: 'raw' });
  const buffers = [new Uint8Array(512), new Uint8Array(512)];
  assert.equal(device.readNow!(SIZE - 512, buffers), false);
  assert.equal(device.writeNow!(SIZE - 512, buffers), false);
  assert.equal(device.readNow!(-512, buffers), false);
  const slow = device.write(0, new Uint8Array(512).fill(1));
  assert.equal(device.readNow!(0, buffers), false);
  await slow;
  await device.flush();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(device.readNow!(0, buffers));
  assert.deepEqual([buffers[0]![0], buffers[1]![0]], [1, 0]);
  file.isReadOnly = true;
  const { device: reader } = await openImage(file, loneHost, 'raw');
  assert.ok(reader.readNow!(0, buffers));
  assert.equal(reader.writeNow!(0, buffers), false);
});

test('a part of buffers is cut out of them', () => {
  const buffers = [Uint8Array.of(1, 2, 3), Uint8Array.of(4), Uint8Array.of(5, 6)];
  const part = (from: number, length: number) => partOf(buffers, from, length).map((each) => [...each]);
  assert.deepEqual(part(0, 6), [[1, 2, 3], [4], [5, 6]]);
  assert.deepEqual(part(2, 3), [[3], [4], [5]]);
  assert.deepEqual(part(4, 1), [[5]]);
  assert.deepEqual(part(3, 0), []);
});
