import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DirectMemory } from './system/direct-memory.ts';
import { PageKind } from './system/physical.ts';
import { ShadowMemory } from './system/shadow-memory.ts';
import { Assembler } from './testing/assembler.ts';
import { CodeMachine, ENGINES, engines, FREE } from './testing/code-machine.ts';

const PAGE = 0x1000;
const MEMORY_BYTES = 16 * PAGE;
/** Where a base address register may put the memory, and the linear address at which the tests' page tables show it. */
const BAR = 0xe0000000;
const OTHER_BAR = 0xd0000000;
const SEEN = 0x200000;
const SEEN_OTHER = 0x240000;
const CODE = FREE + 0x1000;
const LOOPS = 5000;

const EAX = 0;
const EBX = 3;
const HLT = [0xf4];
const RET = [0xc3];
const CALL_EDI = [0xff, 0xd7];
const XOR_EBX_EBX = [0x31, 0xdb];
const ADD_EBX_EAX = [0x01, 0xc3];
const DEC_ECX = [0xff, 0xc9];
const JNZ = [0x0f, 0x85];
const MOV_ECX = [0xb9];
const MOV_ESI = [0xbe];
const MOV_EDI = [0xbf];
const MOV_EAX_AT_ESI = [0x8b, 0x06];
const ADD_AT_EDI_ECX = [0x01, 0x0f];
const OUT_80_AL = [0xe6, 0x80];
const REP_STOSD = [0xf3, 0xab];

interface Video {
  readonly machine: CodeMachine;
  readonly memory: DirectMemory;
}

/** A machine whose linear pages from SEEN and SEEN_OTHER on are those at BAR and OTHER_BAR. */
function video(bits: 32 | 64, hotness: number, writePort: (value: number, video: Video) => void = () => {}): Video {
  const devices = { writePort: (_port: number, _size: number, value: number) => writePort(value, made) };
  const machine = new CodeMachine(bits, hotness, devices, undefined, undefined, MEMORY_BYTES);
  for (const [linear, physical] of [
    [SEEN, BAR],
    [SEEN_OTHER, OTHER_BAR],
  ])
    for (let at = 0; at < MEMORY_BYTES; at += PAGE) {
      if (bits === 64) machine.put64(machine.entryOf(linear + at), BigInt(physical + at) | 3n);
      else machine.put32(machine.entryOf(linear + at), (physical + at) | 3);
    }
  const made = { machine, memory: machine.cpu.system.physical.allocate(MEMORY_BYTES) };
  return made;
}

function each(name: string, body: (make: (writePort?: Parameters<typeof video>[2]) => Video) => void): void {
  for (const bits of [32, 64] as const)
    for (const engine of engines)
      test(`${name} (${bits} bits, translation ${engine})`, () => body((port) => video(bits, ENGINES[engine], port)));
}

function dirtyPages(memory: DirectMemory, from = 0, to = MEMORY_BYTES): number[] {
  const pages: number[] = [];
  memory.takeDirty(from, to, (offset) => pages.push(offset / PAGE));
  return pages;
}

each('a page is dirty again after each taking, however hot the loop that writes to it', (make) => {
  const { machine, memory } = make();
  memory.window().map(BAR, 0, MEMORY_BYTES);
  const code = new Assembler(CODE);
  code.bytes(...MOV_EDI).dword(SEEN + 3 * PAGE);
  code
    .bytes(...MOV_ECX)
    .dword(LOOPS)
    .label('loop')
    .bytes(...ADD_AT_EDI_ECX, ...DEC_ECX);
  code.jump(JNZ, 'loop').bytes(...HLT);
  machine.write(CODE, code.finish());
  const sum = (LOOPS * (LOOPS + 1)) / 2;
  const view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset);
  assert.deepEqual(dirtyPages(memory), []);
  for (let round = 1; round <= 3; round++) {
    machine.run(CODE);
    assert.equal(view.getUint32(3 * PAGE, true), (round * sum) >>> 0);
    assert.deepEqual(dirtyPages(memory), [3]);
    assert.deepEqual(dirtyPages(memory), []);
  }
  assert.equal(machine.cpu.system.mmu.touchedPages > 0, true);
});

