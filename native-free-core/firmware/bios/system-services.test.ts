import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOW_RAM_LIMIT, RAM_LIMIT } from '../../memory/layout.ts';
import { Bda } from './layout.ts';
import { BiosTestMachine, BUFFER } from './testing.ts';

const SMAP = 0x534d4150;
const KIB = 1024;

test('memory: INT 12h, AH=88h, E801h, and every entry of E820h', async () => {
  const machine = await new BiosTestMachine({ memoryMiB: 32 }).boot();
  assert.equal((await machine.int(0x12)).eax & 0xffff, 639);
  assert.equal((await machine.int(0x15, { eax: 0x8800 })).eax & 0xffff, 31 * KIB);
  const { eax, ebx, ecx, edx, carry } = await machine.int(0x15, { eax: 0xe801 });
  assert.deepEqual(
    [carry, eax & 0xffff, ebx & 0xffff, ecx & 0xffff, edx & 0xffff],
    [false, 15 * KIB, 256, 15 * KIB, 256],
  );
  const entries: number[][] = [];
  let next = 0;
  do {
    const result = await machine.int(0x15, { eax: 0xe820, ebx: next, ecx: 24, edx: SMAP, es: BUFFER >> 4 });
    assert.deepEqual([result.carry, result.eax, result.ecx], [false, SMAP, 20]);
    entries.push([machine.u32(BUFFER), machine.u32(BUFFER + 8), machine.u32(BUFFER + 16)]);
    next = result.ebx;
  } while (next !== 0 && entries.length < 20);
  assert.deepEqual(entries[0], [0, 0x9fc00, 1]);
  assert.ok(entries.some(([base, length, type]) => base === 0x100000 && length === 31 * 2 ** 20 && type === 1));
  assert.ok(entries.some(([base, , type]) => base === 0xe0000 && type === 2));
  assert.equal((await machine.int(0x15, { eax: 0xe820, ebx: 99, ecx: 20, edx: SMAP })).carry, true);
  assert.equal((await machine.int(0x15, { eax: 0xe820, ecx: 20, edx: 1 })).carry, true);
  assert.equal((await machine.int(0x15, { eax: 0xe820, ecx: 19, edx: SMAP })).carry, true);
});

test('the most memory: told on both sides of the hole below 4 GiB, and written to its last bytes', async () => {
  const memoryMiB = Math.floor(RAM_LIMIT / 2 ** 20);
  const machine = await new BiosTestMachine({ memoryMiB }).boot();
  const high = memoryMiB * 2 ** 20 - LOW_RAM_LIMIT;
  const entries: number[][] = [];
  let next = 0;
  do {
    const result = await machine.int(0x15, { eax: 0xe820, ebx: next, ecx: 24, edx: SMAP, es: BUFFER >> 4 });
    entries.push([0, 4, 8, 12, 16].map((field) => machine.u32(BUFFER + field)));
    next = result.ebx;
  } while (next !== 0 && entries.length < 20);
  assert.ok(entries.some(([low, , length]) => low === 0x100000 && length === LOW_RAM_LIMIT - 0x100000));
  assert.ok(entries.some(([low, above, length]) => low === 0 && above === 1 && length === high));
  // Behind 2 GiB, where a signed address would turn over: the last bytes below the hole.
  const at = LOW_RAM_LIMIT - 0x1000;
  const table = new Uint8Array(48);
  table.set([0xff, 0x0f, BUFFER & 0xff, (BUFFER >> 8) & 0xff, BUFFER >> 16, 0x93], 0x10);
  table.set([0xff, 0x0f, at & 0xff, (at >>> 8) & 0xff, (at >>> 16) & 0xff, 0x93, 0, at >>> 24], 0x18);
  machine.fill(0x800, table);
  const data = Uint8Array.from({ length: 0x1000 }, (_, index) => index * 7 + 1);
  machine.fill(BUFFER, data);
  assert.equal((await machine.int(0x15, { eax: 0x8700, ecx: 0x800, esi: 0x800 })).ah, 0);
  assert.deepEqual(machine.bytes(at, 0x1000), data);
  const last = 2 ** 32 + high - 0x1000;
  machine.fill(last, data);
  assert.deepEqual(machine.bytes(last, 0x1000), data);
  assert.equal(machine.pc.cpu.system.physical.read(last + 1, new Uint8Array(0x1000)), false);
});

