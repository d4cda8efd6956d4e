import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { TestLine } from '../testing.ts';
import { AtaDisk } from './ata-disk.ts';
import { CdDrive } from './cd-drive.ts';
import { IdeController } from './ide-controller.ts';
import type { Medium } from './medium.ts';

/** A medium in memory that answers when it is told to, and can fail. */
class TestMedium implements Medium {
  readonly bytes: Uint8Array;
  readonly size: number;
  readonly isReadOnly: boolean;
  failing = false;
  flushes = 0;
  requests = 0;

  constructor(size: number, isReadOnly = false) {
    this.bytes = Uint8Array.from({ length: size }, (_, i) => (i >> 9) * 7 + i);
    this.size = size;
    this.isReadOnly = isReadOnly;
  }

  private async check(offset: number, length: number): Promise<void> {
    this.requests++;
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(offset >= 0 && offset + length <= this.size, `${length} bytes at ${offset}`);
    if (this.failing) throw new Error('the medium is damaged');
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await this.check(offset, into.length);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.check(offset, from.length);
    this.bytes.set(from, offset);
  }

  readonly discarded: [offset: number, length: number][] = [];

  async discard(offset: number, length: number): Promise<void> {
    await this.check(offset, length);
    this.discarded.push([offset, length]);
  }

  async flush(): Promise<void> {
    await this.check(0, 0);
    this.flushes++;
  }
}

const DISK_BYTES = 4 * 2 ** 20;
const BASE = 0x1f0;
const MASTER = 0xc000;
const STATUS = 7;
const CONTROL = 0x206;

