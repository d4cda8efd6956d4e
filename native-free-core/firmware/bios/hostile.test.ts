import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine, callingFloppy, MemoryDisk } from './testing.ts';

const VECTORS = [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x1a, 0x40];
const CALLS = 600;
/** Slices that a call has: one that waits for a key or an hour is given up. */
const SLICES = 12;

/** A generator of 32-bit numbers (xorshift), the same in every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function newMachine(): BiosTestMachine {
  return new BiosTestMachine({
    floppies: [callingFloppy()],
    disks: [new MemoryDisk(2 ** 20)],
    cdroms: [new MemoryDisk(2 ** 20)],
    bootOrder: 'a',
  });
}

test('services called with registers at random neither throw nor stop the machine', async () => {
  const random = numbers(0x5eed);
  const odd = () => [random() & 0xff, random() & 0xffff, random(), 0, 0xffff, 0xffffffff, 0x80][random() % 7];
  let machine = await newMachine().boot();
  let restarts = 0;
  for (let call = 0; call < CALLS; call++) {
    const vector = VECTORS[random() % VECTORS.length];
    // Every second call is a function that there is, more or less.
    const ah =
      random() & 1
        ? random() & 0xff
        : [0x00, 0x02, 0x03, 0x08, 0x41, 0x42, 0x48, 0x4b, 0x87, 0xb1, 0xc2, 0xe8][random() % 12];
    machine.begin(vector, {
      eax: (ah << 8) | (random() & 0xff),
      ebx: odd(),
      ecx: odd(),
      edx: random() & 1 ? odd() : [0x00, 0x80, 0xe0][random() % 3],
      esi: odd(),
      edi: odd(),
      ebp: odd(),
      ds: odd() & 0xffff,
      es: odd() & 0xffff,
    });
    let isOver = false;
    for (let slice = 0; slice < SLICES && !isOver; slice++) {
      const result = machine.pc.run(1);
      isOver = result.state === 'ended' || machine.isFinished;
      for (let turn = 0; turn < 16; turn++) await Promise.resolve();
      if (result.state === 'ended') break;
    }
    // What a call wrote may be the code of the test itself, or it powered off: begin anew.
    if (!machine.isFinished || machine.pc.cpu.system.shutdown || call % 100 === 99) {
      restarts++;
      machine = await newMachine().boot();
    }
  }
  assert.ok(restarts < CALLS / 2, `${restarts} restarts`);
});

test('the trap port does nothing elsewhere, and jumping into the middle of a stub comes back', async () => {
  const machine = await newMachine().boot();
  // out B4h, al; iret
  machine.fill(0x710, Uint8Array.of(0xe6, 0xb4, 0xcf));
  machine.fill(0x60 * 4, Uint8Array.of(0x10, 0x07, 0x00, 0x00));
  const { eax, ebx } = await machine.int(0x60, { eax: 0x1234, ebx: 0x5678 });
  assert.deepEqual([eax, ebx], [0x1234, 0x5678]);
  // Every trap of the ROM, entered as if it were an interrupt: none must throw.
  const rom = machine.bytes(0xf0000, 0x10000);
  let traps = 0;
  let fresh = machine;
  for (let at = 0; at < rom.length - 1; at++) {
    if (rom[at] !== 0xe6 || rom[at + 1] !== 0xb4) continue;
    // A few of them: each costs a machine.
    if (traps++ % 6 !== 0) continue;
    if (!fresh.isFinished) fresh = await newMachine().boot();
    fresh.fill(0x60 * 4, Uint8Array.of(at & 0xff, at >> 8, 0x00, 0xf0));
    fresh.begin(0x60, { eax: 0x4321 });
    for (let slice = 0; slice < 4; slice++) {
      if (fresh.pc.run(1).state === 'ended') break;
      for (let turn = 0; turn < 16; turn++) await Promise.resolve();
    }
  }
  assert.ok(traps > 20, `${traps} traps`);
});