each('string instructions reach all pages, and reads leave them clean', (make) => {
  const { machine, memory } = make();
  memory.window().map(BAR, 0, MEMORY_BYTES);
  const code = new Assembler(CODE);
  code
    .bytes(...MOV_EDI)
    .dword(SEEN + 5 * PAGE + 0x800)
    .bytes(...MOV_ECX)
    .dword(PAGE / 2);
  code
    .bytes(0xb8)
    .dword(0x11223344)
    .bytes(...REP_STOSD);
  code
    .bytes(...MOV_ESI)
    .dword(SEEN + 9 * PAGE)
    .bytes(...MOV_EAX_AT_ESI, ...HLT);
  machine.write(CODE, code.finish());
  memory.bytes.set([1, 2, 3, 4], 9 * PAGE);
  machine.run(CODE);
  assert.equal(machine.reg(EAX), 0x04030201);
  assert.deepEqual([...memory.bytes.subarray(5 * PAGE + 0x7fe, 5 * PAGE + 0x802)], [0, 0, 0x44, 0x33]);
  assert.equal(memory.bytes[7 * PAGE + 0x7ff], 0x11);
  assert.equal(memory.bytes[7 * PAGE + 0x800], 0);
  assert.deepEqual(dirtyPages(memory, 6 * PAGE, 7 * PAGE), [6]);
  assert.deepEqual(dirtyPages(memory), [5, 7]);
  memory.touch(2 * PAGE - 1, 2);
  assert.deepEqual(dirtyPages(memory), [1, 2]);
});

each('a window that the running code moves is where it moved it', (make) => {
  const { machine, memory } = make((value) => {
    if (value === 2) window.unmap();
    else window.map(value === 0 ? BAR : OTHER_BAR, 0, MEMORY_BYTES);
  });
  const window = memory.window();
  memory.bytes.set([7, 0, 0, 0]);
  const code = new Assembler(CODE);
  code.bytes(...XOR_EBX_EBX, ...MOV_ESI).dword(SEEN);
  code
    .bytes(...MOV_ECX)
    .dword(LOOPS)
    .label('loop');
  // Unmapped addresses read as all ones: -1.
  for (const place of [0, 1, 0, 2])
    code
      .bytes(0xb8)
      .dword(place)
      .bytes(...OUT_80_AL, ...MOV_EAX_AT_ESI, ...ADD_EBX_EAX);
  code
    .bytes(...DEC_ECX)
    .jump(JNZ, 'loop')
    .bytes(...HLT);
  machine.write(CODE, code.finish());
  machine.run(CODE);
  assert.equal(machine.reg(EBX), LOOPS * (7 - 1 + 7 - 1));
});

each('code in directly mapped memory runs, and follows what guest and device write over it', (make) => {
  const { machine, memory } = make();
  memory.window().map(BAR, 0, MEMORY_BYTES);
  const routine = (value: number) => [0xb8, value, 0, 0, 0, ...RET];
  // An instruction that crosses from one page to the next, too.
  const place = PAGE - 3;
  memory.bytes.set(routine(5), place);
  const code = new Assembler(CODE);
  code
    .bytes(...XOR_EBX_EBX)
    .bytes(...MOV_ECX)
    .dword(LOOPS)
    .label('loop');
  code
    .bytes(...MOV_EDI)
    .dword(SEEN + place)
    .bytes(...CALL_EDI, ...ADD_EBX_EAX);
  // The guest makes it one more each time: INC byte [EDI+1].
  code.bytes(0xfe, 0x47, 0x01, ...DEC_ECX);
  code.jump(JNZ, 'loop').bytes(...HLT);
  machine.write(CODE, code.finish());
  machine.run(CODE);
  let sum = 0;
  for (let i = 0; i < LOOPS; i++) sum += (5 + i) & 0xff;
  assert.equal(machine.reg(EBX), sum);
  memory.bytes.set(routine(9), place);
  memory.touch(place, 6);
  machine.run(CODE);
  sum = 0;
  for (let i = 0; i < LOOPS; i++) sum += (9 + i) & 0xff;
  assert.equal(machine.reg(EBX), sum);
});

test('a window below 1 MiB hides RAM until it goes; above, RAM hides the window', () => {
  const { machine, memory } = video(32, 0);
  const { physical } = machine.cpu.system;
  machine.put32(0xb8000, 0x1111);
  machine.put32(0x300000, 0x2222);
  const text = memory.window();
  const read = (at: number): number => {
    const into = new Uint8Array(4);
    assert.ok(physical.read(at, into));
    return new DataView(into.buffer).getUint32(0, true);
  };
  text.map(0xb8000, 2 * PAGE, 8 * PAGE);
  machine.put32(0xb8000, 0x3333);
  assert.equal(memory.bytes[2 * PAGE], 0x33);
  assert.deepEqual(dirtyPages(memory), [2]);
  physical.setKind(0xa0000, 0x20000, PageKind.mmio);
  assert.equal(read(0xb8000), 0x3333);
  assert.equal(physical.read(0xa0000, new Uint8Array(1)), false);
  text.unmap();
  assert.equal(physical.read(0xb8000, new Uint8Array(1)), false);
  physical.setKind(0xa0000, 0x20000, PageKind.ram);
  assert.equal(read(0xb8000), 0x1111);
  text.map(0x300000, 0, MEMORY_BYTES);
  assert.equal(read(0x300000), 0x2222);
  // The interrupt controllers keep their addresses.
  text.map(0xfebff000, 0, 4 * PAGE);
  assert.notEqual(physical.readAddress(0xfebff000), -1);
  assert.equal(physical.readAddress(0xfec00000), -1);
  assert.throws(() => text.map(BAR, PAGE, MEMORY_BYTES), RangeError);
  assert.throws(() => text.map(BAR + 1, 0, PAGE), RangeError);
  assert.throws(() => physical.allocate(PAGE), /no room/);
});