function machine({ disk = new TestMedium(DISK_BYTES), cd = new TestMedium(64 * 2048, true) } = {}) {
  const bus = new IoBus();
  const ram = new Uint8Array(2 ** 20);
  const inside = (at: number, length: number) => at >= 0 && at + length <= ram.length;
  const memory = {
    read(at: number, into: Uint8Array) {
      if (inside(at, into.length)) into.set(ram.subarray(at, at + into.length));
      return inside(at, into.length);
    },
    write(at: number, bytes: Uint8Array) {
      if (inside(at, bytes.length)) ram.set(bytes, at);
      return inside(at, bytes.length);
    },
  };
  const lines = [new TestLine(), new TestLine()] as const;
  const names = (model: string) => ({ serial: 'S1', firmware: '1.0', model });
  const drive = new CdDrive(cd, names('A CD'));
  const ide = new IdeController({ memory, lines }, [new AtaDisk(disk, names('A disk')), null], [drive, null]);
  ide.pci.connect(bus, new TestLine());
  ide.attach(bus);
  ide.program(MASTER);
  const at = (base: number) => {
    const read = (register: number, size: 1 | 2 | 4 = 1) => bus.readPort(base + register, size);
    const write = (register: number, value: number, size: 1 | 2 | 4 = 1) => bus.writePort(base + register, size, value);
    const line = lines[base === BASE ? 0 : 1];
    return {
      read,
      write,
      line,
      /** Count, address and device, then the command; with `extended` the previous contents first. */
      command(code: number, lba: number, count: number, extended = false) {
        const bytes = [0, 8, 16].map((shift) => (lba >>> shift) & 0xff);
        const high = [count >> 8, lba >>> 24, 0, 0];
        if (extended) for (const [i, value] of high.entries()) write(2 + i, value);
        for (const [i, value] of [count & 0xff, ...bytes].entries()) write(2 + i, value);
        write(6, 0xe0 | (extended ? 0 : lba >>> 24));
        write(7, code);
      },
      async idle() {
        for (let turns = 0; (read(CONTROL) & 0x80) !== 0; turns++) {
          assert.ok(turns < 1000, 'busy for ever');
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
      take: (bytes: number) => Array.from({ length: bytes / 2 }, () => read(0, 2)).flatMap((w) => [w & 0xff, w >> 8]),
    };
  };
  const table = (address: number, ...regions: [address: number, bytes: number][]) => {
    const view = new DataView(ram.buffer);
    regions.forEach(([where, bytes], i) => {
      view.setUint32(address + 8 * i, where, true);
      view.setUint32(address + 8 * i + 4, bytes + (i === regions.length - 1 ? 0x80000000 : 0), true);
    });
    bus.writePort(MASTER + 4, 4, address);
  };
  return { bus, ram, disk, cd, drive, ide, lines, table, primary: at(BASE), secondary: at(0x170) };
}

test('IDENTIFY tells size and names; data by the port, with one interrupt', async () => {
  const { primary } = machine();
  primary.command(0xec, 0, 0);
  assert.equal(primary.read(STATUS), 0x58);
  assert.equal(primary.line.edges, 1);
  const page = primary.take(512);
  assert.equal(String.fromCharCode(...[1, 0, 3, 2, 5, 4].map((i) => page[54 + i])), 'A disk');
  assert.equal(page[120] + page[121] * 256, DISK_BYTES / 512);
  assert.equal(page[200] + page[201] * 256, DISK_BYTES / 512);
  assert.equal(primary.read(STATUS), 0x50);
  assert.equal(primary.line.edges, 1);
});

test('READ SECTORS interrupts once a sector, READ MULTIPLE once a block, and 48-bit and CHS reach the same', async () => {
  const { primary, disk } = machine();
  const expected = [...disk.bytes.subarray(63 * 512, 67 * 512)];
  primary.command(0x20, 63, 4);
  const got: number[] = [];
  for (let i = 0; i < 4; i++) {
    assert.equal(primary.read(CONTROL), 0x80, 'the vCPU goes on while the disk is read');
    await primary.idle();
    assert.equal(primary.read(STATUS) & 0x88, 0x08);
    got.push(...primary.take(512));
  }
  assert.deepEqual(got, expected);
  assert.equal(primary.line.edges, 4);
  assert.equal(primary.read(STATUS), 0x50);

  primary.command(0xc6, 0, 4);
  primary.read(STATUS);
  primary.command(0x29, 63, 4, true);
  await primary.idle();
  assert.deepEqual(primary.take(2048), expected);
  assert.equal(primary.line.edges, 6);

  for (const [register, value] of [
    [2, 4],
    [3, 1],
    [4, 0],
    [5, 0],
    [6, 0xa1],
    [7, 0xc4],
  ])
    primary.write(register, value); // cylinder 0, head 1, sector 1
  await primary.idle();
  assert.deepEqual(primary.take(2048), expected);
});

test('WRITE SECTORS reaches the disk, FLUSH CACHE the host', async () => {
  const { primary, disk } = machine();
  primary.command(0x30, 5, 2);
  assert.equal(primary.read(STATUS), 0x58);
  assert.equal(primary.line.edges, 0, 'the first block is not told by an interrupt');
  for (let block = 0; block < 2; block++) {
    for (let i = 0; i < 128; i++) primary.write(0, 0x01020304 + block, 4);
    await primary.idle();
    assert.equal(primary.read(STATUS), block === 0 ? 0x58 : 0x50);
  }
  assert.equal(primary.line.edges, 2);
  assert.deepEqual([...disk.bytes.subarray(5 * 512 + 508, 5 * 512 + 516)], [4, 3, 2, 1, 5, 3, 2, 1]);
  primary.command(0xe7, 0, 0);
  await primary.idle();
  assert.equal(disk.flushes, 1);
});

test('what DATA SET MANAGEMENT names is given back to the medium, neighbours as one', async () => {
  const { primary, bus, ram, disk, table } = machine();
  const view = new DataView(ram.buffer);
  const trim = async (blocks: number, ...ranges: [first: number, count: number][]) => {
    ram.fill(0, 0x20000, 0x20000 + 4096);
    ranges.forEach(([first, count], i) => {
      view.setBigUint64(0x20000 + 8 * i, BigInt(first) | (BigInt(count) << 48n), true);
    });
    disk.discarded.length = 0;
    table(0x1000, [0x20000, blocks * 512]);
    for (const value of [0, 1]) primary.write(1, value);
    primary.command(0x06, 0, blocks, true);
    bus.writePort(MASTER, 1, 1);
    await primary.idle();
    bus.writePort(MASTER, 1, 0);
    return primary.read(STATUS);
  };
  assert.equal(await trim(1, [10, 5], [15, 20], [100, 1]), 0x50);
  assert.deepEqual(disk.discarded, [
    [10 * 512, 25 * 512],
    [100 * 512, 512],
  ]);
  assert.equal(await trim(2, [8191, 1]), 0x50);
  assert.deepEqual(disk.discarded, [[8191 * 512, 512]]);
  assert.equal(await trim(1, [0, 1], [8191, 2]), 0x51, 'beyond the end');
  assert.deepEqual(disk.discarded, []);
  primary.command(0xec, 0, 0);
  const page = primary.take(512);
  assert.deepEqual([page[338], page[210]], [1, 8]);
  primary.command(0x06, 0, 9, true);
  assert.equal(primary.read(STATUS) & 1, 1, 'more than it takes');
});

test('DMA follows the table both ways, and tells its end', async () => {
  const { primary, bus, ram, disk, table } = machine();
  table(0x1000, [0x20000, 512], [0x30000, 1024], [0x40000, 0]);
  primary.command(0xc8, 10, 131);
  bus.writePort(MASTER, 1, 9);
  await primary.idle();
  assert.equal(bus.readPort(MASTER + 2, 1) & 7, 4, 'an interrupt, no error, not active');
  assert.equal(primary.read(STATUS), 0x50);
  assert.deepEqual(ram.subarray(0x20000, 0x20200), disk.bytes.subarray(5120, 5632));
  assert.deepEqual(ram.subarray(0x30000, 0x30400), disk.bytes.subarray(5632, 6656));
  assert.deepEqual(ram.subarray(0x40000, 0x50000), disk.bytes.subarray(6656, 6656 + 65536));
  bus.writePort(MASTER, 1, 0);

  table(0x1000, [0x30000, 1024]);
  bus.writePort(MASTER + 2, 1, 6);
  primary.command(0x35, 100, 2, true);
  bus.writePort(MASTER, 1, 1);
  await primary.idle();
  assert.deepEqual(disk.bytes.subarray(51200, 52224), ram.subarray(0x30000, 0x30400));
});

test('a transfer beyond what the drive holds at once goes both ways, in few requests, and one given up leaves no trace', async () => {
  const { primary, bus, ram, disk, table } = machine();
  // 700 KiB: ten regions of 64 KiB and one of 60.
  const regions = Array.from({ length: 11 }, (_, i): [number, number] => [0x20000 + i * 0x10000, i < 10 ? 0 : 0xf000]);
  const bytes = 700 * 1024;
  table(0x1000, ...regions);
  const begin = (code: number, direction: number) => {
    bus.writePort(MASTER, 1, 0);
    bus.writePort(MASTER + 2, 1, 6);
    primary.command(code, 8, bytes / 512, true);
    bus.writePort(MASTER, 1, direction | 1);
  };
  // A command that is given up while the medium reads for it, and another one at once.
  begin(0x25, 8);
  bus.writePort(MASTER, 1, 0);
  primary.write(CONTROL, 4);
  primary.write(CONTROL, 0);
  const before = disk.requests;
  begin(0x25, 8);
  await primary.idle();
  assert.equal(bus.readPort(MASTER + 2, 1) & 7, 4);
  assert.equal(disk.requests - before, 2);
  assert.deepEqual(ram.subarray(0x20000, 0x20000 + bytes), disk.bytes.subarray(4096, 4096 + bytes));
  ram.fill(0x5e, 0x20000, 0x20000 + bytes);
  begin(0x35, 0);
  await primary.idle();
  assert.equal(primary.read(STATUS), 0x50);
  assert.ok(disk.bytes.subarray(4096, 4096 + bytes).every((byte) => byte === 0x5e));
  for (const beside of [4095, 4096 + bytes]) assert.equal(disk.bytes[beside], ((beside >> 9) * 7 + beside) & 0xff);
});

test('a table that is too short, or points nowhere, ends as the specification says', async () => {
  const { primary, bus, table } = machine();
  table(0x1000, [0x20000, 512]);
  primary.command(0xc8, 0, 2);
  bus.writePort(MASTER, 1, 9);
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(bus.readPort(MASTER + 2, 1) & 7, 0, 'neither active nor an interrupt');
  bus.writePort(MASTER, 1, 0);
  primary.write(CONTROL, 4);
  primary.write(CONTROL, 0);

  table(0x1000, [0xfff00000, 512]);
  primary.command(0xc8, 0, 1);
  bus.writePort(MASTER, 1, 9);
  await primary.idle();
  assert.equal(bus.readPort(MASTER + 2, 1) & 3, 2);
  assert.equal(primary.read(STATUS) & 1, 1);
});

test('bad addresses, a read-only and a damaged disk fail with the right bits', async () => {
  const { primary } = machine();
  const fails = async (error: number) => {
    await primary.idle();
    assert.equal(primary.read(STATUS) & 0x89, 1);
    assert.equal(primary.read(1), error);
  };
  primary.command(0x20, DISK_BYTES / 512 - 1, 2);
  await fails(0x10);
  primary.command(0x25, 0xffffffff, 0, true);
  await fails(0x10);
  primary.command(0xb0, 0, 0);
  await fails(0x04);
  const locked = machine({ disk: new TestMedium(DISK_BYTES, true) }).primary;
  locked.command(0x30, 0, 1);
  assert.equal(locked.read(1), 0x04);
  const disk = new TestMedium(DISK_BYTES);
  disk.failing = true;
  const damaged = machine({ disk }).primary;
  damaged.command(0x20, 7, 1);
  await damaged.idle();
  assert.deepEqual([damaged.read(STATUS) & 1, damaged.read(1), damaged.read(3)], [1, 0x40, 7]);
});

test('reset sets signatures, absent drives are empty, nIEN holds the interrupt back', () => {
  const { primary, secondary } = machine();
  for (const channel of [primary, secondary]) {
    channel.write(CONTROL, 4);
    assert.equal(channel.read(STATUS), 0x80);
    channel.write(CONTROL, 0);
  }
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((i) => primary.read(i)),
    [1, 1, 1, 0, 0],
  );
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((i) => secondary.read(i)),
    [1, 1, 1, 0x14, 0xeb],
  );
  primary.write(6, 0xb0);
  assert.equal(primary.read(STATUS), 0);
  primary.write(6, 0xa0);
  primary.write(CONTROL, 2);
  primary.command(0xec, 0, 0);
  assert.equal(primary.line.level, false);
  primary.write(CONTROL, 0);
  assert.equal(primary.line.level, true);
  primary.read(STATUS);
  assert.equal(primary.line.level, false);
});

