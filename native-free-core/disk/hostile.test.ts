import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DiskError, type DiskHost } from './block.ts';
import { type CreateOptions, checkImage, createImage, openImage, readIdentity } from './images.ts';
import { loneHost, MemoryFile, seeded } from './testing/memory-file.ts';

const VALUES = [0n, 1n, 3n, 511n, 0x200n, 0x10000n, 0x7fffffffn, 0xffffffffn, 0x40000000_00000200n];
const WIDE = [0x7fffffff_ffffffffn, 0xffffffff_fffffe00n, 0xffffffff_ffffffffn, 0x80000000_00010000n, 0x100_00000000n];

/** Parents of the samples that have one, by name; every other name is an empty file. */
const parents = new Map<string, MemoryFile>();
const parentHost: DiskHost = {
  ...loneHost,
  openBacking: async (name) => parents.get(name) ?? new MemoryFile('backing'),
};

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
  await attempt(() => checkImage(file, parentHost, false, format));
  for (const isReadOnly of [true, false]) {
    file.isReadOnly = isReadOnly;
    await attempt(async () => {
      const { device } = await openImage(file, parentHost, format);
      const buffer = new Uint8Array(70_000);
      for (const offset of [0, 100_352, Math.max(0, device.size - 70_144)])
        await attempt(() => device.read(offset, buffer.subarray(0, Math.min(buffer.length, device.size - offset))));
      if (!isReadOnly) {
        await attempt(() => device.write(0, buffer.subarray(0, Math.min(4096, device.size)).fill(1)));
        await attempt(() => device.discard(0, Math.min(device.size, 131_072)));
        await attempt(() => device.writeZeros(0, Math.min(device.size, 2 << 20)));
        await attempt(() => device.write(0, buffer.subarray(0, Math.min(4096, device.size))));
      }
      await attempt(() => device.close());
    });
  }
  file.isReadOnly = false;
  await attempt(() => checkImage(file, parentHost, true, format));
  return isRefused;
}

async function sample(options: Omit<CreateOptions, 'random' | 'size'>): Promise<MemoryFile> {
  const file = new MemoryFile();
  const { backing } = options;
  if (backing) {
    const parent = await sample({ format: backing.format });
    parent.isReadOnly = true;
    parents.set(backing.name, parent);
    options = { ...options, backing: { ...backing, identity: await readIdentity(parent, loneHost, backing.format) } };
  }
  await createImage(file, { ...options, size: 3 << 20, random: new Uint8Array(32) });
  const { device } = await openImage(file, parentHost, options.format);
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
  'vmdk over another': {
    options: { format: 'vmdk', backing: { name: 'parent.vmdk', format: 'vmdk' } },
    areas: [
      [0, 96],
      [512, 680],
      [13312, 13332],
    ],
  },
  // The header's fields of the parent: its UUID, its name and the first two locators, then the path.
  'vhd over another': {
    options: { format: 'vhd', backing: { name: 'parent.vhd', format: 'vhd' } },
    areas: [
      [44, 88],
      [544, 592],
      [1088, 1136],
      [2048, 2080],
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
        if (options.format === 'vhd') {
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
          if (at % 8 !== 0 && options.format !== 'vmdk') continue;
          for (const value of WIDE) {
            const bytes = new Uint8Array(8);
            new DataView(bytes.buffer).setBigUint64(0, value, ['vmdk', 'vdi'].includes(options.format));
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

  for (const format of ['vmdk', 'vhd'] as const) {
    test(`${format}: parents that form a circle, are missing, too many, or not what they were`, async () => {
      const random = (name: string): Uint8Array =>
        Uint8Array.from({ length: 32 }, (_, at) => name.charCodeAt(at % name.length));
      const make = async (name: string, backing?: string, identity?: string): Promise<MemoryFile> => {
        const file = new MemoryFile(name);
        const below = backing === undefined ? {} : { backing: { name: backing, format, identity } };
        await createImage(file, { format, size: 1 << 20, random: random(name), ...below });
        files.set(name, file);
        return file;
      };
      const told = (file: MemoryFile): Promise<string | undefined> => readIdentity(file, host, format);
      const a = await make('a');
      const b = await make('b', 'a', await told(a));
      await make('a', 'b', await told(b));
      await assert.rejects(openImage(b, host), /form a circle/);
      await assert.rejects(openImage(await make('d', 'none', await told(a)), host), /Cannot read none/);
      await assert.rejects(openImage(await make('e', 'b', await told(a)), host), /b was changed or replaced/);
      let below = await make('l0');
      for (let index = 1; index < 50; index++) below = await make(`l${index}`, `l${index - 1}`, await told(below));
      await assert.rejects(openImage(files.get('l49')!, host), /more than 32 backing files/);
      const top = await openImage(files.get('l32')!, host);
      assert.equal(top.backing.length, 32);
      await top.device.close();
      await assert.rejects(make('x', 'a'), new RegExp(`made over a ${format} image only`));
    });
  }

  test('requests behind the end, and writes to what is open for reading', async () => {
    for (const { options } of Object.values(kinds)) {
      const file = await sample(options);
      file.isReadOnly = true;
      const { device } = await openImage(file, parentHost);
      await assert.rejects(device.read(device.size - 511, new Uint8Array(512)), /exceeds the disk/);
      await assert.rejects(device.read(-1, new Uint8Array(1)), /exceeds the disk/);
      await assert.rejects(device.read(2 ** 63, new Uint8Array(1)), /exceeds the disk/);
      await assert.rejects(device.write(0, new Uint8Array(1)), /for reading only/);
      await device.close();
    }
  });
});
