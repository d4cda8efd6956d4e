import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiskHost } from './block.ts';
import { type CreateOptions, checkImage, createImage, openImage, readIdentity } from './images.ts';
import { loneHost, MemoryFile, seeded } from './testing/memory-file.ts';

const SECTOR = 512;
const CRASHES = 60;

type Options = Omit<CreateOptions, 'random' | 'size'> & { size?: number };

/** What is below the images over a parent: zeros throughout, so that the workload's numbers are all of the image above. */
const parents = new Map<string, MemoryFile>();
const host: DiskHost = {
  ...loneHost,
  identifyBacking: async (name) => parents.get(name)!.identity,
  openBacking: async (name) => parents.get(name)!,
};

async function overParent(options: Options, size: number): Promise<Partial<CreateOptions>> {
  if (!options.backing) return {};
  const parent = new MemoryFile(options.backing.name);
  await createImage(parent, { format: options.format, size, random: new Uint8Array(32).fill(1) });
  parent.isReadOnly = true;
  parents.set(parent.name, parent);
  return { backing: { ...options.backing, identity: await readIdentity(parent, host, options.format) } };
}

const kinds: Record<string, Options> = {
  'qcow2 with small clusters': { format: 'qcow2', clusterBits: 9, size: 1 << 20 },
  'qcow2 with refcounts of 64 bits': { format: 'qcow2', clusterBits: 10, refcountOrder: 6, size: 1 << 20 },
  'qcow2 with lazy refcounts': { format: 'qcow2', clusterBits: 12, lazyRefcounts: true },
  qcow2: { format: 'qcow2' },
  vdi: { format: 'vdi' },
  vmdk: { format: 'vmdk' },
  vhd: { format: 'vhd', size: 8 << 20 },
  'vmdk over another': { format: 'vmdk', backing: { name: 'parent.vmdk', format: 'vmdk' } },
  'vhd over another': { format: 'vhd', size: 8 << 20, backing: { name: 'parent.vhd', format: 'vhd' } },
};

interface Moment {
  /** Acts of the file when it came. */
  acts: number;
  /** What each sector of the disk held. */
  sectors: Int32Array;
}

/** Writes sectors that each tell a number, and notes what the disk held whenever a flush had ended. */
async function workload(file: MemoryFile, options: Options, seed: number) {
  const random = seeded(seed);
  const { device } = await openImage(file, host, options.format);
  const sectors = new Int32Array(device.size / SECTOR);
  const written: { acts: number; sector: number; value: number }[] = [];
  const flushes: Moment[] = [{ acts: file.log.length, sectors: sectors.slice() }];
  for (let step = 1; step <= 220; step++) {
    if (random() < 0.12) {
      await device.flush();
      flushes.push({ acts: file.log.length, sectors: sectors.slice() });
      continue;
    }
    const isLarge = random() < 0.04;
    const count = Math.ceil(random() * (isLarge ? Math.min(5000, sectors.length / 2) : 12));
    const first = Math.floor(random() * (sectors.length - count));
    if (isLarge) {
      for (let sector = first; sector < first + count; sector++)
        written.push({ acts: file.log.length, sector, value: 0 });
      await device.writeZeros(first * SECTOR, count * SECTOR);
      sectors.fill(0, first, first + count);
      continue;
    }
    if (random() < 0.15) {
      // From here on it may be old or zero: noted as a write of zero that may not have happened.
      for (let sector = first; sector < first + count; sector++)
        written.push({ acts: file.log.length, sector, value: 0 });
      await device.discard(first * SECTOR, count * SECTOR);
      const data = new Uint8Array(count * SECTOR);
      await device.read(first * SECTOR, data);
      const view = new DataView(data.buffer);
      for (let index = 0; index < count; index++) sectors[first + index] = view.getInt32(index * SECTOR);
      continue;
    }
    const data = new Uint8Array(count * SECTOR);
    for (let index = 0; index < count; index++) {
      new DataView(data.buffer).setInt32(index * SECTOR, step);
      written.push({ acts: file.log.length, sector: first + index, value: step });
      sectors[first + index] = step;
    }
    await device.write(first * SECTOR, data);
  }
  return { flushes, written };
}

for (const [name, options] of Object.entries(kinds)) {
  for (const cut of ['kill', 'power loss'] as const) {
    test(`${name}, ${cut} at any write: whole, with everything that was flushed`, async () => {
      const file = new MemoryFile();
      const size = options.size ?? 3 << 20;
      await createImage(file, { random: new Uint8Array(32), ...options, size, ...(await overParent(options, size)) });
      const { flushes, written } = await workload(file, options, name.length * 7 + 1);
      const random = seeded(99);
      const begun = flushes[0]!.acts;
      for (let crash = 0; crash < CRASHES; crash++) {
        const acts = begun + Math.floor(random() * (file.log.length - begun));
        const left = file.at(acts, cut === 'kill' ? undefined : () => random() < 0.5);
        const before = flushes.findLast((moment) => moment.acts <= acts)!;
        const isLazy = options.lazyRefcounts === true;
        if (!isLazy) {
          const found = await checkImage(left, host, false, options.format);
          assert.equal(found.corruptions + found.damages, 0, `crash at ${acts}: ${found.details.join('; ')}`);
        }
        const { device } = await openImage(left, host, options.format);
        const data = new Uint8Array(device.size);
        await device.read(0, data);
        const view = new DataView(data.buffer);
        const since = new Map<number, Set<number>>();
        for (const write of written) {
          if (write.acts < before.acts || write.acts > acts) continue;
          since.set(
            write.sector,
            (since.get(write.sector) ?? new Set([before.sectors[write.sector]!])).add(write.value),
          );
        }
        for (let sector = 0; sector < before.sectors.length; sector++) {
          const value = view.getInt32(sector * SECTOR);
          const allowed = since.get(sector);
          const isRight = allowed ? allowed.has(value) : value === before.sectors[sector];
          assert.ok(isRight, `crash at ${acts}: sector ${sector} holds ${value}, not ${before.sectors[sector]}`);
        }
        // It goes on: what is written now does not land on what was there.
        for (let sector = 0; sector < 64; sector++)
          await device.write(sector * 5 * SECTOR, data.slice(0, SECTOR).fill(3));
        await device.close();
        const found = await checkImage(left, host, true, options.format);
        assert.equal(found.damages, 0);
        const again = await checkImage(left, host, false, options.format);
        assert.equal(again.leaks + again.corruptions + again.damages, 0, again.details.join('; '));
      }
    });
  }
}
