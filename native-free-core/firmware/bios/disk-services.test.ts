import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bda, RomOffset } from './layout.ts';
import { BiosTestMachine, BUFFER, callingFloppy, MemoryDisk } from './testing.ts';

const MIB = 2 ** 20;
const FLOPPY = 0x00;
const DISK = 0x80;
const CD = 0xe0;
const at = { es: BUFFER >> 4, ebx: 0 };

/** A disk each of whose sectors says its number. */
function numbered(size: number): MemoryDisk {
  const disk = new MemoryDisk(size);
  const view = new DataView(disk.bytes.buffer);
  for (let offset = 0; offset < size; offset += 512) view.setUint32(offset, offset / 512, true);
  return disk;
}

/** A disk address packet of 16 bytes at 0:800h. */
function packet(machine: BiosTestMachine, sector: number, count: number, size = 16): { esi: number } {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  bytes[0] = size;
  view.setUint16(2, count, true);
  view.setUint32(4, (BUFFER >> 4) << 16, true);
  view.setBigUint64(8, BigInt(sector), true);
  machine.fill(0x800, bytes);
  return { esi: 0x800 };
}

test('floppies: geometry, reading over tracks, writing, verifying, formatting, and errors', async () => {
  const floppy = callingFloppy();
  new DataView(floppy.bytes.buffer).setUint32(18 * 512, 0x12345678, true);
  const machine = await new BiosTestMachine({ floppies: [floppy] }).boot();
  assert.equal(machine.bootDrive, FLOPPY);
  const parameters = await machine.int(0x13, { eax: 0x0800, edx: FLOPPY });
  assert.equal(parameters.carry, false);
  assert.deepEqual(
    [parameters.ecx & 0xffff, parameters.edx & 0xffff, parameters.ebx & 0xff],
    [0x4f12, 0x0101, 4],
    'cylinders and sectors, heads and drives, type',
  );
  assert.deepEqual([parameters.es, parameters.edi & 0xffff], [0xf000, RomOffset.floppyTable]);
  // Sectors 18 and 19 of the disk: the last of head 0 and the first of head 1.
  const read = await machine.int(0x13, { eax: 0x0202, ecx: 0x0012, edx: FLOPPY, ...at });
  assert.deepEqual([read.carry, read.ah, read.al], [false, 0, 2]);
  assert.equal(machine.u32(BUFFER + 512), 0x12345678);
  machine.fill(BUFFER, new Uint8Array(512).fill(0x5a));
  const written = await machine.int(0x13, { eax: 0x0301, ecx: 0x0301, edx: 0x0100 | FLOPPY, ...at });
  assert.deepEqual([written.carry, written.al], [false, 1]);
  assert.ok(floppy.bytes.subarray((3 * 2 + 1) * 18 * 512, ((3 * 2 + 1) * 18 + 1) * 512).every((byte) => byte === 0x5a));
  assert.equal((await machine.int(0x13, { eax: 0x0401, ecx: 0x0301, edx: FLOPPY, ...at })).carry, false);
  assert.equal((await machine.int(0x13, { eax: 0x0512, ecx: 0x0300, edx: 0x0100 | FLOPPY, ...at })).carry, false);
  assert.ok(floppy.bytes.subarray(7 * 18 * 512, 8 * 18 * 512).every((byte) => byte === 0xf6));
  for (const [eax, ecx, edx, status] of [
    [0x0201, 0x0013, FLOPPY, 0x04], // sector 19
    [0x0201, 0x5001, FLOPPY, 0x04], // cylinder 80
    [0x0201, 0x0001, 0x0200 | FLOPPY, 0x04], // head 2
    [0x0201, 0x0000, FLOPPY, 0x01], // sector 0
    [0x0200, 0x0001, FLOPPY, 0x01], // no sectors
    [0x0201, 0x0001, 0x01, 0x01], // no such drive
    [0x7700, 0x0001, FLOPPY, 0x01],
  ]) {
    const { carry, ah } = await machine.int(0x13, { eax, ecx, edx, ...at });
    assert.deepEqual([carry, ah], [true, status], `AX ${eax.toString(16)} CX ${ecx.toString(16)} DX ${edx}`);
    assert.equal(machine.bytes(Bda.floppyStatus, 1)[0], status);
    assert.equal((await machine.int(0x13, { eax: 0x0100, edx: FLOPPY })).ah, status);
  }
  floppy.isBroken = true;
  const broken = await machine.int(0x13, { eax: 0x0201, ecx: 0x0001, edx: FLOPPY, ...at });
  assert.deepEqual([broken.carry, broken.ah, broken.al], [true, 0x10, 0]);
});

