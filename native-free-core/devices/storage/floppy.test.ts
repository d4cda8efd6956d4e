import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { DmaControllers } from '../legacy/dma.ts';
import { TestLine, TestTime } from '../testing.ts';
import { FloppyController } from './floppy-controller.ts';
import { FloppyDrive } from './floppy-drive.ts';
import { FLOPPY_BYTES_MAX, FloppyDriveType, floppyBytes, floppyGeometry } from './floppy-geometry.ts';
import type { Medium } from './medium.ts';

const RAM = 2 ** 20;
const MILLISECOND = 1e6;

class TestDisk implements Medium {
  readonly bytes: Uint8Array;
  readonly size: number;
  readonly isReadOnly: boolean;
  bad = -1;

  constructor(kilobytes: number, isReadOnly = false) {
    this.size = kilobytes * 1024;
    this.bytes = Uint8Array.from({ length: this.size }, (_, i) => (i >> 9) * 5 + i);
    this.isReadOnly = isReadOnly;
  }

  private async check(offset: number, length: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(offset >= 0 && length > 0 && offset + length <= this.size, `${length} bytes at ${offset}`);
    if (this.bad >= offset && this.bad < offset + length) throw new Error('a bad sector');
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.check(offset, into.length);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.check(offset, from.length);
    this.bytes.set(from, offset);
  }

  flush = async () => {};
  discard = async () => {};
}

