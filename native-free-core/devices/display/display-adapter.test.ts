// The adapter beyond VGA: DISPI registers, pixel formats, windows, dirty tiles, saved state, and hostile guests.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { PciBus } from '../pci/pci-bus.ts';
import { DisplayAdapter, VIDEO_MEMORY_BYTES, VIDEO_MEMORY_EXTRA } from './display-adapter.ts';
import { cutTile, MAX_SCREEN_HEIGHT, MAX_SCREEN_WIDTH } from './screen.ts';
import { VIDEO_PAGE, type VideoMemory, type VideoWindow } from './video-memory.ts';

const FRAME_BUFFER = 0xe0000000;
const REGISTERS = 0xf0000000;
const Index = {
  id: 0,
  width: 1,
  height: 2,
  depth: 3,
  enable: 4,
  bank: 5,
  virtualWidth: 6,
  virtualHeight: 7,
  x: 8,
  y: 9,
  memory: 10,
};

/** Memory whose windows work as a machine's do: writes through them reach the bytes, and are remembered by page. */
class WindowedMemory implements VideoMemory {
  readonly bytes: Uint8Array;
  private readonly dirty: Set<number> = new Set();
  readonly windows: { base: number; offset: number; length: number }[] = [];

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
  }

  window(): VideoWindow {
    const place = { base: 0, offset: 0, length: 0 };
    this.windows.push(place);
    return {
      map: (base, offset, length) => {
        assert.ok(base % VIDEO_PAGE === 0 && offset % VIDEO_PAGE === 0 && length % VIDEO_PAGE === 0 && length > 0);
        assert.ok(offset >= 0 && offset + length <= this.bytes.length);
        Object.assign(place, { base, offset, length });
      },
      unmap: () => Object.assign(place, { base: 0, offset: 0, length: 0 }),
    };
  }

  touch(): void {}

  takeDirty(from: number, to: number, page: (offset: number) => void): void {
    for (const offset of [...this.dirty].sort((a, b) => a - b)) {
      if (offset < from || offset >= to) continue;
      this.dirty.delete(offset);
      page(offset);
    }
  }

  /** Offset of a guest-physical address, or -1. */
  find(address: number): number {
    const window = this.windows.find(({ base, length }) => address >= base && address < base + length);
    return window === undefined ? -1 : window.offset + address - window.base;
  }

  write(at: number, value: number): void {
    this.bytes[at] = value;
    this.dirty.add(at - (at % VIDEO_PAGE));
  }
}

class Pc {
  nanoseconds = 0;
  readonly bus = new IoBus();
  readonly memory: WindowedMemory;
  readonly adapter: DisplayAdapter;

  constructor(bytes = 1 << 20) {
    this.memory = new WindowedMemory(bytes + VIDEO_MEMORY_EXTRA);
    this.adapter = new DisplayAdapter({ clock: { now: () => this.nanoseconds }, memory: this.memory });
    this.adapter.attach(this.bus);
    const pci = new PciBus(this.bus, []);
    pci.attach();
    pci.add(2, 0, this.adapter.pci);
    this.adapter.program(FRAME_BUFFER, REGISTERS);
    // The display is on.
    this.bus.readPort(0x3da, 1);
    this.bus.writePort(0x3c0, 1, 0x20);
  }

  dispi(index: number, value: number): void {
    this.bus.writePort(0x1ce, 2, index);
    this.bus.writePort(0x1cf, 2, value);
  }

  read(index: number): number {
    this.bus.writePort(0x1ce, 2, index);
    return this.bus.readPort(0x1cf, 2);
  }

  mode(width: number, height: number, depth: number, enable = 0x41): void {
    this.dispi(Index.enable, 0);
    this.dispi(Index.width, width);
    this.dispi(Index.height, height);
    this.dispi(Index.depth, depth);
    this.dispi(Index.enable, enable);
  }

  /** As the processor does: through a window where there is one, else by the bus. */
  write(address: number, ...bytes: readonly number[]): void {
    bytes.forEach((byte, index) => {
      const at = this.memory.find(address + index);
      if (at >= 0) this.memory.write(at, byte);
      else this.bus.writeMmio(address + index, 1, byte);
    });
  }

  pixel(x: number, y: number): string {
    const { pixels, width } = this.adapter.refresh();
    const at = (y * width + x) * 4;
    assert.equal(pixels[at + 3], 255);
    return Buffer.from(pixels.subarray(at, at + 3)).toString('hex');
  }
}

