import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryMap, ramRegions } from '../memory-map.ts';
import type { BootOptions } from './boot.ts';
import { detectAndLoad } from './load.ts';
import { elfImage, linuxImage, multibootHeader, testMemory } from './test-images.ts';

const MIB = 2 ** 20;

function load(image: Uint8Array, options: Partial<BootOptions> = {}, bytes = 64 * MIB) {
  const memory = testMemory(bytes);
  const entry = detectAndLoad(image, { append: '', memoryMap: memoryMap(bytes), ...options }, memory);
  const view = new DataView(memory.ram.buffer);
  const text = (address: number) => {
    const end = memory.ram.indexOf(0, address);
    return Buffer.from(memory.ram.subarray(address, end)).toString();
  };
  return {
    entry,
    ram: memory.ram,
    u8: (at: number) => view.getUint8(at),
    u32: (at: number) => view.getUint32(at, true),
    u64: (at: number) => Number(view.getBigUint64(at, true)),
    text,
  };
}

const fails = (image: Uint8Array, message: RegExp, options: Partial<BootOptions> = {}, bytes?: number) =>
  assert.throws(
    () => load(image, options, bytes),
    (error: Error) => {
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    },
  );

test('the memory map has the hole below 4 GiB and the reserved ranges below 1 MiB', () => {
  assert.deepEqual(ramRegions(256 * MIB), [{ base: 0, length: 256 * MIB }]);
  assert.deepEqual(ramRegions(4096 * MIB), [
    { base: 0, length: 3072 * MIB },
    { base: 4096 * MIB, length: 1024 * MIB },
  ]);
  const map = memoryMap(4096 * MIB);
  assert.deepEqual(
    map.map(({ base, length, type }) => [base, base + length, type]),
    [
      [0, 0x9fc00, 1],
      [0x9fc00, 0xa0000, 2],
      [0xe0000, 0x100000, 2],
      [0x100000, 0xc0000000, 1],
      [0xfeb00000, 0xfec00000, 2],
      [0x100000000, 0x140000000, 1],
    ],
  );
});

test('a bzImage by its 32-bit entry: boot_params, command line, initrd, E820', () => {
  const initrd = new Uint8Array(5000).fill(7);
  const { entry, u8, u32, u64, text, ram } = load(linuxImage(), {
    append: 'console=ttyS0 quiet',
    initrd,
    rsdp: 0xe0000,
  });
  assert.equal(entry.protocol, 'linux');
  assert.equal(entry.mode, 'protected32');
  assert.equal(entry.rip, 0x100000);
  assert.equal(u8(0x100000), 0x90);
  const params = entry.rsi;
  assert.ok(params >= 0x1000 && params < 0x90000);
  assert.equal(u32(params + 0x202), 0x53726448);
  assert.equal(u8(params + 0x210), 0xff);
  assert.equal(u8(params + 0x211), 0x81);
  assert.equal(u8(params + 0x1ef), 0, 'the sentinel');
  assert.equal(text(u32(params + 0x228)), 'console=ttyS0 quiet');
  assert.equal(u64(params + 0x70), 0xe0000);
  const at = u32(params + 0x218);
  assert.equal(u32(params + 0x21c), 5000);
  assert.equal(at % 4096, 0);
  assert.equal(at, 64 * MIB - 8192, 'as high as it goes');
  assert.ok(ram.subarray(at, at + 5000).every((byte) => byte === 7));
  assert.equal(u8(params + 0x1e8), 5);
  assert.deepEqual([u64(params + 0x2d0 + 60), u64(params + 0x2d8 + 60), u32(params + 0x2e0 + 60)], [MIB, 63 * MIB, 1]);
  assert.equal(u8(0x40e) | (u8(0x40f) << 8), 0x9fc0);
  assert.equal(u8(0x413) | (u8(0x414) << 8), 639);
});

test('segments and page tables of the entry state', () => {
  const both = linuxImage({ xloadFlags: 1 });
  assert.equal(load(both).entry.mode, 'protected32');
  assert.equal(load(linuxImage(), { prefer64: true }).entry.mode, 'protected32', 'no 64-bit entry to prefer');
  const { entry, u32, u64 } = load(both, { prefer64: true });
  assert.equal(entry.mode, 'long64');
  assert.equal(entry.rip, 0x100200);
  assert.deepEqual([entry.cr0, entry.cr4, entry.efer], [0x80000011, 0x20, 0x500]);
  assert.equal(entry.gdt.limit, 47);
  assert.equal(u32(entry.gdt.base + entry.codeSelector + 4), 0x00af9b00);
  assert.equal(u32(entry.gdt.base + entry.dataSelector + 4), 0x00cf9300);
  const walk = (address: number) => {
    const pml4 = u64(entry.cr3 + 8 * Math.floor(address / 2 ** 39));
    const pdpt = u64(pml4 - (pml4 % 4096) + 8 * (Math.floor(address / 2 ** 30) % 512));
    return u64(pdpt - (pdpt % 4096) + 8 * (Math.floor(address / 2 ** 21) % 512));
  };
  for (const address of [0, 0x100000, 0x40000000, 0xffe00000]) {
    assert.equal(walk(address), address - (address % 2 ** 21) + 0x83);
  }
  const { entry: entry32, u32: u32of32 } = load(both);
  assert.equal(u32of32(entry32.gdt.base + 0x10 + 4), 0x00cf9b00);
  assert.deepEqual([entry32.cr0, entry32.cr3], [0x11, 0]);
});

