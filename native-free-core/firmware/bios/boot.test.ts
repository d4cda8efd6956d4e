import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S } from '../../cpu/state.ts';
import { CD_SECTOR } from './drives.ts';
import { Bda } from './layout.ts';
import { BiosTestMachine, BUFFER, callingFloppy, callingSector, MemoryDisk } from './testing.ts';

const CATALOG = 20;
const IMAGE = 24;

interface CdOptions {
  /** Boot media type of the default entry. */
  media: number;
  loadSegment?: number;
  sectors?: number;
  image: Uint8Array;
}

/** A CD with a boot record and a catalog of one entry. */
function bootableCd({ media, loadSegment = 0, sectors = 1, image }: CdOptions): MemoryDisk {
  const disc = new MemoryDisk(IMAGE * CD_SECTOR + Math.max(image.length, 64 * CD_SECTOR));
  const text = (at: number, characters: string) => disc.bytes.set(new TextEncoder().encode(characters), at);
  const view = new DataView(disc.bytes.buffer);
  text(17 * CD_SECTOR + 1, 'CD001');
  disc.bytes[17 * CD_SECTOR + 6] = 1;
  text(17 * CD_SECTOR + 7, 'EL TORITO SPECIFICATION');
  view.setUint32(17 * CD_SECTOR + 0x47, CATALOG, true);
  const catalog = CATALOG * CD_SECTOR;
  disc.bytes[catalog] = 1;
  disc.bytes.set([0x55, 0xaa], catalog + 30);
  view.setUint16(catalog + 28, -(0x0001 + 0xaa55) & 0xffff, true);
  disc.bytes[catalog + 32] = 0x88;
  disc.bytes[catalog + 33] = media;
  view.setUint16(catalog + 34, loadSegment, true);
  view.setUint16(catalog + 38, sectors, true);
  view.setUint32(catalog + 40, IMAGE, true);
  disc.bytes.set(image, IMAGE * CD_SECTOR);
  return disc;
}

const screen = (machine: BiosTestMachine) => machine.pc.screen?.text() ?? '';

test('the order decides, and what cannot boot is passed over', async () => {
  const disk = new MemoryDisk(2 ** 20, callingSector());
  const both = { floppies: [callingFloppy()], disks: [disk] };
  assert.equal((await new BiosTestMachine({ ...both, bootOrder: 'ac' }).boot()).bootDrive, 0x00);
  assert.equal((await new BiosTestMachine({ ...both, bootOrder: 'ca' }).boot()).bootDrive, 0x80);
  disk.bytes[511] = 0;
  assert.equal((await new BiosTestMachine({ ...both, bootOrder: 'ca' }).boot()).bootDrive, 0x00);
});

test('a person is told why nothing boots, and a key tries again', async () => {
  const disk = new MemoryDisk(2 ** 20);
  const broken = callingFloppy();
  broken.isBroken = true;
  const machine = new BiosTestMachine({ floppies: [broken], disks: [disk], cdroms: [null], bootOrder: 'cdan' });
  await machine.until(() => screen(machine).includes('press a key'), 'the message');
  const text = screen(machine);
  assert.match(text, /No operating system was found to boot:/);
  assert.match(text, /The disk: its first sector is not a boot sector\./);
  assert.match(text, /The CD: there is no disc in it\./);
  assert.match(text, /Floppy drive A: it cannot be read: The medium is broken\./);
  disk.bytes.set(callingSector());
  machine.fill(0x680, Uint8Array.of(0xee));
  machine.pc.input.key('Space', true);
  machine.pc.input.key('Space', false);
  await machine.until(() => machine.bytes(0x680, 1)[0] === 0x80, 'the boot');
});

test('without drives the message says so', async () => {
  const machine = new BiosTestMachine({ floppies: [], bootOrder: 'cd' });
  await machine.until(() => screen(machine).includes('press a key'), 'the message');
  assert.match(screen(machine), /There is neither a disk nor a CD\./);
});

