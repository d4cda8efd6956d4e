import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostFullError } from './block.ts';
import { checkImage, createImage, type ImageFormat, imageFormats, openImage } from './images.ts';
import { loneHost, MemoryFile, seeded } from './testing/memory-file.ts';

/** A file whose host is full now and then: before a write, in the middle of one, at a truncation or a flush. */
class TightFile extends MemoryFile {
  random: () => number = () => 1;
  refusals = 0;

  private refuse(): void {
    this.refusals++;
    throw new HostFullError('There is no room.');
  }

  override async write(offset: number, data: Uint8Array): Promise<void> {
    const kind = this.random();
    if (kind < 0.05) this.refuse();
    if (kind < 0.1) {
      await super.write(offset, data.subarray(0, data.length >> 1));
      this.refuse();
    }
    await super.write(offset, data);
  }

  override async truncate(size: number): Promise<void> {
    if (this.random() < 0.2) this.refuse();
    await super.truncate(size);
  }

  override async flush(): Promise<void> {
    if (this.random() < 0.1) this.refuse();
    await super.flush();
  }
}

const SIZE = 3 << 20;

/** Tries until it is done; in the end somebody makes room. */
async function insist(file: TightFile, act: () => Promise<void>): Promise<void> {
  for (let tries = 0; tries < 5; tries++) {
    try {
      await act();
      return;
    } catch (error) {
      assert.ok(error instanceof HostFullError, `${error}`);
    }
  }
  const { random } = file;
  file.random = () => 1;
  await act();
  file.random = random;
}

for (const format of imageFormats) {
  for (const lazyRefcounts of format === 'qcow2' ? [false, true] : [false]) {
    test(`${format}${lazyRefcounts ? ', lazy' : ''}: what a full host refused is done when it is tried again, and nothing is lost`, async () => {
      const file = new TightFile();
      await createImage(file, {
        ...{ format: format as ImageFormat, size: SIZE, random: new Uint8Array(32).fill(3), lazyRefcounts },
        ...(format === 'qcow2' ? { clusterBits: 12 } : {}),
      });
      const { device } = await openImage(file, loneHost, format);
      const random = seeded(77 + format.length);
      file.random = seeded(5);
      const shadow = new Uint8Array(device.size);
      for (let act = 0; act < 400; act++) {
        const offset = Math.floor((random() * SIZE) / 512) * 512;
        const length = Math.min(SIZE - offset, Math.ceil(random() * 40) * 512);
        const kind = random();
        if (kind < 0.1) await insist(file, () => device.flush());
        else if (kind < 0.2) {
          const whole = Math.min(SIZE - offset, length * 60);
          await insist(file, () => device.writeZeros(offset, whole));
          shadow.fill(0, offset, offset + whole);
        } else {
          const data = new Uint8Array(length).fill(act);
          await insist(file, () => device.write(offset, data));
          shadow.set(data, offset);
        }
      }
      await insist(file, () => device.flush());
      assert.ok(file.refusals > 20, `${file.refusals} refusals`);
      const got = new Uint8Array(device.size);
      await device.read(0, got);
      assert.equal(Buffer.compare(got, shadow), 0, 'as the guest wrote it');
      file.random = () => 1;
      await device.close();
      const again = await openImage(file, loneHost, format);
      await again.device.read(0, got);
      assert.equal(Buffer.compare(got, shadow), 0, 'the same when it is opened again');
      await again.device.close();
      const found = await checkImage(file, loneHost, false, format);
      assert.equal(found.corruptions + found.damages, 0, found.details.join('; '));
    });
  }
}
