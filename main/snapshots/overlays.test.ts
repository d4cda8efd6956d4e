import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ImageFormat, openImage } from '../../native-free-core/disk/images.ts';
import { createDisk, diskInfo } from '../disks/disks.ts';
import { nodeDiskHost, openHostFile } from '../disks/host-file.ts';
import { commitOverlay, makeOverlay, pullOverlay } from './overlays.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-overlays-'));
after(() => rmSync(folder, { recursive: true }));

const SIZE = 6 << 20;
const path = (name: string) => join(folder, name);
const noQemu = spawnSync('qemu-img', ['--version']).error ? 'there is no qemu-img' : false;

let seed = 0x51a9;
const random = (below: number) => {
  seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
  return (seed >>> 8) % below;
};

async function withDisk<Result>(
  name: string,
  format: ImageFormat,
  act: (device: Awaited<ReturnType<typeof openImage>>['device']) => Promise<Result>,
): Promise<Result> {
  const { device } = await openImage(await openHostFile(path(name), 'write'), nodeDiskHost(), format);
  try {
    return await act(device);
  } finally {
    await device.close();
  }
}

/** Random writes, zeros and discards, which the model goes along with where they say what is read. */
function change(name: string, format: ImageFormat, model: Buffer): Promise<void> {
  return withDisk(name, format, async (device) => {
    for (let round = 0; round < 30; round++) {
      const at = random(SIZE / 512) * 512;
      const length = Math.min(SIZE - at, (1 + random(300)) * 512);
      if (random(3) === 0) {
        await device.writeZeros(at, length);
        model.fill(0, at, at + length);
      } else {
        const bytes = new Uint8Array(length).fill(1 + random(255));
        await device.write(at, bytes);
        model.set(bytes, at);
      }
    }
  });
}

const content = (name: string, format: ImageFormat) =>
  withDisk(name, format, async (device) => {
    const bytes = Buffer.alloc(SIZE);
    await device.read(0, bytes);
    return bytes;
  });

function judge(name: string): void {
  if (noQemu) return;
  const { status, stdout } = spawnSync('qemu-img', ['check', path(name)], { encoding: 'utf8' });
  assert.equal(status, 0, stdout);
}

for (const format of ['raw', 'qcow2', 'vdi', 'vmdk', 'vhd'] as const) {
  test(`overlays over ${format} are merged downwards and upwards, and read as before`, async (t) => {
    const names = [`base.${format}`, `${format}-1.qcow2`, `${format}-2.qcow2`, `${format}-3.qcow2`];
    await createDisk(path(names[0]), { format, size: SIZE });
    const models: Buffer[] = [Buffer.alloc(SIZE)];
    await change(names[0], format, models[0]);
    for (const [index, name] of names.entries()) {
      if (index === 0) continue;
      await makeOverlay(path(name), { file: path(names[index - 1]), format: index === 1 ? format : 'qcow2' });
      models.push(Buffer.from(models[index - 1]));
      await change(name, 'qcow2', models[index]);
    }
    // The middle one goes into the one above it.
    await pullOverlay(path(names[2]), path(names[1]), { file: path(names[0]), format });
    assert.ok((await content(names[2], 'qcow2')).equals(models[2]));
    assert.equal((await diskInfo(path(names[2]))).backing[0], names[0]);
    judge(names[2]);
    // Repeated, as after a kill, it changes nothing.
    await pullOverlay(path(names[3]), path(names[2]), { file: path(names[0]), format });
    await pullOverlay(path(names[3]), path(names[2]), { file: path(names[0]), format });
    assert.ok((await content(names[3], 'qcow2')).equals(models[3]));
    judge(names[3]);
    // And all of it into the base.
    await commitOverlay(path(names[3]), { file: path(names[0]), format });
    await commitOverlay(path(names[3]), { file: path(names[0]), format });
    assert.ok((await content(names[0], format)).equals(models[3]));
    assert.ok((await content(names[3], 'qcow2')).equals(models[3]));
    t.diagnostic(noQemu || 'qemu-img found nothing wrong');
  });
}

test('an overlay can lose its backing file', async () => {
  await createDisk(path('alone.qcow2'), { format: 'qcow2', size: SIZE });
  const model = Buffer.alloc(SIZE);
  await change('alone.qcow2', 'qcow2', model);
  await makeOverlay(path('over.qcow2'), { file: path('alone.qcow2'), format: 'qcow2' });
  await change('over.qcow2', 'qcow2', model);
  await pullOverlay(path('over.qcow2'), path('alone.qcow2'), undefined);
  assert.deepEqual((await diskInfo(path('over.qcow2'))).backing, []);
  rmSync(path('alone.qcow2'));
  assert.ok((await content('over.qcow2', 'qcow2')).equals(model));
  judge('over.qcow2');
});

test('a raw disk that a guest made look like another stays raw below an overlay', async () => {
  await createDisk(path('forged.img'), { format: 'raw', size: SIZE });
  await withDisk('forged.img', 'raw', (device) => device.write(0, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1')));
  await makeOverlay(path('over-forged.qcow2'), { file: path('forged.img'), format: 'raw' });
  const read = await content('over-forged.qcow2', 'qcow2');
  assert.equal(read.toString('latin1', 0, 3), 'QFI');
});

test('an image that another program made keeps its backing file', { skip: noQemu }, async () => {
  const file = path('foreign.qcow2');
  assert.equal(spawnSync('qemu-img', ['create', '-f', 'qcow2', file, String(SIZE)]).status, 0);
  await createDisk(path('below.qcow2'), { format: 'qcow2', size: SIZE });
  await assert.rejects(pullOverlay(file, path('below.qcow2'), undefined), /was made by another program/);
});
