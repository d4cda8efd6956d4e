import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine, BUFFER } from './testing.ts';

test('the PCI BIOS is there, finds functions, and reads and writes registers', async () => {
  const machine = await new BiosTestMachine().boot();
  const there = await machine.int(0x1a, { eax: 0xb101 });
  assert.deepEqual(
    [there.carry, there.ah, there.edx, there.ebx & 0xffff, there.ecx & 0xff],
    [false, 0, 0x20494350, 0x0210, 0],
  );
  const ide = await machine.int(0x1a, { eax: 0xb103, ecx: 0x010180 });
  assert.deepEqual([ide.carry, ide.ebx & 0xffff], [false, 0x0009]);
  const bridge = await machine.int(0x1a, { eax: 0xb102, ecx: 0x1237, edx: 0x8086 });
  assert.deepEqual([bridge.carry, bridge.ebx & 0xffff], [false, 0x0000]);
  assert.equal((await machine.int(0x1a, { eax: 0xb102, ecx: 0x1237, edx: 0x8086, esi: 1 })).ah, 0x86);
  assert.equal((await machine.int(0x1a, { eax: 0xb102, edx: 0xffff })).ah, 0x83);
  const at = { ebx: 0x0009 };
  assert.equal((await machine.int(0x1a, { eax: 0xb108, ...at, edi: 0x0b })).ecx & 0xff, 0x01);
  assert.equal((await machine.int(0x1a, { eax: 0xb109, ...at, edi: 0x00 })).ecx & 0xffff, 0x8086);
  const bar = (await machine.int(0x1a, { eax: 0xb10a, ...at, edi: 0x20 })).ecx;
  assert.equal(bar & 1, 1);
  assert.ok((bar & ~15) >= 0xc000, 'POST gave the bus master ports');
  await machine.int(0x1a, { eax: 0xb10b, ...at, edi: 0x3c, ecx: 0x5a });
  assert.equal((await machine.int(0x1a, { eax: 0xb108, ...at, edi: 0x3c })).ecx & 0xff, 0x5a);
  assert.equal((await machine.int(0x1a, { eax: 0xb109, ...at, edi: 0x01 })).ah, 0x87);
  assert.equal((await machine.int(0x1a, { eax: 0xb10a, ebx: 0x0100, edi: 0 })).ecx, 0xffffffff, 'no bus 1');
  assert.equal((await machine.int(0x1a, { eax: 0xb106 })).ah, 0x81);
});

test('the interrupt routing options are those of the $PIR table', async () => {
  const machine = await new BiosTestMachine().boot();
  const buffer = (size: number) => machine.fill(0x800, Uint8Array.of(size & 0xff, size >> 8, 0, 0, 0, BUFFER >> 12));
  buffer(0);
  const small = await machine.int(0x1a, { eax: 0xb10e, ebx: 0, edi: 0x800, ds: 0xf000 });
  assert.equal(small.ah, 0x89);
  const size = machine.u16(0x800);
  assert.ok(size > 0 && size % 16 === 0);
  buffer(size);
  assert.equal((await machine.int(0x1a, { eax: 0xb10e, ebx: 0, edi: 0x800, ds: 0xf000 })).carry, false);
  assert.equal(machine.bytes(BUFFER, 1)[0], 0, 'slots of bus 0');
});

test('the service directory is found by its signature and checksum', async () => {
  const machine = await new BiosTestMachine().boot();
  const found: number[] = [];
  for (let at = 0xe0000; at < 0x100000; at += 16) {
    const header = machine.bytes(at, 16);
    if (
      String.fromCharCode(...header.subarray(0, 4)) === '_32_' &&
      header.reduce((sum, byte) => sum + byte, 0) % 256 === 0
    )
      found.push(machine.u32(at + 4));
  }
  assert.equal(found.length, 1);
  assert.deepEqual([...machine.bytes(found[0], 3)], [0xe6, 0xb4, 0xcb], 'a trap and a far return');
});