test('INT 18h goes on with the next device, INT 19h begins anew', async () => {
  // int 18h
  const giving = new Uint8Array(512);
  giving.set([0xcd, 0x18]);
  giving.set([0x55, 0xaa], 510);
  const machine = new BiosTestMachine({ disks: [new MemoryDisk(2 ** 20, giving)], bootOrder: 'ca' });
  await machine.boot();
  assert.equal(machine.bootDrive, 0x00);
  machine.fill(0x680, Uint8Array.of(0xee));
  machine.begin(0x19);
  await machine.until(() => machine.bytes(0x680, 1)[0] === 0x00, 'the second boot');
});

test('a CD without emulation: its image where the catalog says, and who was booted from', async () => {
  const disc = bootableCd({ media: 0, sectors: 4, image: callingSector() });
  const machine = await new BiosTestMachine({ floppies: [], cdroms: [disc], bootOrder: 'd' }).boot();
  assert.equal(machine.bootDrive, 0xe0);
  const status = await machine.int(0x13, { eax: 0x4b01, edx: 0xe0, esi: 0x900 });
  assert.equal(status.carry, false);
  assert.deepEqual([...machine.bytes(0x900, 3)], [0x13, 0x00, 0xe0]);
  assert.deepEqual([machine.u32(0x904), machine.u16(0x90c), machine.u16(0x90e)], [IMAGE, 0x07c0, 4]);
  assert.equal((await machine.int(0x13, { eax: 0x4b01, edx: 0x80, esi: 0x900 })).carry, true);
  // The catalog, by AH=4Dh: size 8, one sector, to 1000:0, from its first.
  machine.fill(0x900, Uint8Array.of(8, 1, 0, 0, ((BUFFER >> 12) << 8) & 0xff, BUFFER >> 12, 0, 0));
  machine.fill(0x900, Uint8Array.of(8, 1, 0, 0, 0x00, 0x10, 0, 0));
  assert.equal((await machine.int(0x13, { eax: 0x4d00, edx: 0xe0, esi: 0x900 })).carry, false);
  assert.equal(machine.bytes(0x10000 + 32, 1)[0], 0x88);
});

test('a CD that emulates a floppy: it is drive A, the real one is B, until the emulation ends', async () => {
  const image = new Uint8Array(1440 * 1024);
  image.set(callingSector());
  new DataView(image.buffer).setUint32(35 * 512, 0xfeedface, true);
  const real = callingFloppy();
  const machine = await new BiosTestMachine({
    floppies: [real],
    cdroms: [bootableCd({ media: 2, image })],
    bootOrder: 'd',
  }).boot();
  assert.equal(machine.bootDrive, 0x00);
  const at = { es: BUFFER >> 4, ebx: 0 };
  assert.equal((await machine.int(0x13, { eax: 0x0201, ecx: 0x0012, edx: 0x0100, ...at })).carry, false);
  assert.equal(machine.u32(BUFFER), 0xfeedface);
  assert.equal((await machine.int(0x13, { eax: 0x0301, ecx: 0x0001, edx: 0x0000, ...at })).ah, 0x03);
  assert.equal((await machine.int(0x13, { eax: 0x0800, edx: 0x0000 })).edx & 0xff, 2);
  assert.equal((await machine.int(0x13, { eax: 0x0201, ecx: 0x0001, edx: 0x0001, ...at })).carry, false);
  assert.equal((await machine.int(0x13, { eax: 0x4b00, edx: 0x0000, esi: 0x900 })).carry, false);
  assert.equal((await machine.int(0x13, { eax: 0x0800, edx: 0x0000 })).edx & 0xff, 1);
  assert.equal((await machine.int(0x13, { eax: 0x0301, ecx: 0x0101, edx: 0x0000, ...at })).carry, false);
});