test('memories that were allocated first hide later ones', () => {
  const { physical } = new CodeMachine(32, 0, {}, undefined, undefined, 2 * PAGE).cpu.system;
  const [first, second] = [physical.allocate(PAGE), physical.allocate(PAGE)];
  const later = second.window();
  later.map(BAR, 0, PAGE);
  const seen = physical.readAddress(BAR);
  const earlier = first.window('ignored');
  earlier.map(BAR, 0, PAGE);
  assert.equal(physical.readAddress(BAR), seen - PAGE);
  assert.equal(physical.writeAddress(BAR), -2);
  earlier.unmap();
  assert.equal(physical.writeAddress(BAR), seen);
});

for (const engine of engines)
  test(`a ROM that copies itself into the RAM behind it runs on from there (translation ${engine})`, () => {
    const IMAGE = 0x20000;
    const values: number[] = [];
    const devices = {
      writePort: (port: number, _size: number, value: number) => {
        if (port === 0x80) shadow.set(0xf0000, 0x10000, { readRam: (value & 1) !== 0, writeRam: (value & 2) !== 0 });
        else values.push(value);
      },
    };
    const machine = new CodeMachine(16, ENGINES[engine], devices, undefined, undefined, 0x40000);
    const image = new Uint8Array(IMAGE).fill(0x90);
    // At F000:0000, as 16-bit code: the loop puts its own constant out; in RAM the constant is made another one.
    const code = [
      ...[0xb8, 0x00, 0xf0, 0x8e, 0xd8, 0x8e, 0xc0], // mov ax,0F000h; mov ds,ax; mov es,ax
      ...[0xb9, 0x10, 0x00], // mov cx,16
      ...[0xb0, 0x41, 0xe6, 0x81, 0xe2, 0xfa], // again: mov al,41h; out 81h,al; loop again
      ...[0xb0, 0x02, 0xe6, 0x80], // reads ROM, writes RAM
      ...[0x31, 0xf6, 0x31, 0xff, 0xb9, 0x00, 0x80, 0xfc, 0xf3, 0xa5], // copy 64 KiB onto itself
      ...[0xc6, 0x06, 0x2b, 0x00, 0x42], // mov byte [002Bh],42h: RAM alone
      ...[0xb0, 0x03, 0xe6, 0x80], // all RAM
      ...[0xb9, 0x10, 0x00], // mov cx,16
      ...[0xb0, 0x41, 0xe6, 0x81, 0xe2, 0xfa], // at 002Ah: again: mov al,41h (42h in RAM)
      ...[0xb0, 0x00, 0xe6, 0x80], // all ROM, and the same bytes with it
      0xf4,
    ];
    assert.deepEqual(code.slice(0x2a, 0x2c), [0xb0, 0x41]);
    image.set(code, 0x10000);
    const { physical } = machine.cpu.system;
    const shadow = new ShadowMemory(physical, image);
    machine.cpu.system.setSegment(1, 0xf000, 0xf0000n, 0xffff, 0x9b);
    machine.run(0);
    assert.deepEqual(values, [...Array(16).fill(0x41), ...Array(16).fill(0x42)]);
    const at = new Uint8Array(2);
    physical.read(0xf002a, at);
    assert.deepEqual([...at], [0xb0, 0x41]);
    physical.read(0xffff002a, at);
    assert.deepEqual([...at], [0xb0, 0x41]);
    // RAM alone, read only.
    shadow.set(0xf0000, 0x10000, { readRam: true, writeRam: false });
    assert.equal(physical.write(0xf002a, Uint8Array.of(1)), false);
    physical.read(0xf002a, at);
    assert.deepEqual([...at], [0xb0, 0x42]);
    // Without a ROM: a bus that nobody drives, until what was written behind it is shown.
    shadow.set(0xc0000, 0x4000, { readRam: false, writeRam: true });
    physical.write(0xc0000, Uint8Array.of(0x55, 0xaa));
    physical.read(0xc0000, at);
    assert.deepEqual([...at], [0xff, 0xff]);
    shadow.set(0xc0000, 0x4000, { readRam: true, writeRam: false });
    physical.read(0xc0000, at);
    assert.deepEqual([...at], [0x55, 0xaa]);
    assert.throws(() => shadow.set(0xbc000, 0x4000, { readRam: true, writeRam: true }), RangeError);
    assert.throws(() => new ShadowMemory(physical, new Uint8Array(0x3000)), RangeError);
  });