test('the initrd honours the highest address the kernel names, and never meets the unpacked kernel', () => {
  const { entry, u32 } = load(linuxImage({ initrdMax: 0x27fffff }), { initrd: new Uint8Array(MIB) });
  assert.equal(u32(entry.rsi + 0x218), 0x2800000 - MIB);
  // 16 MiB to 18 MiB are the unpacked kernel's: below it is room.
  const below = load(linuxImage({ initrdMax: 0x11fffff }), { initrd: new Uint8Array(MIB) });
  assert.equal(below.u32(below.entry.rsi + 0x218), 0x1000000 - MIB);
  fails(linuxImage(), /^the initrd of 60 MiB does not fit the 64 MiB of guest memory beside the kernel$/, {
    initrd: new Uint8Array(60 * MIB),
  });
  fails(linuxImage(), /^the initrd of 100 MiB does not fit the 64 MiB/, { initrd: new Uint8Array(100 * MIB) });
});

test('a bzImage that cannot be', () => {
  const image = linuxImage();
  fails(image.subarray(0, 0x220), /^the bzImage is truncated: it ends after 544 bytes, in its header$/);
  fails(
    image.subarray(0, image.length - 1000),
    /^the bzImage is truncated: its header says 18944 bytes, but there are 17944$/,
  );
  fails(linuxImage({ loadFlags: 0 }), /a zImage/);
  fails(linuxImage({ version: 0x0105 }), /boot protocol 1\.05/);
  fails(linuxImage({ commandLineMax: 10 }), /the command line has 11 bytes, but this kernel takes at most 10/, {
    append: 'x'.repeat(11),
  });
  fails(linuxImage(), /contains a zero byte/, { append: 'a\0b' });
  fails(
    linuxImage({ initBytes: 100 * MIB }),
    /^the unpacked kernel needs memory at 0x1000000 to 0x7400000, but the guest has 64 MiB there$/,
  );
  fails(
    linuxImage({ kernelBytes: 2 * MIB }),
    /^the kernel needs memory at 0x100000 to 0x300000, but the guest has 2 MiB there$/,
    {},
    2 * MIB,
  );
});

test('an ELF kernel by its PVH note: start info, modules, memory map', () => {
  for (const is64 of [false, true]) {
    const image = elfImage({ is64, pvhEntry: 0x100010, virtual: is64 ? 0x7fff_0010_0000 : 0xc0100000 });
    const { entry, u32, u64, text, u8, ram } = load(image, {
      append: 'ro',
      initrd: Uint8Array.of(1, 2, 3),
      rsdp: 0xe0000,
    });
    assert.equal(entry.protocol, 'pvh');
    assert.equal(entry.mode, 'protected32');
    assert.equal(entry.rip, 0x100010);
    assert.equal(u8(0x10003f), 0x90);
    assert.ok(
      ram.subarray(0x100040, 0x100060).every((byte) => byte === 0),
      'the rest of the segment is zero',
    );
    const info = entry.rbx;
    assert.deepEqual([u32(info), u32(info + 4), u32(info + 12)], [0x336ec578, 1, 1]);
    const module = u64(info + 16);
    assert.equal(u64(module + 8), 3);
    assert.deepEqual([...ram.subarray(u64(module), u64(module) + 3)], [1, 2, 3]);
    assert.equal(text(u64(info + 24)), 'ro');
    assert.equal(u64(info + 32), 0xe0000);
    assert.equal(u32(info + 48), 5);
    assert.deepEqual(
      [u64(u64(info + 40) + 72), u64(u64(info + 40) + 80), u32(u64(info + 40) + 88)],
      [MIB, 63 * MIB, 1],
    );
    const task = u64(entry.gdt.base + entry.taskSelector);
    assert.equal(task, 0x8b0000000067);
  }
});