test('a CD that emulates a disk: it is the first, the others follow', async () => {
  const image = new Uint8Array(4 * 17 * 20 * 512);
  image.set(callingSector());
  image.set([0x80, 1, 1, 0, 0x06, 3, 17, 19], 446);
  const view = new DataView(image.buffer);
  view.setUint32(454, 17, true);
  view.setUint32(458, 4 * 17 * 20 - 17, true);
  view.setUint32(17 * 512, 0xcafe, true);
  const machine = await new BiosTestMachine({
    disks: [new MemoryDisk(2 ** 20)],
    cdroms: [bootableCd({ media: 4, image })],
    bootOrder: 'd',
  }).boot();
  assert.equal(machine.bootDrive, 0x80);
  assert.equal(machine.bytes(Bda.diskCount, 1)[0], 2);
  const { ecx, edx } = await machine.int(0x13, { eax: 0x0800, edx: 0x80 });
  assert.deepEqual([(ecx >> 8) & 0xff, ecx & 63, (edx >> 8) & 0xff, edx & 0xff], [19, 17, 3, 2]);
  await machine.int(0x13, { eax: 0x0201, ecx: 0x0001, edx: 0x0180, es: BUFFER >> 4 });
  assert.equal(machine.u32(BUFFER), 0xcafe);
});

test('a disc with a damaged catalog is refused with the reason', async () => {
  const sentence = async (spoil: (disc: MemoryDisk) => void) => {
    const disc = bootableCd({ media: 0, image: callingSector() });
    spoil(disc);
    const machine = new BiosTestMachine({ floppies: [], cdroms: [disc], bootOrder: 'd' });
    await machine.until(() => screen(machine).includes('press a key'), 'the message');
    return /The CD: (.*)\./.exec(screen(machine))?.[1];
  };
  const view = (disc: MemoryDisk) => new DataView(disc.bytes.buffer);
  assert.equal(await sentence((disc) => disc.bytes.fill(0, 17 * CD_SECTOR, 18 * CD_SECTOR)), 'it has no boot record');
  assert.equal(
    await sentence((disc) => view(disc).setUint32(17 * CD_SECTOR + 0x47, 0x7fffffff, true)),
    'its boot catalog is beyond its end',
  );
  assert.equal(await sentence((disc) => (disc.bytes[CATALOG * CD_SECTOR + 5] = 1)), 'its boot catalog is damaged');
  assert.equal(
    await sentence((disc) => view(disc).setUint32(CATALOG * CD_SECTOR + 40, 0xffffffff, true)),
    'its boot image is beyond its end',
  );
  assert.equal(
    await sentence((disc) => (disc.bytes[CATALOG * CD_SECTOR + 32] = 0)),
    'its boot catalog has nothing for a PC',
  );
});

test('a reset with shutdown code 0Ah goes on at 40:67 with everything as it was', async () => {
  const machine = await new BiosTestMachine().boot();
  // The calling sector's own loop is where it goes on: a second start of it tells by the drive number in DL, which is 0.
  machine.fill(0x710, Uint8Array.of(0xb2, 0x77, 0xea, 0x00, 0x7c, 0x00, 0x00)); // mov dl, 77h; jmp 0:7C00h
  machine.fill(0x467, Uint8Array.of(0x10, 0x07, 0x00, 0x00));
  machine.fill(BUFFER, Uint8Array.of(0xa5));
  const { bus } = machine.pc as unknown as { bus: { writePort(port: number, size: number, value: number): void } };
  bus.writePort(0x70, 1, 0x0f);
  bus.writePort(0x71, 1, 0x0a);
  bus.writePort(0x64, 1, 0xfe);
  await machine.until(() => machine.bootDrive === 0x77, 'the way back');
  assert.equal(machine.bytes(BUFFER, 1)[0], 0xa5);
  assert.equal((await machine.int(0x1a)).carry, false, 'the machine goes on');
  assert.equal(machine.pc.cpu.stateOf(0, S.mtrrDefault), 0xc06n, 'memory types are as they were');
  // The code is used up: the next reset is one, which ends this guest.
  bus.writePort(0x64, 1, 0xfe);
  await machine.until(() => machine.end !== undefined, 'the end');
  assert.equal(machine.end?.reason, 'reset');
});