function machine(disk: Medium | null = new TestDisk(1440), second?: Medium | null) {
  const bus = new IoBus();
  const ram = new Uint8Array(RAM);
  const time = new TestTime();
  const line = new TestLine();
  const inside = (at: number, length: number) => at >= 0 && at + length <= RAM;
  const dma = new DmaControllers({
    read(at, into) {
      if (inside(at, into.length)) into.set(ram.subarray(at, at + into.length));
      return inside(at, into.length);
    },
    write(at, bytes) {
      if (inside(at, bytes.length)) ram.set(bytes, at);
      return inside(at, bytes.length);
    },
  });
  const drives = [new FloppyDrive(disk), second === undefined ? null : new FloppyDrive(second)] as const;
  const floppy = new FloppyController({ ...time, line, timers: time.timers, dma: dma.channel(2) }, drives);
  dma.attach(bus);
  dma.program();
  floppy.attach(bus);
  const inb = (port: number) => bus.readPort(port, 1);
  const out = (port: number, ...values: number[]) => {
    for (const value of values) bus.writePort(port, 1, value);
  };
  const command = (...bytes: number[]) => {
    for (const byte of bytes) {
      assert.equal(inb(0x3f4) & 0xc0, 0x80, `ready for ${byte} of ${bytes}`);
      out(0x3f5, byte);
    }
  };
  const result = () => {
    const bytes: number[] = [];
    while ((inb(0x3f4) & 0xd0) === 0xd0) bytes.push(inb(0x3f5));
    return bytes;
  };
  const interrupt = async () => {
    for (let turn = 0; !line.level; turn++) {
      assert.ok(turn < 2000, 'no interrupt came');
      time.advance(MILLISECOND);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const ask = async (...bytes: number[]) => {
    command(...bytes);
    await interrupt();
    return result();
  };
  const senseInterrupt = () => {
    command(0x08);
    return result();
  };
  const seek = async (unit: number, cylinder: number) => {
    command(0x0f, unit, cylinder);
    await interrupt();
    return senseInterrupt();
  };
  const programDma = (mode: number, address: number, bytes: number) => {
    out(0x0a, 6);
    out(0x0c, 0);
    out(0x0b, mode | 2);
    out(0x04, address & 0xff, (address >> 8) & 0xff);
    out(0x81, address >> 16);
    out(0x05, (bytes - 1) & 0xff, (bytes - 1) >> 8);
    out(0x0a, 2);
  };
  const start = async () => {
    out(0x3f2, 0x1c);
    await interrupt();
    for (let unit = 0; unit < 4; unit++) assert.deepEqual(senseInterrupt(), [0xc0 | unit, 0]);
    assert.deepEqual(senseInterrupt(), [0x80]);
    command(0x03, 0xdf, 0x02);
    out(0x3f7, 0);
  };
  return {
    ...{ bus, ram, time, line, dma, floppy, drives, inb, out, command, result, interrupt, ask, senseInterrupt, seek },
    ...{ programDma, start },
  };
}

const at = (cylinder: number, head: number, sector: number, sectors = 18) =>
  ((cylinder * 2 + head) * sectors + sector - 1) * 512;

test('the size of an image tells its format', () => {
  for (const [kilobytes, cylinders, heads, sectors, drive] of [
    [160, 40, 1, 8, 1],
    [180, 40, 1, 9, 1],
    [320, 40, 2, 8, 1],
    [360, 40, 2, 9, 1],
    [720, 80, 2, 9, 4],
    [1200, 80, 2, 15, 2],
    [1440, 80, 2, 18, 4],
    [1680, 80, 2, 21, 4],
    [1722, 82, 2, 21, 4],
    [2880, 80, 2, 36, 5],
  ]) {
    const geometry = floppyGeometry(kilobytes * 1024);
    assert.deepEqual([geometry.cylinders, geometry.heads, geometry.sectors], [cylinders, heads, sectors]);
    assert.equal(geometry.drive, drive);
    assert.equal(floppyBytes(geometry), kilobytes * 1024);
  }
  assert.equal(floppyBytes(floppyGeometry(512)), 1440 * 1024);
  assert.equal(floppyBytes(floppyGeometry(1441 * 1024)), 2880 * 1024);
  assert.throws(() => floppyGeometry(FLOPPY_BYTES_MAX + 512), RangeError);
  assert.throws(() => floppyGeometry(0), RangeError);
});

test('a reset is told once for each drive, the version is that of an enhanced controller', async () => {
  const { start, command, result, line, inb, out, interrupt, senseInterrupt } = machine();
  assert.equal(inb(0x3f4), 0, 'held in reset');
  await start();
  assert.equal(line.level, false);
  command(0x10);
  assert.deepEqual(result(), [0x90]);
  command(0x13, 0, 0x58, 0x21);
  command(0x94);
  assert.deepEqual(result(), [0x10]);
  command(0x12, 0x84);
  command(0x0e);
  assert.deepEqual(result(), [0, 0, 0, 0, 0xdf, 0x02, 0, 0x84, 0x58, 0x21]);
  for (const unknown of [0x18, 0x00, 0x11, 0xff, 0x1d]) {
    command(unknown);
    assert.deepEqual(result(), [0x80], `${unknown}`);
  }
  // A reset by the rate register; what is locked stays, and polling is off.
  out(0x3f4, 0x80);
  command(0x0e);
  assert.deepEqual(result(), [0, 0, 0, 0, 0xdf, 0x02, 0, 0x84, 0x58, 0x21]);
  command(0x14);
  assert.deepEqual(result(), [0]);
  out(0x3f2, 0x18);
  assert.equal(inb(0x3f4), 0);
  out(0x3f2, 0x1c);
  await interrupt();
  assert.deepEqual(senseInterrupt(), [0xc0, 0]);
  command(0x0e);
  assert.deepEqual(result().slice(7), [0x04, 0x20, 0]);
});

test('seeks step the head, end with an interrupt, and clear the change line', async () => {
  const { start, seek, inb, out, ask, senseInterrupt, command, result, interrupt, floppy } = machine();
  await start();
  assert.equal(inb(0x3f7), 0x80);
  command(0x07, 0);
  assert.equal(inb(0x3f4), 0x81, 'busy while it seeks, ready for commands');
  await interrupt();
  assert.deepEqual(senseInterrupt(), [0x20, 0]);
  assert.equal(inb(0x3f7), 0x80, 'the head did not move');
  assert.deepEqual(await seek(0, 1), [0x20, 1]);
  assert.equal(inb(0x3f7), 0);
  command(0x04, 0);
  assert.deepEqual(result(), [0x28]);
  command(0x8f, 0, 1);
  await interrupt();
  assert.deepEqual(senseInterrupt(), [0x20, 0]);
  command(0x04, 0);
  assert.deepEqual(result(), [0x38]);
  floppy.changeDisk(0, null);
  assert.deepEqual(await seek(0, 5), [0x20, 5]);
  assert.equal(inb(0x3f7), 0x80, 'no disk');
  out(0x3f2, 0x0c);
  assert.equal(inb(0x3f7), 0, 'the motor is off');
  command(0x07, 1);
  await interrupt();
  assert.deepEqual(senseInterrupt(), [0x71, 0], 'a drive that is not there has no track 0');
  assert.deepEqual((await ask(0x4a, 0)).slice(0, 3), [0x40, 1, 0]);
});

test('reading by DMA ends at terminal count, over both heads where asked for', async () => {
  const disk = new TestDisk(1440);
  const { start, ram, seek, programDma, ask, command, result } = machine(disk);
  await start();
  await seek(0, 3);
  programDma(0x44, 0x8000, 1024);
  assert.deepEqual(await ask(0xe6, 0, 3, 0, 5, 2, 18, 0x1b, 0xff), [0, 0, 0, 3, 0, 7, 2]);
  assert.deepEqual(ram.subarray(0x8000, 0x8400), disk.bytes.subarray(at(3, 0, 5), at(3, 0, 7)));
  assert.equal(ram[0x8400], 0);
  programDma(0x44, 0x10000, 20 * 512);
  assert.deepEqual(await ask(0xe6, 0, 3, 0, 17, 2, 18, 0x1b, 0xff), [4, 0, 0, 4, 0, 1, 2]);
  assert.deepEqual(ram.subarray(0x10000, 0x10000 + 20 * 512), disk.bytes.subarray(at(3, 0, 17), at(4, 0, 1)));
  // Without an end by DMA the last sector ends it.
  programDma(0x44, 0x20000, 65536);
  assert.deepEqual(await ask(0x66, 4, 3, 1, 17, 2, 18, 0x1b, 0xff), [0x44, 0x80, 0, 4, 1, 1, 2]);
  assert.deepEqual(ram.subarray(0x20000, 0x20400), disk.bytes.subarray(at(3, 1, 17), at(4, 0, 1)));
  // A part of a sector is moved, the sector counts as read.
  programDma(0x44, 0x30000, 100);
  assert.deepEqual(await ask(0x66, 0, 3, 0, 18, 2, 18, 0x1b, 0xff), [0, 0, 0, 4, 0, 1, 2]);
  assert.equal(ram[0x30000 + 100], 0);
  // Whole tracks begin at the index.
  programDma(0x44, 0x40000, 18 * 512);
  assert.deepEqual((await ask(0x42, 0, 3, 0, 7, 2, 18, 0x1b, 0xff)).slice(0, 3), [0, 0, 0]);
  assert.deepEqual(ram.subarray(0x40000, 0x40000 + 18 * 512), disk.bytes.subarray(at(3, 0, 1), at(3, 1, 1)));
  // Verifying moves nothing and needs no DMA.
  assert.deepEqual((await ask(0x56, 0, 3, 0, 1, 2, 18, 0x1b, 0)).slice(0, 3), [0, 0, 0]);
  assert.deepEqual((await ask(0xd6, 0x80, 3, 0, 17, 2, 18, 0x1b, 5)).slice(0, 6), [4, 0, 0, 3, 1, 4]);
  command(0x0e);
  assert.equal(result()[6], 18);
});

test('writing fills the rest of a sector with zeros, and heeds write protection', async () => {
  const disk = new TestDisk(720);
  const { start, ram, out, seek, programDma, ask, command, result } = machine(disk, new TestDisk(1440, true));
  await start();
  out(0x3f7, 2);
  await seek(0, 79);
  ram.fill(0xaa, 0x8000, 0x9000);
  programDma(0x48, 0x8000, 700);
  assert.deepEqual(await ask(0x45, 4, 79, 1, 8, 2, 9, 0x1b, 0xff), [4, 0, 0, 80, 1, 1, 2]);
  const written = disk.bytes.subarray(at(79, 1, 8, 9), at(80, 0, 1, 9));
  assert.deepEqual(
    written,
    Uint8Array.from({ length: 1024 }, (_, i) => (i < 700 ? 0xaa : 0)),
  );
  out(0x3f2, 0x2d);
  out(0x3f7, 0);
  programDma(0x48, 0x8000, 512);
  assert.deepEqual(await ask(0x45, 1, 0, 0, 1, 2, 18, 0x1b, 0xff), [0x41, 2, 0, 0, 0, 1, 2]);
  command(0x04, 1);
  assert.deepEqual(result(), [0x79]);
});

test('what is not on the disk is not found', async () => {
  const disk = new TestDisk(1440);
  const { start, out, programDma, ask, seek } = machine(disk);
  await start();
  programDma(0x44, 0x8000, 512);
  const fails = async (st1: number, st2: number, ...bytes: number[]) => {
    const [st0, ...others] = await ask(...bytes);
    assert.equal(st0 & 0xc0, 0x40);
    assert.deepEqual(others.slice(0, 2), [st1, st2], `${bytes}`);
  };
  await fails(4, 0x10, 0x66, 0, 1, 0, 1, 2, 18, 0x1b, 0xff); // the head is elsewhere
  await fails(4, 0, 0x66, 0, 0, 1, 1, 2, 18, 0x1b, 0xff); // another head's number
  await fails(4, 0, 0x66, 0, 0, 0, 19, 2, 36, 0x1b, 0xff);
  await fails(4, 0, 0x66, 0, 0, 0, 0, 2, 18, 0x1b, 0xff);
  await fails(4, 0, 0x66, 0, 0, 0, 1, 3, 18, 0x1b, 0xff); // sectors of 1,024 bytes
  await fails(1, 0, 0x26, 0, 0, 0, 1, 2, 18, 0x1b, 0xff); // single density
  await fails(1, 0, 0x66, 1, 0, 0, 1, 2, 18, 0x1b, 0xff); // no drive
  disk.bad = at(0, 0, 3) + 7;
  programDma(0x44, 0x8000, 18 * 512);
  const bad = await ask(0x66, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
  assert.deepEqual(bad, [0x40, 0x20, 0x20, 0, 0, 3, 2], 'the sectors before it were read');
  out(0x3f7, 2);
  await fails(1, 0, 0x66, 0, 0, 0, 1, 2, 18, 0x1b, 0xff); // another data rate
  await fails(1, 0, 0x4a, 0);
  out(0x3f7, 0);
  await seek(0, 82);
  await fails(4, 0x10, 0x66, 0, 82, 0, 1, 2, 18, 0x1b, 0xff);
});

test('without DMA each byte is asked for by an interrupt', async () => {
  const disk = new TestDisk(1440);
  const { start, inb, out, command, interrupt, result, line } = machine(disk);
  await start();
  command(0x03, 0xdf, 0x03);
  command(0x66, 0, 0, 0, 17, 2, 18, 0x1b, 0xff);
  const got: number[] = [];
  while (got.length < 1024) {
    await interrupt();
    assert.equal(inb(0x3f4), 0xf0);
    got.push(inb(0x3f5));
  }
  await interrupt();
  assert.deepEqual(got, [...disk.bytes.subarray(at(0, 0, 17), at(0, 1, 1))]);
  assert.deepEqual(result(), [0x40, 0x80, 0, 1, 0, 1, 2]);
  assert.equal(line.level, false);
  command(0x45, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
  for (let i = 0; i < 512; i++) {
    assert.equal(inb(0x3f4), 0xb0);
    out(0x3f5, i & 0xff);
  }
  await interrupt();
  assert.deepEqual(result(), [0x40, 0x80, 0, 1, 0, 1, 2]);
  assert.deepEqual(
    [...disk.bytes.subarray(at(0, 0, 18), at(0, 1, 1))],
    Array.from({ length: 512 }, (_, i) => i & 0xff),
  );
});

test('a track is formatted with the sectors that the host names', async () => {
  const disk = new TestDisk(1440);
  const { start, ram, seek, programDma, ask } = machine(disk);
  await start();
  await seek(0, 10);
  for (let i = 0; i < 18; i++) ram.set([10, 1, ((i * 5) % 18) + 1, 2], 0x8000 + 4 * i);
  programDma(0x48, 0x8000, 72);
  assert.deepEqual((await ask(0x4d, 4, 2, 18, 0x6c, 0xf6)).slice(0, 3), [4, 0, 0]);
  assert.ok(disk.bytes.subarray(at(10, 1, 1), at(11, 0, 1)).every((byte) => byte === 0xf6));
  assert.notEqual(disk.bytes[at(10, 1, 1) - 1], 0xf6);
  ram[0x8002] = 19;
  programDma(0x48, 0x8000, 72);
  assert.deepEqual((await ask(0x4d, 4, 2, 18, 0x6c, 0xf6)).slice(0, 3), [0x44, 4, 0], 'no place for sector 19');
});

test('READ ID names the sectors in the order they pass, on the track where the head is', async () => {
  const { start, seek, ask, time } = machine();
  await start();
  await seek(0, 7);
  const seen = new Set<number>();
  for (let i = 0; i < 60; i++) {
    const [st0, st1, st2, cylinder, head, sector, size] = await ask(0x4a, 4);
    assert.deepEqual([st0, st1, st2, cylinder, head, size], [4, 0, 0, 7, 1, 2]);
    seen.add(sector);
    time.advance(3 * MILLISECOND);
  }
  assert.deepEqual(
    [...seen].sort((a, b) => a - b),
    Array.from({ length: 18 }, (_, i) => i + 1),
  );
});

test('a disk taken out during a read ends the read, and a drive takes only disks that fit', async () => {
  const { start, programDma, command, interrupt, result, floppy, drives, ask, seek } = machine();
  await start();
  programDma(0x44, 0x8000, 512);
  command(0x66, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
  floppy.changeDisk(0, null);
  await interrupt();
  assert.deepEqual(result(), [0x40, 5, 0, 0, 0, 1, 2]);
  assert.equal(drives[0].refusal(1440 * 1024), undefined);
  assert.equal(drives[0].refusal(720 * 1024), undefined);
  assert.match(drives[0].refusal(2880 * 1024) ?? '', /2\.88 MB/);
  assert.match(drives[0].refusal(360 * 1024) ?? '', /360 KB/);
  assert.match(drives[0].refusal(2 ** 22) ?? '', /no floppy disk/);
  const [large] = machine(new TestDisk(1200)).drives;
  assert.equal(large.type, FloppyDriveType.m1_2);
  large.insert(new TestDisk(360));
  assert.deepEqual(
    [0, 1, 2].map((cylinder) => {
      large.step(cylinder);
      return large.track;
    }),
    [0, undefined, 1],
  );
  floppy.changeDisk(0, new TestDisk(1440));
  await seek(0, 1);
  await seek(0, 0);
  programDma(0x44, 0x8000, 512);
  assert.deepEqual(await ask(0x66, 0, 0, 0, 1, 2, 18, 0x1b, 0xff), [0, 0, 0, 0, 0, 2, 2]);
});

test('a short image reads as zeros behind its end, and is not written there', async () => {
  const { start, ram, programDma, ask } = machine(new TestDisk(1));
  await start();
  ram.fill(0xee, 0x8000, 0x9000);
  programDma(0x44, 0x8000, 2048);
  assert.deepEqual((await ask(0x66, 0, 0, 0, 1, 2, 18, 0x1b, 0xff)).slice(0, 3), [0, 0, 0]);
  assert.equal(ram[0x8000 + 1023], (1 * 5 + 1023) & 0xff);
  assert.ok(ram.subarray(0x8400, 0x8800).every((byte) => byte === 0));
  programDma(0x48, 0x8000, 512);
  assert.deepEqual((await ask(0x45, 0, 0, 0, 3, 2, 18, 0x1b, 0xff)).slice(0, 3), [0x40, 0x20, 0x20]);
});

test('random accesses: nothing throws, nothing is beyond the image, and the state can be saved', async () => {
  const pc = machine(new TestDisk(1440), new TestDisk(360));
  let state = 0xf10bb1;
  const below = (limit: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
  const opcodes = [
    0x42, 0x66, 0xe6, 0x45, 0xc5, 0x4d, 0x4a, 0x07, 0x08, 0x0f, 0x16, 0xd6, 0x6c, 0x13, 0x03, 0x8f, 0x0e,
  ];
  const disks = [null, new TestDisk(1440), new TestDisk(360), new TestDisk(3)];
  await pc.start();
  for (let step = 0; step < 40_000; step++) {
    const kind = below(12);
    if (kind < 5) {
      const isFresh = below(2) === 0;
      pc.out(0x3f5, isFresh ? opcodes[below(opcodes.length)] : below(3) === 0 ? below(256) : below(5));
    } else if (kind < 8) {
      const port = 0x3f0 + below(8);
      const size = ([1, 2, 4] as const)[below(3)];
      const got = pc.bus.readPort(port, size);
      assert.ok(Number.isInteger(got) && got >= 0 && got < 2 ** (8 * size), `${got} from ${port}`);
    } else if (kind === 8) {
      if (below(20) === 0) pc.out(0x3f2, below(4) === 0 ? below(256) : 0x1c | below(2));
      else pc.out(below(2) === 0 ? 0x3f7 : 0x3f4, below(4));
    } else if (kind === 9) pc.programDma([0x44, 0x48, 0x54, 0x40][below(4)], below(2 ** 24), 1 + below(65536));
    else if (kind === 10) pc.time.advance(below(MILLISECOND));
    else if (below(50) === 0) pc.floppy.changeDisk(below(2) as 0 | 1, disks[below(4)]);
    if (below(10) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  while (pc.floppy.isWaiting) await new Promise((resolve) => setImmediate(resolve));
  const other = machine(new TestDisk(1440), new TestDisk(360));
  other.time.nanoseconds = pc.time.nanoseconds;
  other.dma.restore(structuredClone(pc.dma.save()));
  other.floppy.restore(structuredClone(pc.floppy.save()));
  assert.deepEqual(other.floppy.save(), pc.floppy.save());
  assert.equal(other.line.level, pc.line.level);
});