test('versions, limits and memory are told', () => {
  const pc = new Pc(VIDEO_MEMORY_BYTES);
  assert.deepEqual([pc.read(Index.id), pc.read(Index.memory)], [0xb0c5, 256]);
  pc.dispi(Index.id, 0xb0c2);
  assert.equal(pc.read(Index.id), 0xb0c2);
  pc.dispi(Index.id, 0x1234);
  assert.equal(pc.read(Index.id), 0xb0c2);
  pc.dispi(Index.enable, 2);
  assert.deepEqual(
    [Index.width, Index.height, Index.depth].map((index) => pc.read(index)),
    [2560, 1600, 32],
  );
  // The same registers in memory.
  assert.equal(pc.bus.readMmio(REGISTERS + 0x500 + 2 * Index.memory, 2), 256);
  assert.deepEqual(
    [0, 7].map((at) => pc.bus.readMmio(REGISTERS + at, 1)),
    [0, 0],
  );
  assert.equal(pc.bus.readMmio(REGISTERS + 1, 4) >>> 0, 0xffffffff);
  assert.deepEqual([pc.bus.readMmio(REGISTERS + 0x600, 4), pc.bus.readMmio(REGISTERS + 0x604, 4)], [8, 0x1e1e1e1e]);
  pc.bus.writeMmio(REGISTERS + 0x500 + 2 * Index.width, 2, 640);
  pc.dispi(Index.enable, 0);
  assert.equal(pc.read(Index.width), 640);
  // VGA's ports are there too: the palette's mask.
  pc.bus.writeMmio(REGISTERS + 0x406, 1, 0x55);
  assert.equal(pc.bus.readPort(0x3c6, 1), 0x55);
});

test('each depth shows its pixel format', () => {
  const cases: readonly (readonly [number, readonly number[], string])[] = [
    [8, [1], 'fc0804'],
    [15, [0x41, 0x4c], '9c1008'],
    [16, [0x41, 0x9a], '9c4908'],
    [24, [0x11, 0x22, 0x33], '332211'],
    [32, [0x11, 0x22, 0x33, 0x44], '332211'],
  ];
  for (const [depth, bytes, expected] of cases) {
    const pc = new Pc();
    pc.mode(320, 200, depth);
    pc.bus.writePort(0x3c8, 1, 1);
    for (const component of [0x3f, 2, 1]) pc.bus.writePort(0x3c9, 1, component);
    const pitch = 320 * ((depth + 7) >> 3);
    pc.write(FRAME_BUFFER + pitch * 3 + 5 * ((depth + 7) >> 3), ...bytes);
    assert.equal(pc.pixel(5, 3), depth === 8 ? 'ff0804' : expected, `${depth} bits`);
    assert.equal(pc.pixel(4, 3), '000000');
    assert.equal(pc.adapter.text(), undefined);
  }
});

test('the other byte order', () => {
  const pc = new Pc();
  pc.mode(320, 200, 32);
  pc.write(FRAME_BUFFER, 0x44, 0x33, 0x22, 0x11);
  assert.equal(pc.pixel(0, 0), '223344');
  pc.bus.writeMmio(REGISTERS + 0x604, 4, 0xbebebebe);
  assert.equal(pc.pixel(0, 0), '332211');
});

test('sixteen colours in planes', () => {
  const pc = new Pc();
  pc.mode(800, 600, 4);
  pc.bus.writePort(0x3c2, 1, 0x63);
  for (const [index, value] of [2, 4].entries()) pc.bus.writePort(0x3c4, 2, value | ([0x05, 0x06][index] << 8));
  pc.bus.writePort(0x3ce, 2, 0x0506);
  pc.bus.writePort(0x3ce, 2, 0xff08);
  pc.bus.readPort(0x3da, 1);
  for (const byte of [0x12, 0x0f, 0x05, 0x05, 0x20]) pc.bus.writePort(0x3c0, 1, byte);
  pc.bus.writePort(0x3c8, 1, 5);
  for (const component of [0x3f, 0x3f, 0]) pc.bus.writePort(0x3c9, 1, component);
  pc.write(0xa0000 + 100 * 599 + 2, 0x40);
  assert.equal(pc.pixel(17, 599), 'ffff00');
  assert.equal(pc.pixel(16, 599), '000000');
});

test('virtual size, panning and banks', () => {
  const pc = new Pc();
  pc.mode(320, 200, 8);
  pc.dispi(Index.virtualWidth, 512);
  assert.deepEqual([pc.read(Index.virtualWidth), pc.read(Index.virtualHeight)], [512, 2048]);
  pc.bus.writePort(0x3c8, 1, 9);
  for (const component of [0x3f, 0, 0]) pc.bus.writePort(0x3c9, 1, component);
  pc.dispi(Index.bank, 1);
  pc.write(0xa0000 + 512 * 2 + 100, 9);
  pc.dispi(Index.x, 90);
  pc.dispi(Index.y, 128);
  assert.equal(pc.pixel(10, 2), 'ff0000');
  // No bank, and no place, beyond the memory.
  pc.dispi(Index.bank, 16);
  assert.equal(pc.read(Index.bank), 1);
  pc.dispi(Index.y, 60000);
  pc.dispi(Index.x, 60000);
  assert.equal(pc.adapter.refresh().width, 320);
});