test('a caller in virtual-8086 mode waits without HLT', async () => {
  const machine = await new BiosTestMachine({ disks: [new MemoryDisk(2 ** 20)] }).boot();
  const { bios } = machine.pc as unknown as { bios: { machine: { processor: object } } };
  Object.defineProperty(bios.machine.processor, 'isVirtual8086', { get: () => true });
  const read = await machine.int(0x13, { eax: 0x0201, ecx: 1, edx: 0x80, es: BUFFER >> 4 });
  assert.deepEqual([read.carry, read.al], [false, 1]);
});

/** The packet that El Torito's calls take, at 0:900h. */
function specify(machine: BiosTestMachine, { media, drive, sector, count = 1 }: Record<string, number>): void {
  const packet = new Uint8Array(0x13);
  const view = new DataView(packet.buffer);
  packet.set([packet.length, media, drive, 1]);
  view.setUint32(4, sector, true);
  view.setUint16(14, count, true);
  machine.fill(0x900, packet);
}

test('an emulation that a program begins, and one that it boots', async () => {
  const image = new Uint8Array(1440 * 1024);
  image.set(callingSector());
  new DataView(image.buffer).setUint32(35 * 512, 0xfeedface, true);
  const machine = await new BiosTestMachine({ cdroms: [bootableCd({ media: 2, image })], bootOrder: 'a' }).boot();
  const floppies = async () => (await machine.int(0x13, { eax: 0x0800, edx: 0 })).edx & 0xff;
  assert.equal(await floppies(), 1);
  const refused = { media: 2, drive: 0x80, sector: IMAGE };
  for (const wrong of [refused, { media: 5, drive: 0, sector: IMAGE }, { media: 2, drive: 0, sector: 0xffffffff }]) {
    specify(machine, wrong);
    for (const eax of [0x4a00, 0x4c00]) assert.equal((await machine.int(0x13, { eax, esi: 0x900 })).ah, 0x01);
  }
  assert.equal(await floppies(), 1);
  specify(machine, { media: 2, drive: 0, sector: IMAGE });
  assert.equal((await machine.int(0x13, { eax: 0x4a00, esi: 0x900 })).carry, false);
  assert.equal(await floppies(), 2);
  await machine.int(0x13, { eax: 0x0201, ecx: 0x0012, edx: 0x0100, es: BUFFER >> 4 });
  assert.equal(machine.u32(BUFFER), 0xfeedface);
  assert.equal((await machine.int(0x13, { eax: 0x4d00, esi: 0x910 })).ah, 0x01, 'a command packet without sectors');
  assert.equal((await machine.int(0x13, { eax: 0x4b00, edx: 0x7f, esi: 0x900 })).carry, false);
  assert.equal(await floppies(), 1);
  // What is booted does not come back: its own sector waits for calls.
  specify(machine, { media: 2, drive: 0, sector: IMAGE });
  machine.fill(0x680, Uint8Array.of(0xee));
  machine.begin(0x13, { eax: 0x4c00, edx: 0x55, esi: 0x900 });
  await machine.until(() => machine.bytes(0x680, 1)[0] === 0x00, 'the boot image');
  machine.fill(0x600, Uint8Array.of(0));
  assert.equal(await floppies(), 2);
});

test('POST leaves caches on and the same memory types on every processor', async () => {
  const machine = await new BiosTestMachine({ cpus: 2 }).boot();
  const { cpu } = machine.pc;
  const types = (vcpu: number) => [
    cpu.stateOf(vcpu, S.mtrrDefault),
    ...[0, 1, 2, 3, 10].map((index) => cpu.stateOf(vcpu, S.mtrrFixed + index * 8)),
    ...[0, 1, 2, 3].map((index) => cpu.stateOf(vcpu, S.mtrrVariable + index * 8)),
  ];
  // RAM is written back, video memory and the hole below 4 GiB are not cached, ROMs are not written.
  const [back, rom] = [0x0606060606060606n, 0x0505050505050505n];
  const wanted = [0xc06n, back, back, 0n, rom, rom, 0xc0000000n, 0xffc0000800n, 0n, 0n];
  for (const vcpu of [0, 1]) {
    assert.deepEqual(types(vcpu), wanted);
    assert.equal(cpu.stateOf(vcpu, S.cr0) & 0x60000000n, 0n, 'CD and NW are clear');
  }
});