test('an ELF kernel that cannot be', () => {
  const image = elfImage({ pvhEntry: 0x100000 });
  fails(elfImage(), /neither a PVH entry note \(XEN_ELFNOTE_PHYS32_ENTRY\) nor a multiboot header/);
  fails(image.subarray(0, 40), /truncated: it ends after 40 bytes/);
  fails(image.subarray(0, 70), /truncated: it ends after 70 bytes/);
  fails(image.subarray(0, 0x120), /truncated/);
  fails(elfImage({ pvhEntry: 0x100000, machine: 183 }), /not for x86 \(machine 183\)/);
  fails(elfImage({ pvhEntry: 0x500000 }), /entry 0x500000 is outside of what it loads/);
  fails(
    elfImage({ pvhEntry: 0x4000000, physical: 0x4000000 }),
    /needs memory at 0x4000000 to 0x4000060, but the guest has 64 MiB there/,
  );
  fails(elfImage({ pvhEntry: 0x100000, memoryBytes: 1 }), /larger in the file than in memory/);
  fails(elfImage({ is64: true, pvhEntry: 0x100000, memoryBytes: 2 ** 52 }), /needs memory at/);
  const big = image.slice();
  big[4] = 9;
  fails(big, /not a little-endian file/);
  const headers = image.slice();
  headers[45] = 0xff;
  fails(headers, /program headers/);
  const nothing = image.slice();
  nothing[52] = 0;
  fails(nothing, /has nothing to load/);
});

test('a multiboot kernel by the addresses of its header', () => {
  const image = new Uint8Array(0x3000).fill(0x90);
  image.set(multibootHeader(0x10003, [0x200010, 0x200000, 0, 0x204000, 0x200100]), 0x110);
  const { entry, u32, text, ram, u8, u64 } = load(image, { append: 'a b', initrd: Uint8Array.of(9) });
  assert.equal(entry.protocol, 'multiboot');
  assert.equal(entry.rax, 0x2badb002);
  assert.equal(entry.rip, 0x200100);
  assert.equal(u32(0x200010), 0x1badb002, 'the header is where it says');
  assert.equal(ram[0x200000 + 0x2eff], 0x90);
  assert.ok(ram.subarray(0x200000 + 0x2f00, 0x204000).every((byte) => byte === 0));
  const info = entry.rbx;
  assert.equal(u32(info), 0x24d);
  assert.deepEqual([u32(info + 4), u32(info + 8)], [639, 63 * 1024]);
  assert.equal(text(u32(info + 16)), 'kernel a b');
  assert.equal(u32(info + 20), 1);
  const module = u32(info + 24);
  assert.equal(u32(module + 4) - u32(module), 1);
  assert.equal(u32(module) % 4096, 0);
  assert.equal(u8(u32(module)), 9);
  assert.equal(u32(info + 44), 5 * 24);
  const map = u32(info + 48);
  assert.deepEqual([u32(map), u64(map + 4), u64(map + 12), u32(map + 20)], [20, 0, 0x9fc00, 1]);
  assert.equal(text(u32(info + 64)), 'Trivisor');
});

test('a multiboot kernel by its ELF headers, also one linked high', () => {
  const code = new Uint8Array(64).fill(0x90);
  code.set(multibootHeader(3), 16);
  assert.equal(load(elfImage({ code, entry: 0x100020 })).entry.rip, 0x100020);
  assert.equal(load(elfImage({ code, virtual: 0xc0100000, entry: 0xc0100020 })).entry.rip, 0x100020);
  const low = load(elfImage({ code, physical: 0x1000, entry: 0x1000, memoryBytes: 0x8000 }));
  assert.equal(low.u8(0x1000), 0x90, 'the loader keeps out of a kernel in conventional memory');
  assert.ok(low.entry.rbx >= 0x9000);
});

test('a multiboot kernel that cannot be', () => {
  const flat = (flags: number, addresses: readonly number[] = []) => {
    const image = new Uint8Array(0x400);
    image.set(multibootHeader(flags, addresses), 0);
    return image;
  };
  fails(flat(0x8), /requires features that this loader does not have \(flags 0x8\)/);
  fails(flat(0), /neither an ELF file nor does its header say/);
  fails(flat(0x10000, [0x100000, 0x200000, 0, 0, 0]), /names addresses that are not in the file/);
  fails(flat(0x10000, [0x100000, 0x100000, 0x200000, 0, 0x100000]), /truncated/);
  fails(flat(0x10000, [0x100000, 0x100000, 0, 0, 0x900000]), /entry 0x900000 is outside/);
  fails(flat(0x10000, [0xd0000000, 0xd0000000, 0, 0, 0xd0000000]), /needs memory at 0xd0000000/);
  fails(flat(0x10000, [0x100000, 0x100000]).subarray(0, 20), /it ends in its header/);
  const badSum = flat(0);
  badSum[8]++;
  fails(badSum, /is not a bzImage/);
});

test('an image that is no kernel', () => {
  fails(new Uint8Array(0), /^the kernel is not a bzImage, an ELF\/PVH vmlinux or a multiboot image: it is empty$/);
  fails(Uint8Array.of(0x1f, 0x8b, 8, 0), /it is a gzip-compressed file$/);
  fails(new TextEncoder().encode('070701000'), /cpio archive/);
  fails(new TextEncoder().encode('hello'), /it begins with the bytes 68 65 6c 6c$/);
});