test('a command under way is forgotten by a reset, and its answer changes nothing', async () => {
  const { primary } = machine();
  primary.command(0x20, 0, 1);
  primary.write(CONTROL, 4);
  primary.write(CONTROL, 0);
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(primary.read(STATUS), 0x50);
  assert.equal(primary.line.edges, 0);
});

/** Sends a packet, and answers the status and all data of it. */
async function packet({ secondary }: ReturnType<typeof machine>, bytes: number[], limit = 0xfffe) {
  secondary.write(1, 0);
  secondary.write(4, limit & 0xff);
  secondary.write(5, limit >> 8);
  secondary.write(6, 0xa0);
  secondary.write(7, 0xa0);
  assert.deepEqual([secondary.read(STATUS) & 0x88, secondary.read(2)], [0x08, 1]);
  for (let i = 0; i < 12; i += 2) secondary.write(0, (bytes[i] ?? 0) + (bytes[i + 1] ?? 0) * 256, 2);
  const data: number[] = [];
  for (;;) {
    await secondary.idle();
    const status = secondary.read(STATUS);
    if ((status & 0x08) === 0) return { status, error: secondary.read(1), data };
    assert.equal(secondary.read(2), 2);
    const length = secondary.read(4) + secondary.read(5) * 256;
    assert.ok(length > 0 && length <= limit);
    data.push(...secondary.take((length + 1) & ~1).slice(0, length));
  }
}

