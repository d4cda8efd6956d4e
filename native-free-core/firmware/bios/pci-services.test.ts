import assert from 'node:assert/strict';
import { test } from 'node:test';
import { enterKernel } from '../../machines/entry.ts';
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

test('32-bit code reaches the PCI BIOS by the service directory, from flat protected mode', async () => {
  const machine = await new BiosTestMachine().boot();
  let directory = 0;
  for (let at = 0xe0000; at < 0x100000; at += 16) {
    if (String.fromCharCode(...machine.bytes(at, 4)) === '_32_') directory = machine.u32(at + 4);
  }
  const dword = (value: number) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);
  const [code, results, table] = [0x10000, 0x11000, 0x12000];
  // Null, null, flat code (10h), flat data (18h).
  machine.fill(
    table,
    Uint8Array.of(
      ...new Array(16).fill(0),
      ...dword(0x0000ffff),
      ...dword(0x00cf9b00),
      ...dword(0x0000ffff),
      ...dword(0x00cf9300),
    ),
  );
  machine.fill(results, new Uint8Array(64));
  machine.fill(
    code,
    Uint8Array.of(
      ...[0xb8, ...dword(0x49435024), 0x31, 0xdb], // mov eax, "$PCI"; xor ebx, ebx
      ...[0x9a, ...dword(directory), 0x10, 0x00], // call 10h:directory
      ...[0xa3, ...dword(results), 0x89, 0x0d, ...dword(results + 4)], // al, and the length
      ...[0x01, 0xd3, 0x89, 0x1d, ...dword(results + 8)], // add ebx, edx: the entry
      ...[0x66, 0xc7, 0x05, ...dword(results + 12), 0x10, 0x00], // and its selector
      ...[0xb8, ...dword(0xb101), 0xff, 0x1d, ...dword(results + 8)], // call far [entry]
      ...[0x0f, 0x92, 0x05, ...dword(results + 16), 0x89, 0x15, ...dword(results + 20)], // setc; edx
      ...[0xb8, ...dword(0xb10a), 0xbb, ...dword(0), 0xbf, ...dword(0)], // read the first register of 0:0.0
      ...[0xff, 0x1d, ...dword(results + 8), 0x89, 0x0d, ...dword(results + 24)],
      ...[0xc6, 0x05, ...dword(results + 28), 0x01, 0xf4], // done; hlt
    ),
  );
  enterKernel(machine.pc.cpu.system, {
    ...{ protocol: 'multiboot', mode: 'protected32', rip: code, rax: 0, rbx: 0, rsi: 0, rsp: 0x20000, rflags: 2 },
    ...{ cr0: 0x11, cr3: 0, cr4: 0, efer: 0, gdt: { base: table, limit: 0x1f } },
    ...{ codeSelector: 0x10, dataSelector: 0x18, taskSelector: 0 },
  });
  await machine.until(() => machine.bytes(results + 28, 1)[0] === 1, 'the end');
  assert.equal(machine.u32(results) & 0xff, 0, 'the service is there');
  assert.ok(machine.u32(results + 4) > 0);
  assert.deepEqual([machine.bytes(results + 16, 1)[0], machine.u32(results + 20)], [0, 0x20494350]);
  assert.equal(machine.u32(results + 24), 0x12378086);
});