test('a write-protected floppy is not written', async () => {
  const floppy = callingFloppy();
  floppy.isReadOnly = true;
  const machine = await new BiosTestMachine({ floppies: [floppy] }).boot();
  assert.equal((await machine.int(0x13, { eax: 0x0301, ecx: 0x0001, edx: FLOPPY, ...at })).ah, 0x03);
  assert.equal((await machine.int(0x13, { eax: 0x0512, ecx: 0x0001, edx: FLOPPY, ...at })).ah, 0x03);
});

test('a changed floppy is told once, an empty drive does not answer in time', async () => {
  const machine = await new BiosTestMachine().boot();
  const drive = (machine.pc as unknown as { isa: { floppy: { drives: { insert(medium: unknown): void }[] } } }).isa
    .floppy.drives[0];
  assert.equal((await machine.int(0x13, { eax: 0x1500, edx: FLOPPY })).ah, 2, 'with a change line');
  assert.equal((await machine.int(0x13, { eax: 0x1600, edx: FLOPPY })).carry, false);
  drive.insert(numbered(720 * 1024));
  const changed = await machine.int(0x13, { eax: 0x1600, edx: FLOPPY });
  assert.deepEqual([changed.carry, changed.ah], [true, 0x06]);
  drive.insert(numbered(720 * 1024));
  assert.equal((await machine.int(0x13, { eax: 0x0201, ecx: 0x0001, edx: FLOPPY, ...at })).ah, 0x06);
  assert.equal((await machine.int(0x13, { eax: 0x0201, ecx: 0x0109, edx: 0x0100, ...at })).ah, 0);
  assert.equal(machine.u32(BUFFER), (1 * 2 + 1) * 9 + 8, 'by the geometry of the new disk');
  drive.insert(null);
  assert.equal((await machine.int(0x13, { eax: 0x0201, ecx: 0x0001, edx: FLOPPY, ...at })).ah, 0x80);
});

