import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32, inflateSync } from 'node:zlib';
import { encodePng } from './png.ts';

/** The picture of a PNG of the one kind we write, read by the specification: chunks, checksums, filter 2. */
function decode(png: Uint8Array): { width: number; height: number; rgb: number[] } {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  assert.equal(Buffer.from(png.subarray(0, 8)).toString('latin1'), '\x89PNG\r\n\x1a\n');
  const chunks = new Map<string, Uint8Array>();
  let at = 8;
  while (at < png.length) {
    const length = view.getUint32(at);
    const name = Buffer.from(png.subarray(at + 4, at + 8)).toString('latin1');
    assert.equal(view.getUint32(at + 8 + length), crc32(png.subarray(at + 4, at + 8 + length)), name);
    chunks.set(name, png.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  assert.deepEqual([...chunks.keys()], ['IHDR', 'IDAT', 'IEND']);
  const header = chunks.get('IHDR')!;
  const size = new DataView(header.buffer, header.byteOffset, 13);
  const [width, height] = [size.getUint32(0), size.getUint32(4)];
  assert.deepEqual([...header.subarray(8)], [8, 2, 0, 0, 0]);
  const rows = inflateSync(chunks.get('IDAT')!);
  const stride = width * 3;
  assert.equal(rows.length, (stride + 1) * height);
  const rgb: number[] = [];
  for (let y = 0; y < height; y++) {
    assert.equal(rows[y * (stride + 1)], 2);
    for (let x = 0; x < stride; x++)
      rgb.push((rows[y * (stride + 1) + 1 + x]! + (y > 0 ? rgb[rgb.length - stride]! : 0)) & 255);
  }
  return { width, height, rgb };
}

test('a picture comes back from its PNG', async () => {
  const [width, height] = [7, 5];
  const pixels = Uint8ClampedArray.from({ length: width * height * 4 }, (_, index) => (index * 73) & 255);
  const png = decode(await encodePng(width, height, pixels));
  assert.deepEqual([png.width, png.height], [width, height]);
  assert.deepEqual(
    png.rgb,
    [...pixels].filter((_, index) => index % 4 !== 3),
  );
});

test('a picture whose bytes are not its size is refused', async () => {
  await assert.rejects(encodePng(2, 2, new Uint8ClampedArray(15)), RangeError);
  await assert.rejects(encodePng(0, 2, new Uint8ClampedArray(0)), RangeError);
});
