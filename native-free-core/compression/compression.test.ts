import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { crc64 } from './crc64.ts';
import { unpackLz4Legacy } from './lz4.ts';
import { CompressedDataError } from './lzma.ts';
import { unpackLzop } from './lzo.ts';
import { unpackLzma, unpackXz } from './xz.ts';

// The judges are the programs that made the formats: what they pack comes out here as it went in.

const without = (program: string): string | false =>
  (process.env.PATH ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, program)))
    ? false
    : `${program} is not installed`;

/** Bytes by xorshift: the same in every run. */
function noise(length: number, seed: number, mask = 0xff): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & mask;
  });
}

/** The beginning of the program that runs this: machine code with its calls and jumps. */
function machineCode(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const descriptor = openSync(process.execPath, 'r');
  readSync(descriptor, bytes, 0, length, 20 << 20);
  closeSync(descriptor);
  return bytes;
}

/** Opcodes of CALL and JMP wherever they can be, with operands whose last bytes are 00h and FFh more often than not. */
const calls = noise(300_000, 5).map((byte) => (byte < 90 ? 0xe8 | (byte & 1) : byte < 170 ? (byte & 1) * 255 : byte));

const contents: Record<string, Uint8Array> = {
  nothing: new Uint8Array(),
  'one byte': Uint8Array.of(7),
  text: new TextEncoder().encode('all work and no play makes jack a dull boy\n'.repeat(4000)),
  zeros: new Uint8Array(700_000),
  noise: noise(200_000, 1),
  'few symbols': noise(100_000, 2, 0x13),
  code: machineCode(400_000),
  calls,
  'four bytes of code': Uint8Array.of(0xe8, 0, 0, 0),
  'five bytes of code': Uint8Array.of(0xe8, 1, 2, 3, 0),
};

