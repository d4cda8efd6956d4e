import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ECAM_WINDOW } from '../memory-map.ts';
import { mpConfiguration } from './mp-table.ts';
import { pirTable } from './pir-table.ts';
import { smbiosEntryPoint, smbiosStructures } from './smbios.ts';
import { ANCHORS, systemTables, type TablesOptions } from './system-tables.ts';

const options: TablesOptions = {
  processors: [0, 1, 2, 3],
  ioApicId: 4,
  signature: 0x30661,
  features: 0x0789_abcd,
  acpi: {
    serialPorts: [{ base: 0x3f8, irq: 4 }],
    parallelPorts: [{ base: 0x378, irq: 7 }],
    pciMemory: { first: 0xc0000000, last: 0xfeafffff },
    ecam: ECAM_WINDOW,
  },
  smbios: { version: '1.0', ramBytes: 3.5 * 2 ** 30, lowRamBytes: 3 * 2 ** 30, processorName: 'a processor' },
};

const sum = (bytes: Uint8Array) => bytes.reduce((total, byte) => total + byte, 0) & 0xff;
const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

/** Guest memory from E0000h to FFFFFh with the pieces in it. */
function memory() {
  const bytes = new Uint8Array(0x20000);
  for (const piece of systemTables(options).pieces) {
    const at = piece.address - 0xe0000;
    assert.ok(
      bytes.subarray(at, at + piece.bytes.length).every((byte) => byte === 0),
      'no piece lies over another',
    );
    bytes.set(piece.bytes, at);
  }
  const from = (address: number, length: number) => bytes.subarray(address - 0xe0000, address - 0xe0000 + length);
  /** Searches the BIOS's segment by paragraphs, as systems do. */
  const find = (signature: string) => {
    for (let at = 0xf0000; at < 0x100000; at += 16) {
      if (text(from(at, signature.length)) === signature) return at;
    }
    return assert.fail(`${signature} is not found`);
  };
  return { from, find };
}

test('the routing table is found, sums to zero, and names the bridge and four links a slot', () => {
  const { from, find } = memory();
  const at = find('$PIR');
  const length = view(from(at, 32)).getUint16(6, true);
  const table = from(at, length);
  assert.equal(sum(table), 0);
  assert.equal(view(table).getUint16(4, true), 0x100);
  assert.deepEqual([table[8], table[9]], [0, 8]);
  assert.equal(view(table).getUint32(12, true), 0x70008086);
  assert.equal((length - 32) / 16, 31);
  const third = table.subarray(32 + 2 * 16, 32 + 3 * 16);
  assert.deepEqual([third[0], third[1]], [0, 3 << 3]);
  assert.deepEqual(
    [2, 5, 8, 11].map((index) => third[index]),
    [0x63, 0x60, 0x61, 0x62],
    'INTA of device 3 is PIRQD',
  );
  assert.equal(view(third).getUint16(3, true), (1 << 5) | (1 << 10) | (1 << 11));
  assert.equal(pirTable([5]).length, length);
});

test('the multiprocessor tables are found and describe every processor, bus and interrupt', () => {
  const { from, find } = memory();
  const pointer = from(find('_MP_'), 16);
  assert.equal(sum(pointer), 0);
  assert.deepEqual([pointer[8], pointer[9]], [1, 4]);
  const address = view(pointer).getUint32(4, true);
  const length = view(from(address, 44)).getUint16(4, true);
  const table = from(address, length);
  assert.equal(text(table.subarray(0, 4)), 'PCMP');
  assert.equal(sum(table), 0);
  assert.deepEqual(table, mpConfiguration({ ...options, processors: options.processors }));
  const kinds = new Map<number, number>();
  let at = 44;
  let count = 0;
  for (; at < length; count++) {
    const kind = table[at];
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    at += kind === 0 ? 20 : 8;
  }
  assert.equal(at, length, 'entries end where the table does');
  assert.equal(count, view(table).getUint16(34, true));
  assert.deepEqual(
    [...kinds],
    [
      [0, 4],
      [1, 2],
      [2, 1],
      [3, 15 + 31 * 4],
      [4, 2],
    ],
  );
  assert.deepEqual(
    [0, 1, 2, 3].map((index) => table[44 + index * 20 + 3]),
    [3, 1, 1, 1],
    'the first is the boot processor',
  );
});

test('SMBIOS is found, and its structures can be walked', () => {
  const { from, find } = memory();
  const at = find('_SM_');
  const entry = from(at, 31);
  assert.equal(sum(entry), 0);
  assert.equal(sum(entry.subarray(16)), 0);
  assert.equal(text(entry.subarray(16, 21)), '_DMI_');
  const table = from(view(entry).getUint32(24, true), view(entry).getUint16(22, true));
  const count = view(entry).getUint16(28, true);
  const types: number[] = [];
  const handles = new Set<number>();
  let longest = 0;
  let offset = 0;
  const strings: string[] = [];
  for (let index = 0; index < count; index++) {
    const start = offset;
    types.push(table[offset]);
    handles.add(view(table).getUint16(offset + 2, true));
    offset += table[offset + 1];
    const first = offset;
    while (table[offset] !== 0 || table[offset + 1] !== 0) offset++;
    strings.push(...text(table.subarray(first, offset)).split('\0'));
    offset += 2;
    longest = Math.max(longest, offset - start);
  }
  assert.equal(offset, table.length);
  assert.equal(longest, view(entry).getUint16(8, true));
  assert.deepEqual(types, [0, 1, 2, 3, 4, 4, 4, 4, 16, 17, 19, 19, 32, 127]);
  assert.equal(handles.size, count, 'handles differ');
  assert.ok(strings.includes('CPU 3') && strings.includes('a processor') && strings.includes('Trivisor PC'));
});

test('SMBIOS tells the UUID with its first three fields turned around', () => {
  const uuid = Uint8Array.from({ length: 16 }, (_, index) => index);
  const { bytes } = smbiosStructures({ ...options.smbios, ...options, processors: 1, uuid });
  let at = 0;
  while (bytes[at] !== 1) {
    at += bytes[at + 1];
    while (bytes[at] !== 0 || bytes[at + 1] !== 0) at++;
    at += 2;
  }
  assert.deepEqual([...bytes.subarray(at + 8, at + 24)], [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15]);
});

test('SMBIOS tells memory of any size', () => {
  const large = smbiosStructures({ ...options.smbios, ...options, processors: 1, ramBytes: 100 * 2 ** 30 });
  assert.equal(large.count, 14, 'modules are as large as a structure can tell');
  assert.equal(smbiosEntryPoint(0xe8000, large).length, 31);
});

test('what does not fit is refused', () => {
  assert.ok(ANCHORS.end - ANCHORS.first >= 0x400);
  const processors = Array.from({ length: 2000 }, (_, index) => index & 0xff);
  assert.throws(() => systemTables({ ...options, processors }), /do not fit|the ACPI tables need/);
});
