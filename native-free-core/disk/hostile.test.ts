import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DiskError, type DiskHost } from './block.ts';
import { type CreateOptions, checkImage, createImage, openImage } from './images.ts';
import { loneHost, MemoryFile, seeded } from './testing/memory-file.ts';

const VALUES = [0n, 1n, 3n, 511n, 0x200n, 0x10000n, 0x7fffffffn, 0xffffffffn, 0x40000000_00000200n];
const WIDE = [0x7fffffff_ffffffffn, 0xffffffff_fffffe00n, 0xffffffff_ffffffffn, 0x80000000_00010000n, 0x100_00000000n];

/** Opens, reads, writes and checks. Only a sentence about the image may come of it. */
async function use(file: MemoryFile, format: CreateOptions['format']): Promise<boolean> {
  let isRefused = false;
  const attempt = async (act: () => Promise<unknown>): Promise<void> => {
    try {
      await act();
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      assert.match(error.message, /^[^\n]{10,300}\.$/);
      isRefused = true;
    }
  };
  await attempt(() => checkImage(file, loneHost, false, format));
  for (const isReadOnly of [true, false]) {
    file.isReadOnly = isReadOnly;
    await attempt(async () => {
      const { device } = await openImage(file, loneHost, format);
      const buffer = new Uint8Array(70_000);
      for (const offset of [0, 100_352, Math.max(0, device.size - 70_144)])
        await attempt(() => device.read(offset, buffer.subarray(0, Math.min(buffer.length, device.size - offset))));
      if (!isReadOnly) {
        await attempt(() => device.write(0, buffer.subarray(0, Math.min(4096, device.size)).fill(1)));
        await attempt(() => device.discard(0, Math.min(device.size, 131_072)));
      }
      await attempt(() => device.close());
    });
  }
  file.isReadOnly = false;
  await attempt(() => checkImage(file, loneHost, true, format));
  return isRefused;
}

async function sample(options: Omit<CreateOptions, 'random' | 'size'>): Promise<MemoryFile> {
  const file = new MemoryFile();
  await createImage(file, { ...options, size: 3 << 20, random: new Uint8Array(32) });
  const { device } = await openImage(file, loneHost, options.format);
  for (const offset of [0, 100_352, 2 << 20]) await device.write(offset, new Uint8Array(5000).fill(9));
  await device.close();
  return file;
}

const kinds: Record<string, { options: Omit<CreateOptions, 'random' | 'size'>; areas: [number, number][] }> = {
  qcow2: {
    options: { format: 'qcow2', clusterBits: 12 },
    areas: [
      [0, 128],
      [4096, 4128],
      [8192, 8224],
      [12288, 12320],
    ],
  },
  vdi: { options: { format: 'vdi' }, areas: [[64, 528]] },
  vmdk: {
    options: { format: 'vmdk' },
    areas: [
      [0, 96],
      [10752, 10772],
      [13312, 13332],
    ],
  },
  vhd: {
    options: { format: 'vhd' },
    areas: [
      [0, 96],
      [512, 576],
      [1536, 1544],
    ],
  },
};

/** The checksums of a VHD are made right again, so that what they guard is reached. */
async function sum(file: MemoryFile, at: number, length: number, field: number): Promise<void> {
  const bytes = new Uint8Array(length);
  await file.read(at, bytes);
  bytes.fill(0, field, field + 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(field, ~bytes.reduce((total, byte) => total + byte, 0));
  await file.write(at, bytes);
}

describe('every field of header and tables made hostile', () => {
  for (const [name, { options, areas }] of Object.entries(kinds)) {
    test(name, { timeout: 60_000 }, async () => {
      const good = await sample(options);
      let refused = 0;
      const mutate = async (at: number, bytes: Uint8Array): Promise<void> => {
        const file = good.at(good.log.length);
        await file.write(at, bytes);
        if (name === 'vhd') {
          await sum(file, 0, 512, 64);
          await sum(file, 512, 1024, 36);
        }
        if (await use(file, options.format)) refused++;
      };
      for (const [start, end] of areas) {
        for (let at = start; at < end; at += 4) {
          for (const isLittle of [true, false]) {
            for (const value of VALUES) {
              const bytes = new Uint8Array(4);
              new DataView(bytes.buffer).setUint32(0, Number(value & 0xffffffffn), isLittle);
              await mutate(at, bytes);
            }
          }
          if (at % 8 !== 0 && name !== 'vmdk') continue;
          for (const value of WIDE) {
            const bytes = new Uint8Array(8);
            new DataView(bytes.buffer).setBigUint64(0, value, name === 'vmdk' || name === 'vdi');
            await mutate(at, bytes);
          }
        }
      }
      assert.ok(refused > 50, `${refused} were refused`);
    });

    test(`${name}, random bytes, and cut short`, { timeout: 60_000 }, async () => {
      const good = await sample(options);
      const random = seeded(name.length);
      for (let round = 0; round < 150; round++) {
        const file = good.at(good.log.length);
        for (let count = 0; count < 4; count++) {
          const [start, end] = areas[Math.floor(random() * areas.length)]!;
          await file.write(start + Math.floor(random() * (end - start)), new Uint8Array([random() * 256]));
        }
        await use(file, options.format);
      }
      const size = await good.size();
      for (const length of [0, 1, 64, 72, 103, 511, 512, 1023, 1024, 4096, 10_000, size - 513, size - 1]) {
        const bytes = new Uint8Array(length);
        await good.read(0, bytes);
        const file = new MemoryFile();
        if (length > 0) await file.write(0, bytes);
        await use(file, options.format);
      }
    });
  }
});

describe('refused in a sentence', () => {
  const files = new Map<string, MemoryFile>();
  const find = async (name: string): Promise<MemoryFile> => {
    const found = files.get(name);
    if (!found) throw new DiskError(`Cannot read ${name}: there is no such file.`);
    return found;
  };
  const host: DiskHost = {
    ...loneHost,
    identifyBacking: async (name) => (await find(name)).identity,
    openBacking: find,
  };
  const over = async (name: string, backing: string): Promise<MemoryFile> => {
    const file = new MemoryFile(name);
    const below = { name: backing, format: 'qcow2' as const };
    await createImage(file, { format: 'qcow2', size: 1 << 20, random: new Uint8Array(32), backing: below });
    files.set(name, file);
    return file;
  };

  test('backing files that form a circle, are missing, or too many', async () => {
    const first = await over('a', 'b');
    await over('b', 'a');
    await assert.rejects(openImage(first, host), /form a circle/);
    await assert.rejects(openImage(await over('c', 'c'), host), /form a circle/);
    await assert.rejects(openImage(await over('d', 'none'), host), /Cannot read none/);
    await assert.rejects(openImage(await over('e', 'json:{}'), host), /no file of this host/);
    for (let index = 0; index < 50; index++) await over(`l${index}`, `l${index + 1}`);
    await assert.rejects(openImage(files.get('l0')!, host), /more than 32 backing files/);
  });

  test('requests behind the end, and writes to what is open for reading', async () => {
    for (const { options } of Object.values(kinds)) {
      const file = await sample(options);
      file.isReadOnly = true;
      const { device } = await openImage(file, loneHost);
      await assert.rejects(device.read(device.size - 511, new Uint8Array(512)), /exceeds the disk/);
      await assert.rejects(device.read(-1, new Uint8Array(1)), /exceeds the disk/);
      await assert.rejects(device.read(2 ** 63, new Uint8Array(1)), /exceeds the disk/);
      await assert.rejects(device.write(0, new Uint8Array(1)), /for reading only/);
      await device.close();
    }
  });
});
