import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { TestLine } from '../testing.ts';
import { AhciController } from './ahci-controller.ts';
import { AtaDisk } from './ata-disk.ts';
import { CdDrive } from './cd-drive.ts';
import type { Medium } from './medium.ts';

const RAM = 2 ** 21;
const ABAR = 0xc000_0000;
const LIST = 0x1000;
const FRAMES = 0x2000;
const TABLES = 0x4000;
const DATA = 0x10_0000;
const DISK_BYTES = 2 ** 22;
const [IS, IE, CMD, TFD, SIG, SSTS, SCTL, SERR, SACT, CI] = [
  0x10, 0x14, 0x18, 0x20, 0x24, 0x28, 0x2c, 0x30, 0x34, 0x38,
];

class TestMedium implements Medium {
  readonly bytes: Uint8Array;
  readonly size: number;
  readonly isReadOnly: boolean;
  readonly discarded: [number, number][] = [];
  bad = -1;
  flushes = 0;
  /** While set, nothing is answered. */
  held: Promise<void> | null = null;

  constructor(size: number, isReadOnly = false) {
    this.size = size;
    this.isReadOnly = isReadOnly;
    this.bytes = Uint8Array.from({ length: size }, (_, i) => (i >> 9) * 11 + i);
  }

  private async check(offset: number, length: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    await this.held;
    assert.ok(offset >= 0 && offset + length <= this.size, `${length} bytes at ${offset}`);
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

  async discard(offset: number, length: number): Promise<void> {
    await this.check(offset, length);
    this.discarded.push([offset, length]);
  }

  async flush(): Promise<void> {
    await this.check(0, 0);
    this.flushes++;
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

function machine() {
  const bus = new IoBus();
  const ram = new Uint8Array(RAM);
  const view = new DataView(ram.buffer);
  const line = new TestLine();
  const messages: [address: number, data: number][] = [];
  const inside = (at: number, length: number) => at >= 0 && at + length <= RAM;
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
  const disk = new TestMedium(DISK_BYTES);
  const cd = new TestMedium(64 * 2048, true);
  const names = (model: string) => ({ serial: 'S1', firmware: '1.0', model });
  const drive = new CdDrive(cd, names('A CD'), 'serial');
  const ahci = new AhciController({ memory, messages: { write: (...message) => messages.push(message) } }, [
    new AtaDisk(disk, names('A disk'), 'serial'),
    drive,
  ]);
  ahci.pci.connect(bus, line);
  ahci.program(ABAR);
  const read = (offset: number) => bus.readMmio(ABAR + offset, 4);
  const write = (offset: number, value: number) => bus.writeMmio(ABAR + offset, 4, value >>> 0);
  const port = (index: number) => {
    const base = 0x100 + 0x80 * index;
    const [list, frames] = [LIST + 0x8000 * index, FRAMES + 0x8000 * index];
    const tables = TABLES + 0x8000 * index;
    const get = (register: number) => read(base + register);
    const put = (register: number, value: number) => write(base + register, value);
    /** Fills a slot: the command frame by its bytes, and the regions of its data. */
    const prepare = (
      slot: number,
      fis: readonly number[],
      regions: readonly (readonly [number, number])[] = [],
      { flags = 0, packet = [] as readonly number[] } = {},
    ) => {
      const table = tables + 0x200 * slot;
      ram.fill(0, table, table + 0x200);
      ram.set(fis, table);
      ram.set(packet, table + 0x40);
      regions.forEach(([address, bytes], i) => {
        view.setUint32(table + 0x80 + 16 * i, address, true);
        view.setUint32(table + 0x84 + 16 * i, Math.floor(address / 2 ** 32), true);
        view.setUint32(table + 0x8c + 16 * i, bytes - 1, true);
      });
      view.setUint32(list + 32 * slot, 5 | flags | (regions.length << 16), true);
      view.setUint32(list + 32 * slot + 4, 0, true);
      view.setUint32(list + 32 * slot + 8, table, true);
      view.setUint32(list + 32 * slot + 12, 0, true);
    };
    return {
      get,
      put,
      frames,
      list,
      prepare,
      start() {
        put(0, list);
        put(8, frames);
        put(CMD, 0x10);
        put(SERR, 0xffff_ffff);
        put(IS, 0xffff_ffff);
        put(IE, 0xffff_ffff);
        put(CMD, 0x11);
      },
      async done() {
        for (let turns = 0; (get(CI) | get(SACT)) !== 0 && (get(IS) & 0x7000_0000) === 0; turns++) {
          assert.ok(turns < 2000, 'busy for ever');
          await turn();
        }
      },
      /** Executes one command in slot 0. */
      async run(fis: readonly number[], regions: readonly (readonly [number, number])[] = [], options = {}) {
        put(IS, 0xffff_ffff);
        prepare(0, fis, regions, options);
        put(CI, 1);
        await this.done();
        return get(TFD);
      },
    };
  };
  write(4, 2);
  return { ram, view, line, messages, disk, cd, drive, ahci, read, write, bus, port, disk0: port(0), cd1: port(1) };
}

/** A command frame with a 48-bit address. */
function command(code: number, lba = 0, count = 0, features = 0): number[] {
  const byte = (i: number) => Math.floor(lba / 2 ** (8 * i)) & 0xff;
  return [
    ...[0x27, 0x80, code, features & 0xff, byte(0), byte(1), byte(2), 0x40],
    ...[byte(3), byte(4), byte(5), features >> 8, count & 0xff, count >> 8, 0, 0],
  ];
}

test('the controller says what it has, and each port what is there', () => {
  const { read, disk0, cd1, port, ahci } = machine();
  assert.equal(read(0x00) & 0x1f, 5);
  assert.equal(read(0x00) >>> 30, 3, '64 bits and queuing');
  assert.equal(read(0x04) >>> 31, 1);
  assert.equal(read(0x0c), 0x3f);
  assert.equal(read(0x10), 0x10300);
  assert.deepEqual([disk0.get(SSTS), disk0.get(SIG)], [0x123, 0x101]);
  assert.deepEqual([cd1.get(SSTS), cd1.get(SIG)], [0x123, 0xeb140101]);
  assert.deepEqual([port(2).get(SSTS), port(2).get(SIG), port(2).get(TFD)], [0, 0xffff_ffff, 0x7f]);
  assert.equal(ahci.pci.readConfig(0, 4), 0x29228086);
  assert.equal(ahci.pci.readConfig(8, 4) >>> 8, 0x010601);
});

test('IDENTIFY, reads and writes by DMA over scattered regions, with one interrupt each', async () => {
  const { disk0, ram, view, disk, line, read, write } = machine();
  disk0.start();
  assert.equal(await disk0.run(command(0xec), [[DATA, 512]]), 0x50);
  assert.equal(view.getUint16(DATA + 152, true), 0x0106, 'queuing');
  assert.equal(view.getUint16(DATA + 200, true), DISK_BYTES / 512);
  assert.equal(view.getUint32(disk0.list + 4, true), 512, 'bytes moved');
  assert.equal(ram[disk0.frames + 0x20], 0x5f, 'a PIO setup frame');
  assert.equal(line.level, true);
  assert.equal(read(8), 1);
  disk0.put(IS, 0xffff_ffff);
  write(8, 1);
  assert.equal(line.level, false);

  const edges = line.edges;
  const regions = [
    [DATA, 1024],
    [DATA + 0x3002, 510],
    [DATA + 0x8000, 200 * 512 - 1534],
  ] as const;
  assert.equal(await disk0.run(command(0x25, 1000, 200), regions), 0x50);
  const got = regions.flatMap(([at, bytes]) => [...ram.subarray(at, at + bytes)]);
  assert.deepEqual(Uint8Array.from(got), disk.bytes.subarray(1000 * 512, 1200 * 512));
  assert.equal(line.edges, edges + 1);
  assert.equal(ram[disk0.frames + 0x40], 0x34);
  assert.equal(view.getUint32(disk0.list + 4, true), 200 * 512);

  assert.equal(await disk0.run(command(0x35, 7, 2), [[DATA + 0x8000, 1024]], { flags: 0x40 }), 0x50);
  assert.deepEqual(disk.bytes.subarray(7 * 512, 9 * 512), ram.subarray(DATA + 0x8000, DATA + 0x8400));
  assert.equal(await disk0.run(command(0xea)), 0x50);
  assert.equal(disk.flushes, 1);
  assert.equal(await disk0.run(command(0x20, 50, 3), [[DATA, 1536]]), 0x50, 'PIO');
  assert.deepEqual(ram.subarray(DATA, DATA + 1536), disk.bytes.subarray(50 * 512, 53 * 512));
  assert.equal(await disk0.run(command(0x30, 60, 2), [[DATA, 1024]], { flags: 0x40 }), 0x50, 'PIO');
  assert.deepEqual(ram.subarray(DATA, DATA + 1024), disk.bytes.subarray(60 * 512, 62 * 512));
});

test('commands in all slots are carried out, queued ones at once', async () => {
  const { disk0, ram, disk } = machine();
  disk0.start();
  for (let slot = 0; slot < 32; slot++) disk0.prepare(slot, command(0x25, 100 * slot, 4), [[DATA + 2048 * slot, 2048]]);
  disk0.put(CI, 0xffff_ffff);
  await disk0.done();
  for (let slot = 0; slot < 32; slot++) {
    const at = DATA + 2048 * slot;
    assert.deepEqual(ram.subarray(at, at + 2048), disk.bytes.subarray(51200 * slot, 51200 * slot + 2048));
  }
  let release = () => {};
  disk.held = new Promise((resolve) => {
    release = resolve;
  });
  for (let slot = 0; slot < 32; slot++) {
    const isWrite = slot % 2 === 1;
    const fis = command(isWrite ? 0x61 : 0x60, 200 + 100 * slot, slot << 3, 300 - slot);
    disk0.prepare(slot, fis, [[DATA + 4096 * (slot % 8), 300 * 512]], { flags: isWrite ? 0x40 : 0 });
  }
  disk0.put(SACT, 0xffff_ffff);
  disk0.put(CI, 0xffff_ffff);
  assert.equal(disk0.get(CI), 0, 'the drive has taken all');
  assert.equal(disk0.get(SACT), 0xffff_ffff);
  assert.equal(disk0.get(TFD), 0x50);
  disk.held = null;
  release();
  await disk0.done();
  assert.equal(disk0.get(SACT), 0);
  assert.equal(disk0.get(IS) & 8, 8);
  assert.equal(ram[disk0.frames + 0x58], 0xa1);
});

test('a queued command that fails ends the queue, and the log names it', async () => {
  const { disk0, view, disk, ram } = machine();
  disk0.start();
  disk.bad = 500 * 512;
  for (const slot of [3, 9]) disk0.prepare(slot, command(0x60, slot === 9 ? 498 : 5000, slot << 3, 8), [[DATA, 4096]]);
  disk0.put(SACT, 1 << 9);
  disk0.put(CI, 1 << 9);
  await disk0.done();
  assert.equal(disk0.get(IS) & 0x4000_0000, 0x4000_0000);
  assert.equal(disk0.get(TFD), 0x4051);
  assert.equal(disk0.get(SACT), 1 << 9, 'it is not done');
  disk0.put(SACT, 1 << 3);
  disk0.put(CI, 1 << 3);
  await turn();
  assert.equal(disk0.get(CI), 1 << 3, 'nothing begins before the host has seen to the error');
  disk0.put(CMD, 0x10);
  assert.equal(disk0.get(CMD) & 0x8000, 0);
  assert.deepEqual([disk0.get(CI), disk0.get(SACT)], [0, 0]);
  disk0.put(CMD, 0x11);
  assert.equal(await disk0.run(command(0x2f, 0x10, 1), [[DATA, 512]]), 0x50);
  assert.deepEqual([ram[DATA], ram[DATA + 2], ram[DATA + 3]], [9, 0x51, 0x40]);
  assert.equal(view.getUint16(DATA + 4, true), 498);
  assert.equal(ram.subarray(DATA, DATA + 512).reduce((sum, byte) => sum + byte, 0) & 0xff, 0);
  assert.equal(await disk0.run(command(0x2f, 0, 1), [[DATA, 512]]), 0x50);
  assert.deepEqual([view.getUint16(DATA, true), view.getUint16(DATA + 32, true)], [1, 1]);
  assert.equal((await disk0.run(command(0x2f, 0x77, 1), [[DATA, 512]])) & 1, 1);
});

test('a CD answers packets by DMA and by PIO, and tells of its change', async () => {
  const { cd1, ram, cd, drive } = machine();
  cd1.start();
  const packet = (bytes: readonly number[], length: number, dma = 1) =>
    cd1.run(command(0xa0, length * 256, 0, dma), [[DATA, length]], { flags: 0x20, packet: bytes });
  assert.equal(await packet([0], 0), 0x6051, 'UNIT ATTENTION');
  cd1.put(CMD, 0x10);
  cd1.put(CMD, 0x11);
  assert.equal(await cd1.run(command(0xa1), [[DATA, 512]]), 0x50);
  for (const dma of [0, 1]) {
    ram.fill(0, DATA, DATA + 8192);
    assert.equal(await packet([0x28, 0, 0, 0, 0, 5, 0, 0, 3], 6144, dma), 0x50);
    assert.deepEqual(ram.subarray(DATA, DATA + 6144), cd.bytes.subarray(5 * 2048, 8 * 2048));
  }
  drive.changeDisc(null);
  assert.equal(await packet([0x25], 8), 0x2051);
});

test('resets of device, interface and controller', async () => {
  const { disk0, disk, read, write, ram } = machine();
  disk0.start();
  let release = () => {};
  disk.held = new Promise((resolve) => {
    release = resolve;
  });
  disk0.prepare(0, command(0x25, 0, 1), [[DATA, 512]]);
  disk0.put(CI, 1);
  assert.equal(disk0.get(TFD) & 0x80, 0x80);
  disk0.put(CMD, 0x10);
  assert.equal(disk0.get(TFD) & 0x80, 0x80, 'the device is still busy');
  disk0.put(CMD, 0x18);
  assert.equal(disk0.get(TFD) & 0x88, 0, 'overridden');
  disk0.put(CMD, 0x11);
  const control = (value: number) => [0x27, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, value];
  disk0.prepare(0, control(4), [], { flags: 0x500 });
  disk0.put(CI, 1);
  assert.equal(disk0.get(CI), 0);
  disk0.prepare(0, control(0));
  disk0.put(CI, 1);
  assert.equal(disk0.get(CI), 0);
  assert.deepEqual([disk0.get(TFD), disk0.get(SIG)], [0x150, 0x101]);
  disk.held = null;
  release();
  for (let i = 0; i < 5; i++) await turn();
  assert.equal(ram[DATA + 1], 0, 'what the dropped command read goes nowhere');

  disk0.put(CMD, 0x10);
  disk0.put(SCTL, 1);
  assert.deepEqual([disk0.get(SSTS), disk0.get(TFD) & 0x80], [0, 0x80]);
  disk0.put(SCTL, 0);
  assert.deepEqual([disk0.get(SSTS), disk0.get(SIG), disk0.get(TFD)], [0x123, 0x101, 0x150]);
  assert.equal(disk0.get(IS) & 0x0040_0040, 0x0040_0040);
  disk0.put(SERR, 0xffff_ffff);
  assert.equal(disk0.get(IS) & 0x0040_0040, 0);
  write(4, 1);
  assert.equal(read(4), 0x8000_0000);
  assert.equal(disk0.get(IE), 0);
  assert.equal(disk0.get(0), LIST, 'the bases stay');
});

test('tables, frames and data that are nowhere end as errors', async () => {
  const { disk0, view } = machine();
  disk0.start();
  const restart = () => {
    disk0.put(CMD, 0x10);
    disk0.put(CMD, 0x11);
  };
  await disk0.run(command(0x25, 0, 8), [[2 ** 40, 4096]]);
  assert.equal(disk0.get(IS) & 0x5000_0000, 0x5000_0000);
  restart();
  await disk0.run(command(0x35, 0, 8), [[DATA, 512]]);
  assert.equal(disk0.get(IS) & 0x5000_0000, 0x5000_0000, 'fewer regions than data');
  restart();
  await disk0.run(command(0x25, 0, 8), [[DATA, 512]]);
  assert.equal(disk0.get(IS) & 0x0100_0000, 0x0100_0000, 'overflow');
  assert.equal(disk0.get(TFD), 0x50);
  disk0.prepare(0, command(0x25, 0, 8));
  view.setUint32(disk0.list + 12, 0xffff_ffff, true);
  disk0.put(IS, 0xffff_ffff);
  disk0.put(CI, 1);
  assert.equal(disk0.get(IS) & 0x1000_0000, 0x1000_0000);
  restart();
  assert.equal(await disk0.run(command(0x25, DISK_BYTES / 512, 1), [[DATA, 512]]), 0x1051);
  restart();
  await disk0.run(command(0x60, DISK_BYTES / 512 - 1, 0, 2), [[DATA, 1024]]);
  assert.equal(disk0.get(TFD), 0x1051);
});

test('with messages each new interrupt is one, also where bits were left', async () => {
  const { disk0, ahci, messages, line, write } = machine();
  disk0.start();
  const msi = ahci.pci.config[0x34];
  ahci.pci.writeConfig(msi + 4, 4, 0xfee00000);
  ahci.pci.writeConfig(msi + 12, 2, 0x41);
  ahci.pci.writeConfig(msi + 2, 2, 1);
  await disk0.run(command(0xec), [[DATA, 512]]);
  assert.equal(line.level, false);
  assert.deepEqual(messages, [[0xfee00000, 0x41]]);
  write(8, 1);
  assert.equal(messages.length, 2, 'the port was not seen to');
  disk0.put(IS, 0xffff_ffff);
  write(8, 1);
  assert.equal(messages.length, 2);
});

test('a guest that gives up commands without end over a medium that does not answer piles nothing up', async () => {
  const { disk0, disk, ahci } = machine();
  disk0.start();
  let asked = 0;
  const { read } = disk;
  disk.read = (offset, into) => {
    asked++;
    return read.call(disk, offset, into);
  };
  let release = () => {};
  disk.held = new Promise((resolve) => {
    release = resolve;
  });
  for (let slot = 0; slot < 32; slot++) disk0.prepare(slot, command(0x60, slot, slot << 3, 1), [[DATA, 512]]);
  for (let round = 0; round < 20; round++) {
    disk0.put(SACT, 0xffff_ffff);
    disk0.put(CI, 0xffff_ffff);
    disk0.put(CMD, 0x10);
    disk0.put(CMD, 0x11);
  }
  assert.equal(asked, 64);
  for (let slot = 0; slot < 32; slot++) disk0.prepare(slot, command(0x25, slot, 1), [[DATA, 512]]);
  for (let round = 0; round < 100; round++) {
    disk0.put(CI, 1);
    disk0.put(CMD, 0x10);
    disk0.put(CMD, 0x11);
  }
  assert.equal(asked, 64 + 8);
  disk0.put(CI, 2);
  disk.held = null;
  release();
  await disk0.done();
  assert.equal(disk0.get(TFD), 0x50);
  for (let i = 0; i < 20; i++) await turn();
  assert.equal(ahci.isWaiting, false);
});

test('random accesses: nothing throws, nothing is beyond the medium, and the state can be saved', async () => {
  const pc = machine();
  let state = 0xa4c1;
  const below = (limit: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
  const codes = [0xec, 0xa0, 0xa1, 0x25, 0x35, 0x60, 0x61, 0x20, 0x30, 0x06, 0x2f, 0xea, 0xef, 0x08, 0x40];
  const ports = [pc.disk0, pc.cd1];
  for (const port of ports) port.start();
  for (let step = 0; step < 30_000; step++) {
    const port = ports[below(2)];
    const slot = below(32);
    switch (below(8)) {
      case 0:
      case 1: {
        const code = codes[below(codes.length)];
        const fis = command(code, below(8200), code >= 0x60 && code < 0x62 ? slot << 3 : below(20), below(20));
        if (below(6) === 0) fis[below(16)] = below(256);
        const regions = Array.from({ length: below(4) }, () => [below(RAM + 4096), 1 + below(9000)] as const);
        port.prepare(slot, fis, regions, {
          flags: below(4) === 0 ? below(2048) : 0x20,
          packet: [0x28, 0, 0, 0, 0, below(70)],
        });
        port.put(SACT, 1 << slot);
        port.put(CI, 1 << slot);
        break;
      }
      case 2:
        port.put(
          [0x00, 0x08, 0x0c, IS, IE, CMD, SCTL, SERR, SACT, CI][below(10)],
          below(2) === 0 ? below(32) : below(2 ** 32),
        );
        break;
      case 3:
        if (below(4) === 0) pc.bus.writeMmio(ABAR + below(2048), ([1, 2, 4] as const)[below(3)], below(256));
        break;
      case 4: {
        const size = ([1, 2, 4] as const)[below(3)];
        const got = pc.bus.readMmio(ABAR + below(2045), size);
        assert.ok(Number.isInteger(got) && got >= 0 && got < 2 ** (8 * size), `${got}`);
        break;
      }
      case 5:
        port.put(CMD, 0x10);
        port.put(SCTL, 0);
        if (below(3) === 0) port.put(0x04, 0);
        port.start();
        break;
      default:
        if (below(4) === 0) await turn();
    }
    if (below(500) === 0) pc.drive.changeDisc(below(2) === 0 ? null : pc.cd);
  }
  while (pc.ahci.isWaiting) await turn();
  pc.drive.changeDisc(pc.cd);
  const other = machine();
  other.ahci.restore(structuredClone(pc.ahci.save()));
  assert.deepEqual(other.ahci.save(), pc.ahci.save());
});
