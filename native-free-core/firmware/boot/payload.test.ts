import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import zlib from 'node:zlib';
import { memoryMap } from '../memory-map.ts';
import type { BootOptions } from './boot.ts';
import { detectAndLoad } from './load.ts';
import type { HostUnpack } from './payload.ts';
import { elfImage, type LinuxImageOptions, linuxImage, testMemory } from './test-images.ts';

const MIB = 2 ** 20;
const BASE = 0x1000000;

const unpack: HostUnpack = (format, bytes, most) =>
  format === 'gzip'
    ? zlib.gunzipSync(bytes, { maxOutputLength: most })
    : zlib.zstdDecompressSync(bytes, { maxOutputLength: most });

function load(image: Uint8Array, options: Partial<BootOptions> = {}) {
  const memory = testMemory(64 * MIB);
  const given = { append: 'ro', memoryMap: memoryMap(64 * MIB), unpack, ...options };
  return { entry: detectAndLoad(image, given, memory), ram: memory.ram };
}

const kernel = (is64: boolean, code = Uint8Array.of(0xe8, 1, 2, 3, 0, 0xf4)): Uint8Array =>
  elfImage({ is64, code, physical: BASE, virtual: is64 ? 0x7fff81000000 : 0xc1000000, entry: BASE + 1 });

/** As a kernel's build leaves it: behind all but gzip stands the size. */
function sized(packed: Uint8Array, size: number): Uint8Array {
  const whole = new Uint8Array(packed.length + 4);
  whole.set(packed);
  new DataView(whole.buffer).setUint32(packed.length, size, true);
  return whole;
}

function program(name: string, args: readonly string[]) {
  const isThere = spawnSync(name, ['--version']).error === undefined;
  return {
    skip: isThere ? (false as const) : `${name} is not installed`,
    pack: (bytes: Uint8Array) => sized(spawnSync(name, args, { input: bytes }).stdout, bytes.length),
  };
}

const ways: Record<string, { skip?: string | false; pack(bytes: Uint8Array): Uint8Array }> = {
  gzip: { pack: (bytes) => zlib.gzipSync(bytes) },
  Zstandard: { pack: (bytes) => sized(zlib.zstdCompressSync(bytes), bytes.length) },
  'nothing at all': { pack: (bytes) => bytes },
  xz: program('xz', ['-zc', '--check=crc32', '--x86', '--lzma2=dict=32MiB']),
  LZMA: program('xz', ['-zc', '--format=lzma']),
  LZ4: program('lz4', ['-l', '-c']),
  LZO: program('lzop', ['-9', '-c']),
};

for (const [way, { skip = false, pack }] of Object.entries(ways)) {
  test(`a bzImage's kernel packed by ${way} is entered directly`, { skip }, () => {
    for (const is64 of [false, true]) {
      const elf = kernel(is64);
      const { entry, ram } = load(linuxImage({ payload: pack(elf), xloadFlags: is64 ? 1 : 0 }), { prefer64: true });
      assert.equal(entry.protocol, 'linux');
      assert.equal(entry.mode, is64 ? 'long64' : 'protected32');
      assert.equal(entry.rip, BASE + 1);
      assert.deepEqual(
        [...ram.subarray(BASE, BASE + 8)],
        [0xe8, 1, 2, 3, 0, 0xf4, 0, 0],
        'the code, and zeros behind it',
      );
      assert.equal(ram[0x100000], 0xcc, 'nothing of the code that unpacks is loaded');
      const params = new DataView(ram.buffer, entry.rsi, 4096);
      assert.equal(params.getUint32(0x202, true), 0x53726448);
      assert.equal(params.getUint8(0x210), 0xff);
      assert.equal(params.getUint8(0x211) & 2, 0, 'the kernel is told that it was not moved at random');
      const line = params.getUint32(0x228, true);
      assert.equal(Buffer.from(ram.subarray(line, line + 3)).toString(), 'ro\0');
    }
  });
}

test('what the host is not to unpack, or cannot, the guest unpacks', () => {
  const payload = zlib.gzipSync(kernel(true));
  const own = (options: LinuxImageOptions, given: Partial<BootOptions> = {}): void => {
    const { entry, ram } = load(linuxImage(options), given);
    assert.equal(entry.rip, 0x100000);
    assert.equal(ram[0x100000], 0x90);
  };
  const memory = testMemory(64 * MIB);
  const { rip } = detectAndLoad(linuxImage({ payload }), { append: '', memoryMap: memoryMap(64 * MIB) }, memory);
  assert.equal(rip, 0x100000);
  own({ payload: sized(new TextEncoder().encode('BZh91AY&SY is not unpacked here'), 100) });
  own({ payload, version: 0x0207 });
  own({});
});

test('a packed kernel that cannot be', () => {
  const packed = zlib.gzipSync(kernel(true));
  const fails = (options: LinuxImageOptions, message: RegExp): void =>
    assert.throws(
      () => load(linuxImage(options)),
      (error: Error) => {
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      },
    );
  fails(
    { payload: packed, payloadLength: 2 ** 31 },
    /^the bzImage is damaged: it names a compressed kernel that lies outside of it$/,
  );
  fails({ payload: packed, payloadOffset: 2 ** 31 }, /lies outside of it$/);
  const claims = (size: number): Uint8Array => sized(packed.subarray(0, -4), size);
  fails({ payload: claims(2 ** 32 - 1) }, /^the kernel says that it unpacks to 4096 MiB; at most 512 MiB make sense$/);
  fails({ payload: claims(100) }, /^the bzImage's compressed kernel is damaged: /);
  fails({ payload: claims(100_000) }, /^the bzImage's compressed kernel is damaged: /);
  const bad = packed.slice();
  bad[20] ^= 0xff;
  fails({ payload: bad }, /^the bzImage's compressed kernel is damaged: /);
  fails({ payload: zlib.gzipSync(new Uint8Array(500)) }, /^what the bzImage unpacks to is no ELF kernel$/);
  const bomb = sized(zlib.zstdCompressSync(new Uint8Array(32 * MIB)), 1 * MIB);
  fails({ payload: bomb }, /^the bzImage's compressed kernel is damaged: /);
  const short = sized(zlib.zstdCompressSync(kernel(false)), kernel(false).length + 1);
  fails({ payload: short }, /^the bzImage's compressed kernel is damaged: it has \d+ bytes, not the \d+ it names$/);
  const far = elfImage({ physical: 0x8000000, entry: 0x8000000 });
  fails(
    { payload: zlib.gzipSync(far) },
    /^the kernel needs memory at 0x8000000 to 0x8000060, but the guest has 64 MiB there$/,
  );
  const lost = elfImage({ physical: BASE, entry: 0x8000000 });
  fails({ payload: zlib.gzipSync(lost) }, /^the kernel's entry 0x8000000 is outside of what it loads$/);
});