function pack(program: string, args: readonly string[], input: Uint8Array): Uint8Array {
  const { status, stdout, stderr } = spawnSync(program, args, { input, maxBuffer: 1 << 28 });
  assert.equal(status, 0, stderr.toString());
  return stdout;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;

const fails = (act: () => unknown, message?: RegExp): void => {
  assert.throws(act, (error) => {
    assert.ok(error instanceof CompressedDataError, String(error));
    if (message) assert.match(error.message, message);
    return true;
  });
};

const ways: Record<string, readonly string[]> = {
  plain: ['-1'],
  'as Linux packs kernels': ['--check=crc32', '--x86', '--lzma2=dict=32MiB'],
  'x86 filter from an offset': ['--x86=start=4096', '--lzma2'],
  'other properties': ['--lzma2=lc=0,lp=4,pb=4'],
  'no literal context': ['--lzma2=lc=0,lp=0,pb=0,mf=hc4,nice=273'],
  'no check, several blocks': ['--check=none', '--block-size=100000'],
};

for (const [way, args] of Object.entries(ways)) {
  test(`.xz: ${way}`, { skip: without('xz') }, () => {
    for (const [name, content] of Object.entries(contents)) {
      const packed = pack('xz', ['-zc', ...args], content);
      assert.ok(same(unpackXz(packed, content.length), content), name);
    }
  });
}

test('.xz: streams that follow each other, padding, and what may stand behind', { skip: without('xz') }, () => {
  const [one, two] = ['one', 'two'].map((text) => pack('xz', ['-zc'], new TextEncoder().encode(text)));
  const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
  assert.equal(text(unpackXz(join(one, new Uint8Array(8), two), 6)), 'onetwo');
  fails(() => unpackXz(join(one, Uint8Array.of(1, 2, 3, 4)), 6), /^(damaged: it does not begin|cut short)/);
  assert.equal(text(unpackXz(join(one, Uint8Array.of(1, 2, 3, 4)), 6, { trailing: true })), 'one');
  fails(() => unpackXz(join(one, two), 5), /^too large: it unpacks to more than 1 MiB$/);
});

test('.lzma, with its size and with an end marker', { skip: without('xz') }, () => {
  for (const [name, content] of Object.entries(contents)) {
    const packed = Uint8Array.from(pack('xz', ['-zc', '--format=lzma'], content));
    assert.ok(same(unpackLzma(packed, content.length), content), name);
    // A size that is known: the marker then stands behind what is asked for.
    new DataView(packed.buffer).setBigUint64(5, BigInt(content.length), true);
    assert.ok(same(unpackLzma(packed, content.length), content), `${name}, its size known`);
    if (content.length > 1) fails(() => unpackLzma(packed, content.length - 1), /^too large/);
  }
});

test('damaged .xz files are refused, wherever the damage is', { skip: without('xz') }, () => {
  const content = contents.code.subarray(0, 40_000);
  const packed = Uint8Array.from(pack('xz', ['-zc', '--check=crc32', '--x86', '--lzma2'], content));
  for (let at = 0; at < packed.length; at += at < 64 || at > packed.length - 64 ? 1 : 97) {
    const bad = packed.slice();
    bad[at] ^= 1 << (at % 8);
    fails(() => unpackXz(bad, content.length));
    fails(() => unpackXz(packed.subarray(0, at === 0 ? 1 : at), content.length));
  }
  const sha = pack('xz', ['-zc', '--check=sha256'], content);
  fails(() => unpackXz(sha, content.length), /^of a kind that is not known here: check 10 of \.xz$/);
  const arm = pack('xz', ['-zc', '--arm', '--lzma2'], content);
  fails(() => unpackXz(arm, content.length), /^of a kind that is not known here: filter 7h of \.xz$/);
});

test('what looks like LZMA and is chance ends with an error or within its bounds', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const bytes = noise(600, seed);
    // Usual properties, a size, a zero to begin with: the rest is the range coder's.
    bytes.set([0x5d, 0, 0, 0x80, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    try {
      assert.equal(unpackLzma(bytes, 4096).length, 4096);
    } catch (error) {
      assert.ok(error instanceof CompressedDataError, `seed ${seed}: ${String(error)}`);
    }
  }
});

test('LZ4 frames of the kind that holds kernels', { skip: without('lz4') }, () => {
  for (const [name, content] of Object.entries({ ...contents, 'two blocks': machineCode(9 << 20) })) {
    if (content.length === 0) continue;
    const packed = pack('lz4', ['-l', '-c'], content);
    assert.ok(same(unpackLz4Legacy(packed, content.length), content), name);
    fails(() => unpackLz4Legacy(packed, content.length - 1), /^too large/);
    for (let cut = 1; cut < 40 && cut < packed.length - 8; cut++)
      fails(() => unpackLz4Legacy(packed.subarray(0, packed.length - cut), content.length));
  }
  for (let seed = 1; seed <= 300; seed++) {
    const bytes = noise(300, seed);
    bytes.set([2, 0x21, 0x4c, 0x18, 292 & 0xff, 292 >> 8, 0, 0]);
    try {
      assert.ok(unpackLz4Legacy(bytes, 100_000).length <= 100_000);
    } catch (error) {
      assert.ok(error instanceof CompressedDataError, `seed ${seed}: ${String(error)}`);
    }
  }
});

test('lzop files', { skip: without('lzop') }, () => {
  for (const [name, content] of Object.entries(contents)) {
    if (content.length === 0) continue;
    for (const level of ['-1', '-6', '-9']) {
      const packed = Uint8Array.from(pack('lzop', [level, '-c'], content));
      assert.ok(same(unpackLzop(packed, content.length), content), `${name} ${level}`);
      if (level === '-9') fails(() => unpackLzop(packed, content.length - 1), /^too large/);
    }
  }
  const packed = Uint8Array.from(pack('lzop', ['-9', '-c'], contents.code.subarray(0, 5000)));
  for (let at = 45; at < packed.length; at++) {
    const bad = packed.slice();
    bad[at] ^= 0x55;
    try {
      assert.ok(unpackLzop(bad, 5000).length <= 5000);
    } catch (error) {
      assert.ok(error instanceof CompressedDataError, `byte ${at}: ${String(error)}`);
    }
    fails(() => unpackLzop(packed.subarray(0, at), 5000));
  }
});

test('CRC-64 of the usual nine bytes', () => {
  const [low, high] = crc64(new TextEncoder().encode('123456789'));
  assert.equal(((BigInt(high) << 32n) | BigInt(low)).toString(16), '995dc9bbdf1939fa');
});