test('a CD is told of, read in blocks the host takes, and its change is told once', async () => {
  const pc = machine();
  assert.equal((await packet(pc, [0x00])).error >> 4, 6, 'UNIT ATTENTION after power-on');
  assert.equal((await packet(pc, [0x00])).status, 0x50);
  const inquiry = await packet(pc, [0x12, 0, 0, 0, 36]);
  assert.equal(inquiry.data[0], 5);
  assert.equal(inquiry.data.length, 36);
  assert.deepEqual((await packet(pc, [0x25])).data, [0, 0, 0, 63, 0, 0, 8, 0]);
  for (const limit of [0xfffe, 4096, 2048, 512]) {
    const { data, status } = await packet(pc, [0x28, 0, 0, 0, 0, 3, 0, 0, 5], limit);
    assert.equal(status, 0x50);
    assert.deepEqual(data, [...pc.cd.bytes.subarray(3 * 2048, 8 * 2048)]);
  }
  assert.equal((await packet(pc, [0x43, 0, 0, 0, 0, 0, 0, 0, 12])).data[3], 1);
  assert.equal((await packet(pc, [0x28, 0, 0, 0, 0, 63, 0, 0, 2])).error >> 4, 5, 'beyond the end');
  assert.deepEqual((await packet(pc, [0x03, 0, 0, 0, 18])).data.slice(12, 14), [0x21, 0]);

  pc.drive.changeDisc(null);
  assert.equal((await packet(pc, [0x00])).error >> 4, 2);
  pc.drive.changeDisc(new TestMedium(2048, true));
  assert.equal((await packet(pc, [0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8])).data[4], 2, 'the event of a new disc');
  assert.equal((await packet(pc, [0x00])).error >> 4, 6);
  assert.deepEqual((await packet(pc, [0x25])).data, [0, 0, 0, 0, 0, 0, 8, 0]);
  let ejected = 0;
  pc.drive.onEjected = () => ejected++;
  await packet(pc, [0x1e, 0, 0, 0, 1]);
  assert.equal((await packet(pc, [0x1b, 0, 0, 0, 2])).error >> 4, 5, 'a locked disc stays in');
  await packet(pc, [0x1e]);
  assert.equal(ejected, 0);
  assert.equal((await packet(pc, [0x1b, 0, 0, 0, 2])).status, 0x50);
  assert.equal(ejected, 1, 'the host is told of what the guest ejects');
  await packet(pc, [0x1b, 0, 0, 0, 2]);
  assert.equal(ejected, 1, 'an empty tray is no news');
  assert.equal((await packet(pc, [0x25])).error >> 4, 2);
});