test('modes are set by whole numbers that make sense, and memory is cleared unless it is to be kept', () => {
  const pc = new Pc();
  pc.mode(640, 480, 8);
  pc.write(FRAME_BUFFER + 5, 7);
  pc.dispi(Index.width, 0);
  pc.dispi(Index.width, 643);
  pc.dispi(Index.width, 4096);
  pc.dispi(Index.depth, 13);
  assert.deepEqual([pc.read(Index.width), pc.read(Index.depth)], [640, 8]);
  pc.mode(640, 480, 8, 0xc1);
  assert.equal(pc.memory.bytes[5], 7);
  pc.mode(640, 480, 8, 0x41);
  assert.equal(pc.memory.bytes[5], 0);
});

test('only tiles that changed are reported', () => {
  const pc = new Pc(VIDEO_MEMORY_BYTES);
  pc.mode(1920, 1200, 32);
  const all = pc.adapter.refresh();
  assert.deepEqual(all.tiles, [{ x: 0, y: 0, width: 1920, height: 1200 }]);
  assert.deepEqual(pc.adapter.refresh().tiles, []);
  pc.write(FRAME_BUFFER + (100 * 1920 + 130) * 4, 1, 2, 3, 0);
  pc.write(FRAME_BUFFER + (1199 * 1920 + 1919) * 4, 1, 2, 3, 0);
  const update = pc.adapter.refresh();
  assert.deepEqual(update.tiles, [
    { x: 128, y: 96, width: 64, height: 16 },
    { x: 1856, y: 1184, width: 64, height: 16 },
  ]);
  const tile = cutTile(update, update.tiles[0]);
  assert.deepEqual([...tile.subarray((4 * 64 + 2) * 4, (4 * 64 + 3) * 4)], [3, 2, 1, 255]);
  // The same pixel again is no change.
  pc.write(FRAME_BUFFER + (100 * 1920 + 130) * 4, 1, 2, 3, 0);
  assert.deepEqual(pc.adapter.refresh().tiles, []);
  pc.adapter.invalidate();
  assert.equal(pc.adapter.refresh().tiles.length, 1);
});

/** 40 by 25 characters of 8 lines. */
function textMode(pc: Pc): void {
  const set = (port: number, values: Record<number, number>) => {
    for (const [index, value] of Object.entries(values)) pc.bus.writePort(port, 2, Number(index) | (value << 8));
  };
  pc.bus.writePort(0x3c2, 1, 0x67);
  set(0x3c4, { 1: 1, 2: 3, 4: 2 });
  set(0x3d4, { 0: 0x2d, 1: 39, 6: 0xbf, 7: 0x1f, 9: 0x47, 10: 0x20, 18: 199, 19: 20, 23: 0xa3, 24: 0xff });
  set(0x3d4, { 7: 0x10 });
  set(0x3ce, { 5: 0x10, 6: 0x0e, 8: 0xff });
}

test('text goes through a window of plain memory, and comes back through the planes', () => {
  const pc = new Pc();
  textMode(pc);
  assert.ok(pc.memory.find(0xb8000) >= 0 && pc.memory.find(0xa0000) < 0);
  pc.write(0xb8000 + 80, ...[...'Hello'].flatMap((character) => [character.charCodeAt(0), 7]));
  assert.equal(pc.adapter.text()!.trim(), 'Hello');
  assert.deepEqual(pc.adapter.textSize(), { columns: 40, rows: 25 });
  // Planes: characters in plane 0, at even addresses.
  pc.bus.writePort(0x3c4, 2, 0x0604);
  pc.bus.writePort(0x3ce, 2, 0x0005);
  pc.bus.writePort(0x3ce, 2, 0x0406);
  assert.ok(pc.memory.find(0xa0000) < 0 && pc.memory.find(0xb8000) < 0);
  assert.equal(pc.bus.readMmio(0xa0000 + 80, 1), 'H'.charCodeAt(0));
  pc.bus.writePort(0x3c4, 2, 0x0102);
  pc.bus.writeMmio(0xa0000 + 80, 1, 'J'.charCodeAt(0));
  textMode(pc);
  assert.equal(pc.memory.bytes[pc.memory.find(0xb8000 + 80)], 'J'.charCodeAt(0));
  assert.equal(pc.adapter.text()!.trim(), 'Jello');
});

