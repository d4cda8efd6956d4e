import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type CreateOptions, imageFormats } from '../../native-free-core/disk/images.ts';
import { checkDisk } from './disks.ts';
import { create, imageFolder, openAt, seeded, withoutQemuImg } from './testing.ts';

const folder = imageFolder(after);
const writer = fileURLToPath(new URL('./fake-writer.ts', import.meta.url));
const KILLS = 3;

/** Runs the writer for a while, kills it, and answers the last round that it said was flushed. */
async function writeAndKill(path: string, seed: number, patience: number): Promise<number> {
  const child = spawn(process.execPath, [writer, path, String(seed)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  const begun = Promise.withResolvers<void>();
  child.stdout.on('data', (chunk) => {
    said += chunk;
    begun.resolve();
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  await Promise.race([begun.promise, ended]);
  assert.notEqual(said, '', 'the writer began');
  await assert.rejects(openAt(path, 'write'), /is in use/);
  await assert.rejects(openAt(path, 'read'), /is in use/);
  await sleep(patience);
  child.kill('SIGKILL');
  await ended;
  return Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1));
}

for (const format of imageFormats) {
  for (const lazyRefcounts of format === 'qcow2' ? [false, true] : [false]) {
    const name = `${format}${lazyRefcounts ? ' with lazy refcounts' : ''}`;
    test(`${name}: killed while it is written, an image is whole and holds what was flushed`, async () => {
      const path = join(folder, name);
      const options: Omit<CreateOptions, 'random'> = { format, size: 24 << 20 };
      await create(path, { ...options, lazyRefcounts });
      const random = seeded(name.length);
      for (let kill = 0; kill < KILLS; kill++) {
        const flushed = await writeAndKill(path, kill + 1, 30 + random() * 150);
        if (!lazyRefcounts) {
          const found = await checkDisk(path, false, format);
          assert.equal(found.corruptions + found.damages, 0, found.details.join('; '));
          if (!withoutQemuImg && format !== 'raw' && format !== 'vhd') {
            const judged = spawnSync('qemu-img', ['check', '-f', format, path], { encoding: 'utf8' });
            // 3: clusters that leaked, which is room lost and nothing else.
            assert.ok(judged.status === 0 || judged.status === 3, judged.stdout + judged.stderr);
          }
        }
        const device = await openAt(path, 'write', format);
        const sector = new Uint8Array(512);
        await device.read(0, sector);
        const round = new DataView(sector.buffer).getInt32(0);
        assert.ok(round >= flushed, `round ${round} is there, ${flushed} was flushed`);
        await device.close();
        await checkDisk(path, true, format);
        const found = await checkDisk(path, false, format);
        assert.equal(found.leaks + found.corruptions + found.damages, 0, found.details.join('; '));
      }
    });
  }
}
