// A process that writes a disk image at random until it is killed, for tests: numbers its rounds, and tells which are flushed.
// Owns the image while it lives.
// Never part of the product.

import { openImage } from '../../native-free-core/disk/images.ts';
import { nodeDiskHost, openHostFile } from './host-file.ts';
import { seeded } from './testing.ts';

const [path, seed] = process.argv.slice(2);
const { device } = await openImage(await openHostFile(path!, 'write'), nodeDiskHost());
const random = seeded(Number(seed));
const sectors = device.size / 512;
// The first sectors hold the number of the round, so that what was flushed can be told from what was lost.
for (let round = 1; ; round++) {
  const number = new Uint8Array(512);
  new DataView(number.buffer).setInt32(0, round);
  await device.write(0, number);
  await device.write(Math.floor(1 + random() * (sectors - 40)) * 512, new Uint8Array(20 * 512).fill(round));
  if (random() < 0.1) await device.discard(Math.floor(1 + random() * (sectors - 300)) * 512, 300 * 512);
  if (round % 8 !== 0) continue;
  await device.flush();
  process.stdout.write(`${round}\n`);
}