test('what a text mode holds does not leak into a mode that was cleared', () => {
  const pc = new Pc();
  textMode(pc);
  pc.write(0xb8000, 0x41, 0x07);
  pc.mode(320, 200, 8);
  assert.ok(!pc.memory.bytes.subarray(0, 1 << 20).some((byte) => byte !== 0));
  pc.dispi(Index.enable, 0);
  assert.equal(pc.adapter.text()!.replaceAll('\n', ''), '');
});

test('the frame buffer follows its BAR', () => {
  const pc = new Pc();
  pc.mode(320, 200, 8);
  const { pci } = pc.adapter;
  assert.deepEqual([pci.readConfig(0, 4), pci.readConfig(8, 4) >>> 8], [0x11111234, 0x030000]);
  pci.assignBar(0, 0xd0000000);
  assert.ok(pc.memory.find(FRAME_BUFFER) < 0 && pc.memory.find(0xd0000000) === 0);
  pci.writeConfig(4, 2, 0);
  assert.ok(pc.memory.find(0xd0000000) < 0);
});

/** Video memory is the guest's: whoever saves that fills it before the adapter is restored. */
function carry(from: Pc, to: Pc): void {
  const state = structuredClone(from.adapter.save());
  to.memory.bytes.set(from.memory.bytes);
  to.adapter.restore(state);
}

test('a saved state shows the same picture', () => {
  const pc = new Pc();
  textMode(pc);
  pc.write(0xb8000, 0x53, 0x07);
  const other = new Pc();
  other.mode(640, 480, 16);
  other.write(FRAME_BUFFER, 1, 2, 3);
  carry(pc, other);
  assert.equal(other.adapter.text(), pc.adapter.text());
  assert.deepEqual(other.adapter.save(), pc.adapter.save());
  pc.mode(320, 200, 16);
  pc.write(FRAME_BUFFER + 2, 0xff, 0xff);
  carry(pc, other);
  assert.equal(other.pixel(1, 0), 'ffffff');
  assert.throws(() => pc.adapter.restore({ version: 9 }), /version 9/);
  const bad = { ...pc.adapter.save(), dispi: { ...(pc.adapter.save().dispi as object), width: 99999 } };
  assert.throws(() => other.adapter.restore(bad), /no valid width/);
});

test('random registers and accesses never throw, and never make a picture that is too large', () => {
  const pc = new Pc();
  let seed = 0xd15b1a7;
  const random = (below: number) => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) % below;
  };
  const ports = [
    0x3c0, 0x3c2, 0x3c4, 0x3c5, 0x3c6, 0x3c7, 0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3b4, 0x3b5, 0x1ce, 0x1cf,
  ];
  for (let step = 0; step < 60_000; step++) {
    const size = [1, 2, 4][random(3)] as 1 | 2 | 4;
    const value = random(2) === 0 ? random(0x10) : random(2 ** 32) % 2 ** (8 * size);
    const port = random(20) === 0 ? 0x3b0 + random(0x30) : ports[random(ports.length)];
    const address = [0xa0000 + random(0x20000), FRAME_BUFFER + random(1 << 20), REGISTERS + random(0x1000)][random(3)];
    let got = 0;
    switch (random(6)) {
      case 0:
        got = pc.bus.readPort(port, size);
        break;
      case 1:
      case 2:
        // Often a register of the extension, with a value that means something.
        if (random(3) === 0) pc.dispi(random(11), [random(0x100), 320, 640, 8, 16, 32, 0x41, 0xffff][random(8)]);
        else pc.bus.writePort(port, size, value);
        break;
      case 3:
        got = pc.bus.readMmio(address, size);
        break;
      case 4:
        pc.bus.writeMmio(address, size, value);
        break;
      default:
        if (pc.memory.find(address) >= 0) pc.write(address, value & 0xff);
        pc.nanoseconds += random(1e8);
    }
    assert.ok(Number.isInteger(got) && got >= 0 && got < 2 ** (8 * size), `${got} of ${size} bytes`);
    if (random(300) !== 0) continue;
    const { width, height, pixels, tiles } = pc.adapter.refresh();
    assert.ok(width >= 1 && height >= 1 && width <= MAX_SCREEN_WIDTH && height <= MAX_SCREEN_HEIGHT);
    assert.equal(pixels.length, width * height * 4);
    assert.deepEqual([pc.adapter.width, pc.adapter.height], [width, height]);
    for (const tile of tiles) assert.ok(tile.x + tile.width <= width && tile.y + tile.height <= height);
    assert.ok((pc.adapter.text()?.length ?? 0) < 300_000);
    pc.adapter.cursor();
    if (random(20) === 0) {
      const state = structuredClone(pc.adapter.save());
      pc.adapter.restore(state);
      assert.deepEqual(pc.adapter.save(), state);
    }
  }
});