test('a CD pulled during a read ends the read', async () => {
  const pc = machine();
  await packet(pc, [0x00]);
  const reading = packet(pc, [0x28, 0, 0, 0, 0, 0, 0, 0, 40]);
  pc.drive.changeDisc(null);
  const { status, error } = await reading;
  assert.deepEqual([status & 1, error >> 4], [1, 2]);
});

test('random accesses: nothing throws, nothing is beyond the medium, and the state can be saved', async () => {
  const pc = machine();
  let state = 0x1de5eed;
  const below = (limit: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
  const commands = [
    0x20, 0x24, 0x25, 0x29, 0x30, 0x35, 0x40, 0xa0, 0xa1, 0xc4, 0xc6, 0xc8, 0xca, 0xec, 0xef, 0x90, 0x08,
  ];
  for (let step = 0; step < 60_000; step++) {
    const size = ([1, 2, 4] as const)[below(3)];
    const base = below(2) === 0 ? 0x1f0 : 0x170;
    const port = [base + below(8), base, base + 0x206, MASTER + below(16)][below(4)];
    const value = below(2) === 0 ? below(4) : below(2 ** (8 * size));
    const isCommand = port === base + 7 && below(2) === 0;
    if (below(3) === 0) {
      const got = pc.bus.readPort(port, size);
      assert.ok(Number.isInteger(got) && got >= 0 && got < 2 ** (8 * size), `${got} from ${port}`);
    } else pc.bus.writePort(port, isCommand ? 1 : size, isCommand ? commands[below(commands.length)] : value);
    if (below(200) === 0) pc.drive.changeDisc(below(2) === 0 ? null : pc.cd);
    if (below(20) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  while (pc.ide.isWaiting) await new Promise((resolve) => setImmediate(resolve));
  pc.drive.changeDisc(pc.cd);
  const other = machine();
  other.ide.restore(structuredClone(pc.ide.save()));
  assert.deepEqual(other.ide.save(), pc.ide.save());
});
