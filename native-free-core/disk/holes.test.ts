import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createImage, type ImageFormat, imageFormats, openImage } from './images.ts';
import { loneHost, MemoryFile, seeded } from './testing/memory-file.ts';

const SIZE = 24 << 20;

async function make(format: ImageFormat, makesHoles: boolean, isFixed = false): Promise<MemoryFile> {
  const file = new MemoryFile();
  file.makesHoles = makesHoles;
  await createImage(file, { format, size: SIZE, isFixed, random: new Uint8Array(32).fill(5) });
  return file;
}

function holeBytes(file: MemoryFile): number {
  return file.log.reduce((sum, act) => sum + (act.kind === 'hole' ? act.length : 0), 0);
}

describe('what a guest gives back', () => {
  const kinds: [ImageFormat, boolean][] = [
    ...imageFormats.map((format): [ImageFormat, boolean] => [format, false]),
    ['vdi', true],
    ['vhd', true],
  ];
  for (const [format, isFixed] of kinds) {
    test(`${format}${isFixed ? ', fixed' : ''}: the host gets it, and it reads as zeros`, async () => {
      const file = await make(format, true, isFixed);
      const { device } = await openImage(file, loneHost, format);
      await device.write(0, new Uint8Array(SIZE).fill(7));
      await device.flush();
      await device.discard(4 << 20, 12 << 20);
      await device.flush();
      const got = new Uint8Array(SIZE);
      await device.read(0, got);
      const expected = new Uint8Array(SIZE).fill(7).fill(0, 4 << 20, 16 << 20);
      assert.equal(Buffer.compare(got, expected), 0);
      assert.ok(holeBytes(file) >= 12 << 20, `${holeBytes(file)} bytes of holes`);
      await device.close();
    });
  }

  test('a range of less than 64 KiB is left as it is: a hole costs the host an act', async () => {
    const file = await make('raw', true);
    const { device } = await openImage(file, loneHost, 'raw');
    await device.write(0, new Uint8Array(1 << 20).fill(7));
    await device.discard(0, 60 << 10);
    assert.equal(holeBytes(file), 0);
    await device.writeZeros(0, 60 << 10);
    const got = new Uint8Array(61 << 10);
    await device.read(0, got);
    assert.deepEqual([got[0], got[(60 << 10) - 1], got[60 << 10]], [0, 0, 7]);
    await device.close();
  });
});

for (const format of ['vmdk', 'vhd'] as const) {
  test(`${format}: the places of discarded blocks are used again, in the session and after it, with and without holes`, async () => {
    for (const makesHoles of [true, false]) {
      const file = await make(format, makesHoles);
      let { device } = await openImage(file, loneHost, format);
      const random = seeded(31);
      const shadow = new Uint8Array(SIZE);
      const fill = async (value: number): Promise<void> => {
        shadow.fill(value);
        await device.write(0, shadow);
      };
      await fill(1);
      await device.flush();
      const full = await file.size();
      for (let round = 2; round < 8; round++) {
        await device.writeZeros(2 << 20, 16 << 20);
        shadow.fill(0, 2 << 20, 18 << 20);
        await device.flush();
        if (round % 2 === 0) {
          await device.close();
          ({ device } = await openImage(file, loneHost, format));
        }
        // Parts of blocks only: what the places held before must not show beside them.
        for (let part = 0; part < 20; part++) {
          const at = Math.floor((random() * SIZE) / 512) * 512;
          const data = new Uint8Array(Math.min(3000, SIZE - at)).fill(round);
          await device.write(at, data);
          shadow.set(data, at);
        }
        const got = new Uint8Array(SIZE);
        await device.read(0, got);
        assert.equal(Buffer.compare(got, shadow), 0, `round ${round}, holes: ${makesHoles}`);
        await fill(round);
        await device.flush();
      }
      assert.equal(await file.size(), full, 'the file has not grown');
      await device.close();
    }
  });
}
