// Debian's real kernels through the loaders: that what they say in their headers is understood. Nothing runs here.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { detectAndLoad } from '../../native-free-core/firmware/boot/load.ts';
import { testMemory } from '../../native-free-core/firmware/boot/test-images.ts';
import { memoryMap } from '../../native-free-core/firmware/memory-map.ts';
import { architectures, debianGuest, noDebian } from './debian.ts';

for (const architecture of architectures) {
  test(`the loader places Debian's ${architecture} kernel and initrd`, { skip: noDebian }, async () => {
    const files = await debianGuest(architecture);
    const [kernel, initrd] = [readFileSync(files.kernel), readFileSync(files.initrd)];
    const bytes = files.memoryMiB * 2 ** 20;
    const memory = testMemory(bytes);
    const options = { initrd, append: files.append, memoryMap: memoryMap(bytes), prefer64: true };
    const entry = detectAndLoad(kernel, options, memory);
    assert.equal(entry.mode, architecture === 'amd64' ? 'long64' : 'protected32');
    assert.equal(entry.rip, architecture === 'amd64' ? 0x100200 : 0x100000);
    const params = new DataView(memory.read(entry.rsi, 4096).buffer);
    assert.ok(params.getUint16(0x206, true) >= 0x020f);
    const at = params.getUint32(0x218, true);
    assert.ok(at + initrd.length - 1 <= Math.min(params.getUint32(0x22c, true), bytes - 1));
    assert.deepEqual(memory.read(at, 64), new Uint8Array(initrd.subarray(0, 64)));
    assert.throws(() => detectAndLoad(kernel.subarray(0, 1 << 20), options, testMemory(bytes)), /truncated/);
    const tiny = { ...options, memoryMap: memoryMap(2 ** 24) };
    assert.throws(
      () => detectAndLoad(kernel, tiny, testMemory(2 ** 24)),
      /needs memory at .* but the guest has 16 MiB/,
    );
  });
}
