import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openStateFile, writeStateFile } from './state-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-state-file-'));
after(() => rmSync(folder, { recursive: true }));

const MIB = 1 << 20;
const state = {
  version: 1,
  time: 12.5,
  wide: 0xffff_ffff_ffff_fffen,
  bytes: Uint8Array.of(0, 255, 7),
  nested: { nothing: null, list: [1n, { bytes: new Uint8Array(0) }], word: '$bytes' },
};

/** Some pages of content among zeros, and an end that is no whole piece. */
function someMemory(): Uint8Array {
  const memory = new Uint8Array(new SharedArrayBuffer(5 * MIB + 4096));
  for (let at = MIB; at < MIB + 9000; at++) memory[at] = (at * 31) & 0xff;
  memory[3 * MIB] = 1;
  memory[memory.length - 1] = 9;
  return memory;
}

async function written(name: string): Promise<{ file: string; memory: Uint8Array }> {
  const [file, memory] = [join(folder, name), someMemory()];
  assert.equal(await writeStateFile(file, state, memory), statSync(file).size);
  return { file, memory };
}

test('a state and its memory come back as they were, and zeros take no room', async () => {
  const { file, memory } = await written('whole');
  assert.ok(statSync(file).size < 20_000);
  const opened = await openStateFile(file);
  assert.deepEqual(opened.state, state);
  const read = new Uint8Array(new SharedArrayBuffer(memory.length));
  await opened.fill(read);
  assert.deepEqual(Buffer.from(read.slice()), Buffer.from(memory.slice()));
  await opened.close();
});

test('a file that is damaged anywhere is refused with a sentence', async () => {
  const { file, memory } = await written('damaged');
  const whole = readFileSync(file);
  for (let at = 0; at < whole.length; at += 37) {
    const bytes = Buffer.from(whole);
    bytes[at] ^= 0x10;
    writeFileSync(file, bytes);
    const read = async () => {
      const opened = await openStateFile(file);
      try {
        await opened.fill(new Uint8Array(memory.length));
      } finally {
        await opened.close();
      }
    };
    await assert.rejects(read, /^Error: (The saved state .* is damaged: .*|.* is no saved state)\.$/, `byte ${at}`);
  }
});

test('a file that was cut off, or is none, is refused with a sentence', async () => {
  const { file } = await written('cut');
  const whole = readFileSync(file);
  for (const length of [0, 5, 24, whole.length - 1]) {
    writeFileSync(file, whole.subarray(0, length));
    await assert.rejects(openStateFile(file), /is damaged|is no saved state/);
  }
});

test('a memory of another size is refused', async () => {
  const { file, memory } = await written('size');
  const opened = await openStateFile(file);
  await assert.rejects(opened.fill(new Uint8Array(memory.length + 4096)), /bytes of memory, not/);
  await opened.close();
});

test('what cannot be written leaves what was there', async () => {
  const { file } = await written('kept');
  const before = readFileSync(file);
  const unwritable = { version: 1, circle: {} as Record<string, unknown> };
  unwritable.circle.circle = unwritable.circle;
  await assert.rejects(writeStateFile(file, unwritable, someMemory()));
  assert.deepEqual(readFileSync(file), before);
  assert.ok(!readdirSync(folder).some((name) => name.endsWith('.partial')));
});