test('a block is moved to extended memory and back, and limits are kept', async () => {
  const machine = await new BiosTestMachine().boot();
  const table = new Uint8Array(48);
  const view = new DataView(table.buffer);
  const describe = (at: number, base: number, limit: number) => {
    view.setUint16(at, limit, true);
    view.setUint32(at + 2, base & 0xffffff, true);
    table[at + 5] = 0x93;
    table[at + 7] = base >>> 24;
  };
  describe(0x10, BUFFER, 0xffff);
  describe(0x18, 0x1234000, 0xffff);
  machine.fill(0x800, table);
  const data = Uint8Array.from({ length: 1000 }, (_, index) => index * 7);
  machine.fill(BUFFER, data);
  const moved = await machine.int(0x15, { eax: 0x8700, ecx: 500, esi: 0x800 });
  assert.deepEqual([moved.carry, moved.ah, moved.zero], [false, 0, true]);
  assert.deepEqual(machine.bytes(0x1234000, 1000), data);
  describe(0x18, 0x1234000, 99);
  machine.fill(0x800, table);
  assert.equal((await machine.int(0x15, { eax: 0x8700, ecx: 500, esi: 0x800 })).carry, true);
  assert.equal((await machine.int(0x15, { eax: 0x8700, ecx: 0x8001, esi: 0x800 })).carry, true);
});

test('A20 opens and closes, and is seen to', async () => {
  const machine = await new BiosTestMachine().boot();
  const state = async () => (await machine.int(0x15, { eax: 0x2402 })).al;
  assert.equal((await machine.int(0x15, { eax: 0x2403 })).ebx & 3, 3);
  assert.equal((await machine.int(0x15, { eax: 0x2400 })).carry, false);
  assert.equal(await state(), 0);
  await machine.int(0x15, { eax: 0x2401 });
  assert.equal(await state(), 1);
});

test('the configuration table and the EBDA', async () => {
  const machine = await new BiosTestMachine().boot();
  const table = await machine.int(0x15, { eax: 0xc000 });
  assert.equal(table.carry, false);
  const at = table.es * 16 + (table.ebx & 0xffff);
  assert.deepEqual([machine.u16(at), machine.bytes(at + 2, 1)[0]], [8, 0xfc]);
  assert.equal(machine.bytes(0xffffe, 1)[0], 0xfc);
  const ebda = await machine.int(0x15, { eax: 0xc100 });
  assert.equal(ebda.es, machine.u16(Bda.ebdaSegment));
  assert.equal(machine.bytes(ebda.es * 16, 1)[0], 1);
});

test('waits: AH=86h comes back after its time, AH=83h sets a flag', async () => {
  const machine = await new BiosTestMachine().boot();
  const before = machine.u32(Bda.ticks);
  // Two seconds.
  const waited = await machine.int(0x15, { eax: 0x8600, ecx: 0x1e, edx: 0x8480 });
  assert.equal(waited.carry, false);
  const ticks = machine.u32(Bda.ticks) - before;
  assert.ok(ticks >= 36 && ticks <= 60, `${ticks} ticks`);
  machine.fill(BUFFER, Uint8Array.of(0x01));
  assert.equal((await machine.int(0x15, { eax: 0x8300, ecx: 3, edx: 0, es: BUFFER >> 4 })).carry, false);
  assert.equal(
    (await machine.int(0x15, { eax: 0x8300, ecx: 3, edx: 0, es: BUFFER >> 4 })).carry,
    true,
    'one at a time',
  );
  await machine.until(() => machine.bytes(BUFFER, 1)[0] === 0x81, 'the flag');
  assert.equal((await machine.int(0x15, { eax: 0x8300, ecx: 0, edx: 1, es: BUFFER >> 4 })).carry, false);
});

test('power management: connecting, its state machine, and off', async () => {
  const machine = await new BiosTestMachine().boot();
  const there = await machine.int(0x15, { eax: 0x5300 });
  assert.deepEqual([there.carry, there.eax & 0xffff, there.ebx & 0xffff], [false, 0x0102, 0x504d]);
  assert.equal((await machine.int(0x15, { eax: 0x5307, ebx: 1, ecx: 3 })).ah, 0x03, 'not connected');
  assert.equal((await machine.int(0x15, { eax: 0x5301 })).carry, false);
  assert.equal((await machine.int(0x15, { eax: 0x5301 })).ah, 0x02, 'connected already');
  assert.equal((await machine.int(0x15, { eax: 0x530e, ecx: 0x0102 })).eax & 0xffff, 0x0102);
  assert.equal((await machine.int(0x15, { eax: 0x530b })).ah, 0x80, 'no event');
  assert.equal((await machine.int(0x15, { eax: 0x5305 })).carry, false);
  machine.begin(0x15, { eax: 0x5307, ebx: 1, ecx: 3 });
  await machine.until(() => machine.end !== undefined, 'the end');
  assert.equal(machine.end?.reason, 'powerOff');
});

test('what INT 15h has not is told so', async () => {
  const machine = await new BiosTestMachine().boot();
  for (const eax of [0x8400, 0xc400, 0xd800, 0x0000]) {
    const { carry, ah } = await machine.int(0x15, { eax });
    assert.deepEqual([carry, ah], [true, 0x86], eax.toString(16));
  }
  assert.equal((await machine.int(0x15, { eax: 0x9000 })).carry, false);
});