test('disks: translated geometry, cylinders above 255, and the sectors between', async () => {
  const disk = numbered(600 * MIB);
  const machine = await new BiosTestMachine({ disks: [disk] }).boot();
  const { ecx, edx, carry } = await machine.int(0x13, { eax: 0x0800, edx: DISK });
  // 600 MiB: 1219 cylinders of 16 heads, hence 609 of 32.
  assert.equal(carry, false);
  assert.deepEqual([(ecx >> 8) & 0xff, ecx & 0xff, (edx >> 8) & 0xff, edx & 0xff], [608 & 0xff, 63 | 0x80, 31, 1]);
  const type = await machine.int(0x13, { eax: 0x1500, edx: DISK });
  assert.deepEqual([type.ah, ((type.ecx & 0xffff) << 16) | (type.edx & 0xffff)], [3, 609 * 32 * 63]);
  const read = await machine.int(0x13, {
    eax: 0x0201,
    ecx: ((500 & 0xff) << 8) | ((500 >> 2) & 0xc0) | 7,
    edx: 0x0300 | DISK,
    ...at,
  });
  assert.equal(read.carry, false);
  assert.equal(machine.u32(BUFFER), (500 * 32 + 3) * 63 + 6);
  assert.equal(machine.bytes(Bda.diskCount, 1)[0], 1);
  const beyond = await machine.int(0x13, { eax: 0x0201, ecx: 0x0001, edx: 0x2000 | DISK, ...at });
  assert.deepEqual([beyond.carry, beyond.ah], [true, 0x04], 'head 32');
  assert.equal((await machine.int(0x13, { eax: 0x0000, edx: DISK })).carry, false);
  assert.equal(disk.flushes, 1, 'a reset makes sure of what was written');
  assert.equal((await machine.int(0x13, { eax: 0x0800, edx: 0x81 })).carry, true);
  // The parameter table of INT 41h.
  const table = machine.u16(0x41 * 4 + 2) * 16 + machine.u16(0x41 * 4);
  assert.deepEqual(
    [machine.u16(table), machine.bytes(table + 2, 1)[0], machine.bytes(table + 14, 1)[0]],
    [609, 32, 63],
  );
  assert.equal(machine.bytes(table, 16).reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
});

test('a partition that tells its geometry in both ways decides that of the disk', async () => {
  const disk = new MemoryDisk(64 * MIB);
  // From sector 17 to the end of cylinder 99 with 4 heads of 17 sectors.
  const last = 100 * 4 * 17 - 1;
  disk.bytes.set([0x80, 1, 1, 0, 0x06, 3, 17, 99], 446);
  const view = new DataView(disk.bytes.buffer);
  view.setUint32(454, 17, true);
  view.setUint32(458, last - 17 + 1, true);
  view.setUint16(510, 0xaa55, true);
  const machine = await new BiosTestMachine({ disks: [disk] }).boot();
  const { ecx, edx } = await machine.int(0x13, { eax: 0x0800, edx: DISK });
  assert.deepEqual([ecx & 63, (edx >> 8) & 0xff], [17, 3]);
});

test('extensions: what there is, reading and writing by sector, parameters', async () => {
  const disk = numbered(3 * MIB);
  const machine = await new BiosTestMachine({ disks: [disk] }).boot();
  const there = await machine.int(0x13, { eax: 0x4100, ebx: 0x55aa, edx: DISK });
  assert.deepEqual([there.carry, there.ah, there.ebx & 0xffff, there.ecx & 5], [false, 0x30, 0xaa55, 5]);
  assert.equal((await machine.int(0x13, { eax: 0x4100, ebx: 0x1234, edx: DISK })).carry, true);
  assert.equal((await machine.int(0x13, { eax: 0x4100, ebx: 0x55aa, edx: FLOPPY })).carry, true);
  const read = await machine.int(0x13, { eax: 0x4200, edx: DISK, ...packet(machine, 1000, 100) });
  assert.deepEqual([read.carry, read.ah, machine.u16(0x802)], [false, 0, 100]);
  assert.deepEqual([machine.u32(BUFFER), machine.u32(BUFFER + 99 * 512)], [1000, 1099]);
  machine.fill(BUFFER, new Uint8Array(512).fill(0xa5));
  assert.equal((await machine.int(0x13, { eax: 0x4300, edx: DISK, ...packet(machine, 6143, 1) })).carry, false);
  assert.ok(disk.bytes.subarray(6143 * 512).every((byte) => byte === 0xa5));
  const beyond = await machine.int(0x13, { eax: 0x4200, edx: DISK, ...packet(machine, 6143, 2) });
  assert.deepEqual([beyond.carry, beyond.ah, machine.u16(0x802)], [true, 0x01, 0]);
  const far = await machine.int(0x13, { eax: 0x4200, edx: DISK, ...packet(machine, 2 ** 52, 1) });
  assert.equal(far.carry, true);
  assert.equal((await machine.int(0x13, { eax: 0x4200, edx: DISK, ...packet(machine, 0, 1, 15) })).ah, 0x01);
  assert.equal((await machine.int(0x13, { eax: 0x4400, edx: DISK, ...packet(machine, 0, 10) })).carry, false);
  assert.equal((await machine.int(0x13, { eax: 0x4700, edx: DISK, ...packet(machine, 6143, 1) })).carry, false);
  assert.equal((await machine.int(0x13, { eax: 0x4500, edx: DISK })).ah, 0xb2, 'not removable');

  machine.fill(0x900, Uint8Array.of(74, 0));
  assert.equal((await machine.int(0x13, { eax: 0x4800, edx: DISK, esi: 0x900 })).carry, false);
  assert.deepEqual([machine.u16(0x900), machine.u16(0x902) & 0x07], [0x42, 0x03]);
  assert.deepEqual([machine.u32(0x904), machine.u32(0x908), machine.u32(0x90c)], [6, 16, 63]);
  assert.deepEqual([machine.u32(0x910), machine.u32(0x914), machine.u16(0x918)], [6144, 0, 512]);
  assert.equal(String.fromCharCode(...machine.bytes(0x924, 12)), 'PCI ATA     ');
  assert.equal(machine.bytes(0x91e, 36).reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  machine.fill(0x900, Uint8Array.of(25, 0));
  assert.equal((await machine.int(0x13, { eax: 0x4800, edx: DISK, esi: 0x900 })).carry, true);
});

test('where disks and CDs of the AHCI controller are', async () => {
  const ahci = { disks: [numbered(MIB), numbered(MIB)], cdroms: [numbered(2 * MIB)] };
  const machine = await new BiosTestMachine({ disks: [numbered(MIB)], ahci }).boot();
  for (const [drive, port] of [
    [DISK + 1, 0],
    [DISK + 2, 1],
    [CD, 2],
  ]) {
    machine.fill(0x900, Uint8Array.of(74, 0));
    assert.equal((await machine.int(0x13, { eax: 0x4800, edx: drive, esi: 0x900 })).carry, false);
    assert.equal(String.fromCharCode(...machine.bytes(0x924, 12)), 'PCI SATA    ');
    assert.deepEqual([...machine.bytes(0x930, 3)], [0, 0x1e, 0], 'bus, device and function');
    assert.equal(machine.bytes(0x938, 1)[0], port);
    assert.equal(machine.bytes(0x91e, 36).reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  }
});

test('a buffer by its 64-bit address is read into above 1 MiB', async () => {
  const machine = await new BiosTestMachine({ disks: [numbered(3 * MIB)] }).boot();
  const bytes = new Uint8Array(24);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 24);
  view.setUint16(2, 3, true);
  view.setUint32(4, 0xffffffff, true);
  view.setUint32(8, 77, true);
  view.setUint32(16, 0x200000, true);
  machine.fill(0x800, bytes);
  assert.equal((await machine.int(0x13, { eax: 0x4200, edx: DISK, esi: 0x800 })).carry, false);
  assert.equal(machine.u32(0x200000 + 1024), 79);
});

test('a CD: sectors of 2,048 bytes, a lock that is counted, eject', async () => {
  const machine = await new BiosTestMachine({ cdroms: [numbered(2 * MIB)] }).boot();
  const read = await machine.int(0x13, { eax: 0x4200, edx: CD, ...packet(machine, 17, 2) });
  assert.equal(read.carry, false);
  assert.deepEqual([machine.u32(BUFFER), machine.u32(BUFFER + 2048)], [17 * 4, 18 * 4]);
  assert.equal((await machine.int(0x13, { eax: 0x4300, edx: CD, ...packet(machine, 0, 1) })).ah, 0x03);
  assert.equal((await machine.int(0x13, { eax: 0x0201, ecx: 1, edx: CD, ...at })).carry, true);
  machine.fill(0x900, Uint8Array.of(26, 0));
  await machine.int(0x13, { eax: 0x4800, edx: CD, esi: 0x900 });
  assert.deepEqual([machine.u16(0x902) & 0x74, machine.u32(0x910), machine.u16(0x918)], [0x34, 1024, 2048]);
  assert.equal((await machine.int(0x13, { eax: 0x4501, edx: CD })).ah, 0xb0);
  assert.equal((await machine.int(0x13, { eax: 0x4500, edx: CD })).al, 1);
  assert.equal((await machine.int(0x13, { eax: 0x4600, edx: CD })).ah, 0xb1);
  assert.equal((await machine.int(0x13, { eax: 0x4501, edx: CD })).al, 0);
  assert.equal((await machine.int(0x13, { eax: 0x4600, edx: CD })).carry, false);
  const gone = await machine.int(0x13, { eax: 0x4200, edx: CD, ...packet(machine, 0, 1) });
  assert.deepEqual([gone.carry, gone.ah], [true, 0x31]);
});
